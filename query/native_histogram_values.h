// What a native histogram tells of its observations: quantiles, fractions,
// variance, a part of it, and its text. Within a bucket observations are taken
// to be spread evenly on a logarithmic scale, linearly in the zero bucket and
// in custom ones.
// Source: Prometheus 3, documentation of histogram_quantile,
// histogram_fraction and the trim operators.
#pragma once

#include <string>

#include "model/histogram.h"

namespace vigie::query {

struct NativeQuantile {
  double value = 0;
  // Observations that are NaN are in no bucket; they count as the largest.
  enum class Nan { kNone, kSkews, kIsResult } nan = Nan::kNone;
};

// NaN without observations; -Inf and +Inf outside of [0, 1].
NativeQuantile QuantileOf(double q, const FloatHistogram& histogram);

struct NativeFraction {
  double value = 0;
  bool nan_left_out = false;  // there are observations that are NaN
};

// Of the observations above `lower` up to `upper`. NaN without observations.
NativeFraction FractionOf(double lower, double upper,
                          const FloatHistogram& histogram);

// From the middles of the buckets around the mean.
double VarianceOf(const FloatHistogram& histogram);

// The observations below (or above) `bound`; the sum is estimated anew if any
// were left out.
FloatHistogram TrimmedTo(const FloatHistogram& histogram, double bound,
                         bool below);

// {count:10, sum:5, [-0.5,0.5]:2, (1,2]:8}
std::string HistogramText(const FloatHistogram& histogram);

}  // namespace vigie::query
