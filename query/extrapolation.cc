#include "query/extrapolation.h"

#include "query/range_function.h"

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

}  // namespace vigie::query
