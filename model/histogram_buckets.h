// What the buckets of a native histogram stand for: bounds beside counts.
// Source: prometheus/model/histogram; docs "Native histograms".
#pragma once

#include <cstdint>
#include <vector>

#include "model/histogram.h"

namespace vigie {

struct HistogramBucket {
  double lower = 0;
  double upper = 0;
  bool lower_inclusive = false;
  bool upper_inclusive = false;
  double count = 0;
};

// Of bucket `index` on the positive side; -Inf below the first custom bucket,
// +Inf of the one past all bounds. The last finite exponential bucket ends at
// the largest double.
double HistogramUpperBound(int32_t index, const FloatHistogram& histogram);

// The buckets whose count is not 0, the zero bucket among them, from the
// lowest to the highest.
std::vector<HistogramBucket> BucketsOf(const FloatHistogram& histogram);

}  // namespace vigie
