#include "query/parser/limit.h"

#include <utility>

#include "absl/strings/cord.h"

namespace vigie::query {
namespace {

constexpr const char* kPayload = "vigie/query/limit";

}  // namespace

std::string_view LimitName(Limit limit) {
  switch (limit) {
    case Limit::kQueryBytes:
      return "query_bytes";
    case Limit::kProcessBytes:
      return "process_bytes";
    case Limit::kSamples:
      return "samples";
    case Limit::kPoints:
      return "points";
    case Limit::kText:
      return "text";
    case Limit::kNesting:
      return "nesting";
    case Limit::kRegex:
      return "regex";
    case Limit::kTime:
      return "time";
  }
  return "";
}

absl::Status WithLimit(Limit limit, absl::Status error) {
  error.SetPayload(kPayload,
                   absl::Cord(std::string(1, static_cast<char>(limit))));
  return error;
}

std::optional<Limit> LimitOf(const absl::Status& error) {
  const absl::optional<absl::Cord> payload = error.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != 1) return std::nullopt;
  return static_cast<Limit>((*payload)[0]);
}

}  // namespace vigie::query
