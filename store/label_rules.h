// What the store asks of a series' labels, whatever door they came through.
// Limits: docs/decisions/0018-limits-on-labels.md.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "model/labels.h"
#include "store/appender.h"

namespace vigie::store {

inline constexpr size_t kLabelsMax = 64;  // a series, __name__ included
inline constexpr size_t kLabelNameBytesMax = 1024;
inline constexpr size_t kLabelValueBytesMax = 4096;

struct LabelFault {
  RefusalReason reason = RefusalReason::kInvalidLabels;
  std::string message;  // thing first
};

// The first thing wrong with `labels`: kInvalidLabels or kLimit.
std::optional<LabelFault> FindLabelFault(const Labels& labels);

}  // namespace vigie::store
