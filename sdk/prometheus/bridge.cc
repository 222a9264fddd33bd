#include "sdk/prometheus/bridge.h"

#include <prometheus/metric_family.h>

#include <cmath>
#include <utility>

#include "sdk/utf8.h"

namespace vigie::sdk {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;

// prometheus-cpp counts upwards over the buckets and has one for +Inf; OTLP
// counts each alone and leaves that bound out.
HistogramValue ValueOf(const ClientMetric::Histogram& histogram) {
  HistogramValue out{.sum = histogram.sample_sum};
  auto bounds = std::make_shared<std::vector<double>>();
  uint64_t below = 0;
  for (const auto& bucket : histogram.bucket) {
    if (std::isinf(bucket.upper_bound)) continue;
    bounds->push_back(bucket.upper_bound);
    out.counts.push_back(bucket.cumulative_count - below);
    below = bucket.cumulative_count;
  }
  out.counts.push_back(histogram.sample_count - below);
  out.bounds = std::move(bounds);
  return out;
}

SummaryValue ValueOf(const ClientMetric::Summary& summary) {
  SummaryValue out{.count = summary.sample_count, .sum = summary.sample_sum};
  for (const auto& [quantile, value] : summary.quantile) {
    out.quantiles.emplace_back(quantile, value);
  }
  return out;
}

Kind KindOf(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return Kind::kCounter;
    case MetricType::Histogram:
      return Kind::kHistogram;
    case MetricType::Summary:
      return Kind::kSummary;
    default:
      return Kind::kGauge;
  }
}

PointValue ValueOf(MetricType type, const ClientMetric& metric) {
  switch (type) {
    case MetricType::Counter:
      return metric.counter.value;
    case MetricType::Histogram:
      return ValueOf(metric.histogram);
    case MetricType::Summary:
      return ValueOf(metric.summary);
    case MetricType::Gauge:
      return metric.gauge.value;
    default:
      return metric.untyped.value;
  }
}

}  // namespace

PrometheusBridge::PrometheusBridge(
    Resource resource, std::shared_ptr<const prometheus::Collectable> registry)
    : resource_(std::move(resource)), registry_(std::move(registry)) {}

Collection PrometheusBridge::Collect(int64_t time_ns) {
  Collection out{.resource = resource_.attributes(), .scope = "prometheus-cpp"};
  for (const auto& family : registry_->Collect()) {
    Metric metric{.name = ValidUtf8(family.name),
                  .description = ValidUtf8(family.help),
                  .kind = KindOf(family.type)};
    for (const ClientMetric& series : family.metric) {
      Attributes labels;
      for (const auto& label : series.label) {
        labels.push_back({ValidUtf8(label.name), ValidUtf8(label.value)});
      }
      metric.points.push_back(
          {.attributes = std::make_shared<Attributes>(std::move(labels)),
           .time_ns = time_ns,
           .value = ValueOf(family.type, series)});
    }
    if (!metric.points.empty()) out.metrics.push_back(std::move(metric));
  }
  return out;
}

}  // namespace vigie::sdk
