// Exponential histograms of OTLP as native histograms.
// Source: OpenTelemetry specification, "Prometheus and OpenMetrics
// Compatibility", "Exponential Histograms".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/histogram.h"

namespace vigie::collector {

// What OTLP says without a zero threshold of its own.
inline constexpr double kDefaultZeroThreshold = 1e-128;

// One side of an exponential histogram: bucket i counts the values in
// (base^(offset+i), base^(offset+i+1)].
struct ExponentialBuckets {
  int32_t offset = 0;
  std::vector<uint64_t> counts;
};

// Writes schema, spans and buckets of `*histogram`. Scales above 8 are merged
// down to 8. False, with the reason in `*error`, for a scale below -4, an index
// beyond 32 bits, or counts that with `zero_count` do not add up to `count`;
// both of these are read from `*histogram`.
bool SetExponentialBuckets(int32_t scale, const ExponentialBuckets& positive,
                           const ExponentialBuckets& negative,
                           IntegerHistogram* histogram, std::string* error);

}  // namespace vigie::collector
