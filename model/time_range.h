// TimeRange: [min_ms, max_ms], both ends closed, in milliseconds since the
// epoch. Empty if min_ms > max_ms.
#pragma once

#include <cstdint>
#include <limits>

namespace vigie {

struct TimeRange {
  int64_t min_ms = std::numeric_limits<int64_t>::min();
  int64_t max_ms = std::numeric_limits<int64_t>::max();

  bool empty() const { return min_ms > max_ms; }
  bool Contains(int64_t time_ms) const {
    return min_ms <= time_ms && time_ms <= max_ms;
  }
  bool Overlaps(const TimeRange& other) const {
    return !empty() && !other.empty() && min_ms <= other.max_ms &&
           other.min_ms <= max_ms;
  }
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

}  // namespace vigie
