// Fleet: a made-up fleet of pods for benchmarks in the process, each with the
// same 100 series: percentages, byte gauges, counters, three histograms'
// buckets, random latencies, constants; 10 or 11 labels a series. A value
// depends on (series, step) and what came before, never on the clock.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/labels.h"
#include "model/sample.h"

namespace vigie::bench {

class Fleet {
 public:
  static constexpr uint32_t kSeriesPerPod = 100;
  static constexpr int64_t kIntervalMs = 15'000;

  Fleet(uint32_t series, int64_t start_ms, int64_t interval_ms = kIntervalMs)
      : start_ms_(start_ms), interval_ms_(interval_ms), last_(series, 0.0) {}

  uint32_t size() const { return static_cast<uint32_t>(last_.size()); }

  Labels LabelsOf(uint32_t series) const {
    const uint32_t pod = series / kSeriesPerPod;
    const uint32_t i = series % kSeriesPerPod;
    const std::string service = fmt::format("service-{:02}", pod % 40);
    const std::string pod_name =
        fmt::format("{}-{:08x}-{:05}", service, Mix(pod % 40), pod);
    const std::string name = fmt::format("{}_{}", Kind(i), i / 12);
    const std::string part = fmt::format("{}", i % 12);
    const std::string instance =
        fmt::format("10.{}.{}.{}:8080", pod >> 16, pod >> 8 & 255, pod & 255);
    const std::string node = fmt::format("node-{:04}", pod / 20);
    std::vector<LabelView> labels = {
        {"__name__", name},   {"cluster", "eu-west-1"},
        {"container", "app"}, {"instance", instance},
        {"job", service},     {"namespace", "production"},
        {"node", node},       {"part", part},
        {"pod", pod_name},    {"version", "v1.42.0"}};
    return Labels::FromSorted(labels);
  }

  // The pods of a fleet are scraped at moments of their own. Each step once,
  // in ascending order.
  Sample Next(uint32_t series, int64_t step) {
    const uint64_t random = Mix(series * 0x9E3779B97F4A7C15ULL + step);
    double& last = last_[series];
    switch (Slot(series % kSeriesPerPod)) {
      case 0:  // a percentage with two decimals
        last = std::round((last * 0.9 + (random % 1'000) * 0.01) * 100) / 100;
        break;
      case 1:  // bytes, in pages
        last += static_cast<double>(random % 64) * 4096;
        break;
      case 2:  // a counter, in bursts
        if (random % 4 == 0) last += static_cast<double>(random >> 8 & 127);
        break;
      case 3:  // a bucket
        last += static_cast<double>(random % (series % 12 + 2));
        break;
      case 4:  // a latency: all of the mantissa
        last = static_cast<double>(random >> 11) * 0x1p-53;
        break;
      default:
        last = 42;
    }
    return {TimeOf(series, step), last};
  }

  int64_t TimeOf(uint32_t series, int64_t step) const {
    const uint32_t pod = series / kSeriesPerPod;
    return start_ms_ + step * interval_ms_ +
           static_cast<int64_t>(Mix(pod) % static_cast<uint64_t>(interval_ms_));
  }

  // One of the metrics, with 12 series a pod.
  static std::string OneMetric() { return "requests_total_3"; }

 private:
  static uint64_t Mix(uint64_t x) {  // splitmix64
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
  }
  // Which kind of values the i-th series of a pod has; twelve are one metric.
  static int Slot(uint32_t i) {
    static constexpr std::array<int, 9> kSlots = {0, 1, 2, 2, 3, 3, 3, 4, 5};
    return kSlots[i / 12];
  }
  static std::string_view Kind(uint32_t i) {
    static constexpr std::array<std::string_view, 6> kNames = {
        "cpu_percent",    "memory_bytes",    "requests_total",
        "seconds_bucket", "latency_seconds", "build_info"};
    return kNames[Slot(i)];
  }

  const int64_t start_ms_;
  const int64_t interval_ms_;
  std::vector<double> last_;
};

}  // namespace vigie::bench
