#include "sdk/otlp/encode.h"

#include <cstdint>
#include <string>

namespace vigie::sdk {
namespace {

namespace metrics = opentelemetry::proto::metrics::v1;

constexpr auto kCumulative = metrics::AGGREGATION_TEMPORALITY_CUMULATIVE;

template <class KeyValues>
void SetAttributes(const Attributes& attributes, KeyValues* out) {
  for (const auto& [key, value] : attributes) {
    auto* const pair = out->Add();
    pair->set_key(key);
    pair->mutable_value()->set_string_value(value);
  }
}

template <class OtlpPoint>
OtlpPoint* SetCommon(const Point& point, OtlpPoint* out) {
  SetAttributes(*point.attributes, out->mutable_attributes());
  out->set_start_time_unix_nano(static_cast<uint64_t>(point.start_ns));
  out->set_time_unix_nano(static_cast<uint64_t>(point.time_ns));
  return out;
}

size_t AddNumber(const Point& point, metrics::NumberDataPoint* out) {
  SetCommon(point, out);
  if (const auto* whole = std::get_if<int64_t>(&point.value)) {
    out->set_as_int(*whole);
  } else {
    out->set_as_double(std::get<double>(point.value));
  }
  return out->ByteSizeLong();
}

size_t AddHistogram(const Point& point, metrics::HistogramDataPoint* out) {
  SetCommon(point, out);
  const auto& value = std::get<HistogramValue>(point.value);
  uint64_t count = 0;
  for (const uint64_t n : value.counts) {
    out->add_bucket_counts(n);
    count += n;
  }
  for (const double bound : *value.bounds) out->add_explicit_bounds(bound);
  out->set_count(count);
  out->set_sum(value.sum);
  return out->ByteSizeLong();
}

size_t AddSummary(const Point& point, metrics::SummaryDataPoint* out) {
  SetCommon(point, out);
  const auto& value = std::get<SummaryValue>(point.value);
  out->set_count(value.count);
  out->set_sum(value.sum);
  for (const auto& [quantile, at] : value.quantiles) {
    auto* const pair = out->add_quantile_values();
    pair->set_quantile(quantile);
    pair->set_value(at);
  }
  return out->ByteSizeLong();
}

// The bytes it took.
size_t AddPoint(Kind kind, const Point& point, metrics::Metric* out) {
  switch (kind) {
    case Kind::kCounter:
    case Kind::kUpDownCounter: {
      auto* const sum = out->mutable_sum();
      sum->set_aggregation_temporality(kCumulative);
      sum->set_is_monotonic(kind == Kind::kCounter);
      return AddNumber(point, sum->add_data_points());
    }
    case Kind::kGauge:
      return AddNumber(point, out->mutable_gauge()->add_data_points());
    case Kind::kHistogram: {
      auto* const histogram = out->mutable_histogram();
      histogram->set_aggregation_temporality(kCumulative);
      return AddHistogram(point, histogram->add_data_points());
    }
    case Kind::kSummary:
      return AddSummary(point, out->mutable_summary()->add_data_points());
  }
  return 0;
}

// Fills request after request, writing the heads again in each new one.
class Encoder {
 public:
  Encoder(size_t points_max, size_t bytes_max)
      : points_max_(points_max), bytes_max_(bytes_max) {}

  void Add(const Collection& collection) {
    scope_ = nullptr;
    for (const Metric& metric : collection.metrics) {
      metric_ = nullptr;
      for (const Point& point : metric.points) {
        if (requests_.empty() || requests_.back().points >= points_max_ ||
            bytes_ >= bytes_max_) {
          requests_.emplace_back();
          bytes_ = 0;
          scope_ = nullptr;
          metric_ = nullptr;
        }
        if (scope_ == nullptr) OpenResource(collection);
        if (metric_ == nullptr) OpenMetric(metric);
        bytes_ += AddPoint(metric.kind, point, metric_);
        ++requests_.back().points;
      }
    }
  }
  std::vector<OtlpRequest> Finish() { return std::move(requests_); }

 private:
  void OpenResource(const Collection& collection) {
    auto* const resource = requests_.back().body.add_resource_metrics();
    SetAttributes(collection.resource,
                  resource->mutable_resource()->mutable_attributes());
    bytes_ += resource->ByteSizeLong();
    scope_ = resource->add_scope_metrics();
    scope_->mutable_scope()->set_name(collection.scope);
  }
  void OpenMetric(const Metric& metric) {
    metric_ = scope_->add_metrics();
    metric_->set_name(metric.name);
    metric_->set_description(metric.description);
    metric_->set_unit(metric.unit);
    bytes_ += metric_->ByteSizeLong();
  }

  const size_t points_max_;
  const size_t bytes_max_;
  std::vector<OtlpRequest> requests_;
  size_t bytes_ = 0;  // of the last request, without some bytes of framing
  metrics::ScopeMetrics* scope_ = nullptr;  // where points go; in the last one
  metrics::Metric* metric_ = nullptr;
};

}  // namespace

std::vector<OtlpRequest> EncodeRequests(
    const std::vector<Collection>& collections, size_t points_max,
    size_t bytes_max) {
  Encoder encoder(points_max, bytes_max);
  for (const Collection& collection : collections) encoder.Add(collection);
  return encoder.Finish();
}

}  // namespace vigie::sdk
