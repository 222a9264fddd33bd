// What the store asks of labels and other texts, whatever door they came
// through. Limits: docs/decisions/0018-limits-on-labels.md. Thread-safe: no
// state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "model/exemplar.h"
#include "model/labels.h"
#include "store/appender.h"

namespace vigie::store {

inline constexpr size_t kLabelsMax = 64;  // a series, __name__ included
inline constexpr size_t kLabelNameBytesMax = 1024;
inline constexpr size_t kLabelValueBytesMax = 4096;
inline constexpr size_t kMetadataTextBytesMax = 8192;
inline constexpr size_t kExemplarLabelCharactersMax = 128;

struct LabelFault {
  RefusalReason reason = RefusalReason::kInvalidLabels;
  std::string message;  // thing first
};

// The first thing wrong with `labels`: kInvalidLabels or kLimit.
std::optional<LabelFault> FindLabelFault(const Labels& labels);
// Likewise of an exemplar's labels, and of what is said of a metric.
std::optional<LabelFault> FindExemplarFault(const Exemplar& exemplar);
std::optional<LabelFault> FindMetadataFault(std::string_view metric,
                                            const Metadata& metadata);

}  // namespace vigie::store
