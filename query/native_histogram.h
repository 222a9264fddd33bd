// Arithmetic of native histograms, as PromQL's operators, aggregations and
// functions need it.
// Source: Prometheus 3, model/histogram (what its engine does with them);
// OpenTelemetry's exponential histograms, for the mapping between schemas.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/histogram.h"
#include "query/neumaier.h"

namespace vigie::query {

inline bool HasCustomBuckets(const FloatHistogram& histogram) {
  return histogram.schema == kCustomBucketsSchema;
}

// How much work it is to look at all of it once.
inline size_t WorkOf(const FloatHistogram& histogram) {
  return 1 + histogram.positive_buckets.size() +
         histogram.negative_buckets.size() + histogram.custom_values.size();
}

// Counts and sum times `factor`; below 0 the result is a gauge.
void Multiply(FloatHistogram* histogram, double factor);
// By 0: infinite counts without buckets.
void Divide(FloatHistogram* histogram, double divisor);
// Leaves out empty buckets and joins adjacent spans.
void Compact(FloatHistogram* histogram);
// To a lower schema, or as it is. Exponential buckets only.
void ReduceResolution(FloatHistogram* histogram, int32_t schema);
// The same buckets with the same counts; hints are not compared.
bool SameSamples(const FloatHistogram& a, const FloatHistogram& b);
// Whether a counter began again between the two, by hint or by a bucket that
// fell.
bool IsReset(const FloatHistogram& before, const FloatHistogram& after);

// A compensated sum of histograms. Exponential ones meet at the lowest schema
// and the widest zero bucket, custom ones at the bounds that all have.
class HistogramSum {
 public:
  explicit HistogramSum(const FloatHistogram& first);

  // False, and nothing is added, if one has custom buckets and one has not.
  bool Add(const FloatHistogram& other) { return AddTimes(other, 1); }
  bool Subtract(const FloatHistogram& other) { return AddTimes(other, -1); }
  void Scale(double factor);

  FloatHistogram Total() const;
  // A count or the sum is infinite.
  bool Overflows() const;
  // What its buckets and bounds take.
  int64_t bytes() const {
    return static_cast<int64_t>(
        (positive_.capacity() + negative_.capacity()) * sizeof(Bucket) +
        shape_.custom_values.capacity() * sizeof(double));
  }

  // Of all that were added one's hint said reset and another's none.
  bool resets_collided() const { return reset_ && not_reset_; }
  // Custom bounds differed, so that buckets were put together.
  bool bounds_reconciled() const { return bounds_reconciled_; }

 private:
  struct Bucket {
    int32_t index = 0;
    Neumaier count;
  };
  using Side = std::vector<Bucket>;  // ascending

  static Side SideOf(const std::vector<BucketSpan>& spans,
                     const std::vector<double>& counts);
  static void Fold(Side* side, int levels);
  static void AddSide(const Side& from, double sign, Side* to);
  bool AddTimes(const FloatHistogram& other, double sign);
  void LookAtHint(CounterResetHint hint);
  void MeetHints(CounterResetHint other);
  void MeetBounds(HistogramSum* other);
  void MapTo(const std::vector<double>& bounds);
  // Moves buckets within the threshold into the zero bucket, which grows to
  // the end of a bucket that is only partly within.
  void WidenZeroBucket(double threshold);

  FloatHistogram shape_;  // schema, threshold, bounds, hint
  Neumaier zero_count_;
  Neumaier count_;
  Neumaier sum_;
  Side positive_;
  Side negative_;
  bool reset_ = false;  // one hint said so
  bool not_reset_ = false;
  bool bounds_reconciled_ = false;
};

// The mean as it goes: of sums while they fit a double, else of means.
class HistogramMean {
 public:
  explicit HistogramMean(const FloatHistogram& first) : sum_(first) {}
  bool Add(const FloatHistogram& other);
  FloatHistogram Mean() const;
  const HistogramSum& sum() const { return sum_; }

 private:
  HistogramSum sum_;  // or the mean, once `incremental_`
  double count_ = 1;
  bool incremental_ = false;
};

}  // namespace vigie::query
