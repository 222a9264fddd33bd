// Classic histograms: buckets that are series with a label `le`.
// Source: Prometheus 3, documentation of histogram_quantile and
// histogram_fraction.
#pragma once

#include <vector>

namespace vigie::query {

struct ClassicBucket {
  double upper_bound = 0;  // le
  double count = 0;        // of observations up to the bound
};

struct ClassicQuantile {
  double value = 0;
  // Counts fell from one bucket to the next, by more than rounding.
  bool forced_monotonic = false;
  double repaired_min = 0;  // bounds between which they were raised
  double repaired_max = 0;
  double difference_max = 0;
  bool coalesced = false;  // some bounds were equal
};

// Both sort and repair `*buckets`, which is not empty. NaN without a bucket of
// +Inf, with fewer than two buckets, or without observations.
ClassicQuantile QuantileOfBuckets(double q,
                                  std::vector<ClassicBucket>* buckets);
double FractionOfBuckets(double lower, double upper,
                         std::vector<ClassicBucket>* buckets);

}  // namespace vigie::query
