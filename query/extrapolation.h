// What rate, increase and delta make of the samples within a window.
// Source: Prometheus 3, extrapolatedRate. No state but what is said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "query/range_function.h"

namespace vigie::query {

// Where the samples of a window lie in it.
struct Distances {
  int64_t to_start_ms = 0;
  int64_t span_ms = 0;
  int64_t to_end_ms = 0;
  size_t gaps = 0;

  bool operator==(const Distances&) const = default;
};

// How far the series is taken to reach, in seconds. Windows over regular
// samples are all alike in this.
struct Extrapolation {
  Distances distances;
  double to_start = 0;
  double span = 0;
  double to_end = 0;
  double factor = 0;  // unless the series is a counter near its zero
};

class Extrapolator {
 public:
  // `per_second`: of windows of `range_ms`.
  Extrapolator(bool counter, bool per_second, int64_t range_ms)
      : counter_(counter), per_second_(per_second), range_ms_(range_ms) {}

  Extrapolation Of(const Distances& distances) const;

  // What the increase between the first and the last sample is multiplied
  // with, so that it is that of the window. `first` is the value (of a
  // histogram: its count) that it increased from.
  double Factor(const Extrapolation& e, double first, double increase) const {
    if (!counter_ || !(increase > 0) || !(first >= 0)) return e.factor;
    // Neither does a counter reach back beyond its zero; that is farther away
    // than the samples from one another if `first` is not below `increase`.
    if (first >= increase && e.span >= e.to_start) return e.factor;
    const double to_zero = e.span * (first / increase);
    return to_zero < e.to_start ? Factor(e.span, to_zero, e.to_end) : e.factor;
  }
  double Factor(double span, double to_start, double to_end) const;

 private:
  const bool counter_;
  const bool per_second_;
  const int64_t range_ms_;
};

// Where a window that moves on by even steps ends in a run: times are mostly
// even too, so it is tried first whether it moves as far as it did before.
class Edge {
 public:
  // How many of `times`, which ascend, are not after `time_ms`. Never falls.
  size_t MoveTo(int64_t time_ms, const std::vector<int64_t>& times) {
    size_t next = at_ + moved_;
    if (next > times.size() || (next > 0 && times[next - 1] > time_ms)) {
      next = at_;
    }
    while (next < times.size() && times[next] <= time_ms) ++next;
    moved_ = next - at_;
    return at_ = next;
  }

 private:
  size_t at_ = 0;
  size_t moved_ = 0;
};

// Windows [begin, end) of a grid that hold even samples alike: as many, and as
// far from their edges.
struct AlikeWindows {
  int64_t begin = 0;
  int64_t end = 0;
  size_t first = 0;    // where the samples of the first one begin
  size_t samples = 0;  // in each
  size_t moved = 0;    // from one to the next
};

// None (begin and end are 0) unless `times`, which ascend, are even and windows
// move on by a multiple of the distance between them.
AlikeWindows WindowsAlike(const std::vector<int64_t>& times,
                          const WindowGrid& grid);

}  // namespace vigie::query
