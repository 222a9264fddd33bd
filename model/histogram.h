// Native histograms, with integer or float counts. Buckets are dense runs
// (spans) of exponential buckets (schema -4..8: boundaries are powers of
// 2^(2^-schema)) or of custom ones (schema -53: upper bounds are given).
// Source: prometheus/model/histogram; docs "Native histograms".
#pragma once

#include <cstdint>
#include <vector>

namespace vigie {

inline constexpr int32_t kCustomBucketsSchema = -53;
inline constexpr int32_t kExponentialSchemaMin = -4;
inline constexpr int32_t kExponentialSchemaMax = 8;

// What the producer knows of a reset between the sample before and this one.
enum class CounterResetHint : uint8_t { kUnknown, kReset, kNotReset, kGauge };

struct BucketSpan {
  int32_t offset = 0;   // gap to the span before; of the first one: index
  uint32_t length = 0;  // consecutive buckets
  friend bool operator==(const BucketSpan&, const BucketSpan&) = default;
};

// `Count` of a bucket: uint64_t or double, absolute (never a delta).
template <class Count>
struct BasicHistogram {
  CounterResetHint reset_hint = CounterResetHint::kUnknown;
  int32_t schema = 0;
  double zero_threshold = 0;
  Count zero_count = 0;
  Count count = 0;
  double sum = 0;  // the staleness marker here ends the series
  std::vector<BucketSpan> positive_spans;
  std::vector<BucketSpan> negative_spans;
  std::vector<Count> positive_buckets;  // one per bucket in the spans
  std::vector<Count> negative_buckets;
  std::vector<double> custom_values;  // upper bounds without +Inf

  friend bool operator==(const BasicHistogram&,
                         const BasicHistogram&) = default;
};

using IntegerHistogram = BasicHistogram<uint64_t>;
using FloatHistogram = BasicHistogram<double>;

}  // namespace vigie
