#include "store/histogram_rules.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string_view>

namespace vigie::store {
namespace {

using Fault = std::optional<HistogramFault>;

Fault Invalid(std::string message) {
  return HistogramFault{RefusalReason::kInvalidSample, std::move(message)};
}

// The index of the last bucket that spans may name, so that no reader's
// arithmetic overflows.
constexpr int64_t kBucketIndexMax = int64_t{1} << 30;

template <class Count>
Fault FindSpanFault(std::string_view side, const std::vector<BucketSpan>& spans,
                    const std::vector<Count>& buckets, int64_t* end) {
  uint64_t named = 0;
  int64_t index = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i > 0 && spans[i].offset < 0) {
      return Invalid(fmt::format("{} span {} has the offset {}", side, i,
                                 spans[i].offset));
    }
    index += spans[i].offset;
    index += spans[i].length;
    named += spans[i].length;
    if (index > kBucketIndexMax || index < -kBucketIndexMax) {
      return Invalid(
          fmt::format("{} span {} reaches bucket {}", side, i, index));
    }
  }
  if (named != buckets.size()) {
    return Invalid(fmt::format("{} spans name {} buckets, there are {}", side,
                               named, buckets.size()));
  }
  *end = index;
  return std::nullopt;
}

template <class Count>
Fault FindCustomFault(const BasicHistogram<Count>& h, int64_t end) {
  for (size_t i = 0; i < h.custom_values.size(); ++i) {
    const double bound = h.custom_values[i];
    if (std::isnan(bound) || (std::isinf(bound) && bound > 0) ||
        (i > 0 && bound <= h.custom_values[i - 1])) {
      return Invalid(fmt::format("bound {} of custom buckets is {}", i, bound));
    }
  }
  if (!h.negative_spans.empty() || !h.negative_buckets.empty() ||
      h.zero_count != Count{0} || h.zero_threshold != 0) {
    return Invalid("custom buckets beside negative or zero ones");
  }
  if (!h.positive_spans.empty() && h.positive_spans[0].offset < 0) {
    return Invalid("custom buckets begin before the first bound");
  }
  if (end > static_cast<int64_t>(h.custom_values.size()) + 1) {
    return Invalid(fmt::format("custom buckets up to {}, with {} bounds", end,
                               h.custom_values.size()));
  }
  return std::nullopt;
}

template <class Count>
Fault FindLayoutFault(const BasicHistogram<Count>& h) {
  const size_t buckets = h.positive_buckets.size() + h.negative_buckets.size();
  for (const size_t size : {buckets, h.custom_values.size(),
                            h.positive_spans.size(), h.negative_spans.size()}) {
    if (size > kHistogramBucketsMax) {
      return HistogramFault{
          RefusalReason::kLimit,
          fmt::format("{} buckets, bounds or spans, at most {}", size,
                      kHistogramBucketsMax)};
    }
  }
  const bool custom = h.schema == kCustomBucketsSchema;
  if (!custom &&
      (h.schema < kExponentialSchemaMin || h.schema > kExponentialSchemaMax)) {
    return Invalid(fmt::format("schema {}", h.schema));
  }
  int64_t end = 0, negative_end = 0;
  if (Fault fault = FindSpanFault("positive", h.positive_spans,
                                  h.positive_buckets, &end)) {
    return fault;
  }
  if (Fault fault = FindSpanFault("negative", h.negative_spans,
                                  h.negative_buckets, &negative_end)) {
    return fault;
  }
  if (custom) return FindCustomFault(h, end);
  if (!h.custom_values.empty()) {
    return Invalid(fmt::format("bounds beside schema {}", h.schema));
  }
  return std::nullopt;
}

}  // namespace

Fault FindHistogramFault(const IntegerHistogram& h) {
  if (Fault fault = FindLayoutFault(h)) return fault;
  uint64_t left = h.count;
  auto take = [&](uint64_t count) {
    if (count > left) return false;
    left -= count;
    return true;
  };
  bool fits = take(h.zero_count);
  for (const uint64_t count : h.positive_buckets) fits = fits && take(count);
  for (const uint64_t count : h.negative_buckets) fits = fits && take(count);
  if (!fits || (left > 0 && !std::isnan(h.sum))) {
    return Invalid(
        fmt::format("buckets do not add up to the count, {}", h.count));
  }
  return std::nullopt;
}

Fault FindHistogramFault(const FloatHistogram& h) {
  if (Fault fault = FindLayoutFault(h)) return fault;
  // A gauge may fall below zero, as differences do.
  if (h.reset_hint == CounterResetHint::kGauge) return std::nullopt;
  bool negative = h.zero_count < 0 || h.count < 0;
  for (const double count : h.positive_buckets) negative |= count < 0;
  for (const double count : h.negative_buckets) negative |= count < 0;
  if (negative) return Invalid("a negative count");
  return std::nullopt;
}

}  // namespace vigie::store
