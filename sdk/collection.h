// What a source hands to an exporter: every series' value at one moment, in the
// terms of OTLP but without its generated code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sdk/resource.h"

namespace vigie::sdk {

enum class Kind { kCounter, kUpDownCounter, kGauge, kHistogram, kSummary };

// Bucket i counts values in (bounds[i-1], bounds[i]]; the last one, without an
// upper bound, makes counts one longer than bounds.
struct HistogramValue {
  std::shared_ptr<const std::vector<double>> bounds = {};  // increasing
  std::vector<uint64_t> counts = {};
  double sum = 0;
};

struct SummaryValue {
  uint64_t count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>> quantiles = {};  // quantile, value
};

using PointValue = std::variant<int64_t, double, HistogramValue, SummaryValue>;

struct Point {
  std::shared_ptr<const Attributes> attributes = {};  // never null
  int64_t start_ns = 0;  // since when it counts; 0: unknown, or a gauge
  int64_t time_ns = 0;
  PointValue value = {};
};

struct Metric {
  std::string name = {};
  std::string description = {};
  std::string unit = {};  // UCUM: "s", "By", "1", "{order}"
  Kind kind = Kind::kGauge;
  std::vector<Point> points = {};  // of one series in the order of time
};

struct Collection {
  Attributes resource = {};
  std::string scope = {};
  std::vector<Metric> metrics = {};  // those that have a point
};

// Meter is one; PrometheusBridge another. Collect() is called by one exporter
// at a time, from a thread of its own.
class Source {
 public:
  virtual ~Source() = default;

  // Cumulative values at `time_ns` since the Unix epoch.
  virtual Collection Collect(int64_t time_ns) = 0;
};

}  // namespace vigie::sdk
