// Short ways to write OTLP messages in tests.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"

namespace vigie::testing {

namespace otlp = opentelemetry::proto;
using ExportRequest = otlp::collector::metrics::v1::ExportMetricsServiceRequest;

inline constexpr int64_t kT = 1'700'000'000'000;  // ms
inline constexpr uint64_t kTNano = uint64_t{kT} * 1'000'000;

template <class Message>
void SetAttribute(Message* to, std::string_view key, std::string_view value) {
  auto* pair = to->Add();
  pair->set_key(std::string(key));
  pair->mutable_value()->set_string_value(std::string(value));
}

inline otlp::metrics::v1::ResourceMetrics* AddResource(
    ExportRequest* request,
    const std::vector<std::pair<std::string, std::string>>& attributes) {
  auto* resource = request->add_resource_metrics();
  for (const auto& [key, value] : attributes) {
    SetAttribute(resource->mutable_resource()->mutable_attributes(), key,
                 value);
  }
  return resource;
}

// In the resource's first scope.
inline otlp::metrics::v1::Metric* AddMetric(
    otlp::metrics::v1::ResourceMetrics* resource, std::string name,
    std::string unit = "") {
  if (resource->scope_metrics_size() == 0) resource->add_scope_metrics();
  auto* metric = resource->mutable_scope_metrics(0)->add_metrics();
  metric->set_name(std::move(name));
  metric->set_unit(std::move(unit));
  return metric;
}

inline otlp::metrics::v1::NumberDataPoint* AddGauge(
    otlp::metrics::v1::ResourceMetrics* resource, std::string name,
    double value, std::string unit = "") {
  auto* point = AddMetric(resource, std::move(name), std::move(unit))
                    ->mutable_gauge()
                    ->add_data_points();
  point->set_time_unix_nano(kTNano);
  point->set_as_double(value);
  return point;
}

inline otlp::metrics::v1::NumberDataPoint* AddSum(
    otlp::metrics::v1::ResourceMetrics* resource, std::string name,
    int64_t value,
    otlp::metrics::v1::AggregationTemporality temporality =
        otlp::metrics::v1::AGGREGATION_TEMPORALITY_CUMULATIVE) {
  auto* sum = AddMetric(resource, std::move(name))->mutable_sum();
  sum->set_is_monotonic(true);
  sum->set_aggregation_temporality(temporality);
  auto* point = sum->add_data_points();
  point->set_start_time_unix_nano(kTNano - 60'000'000'000);
  point->set_time_unix_nano(kTNano);
  point->set_as_int(value);
  return point;
}

inline otlp::metrics::v1::HistogramDataPoint* AddHistogram(
    otlp::metrics::v1::ResourceMetrics* resource, std::string name,
    const std::vector<double>& bounds, const std::vector<uint64_t>& counts,
    double sum, std::string unit = "") {
  auto* histogram = AddMetric(resource, std::move(name), std::move(unit))
                        ->mutable_histogram();
  histogram->set_aggregation_temporality(
      otlp::metrics::v1::AGGREGATION_TEMPORALITY_CUMULATIVE);
  auto* point = histogram->add_data_points();
  point->set_time_unix_nano(kTNano);
  uint64_t total = 0;
  for (const double bound : bounds) point->add_explicit_bounds(bound);
  for (const uint64_t count : counts) {
    point->add_bucket_counts(count);
    total += count;
  }
  point->set_count(total);
  point->set_sum(sum);
  return point;
}

}  // namespace vigie::testing
