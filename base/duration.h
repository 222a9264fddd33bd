// Durations as Prometheus writes them: "1h30m", "15s", "100ms", "0".
// Source: prometheus/common, model.ParseDuration; 1y = 365d, 1w = 7d.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie {

// Milliseconds. Units fall (y w d h m s ms), each at most once; "0" needs no
// unit. kInvalidArgument otherwise or beyond 64-bit nanoseconds.
absl::StatusOr<int64_t> ParseDurationMs(std::string_view text);

// The shortest text that ParseDurationMs reads back: 5400000 is "1h30m".
std::string FormatDurationMs(int64_t duration_ms);

}  // namespace vigie
