#include "model/histogram_buckets.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vigie {
namespace {

// By growing distance from zero.
void AppendSide(const FloatHistogram& histogram, bool positive,
                std::vector<HistogramBucket>* buckets) {
  const auto& spans =
      positive ? histogram.positive_spans : histogram.negative_spans;
  const auto& counts =
      positive ? histogram.positive_buckets : histogram.negative_buckets;
  const bool custom = histogram.schema == kCustomBucketsSchema;
  int32_t index = 0;
  size_t next = 0;
  for (const BucketSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && next < counts.size(); ++i) {
      const double count = counts[next++];
      if (count != 0) {
        const double near = HistogramUpperBound(index - 1, histogram);
        const double far = HistogramUpperBound(index, histogram);
        HistogramBucket bucket{.lower = positive ? near : -far,
                               .upper = positive ? far : -near,
                               .count = count};
        bucket.lower_inclusive = custom ? index == 0 : bucket.lower < 0;
        bucket.upper_inclusive = custom || bucket.upper > 0;
        buckets->push_back(bucket);
      }
      ++index;
    }
  }
}

}  // namespace

double HistogramUpperBound(int32_t index, const FloatHistogram& histogram) {
  if (histogram.schema == kCustomBucketsSchema) {
    if (index < 0) return -HUGE_VAL;
    const auto i = static_cast<size_t>(index);
    return i < histogram.custom_values.size() ? histogram.custom_values[i]
                                              : HUGE_VAL;
  }
  if (histogram.schema <= 0) {
    const int64_t exponent = static_cast<int64_t>(index) << -histogram.schema;
    if (exponent == 1024) return std::numeric_limits<double>::max();
    return std::ldexp(
        1.0, static_cast<int>(std::clamp<int64_t>(exponent, -3000, 3000)));
  }
  const int32_t per_power = 1 << histogram.schema;
  const int32_t in_power = index & (per_power - 1);
  const int32_t exponent = index >> histogram.schema;
  if (in_power == 0 && exponent == 1024) {
    return std::numeric_limits<double>::max();
  }
  // Rounded once, from more bits than a double has: the bounds that
  // Prometheus keeps in a table.
  const auto fraction = static_cast<double>(
      exp2l(static_cast<long double>(in_power) / per_power));
  return std::ldexp(fraction, exponent);
}

std::vector<HistogramBucket> BucketsOf(const FloatHistogram& histogram) {
  std::vector<HistogramBucket> buckets;
  AppendSide(histogram, false, &buckets);
  std::reverse(buckets.begin(), buckets.end());
  if (histogram.zero_count != 0 && histogram.schema != kCustomBucketsSchema) {
    buckets.push_back({-histogram.zero_threshold, histogram.zero_threshold,
                       true, true, histogram.zero_count});
  }
  AppendSide(histogram, true, &buckets);
  return buckets;
}

}  // namespace vigie
