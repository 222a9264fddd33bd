// Limit: which bound a query went beyond. It travels inside the error, beside
// the text that names its setting, so that refusals can be counted by limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace vigie::query {

enum class Limit : uint8_t {
  kQueryBytes,
  kProcessBytes,
  kSamples,
  kPoints,
  kText,
  kNesting,
  kRegex,
  kTime,
};
inline constexpr Limit kLimits[] = {
    Limit::kQueryBytes, Limit::kProcessBytes, Limit::kSamples, Limit::kPoints,
    Limit::kText,       Limit::kNesting,      Limit::kRegex,   Limit::kTime};

// "query_bytes": the label of the metric.
std::string_view LimitName(Limit limit);

// `error` with the limit inside. Its code and text stay.
absl::Status WithLimit(Limit limit, absl::Status error);

// What WithLimit put there.
std::optional<Limit> LimitOf(const absl::Status& error);

}  // namespace vigie::query
