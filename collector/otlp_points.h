// OtlpPointReader reads the data points of a metric and adds what they become
// to the batch: samples, buckets, deltas, native histograms, exemplars.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "collector/otlp_builder.h"

namespace vigie::collector {

// The fields of Metric.data.
enum class OtlpData : uint32_t {
  kNone = 0,
  kGauge = 5,
  kSum = 7,
  kHistogram = 9,
  kExponential = 10,
  kSummary = 11,
};

// A metric, its points not yet read.
struct OtlpMetric {
  std::string_view name, description, unit;
  OtlpData data = OtlpData::kNone;
  std::string_view body;
  uint64_t temporality = 0;
  bool monotonic = false;
  std::string family;              // translated
  std::string bucket, sum, count;  // names of a histogram's series
};

class OtlpPointReader {
 public:
  // `builder` outlives the reader.
  explicit OtlpPointReader(OtlpBuilder& builder);
  ~OtlpPointReader();

  // One point of `metric`. Refuses it, or fails the builder, with its place.
  void Read(const OtlpMetric& metric, std::string_view body);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::collector
