#include "query/native_histogram_values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/histogram_buckets.h"
#include "query/native_histogram.h"
#include "query/neumaier.h"
#include "query/number_text.h"

namespace vigie::query {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

bool HoldsZero(const HistogramBucket& bucket) {
  return bucket.lower <= 0 && bucket.upper >= 0;
}

// A histogram with buckets on one side only has no observations on the other:
// its bucket around zero ends there.
void EndAtZero(const FloatHistogram& histogram, HistogramBucket* bucket) {
  const bool negative = !histogram.negative_buckets.empty();
  const bool positive = !histogram.positive_buckets.empty();
  if (positive && !negative) bucket->lower = 0;
  if (negative && !positive) bucket->upper = 0;
}

// Where `value` is between the bounds of an exponential bucket, from 0 to 1.
double LogarithmicPart(const HistogramBucket& bucket, double value) {
  const double lower = std::log2(std::abs(bucket.lower));
  const double upper = std::log2(std::abs(bucket.upper));
  const double at = std::log2(std::abs(value));
  return value > 0 ? (at - lower) / (upper - lower)
                   : 1 - (at - upper) / (lower - upper);
}

// --- Trimming ---------------------------------------------------------------

// What is left of a bucket: how many, and what they are on average.
struct Kept {
  double count = 0;
  double middle = 0;
};

double MiddleOf(double lower, double upper, bool positive, bool linear) {
  if (std::isinf(lower)) {
    if (std::isinf(upper)) return 0;
    return upper > 0 ? upper / 2 : upper;
  }
  if (std::isinf(upper)) return lower;
  if (linear) return (lower + upper) / 2;
  const double mean = std::sqrt(std::abs(lower * upper));
  return positive ? mean : -mean;
}

// Nothing is known of how observations are spread in a bucket without an end:
// it is kept whole or left out, unless it can be taken to begin at 0.
Kept TrimEndless(const HistogramBucket& bucket, double bound, bool below) {
  const auto finite = [](double value) {
    return std::isinf(value) ? 0 : value;
  };
  if (bucket.lower == -kInf) {
    const bool from_zero = bucket.upper > 0 && bucket.upper != kInf;
    if (below) {
      if (bound >= bucket.upper) return {bucket.count, 0};
      if (bound > 0 && from_zero) {
        return {bucket.count * bound / bucket.upper, bound / 2};
      }
      if (bucket.upper <= 0) return {bucket.count, bound};
      return {0, finite(bucket.upper)};
    }
    if (bound <= bucket.lower) return {bucket.count, 0};
    if (bound >= 0 && bucket.upper > bound && bucket.upper != kInf) {
      return {bucket.count * (1 - bound / bucket.upper),
              (bound + bucket.upper) / 2};
    }
    return {0, finite(bucket.upper)};
  }
  if (!below && bound >= bucket.lower) return {bucket.count, bound};
  return {0, finite(bucket.lower)};
}

// Of a bucket that `bound` is in.
Kept TrimWithin(const HistogramBucket& bucket, double bound, bool below,
                bool positive, bool linear) {
  if (bucket.lower == -kInf || bucket.upper == kInf) {
    return TrimEndless(bucket, bound, below);
  }
  double part = 0;
  if (bound >= bucket.upper) {
    part = 1;
  } else if (bound > bucket.lower) {
    part = linear ? (bound - bucket.lower) / (bucket.upper - bucket.lower)
                  : LogarithmicPart(bucket, bound);
  }
  const double under = bucket.count * part;
  if (below) return {under, MiddleOf(bucket.lower, bound, positive, linear)};
  return {bucket.count - under,
          MiddleOf(bound, bucket.upper, positive, linear)};
}

Kept TrimZeroBucket(HistogramBucket bucket, double bound, bool below,
                    bool any_negative, bool any_positive) {
  if (any_negative && !any_positive) bucket.upper = 0;
  if (any_positive && !any_negative) bucket.lower = 0;
  const double width = bucket.upper - bucket.lower;
  if (bound <= bucket.lower || bound >= bucket.upper) {
    // All or nothing.
    const bool all = below ? bound > bucket.lower : bound <= bucket.lower;
    if (!all) return {};
    return {bucket.count, (bucket.lower + bucket.upper) / 2};
  }
  if (below) {
    return {bucket.count * ((bound - bucket.lower) / width),
            (bucket.lower + bound) / 2};
  }
  return {bucket.count * ((bucket.upper - bound) / width),
          (bound + bucket.upper) / 2};
}

// What trimming leaves of all buckets together.
struct Remainder {
  double count = 0;
  double sum = 0;
  bool trimmed = false;
};

// Trims the buckets of one sign; true if any held something.
bool TrimSide(bool positive, double bound, bool below,
              FloatHistogram* histogram, Remainder* remainder) {
  const bool linear = HasCustomBuckets(*histogram);
  const auto& spans =
      positive ? histogram->positive_spans : histogram->negative_spans;
  auto& counts =
      positive ? histogram->positive_buckets : histogram->negative_buckets;
  bool any = false;
  int32_t index = 0;
  size_t next = 0;
  for (const BucketSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && next < counts.size();
         ++i, ++index) {
      double& count = counts[next++];
      if (count == 0) continue;
      any = true;
      const double near = HistogramUpperBound(index - 1, *histogram);
      const double far = HistogramUpperBound(index, *histogram);
      const HistogramBucket bucket{.lower = positive ? near : -far,
                                   .upper = positive ? far : -near,
                                   .count = count};
      Kept kept;
      if (below ? bucket.upper <= bound : bucket.lower >= bound) {
        kept = {count, MiddleOf(bucket.lower, bucket.upper, positive, linear)};
      } else if (below ? bucket.lower < bound : bucket.upper > bound) {
        kept = TrimWithin(bucket, bound, below, positive, linear);
      }
      remainder->count += kept.count;
      remainder->sum += kept.middle * kept.count;
      if (kept.count != count) remainder->trimmed = true;
      count = kept.count;
    }
  }
  return any;
}

}  // namespace

NativeQuantile QuantileOf(double q, const FloatHistogram& histogram) {
  if (q < 0) return {.value = -kInf};
  if (q > 1) return {.value = kInf};
  if (histogram.count == 0 || std::isnan(q)) return {.value = kNan};
  const std::vector<HistogramBucket> buckets = BucketsOf(histogram);
  const bool nan_sum = std::isnan(histogram.sum);
  // From the nearer end, for accuracy; NaN observations are beyond the upper
  // one.
  const bool forward = nan_sum || q < 0.5;
  double rank = (forward ? q : 1 - q) * histogram.count;
  double count = 0;
  size_t seen = 0;
  HistogramBucket bucket;
  while (seen < buckets.size()) {
    bucket = buckets[forward ? seen : buckets.size() - 1 - seen];
    ++seen;
    count += bucket.count;
    if (count >= rank) break;
  }
  if (HasCustomBuckets(histogram)) {
    if (bucket.lower == -kInf) {
      if (bucket.upper <= 0) return {.value = bucket.upper};
      bucket.lower = 0;
    } else if (bucket.upper == kInf) {
      return {.value = bucket.lower};
    }
  } else if (bucket.lower < 0 && bucket.upper > 0) {
    EndAtZero(histogram, &bucket);
  }
  count = std::min(count, histogram.count);
  if (count < rank) {
    // Buckets and count do not agree, or the rest is NaN.
    if (!nan_sum) return {.value = bucket.upper};
    return {.value = kNan, .nan = NativeQuantile::Nan::kIsResult};
  }
  rank = forward ? rank - (count - bucket.count) : count - rank;
  NativeQuantile result;
  if (nan_sum) {
    // Also the sum of +Inf and -Inf, which skew nothing.
    for (; seen < buckets.size(); ++seen) count += buckets[seen].count;
    if (count < histogram.count) result.nan = NativeQuantile::Nan::kSkews;
  }
  const double part = rank / bucket.count;
  if (HasCustomBuckets(histogram) || HoldsZero(bucket)) {
    result.value = bucket.lower + (bucket.upper - bucket.lower) * part;
    return result;
  }
  const double lower = std::log2(std::abs(bucket.lower));
  const double upper = std::log2(std::abs(bucket.upper));
  result.value = bucket.lower > 0
                     ? std::exp2(lower + (upper - lower) * part)
                     : -std::exp2(upper + (lower - upper) * (1 - part));
  return result;
}

NativeFraction FractionOf(double lower, double upper,
                          const FloatHistogram& histogram) {
  if (histogram.count == 0 || std::isnan(lower) || std::isnan(upper)) {
    return {.value = kNan};
  }
  if (lower >= upper) return {};
  const bool custom = HasCustomBuckets(histogram);
  const std::vector<HistogramBucket> buckets = BucketsOf(histogram);
  double in_buckets = 0;
  for (const HistogramBucket& bucket : buckets) in_buckets += bucket.count;
  NativeFraction result;
  double most = histogram.count;
  if (std::isnan(histogram.sum)) {
    most = in_buckets;
    result.nan_left_out = in_buckets < histogram.count;
  }
  // How many observations lie below `value`.
  const auto rank_of = [&](double value) {
    double below = 0;
    for (HistogramBucket bucket : buckets) {
      const bool holds_zero = HoldsZero(bucket);
      if (holds_zero) EndAtZero(histogram, &bucket);
      if (bucket.lower >= value) return below;
      if (bucket.upper > value) {
        if (!custom && !holds_zero) {
          return below + bucket.count * LogarithmicPart(bucket, value);
        }
        // Nothing is known of what is how far down.
        if (bucket.lower == -kInf) return bucket.count;
        return below + bucket.count * (value - bucket.lower) /
                           (bucket.upper - bucket.lower);
      }
      below += bucket.count;
    }
    return most;
  };
  const double low = std::min(rank_of(lower), most);
  const double high = std::min(rank_of(upper), most);
  result.value = (high - low) / histogram.count;
  return result;
}

double VarianceOf(const FloatHistogram& histogram) {
  const double mean = histogram.sum / histogram.count;
  Neumaier squares;
  for (const HistogramBucket& bucket : BucketsOf(histogram)) {
    double middle = 0;
    if (HasCustomBuckets(histogram)) {
      middle = (bucket.upper + bucket.lower) / 2;
    } else if (!HoldsZero(bucket)) {
      middle = std::sqrt(bucket.upper * bucket.lower);
      if (bucket.upper < 0) middle = -middle;
    }
    const double distance = middle - mean;
    squares.Add(bucket.count * distance * distance);
  }
  return squares.Total() / histogram.count;
}

FloatHistogram TrimmedTo(const FloatHistogram& histogram, double bound,
                         bool below) {
  FloatHistogram trimmed = histogram;
  Remainder remainder;
  const bool positive = TrimSide(true, bound, below, &trimmed, &remainder);
  const bool negative = TrimSide(false, bound, below, &trimmed, &remainder);
  if (trimmed.zero_count > 0) {
    const Kept kept = TrimZeroBucket({.lower = -trimmed.zero_threshold,
                                      .upper = trimmed.zero_threshold,
                                      .count = trimmed.zero_count},
                                     bound, below, negative, positive);
    remainder.count += kept.count;
    remainder.sum += kept.middle * kept.count;
    if (kept.count != trimmed.zero_count) remainder.trimmed = true;
    trimmed.zero_count = kept.count;
  }
  if (!remainder.trimmed) return histogram;
  trimmed.count = remainder.count;
  trimmed.sum = remainder.sum;
  Compact(&trimmed);
  return trimmed;
}

std::string HistogramText(const FloatHistogram& histogram) {
  std::string text = "{count:" + GeneralText(histogram.count) +
                     ", sum:" + GeneralText(histogram.sum);
  for (const HistogramBucket& bucket : BucketsOf(histogram)) {
    text += bucket.lower_inclusive ? ", [" : ", (";
    text += GeneralText(bucket.lower);
    text += ',';
    text += GeneralText(bucket.upper);
    text += bucket.upper_inclusive ? "]:" : "):";
    text += GeneralText(bucket.count);
  }
  return text + "}";
}

}  // namespace vigie::query
