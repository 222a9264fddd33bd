// What the store asks of a native histogram, whatever door it came through:
// that its parts agree. What it says is then stored bit for bit.
// Source: prometheus/model/histogram, Validate.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "model/histogram.h"
#include "store/appender.h"

namespace vigie::store {

// Buckets and custom bounds of one histogram, each.
inline constexpr size_t kHistogramBucketsMax = 16'384;

struct HistogramFault {
  RefusalReason reason = RefusalReason::kInvalidSample;
  std::string message;
};

// The first thing wrong with it: kInvalidSample or kLimit. Counts that do not
// add up are one, unless the sum is NaN: then they may be too low.
std::optional<HistogramFault> FindHistogramFault(
    const IntegerHistogram& histogram);
// Counts of floats need not add up, as they are rounded.
std::optional<HistogramFault> FindHistogramFault(
    const FloatHistogram& histogram);

}  // namespace vigie::store
