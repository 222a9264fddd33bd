// Reads the values of API parameters as Prometheus does, its error texts
// included: people search for them.
// Source: prometheus/web/api/v1 (parseTime, parseDuration, parseLimitParam).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::server {

// Unix seconds ("1435781430.781") or RFC 3339, in milliseconds.
// kInvalidArgument: `cannot parse "x" to a valid timestamp`.
absl::StatusOr<int64_t> ParseTimeMs(std::string_view text);

// Float seconds or "5m", in milliseconds, towards zero.
// kInvalidArgument: `cannot parse "x" to a valid duration`.
absl::StatusOr<int64_t> ParseDurationParamMs(std::string_view text);

// "" and "0" are no limit. kInvalidArgument for anything but a count.
absl::StatusOr<uint64_t> ParseLimit(std::string_view text);

// "2026-11-21T10:00:00.123Z"; 0 ms is the epoch.
std::string FormatRfc3339(int64_t time_ms);

// Go's zero time, for what has not happened yet.
inline constexpr std::string_view kNeverTime = "0001-01-01T00:00:00Z";

// `invalid parameter "start": ...`, the code kept.
absl::Status InvalidParameter(std::string_view name, const absl::Status& why);

// "U__http_2e_status" is "http.status"; names that do not begin with U__ or
// are not well escaped stay as they are.
// Source: prometheus/common, model.UnescapeName, values encoding.
std::string UnescapeLabelName(std::string_view name);

}  // namespace vigie::server
