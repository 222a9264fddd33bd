// Time intervals: when a route is mute or active.
// Source: prometheus.io "Alertmanager configuration", time_interval.
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/yaml/yaml.h"

namespace vigie::alerting {

// Both ends are closed.
struct IntervalRange {
  int first = 0;
  int last = 0;
};

// A field that is empty says nothing; all that are not must hold.
struct TimeInterval {
  std::vector<IntervalRange> minutes;        // of the day, 0 to 1439
  std::vector<IntervalRange> weekdays;       // 0 is Sunday
  std::vector<IntervalRange> days_of_month;  // negative: from its end
  std::vector<IntervalRange> months;         // 1 is January
  std::vector<IntervalRange> years;
  absl::TimeZone zone = absl::UTCTimeZone();

  bool Contains(int64_t time_ms) const;
};

// By name; one of them is enough.
using TimeIntervals = std::map<std::string, std::vector<TimeInterval>>;

// Adds the list `time_intervals` (or `mute_time_intervals`, its old name).
// kInvalidArgument `file:line:column: ...`.
absl::Status ReadTimeIntervals(const yaml::Node& list, TimeIntervals* out);

}  // namespace vigie::alerting
