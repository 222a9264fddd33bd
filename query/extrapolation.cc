#include "query/extrapolation.h"

#include <algorithm>

namespace vigie::query {

Extrapolation Extrapolator::Of(const Distances& distances) const {
  Extrapolation e;
  e.distances = distances;
  e.to_start = Seconds(distances.to_start_ms);
  e.to_end = Seconds(distances.to_end_ms);
  e.span = Seconds(distances.span_ms);
  const double gaps = static_cast<double>(distances.gaps);
  const double gap = gaps > 0 ? e.span / gaps : 0;
  // Farther away than this from an edge, the series is taken to begin or end
  // within the window.
  const double threshold = gap * 1.1;
  if (e.to_start >= threshold) e.to_start = gap / 2;
  if (e.to_end >= threshold) e.to_end = gap / 2;
  e.factor = Factor(e.span, e.to_start, e.to_end);
  return e;
}

double Extrapolator::Factor(double span, double to_start, double to_end) const {
  double factor = 1;
  if (span != 0) factor = (span + to_start + to_end) / span;
  return per_second_ ? factor / Seconds(range_ms_) : factor;
}

AlikeWindows WindowsAlike(const std::vector<int64_t>& times,
                          const WindowGrid& grid) {
  if (times.size() < 2 || grid.count < 2) return {};
  const int64_t gap_ms = times[1] - times[0];
  if (grid.step_ms % gap_ms != 0) return {};
  int64_t others = 0;
  for (size_t i = 1; i < times.size(); ++i) {
    others |= (times[i] - times[i - 1]) ^ gap_ms;
  }
  if (others != 0) return {};
  // Those whose edges are nowhere near the ends of the run.
  const int64_t before_ms = times.front() - gap_ms;
  const int64_t behind_ms = times.back() + gap_ms;
  const auto steps_to = [&](int64_t time_ms, int64_t edge_ms) {
    if (time_ms <= edge_ms) return int64_t{0};
    return std::min((time_ms - edge_ms - 1) / grid.step_ms + 1, grid.count);
  };
  AlikeWindows alike;
  alike.begin = steps_to(before_ms, grid.first.start_ms);
  alike.end = steps_to(behind_ms, grid.first.end_ms);
  if (alike.begin >= alike.end) return {};
  const int64_t moved_ms = alike.begin * grid.step_ms - before_ms;
  alike.first = static_cast<size_t>((grid.first.start_ms + moved_ms) / gap_ms);
  alike.samples = static_cast<size_t>((grid.first.end_ms + moved_ms) / gap_ms) -
                  alike.first;
  alike.moved = static_cast<size_t>(grid.step_ms / gap_ms);
  return alike;
}

}  // namespace vigie::query
