#include "collector/otlp_decode.h"

#include <utility>

#include "collector/otlp_builder.h"
#include "collector/otlp_points.h"
#include "collector/otlp_translate.h"

namespace vigie::collector {
namespace {

constexpr std::string_view kServiceName = "service.name";
constexpr std::string_view kServiceNamespace = "service.namespace";
constexpr std::string_view kServiceInstance = "service.instance.id";

// Walks down to the points. A message's fields may come in any order, so each
// level is read once for its own fields and again for what is below.
class Decoder {
 public:
  Decoder(std::string_view message, const Tenant& tenant,
          int64_t batch_bytes_max)
      : message_(message), build_(message, tenant, batch_bytes_max) {}

  absl::StatusOr<OtlpDecoded> Run() {
    build_.place.resource = 0;
    WireReader reader = build_.Open(message_);
    while (build_.ok() && reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view body;
      reader.Read(&body);
      if (reader.error() != nullptr) break;
      ReadResourceMetrics(body);
      ++build_.place.resource;
    }
    build_.place.resource = -1;
    build_.Check(reader);
    return std::move(build_).Finish();
  }

 private:
  void ReadResourceMetrics(std::string_view body) {
    std::string_view resource;
    bool seen = false;
    WireReader reader = build_.Open(body);
    while (reader.Next()) {
      if (reader.field() != 1) continue;
      if (seen) reader.Fail("resource occurs twice");
      seen = true;
      reader.Read(&resource);
    }
    if (!build_.Check(reader) || !ReadResource(resource)) return;

    build_.place.scope = 0;
    WireReader scopes = build_.Open(body);
    while (build_.ok() && scopes.Next()) {
      if (scopes.field() != 2) continue;
      std::string_view scope;
      scopes.Read(&scope);
      if (scopes.error() != nullptr) break;
      ReadScopeMetrics(scope);
      ++build_.place.scope;
    }
    if (!build_.Check(scopes)) return;
    build_.place.scope = -1;
    AddTargetInfo();
    build_.EndResource();
  }

  // Leaves the other attributes in resource_row_.
  bool ReadResource(std::string_view resource) {
    std::string name, name_space, instance;
    resource_row_.Clear();
    has_target_labels_ = false;
    WireReader reader = build_.Open(resource);
    while (reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view pair;
      reader.Read(&pair);
      if (reader.error() != nullptr) break;
      std::string_view key, value;
      if (!build_.ReadAttribute(pair, &resource_row_, &key, &value)) {
        return false;
      }
      if (key == kServiceName) {
        name = value;
      } else if (key == kServiceNamespace) {
        name_space = value;
      } else if (key == kServiceInstance) {
        instance = value;
      } else if (const auto label = build_.LabelName(key, 0); !label.empty()) {
        // One that leaves no name is dropped: no point depends on it.
        resource_row_.Add(label, key, value);
        has_target_labels_ = true;
      }
    }
    if (!build_.Check(reader)) return false;
    resource_row_.Finish();
    if (!name.empty() && !name_space.empty()) name = name_space + "/" + name;
    build_.StartResource(std::move(name), std::move(instance));
    return true;
  }

  // What the resource says beyond its identity, beside its newest sample.
  void AddTargetInfo() {
    if (!has_target_labels_ || !build_.has_identity() ||
        build_.newest_ms() == 0) {
      return;
    }
    uint32_t series;
    if (!build_.AddSeries(&resource_row_, "target_info", {}, &series)) return;
    build_.AddFloat(series, build_.newest_ms(), 1, 0);
    build_.batch().metadata.push_back(
        {"target_info", {MetricType::kGauge, "Target metadata", ""}});
  }

  void ReadScopeMetrics(std::string_view body) {
    build_.place.metric = 0;
    WireReader reader = build_.Open(body);
    while (build_.ok() && reader.Next()) {
      if (reader.field() != 2) continue;
      std::string_view metric;
      reader.Read(&metric);
      if (reader.error() != nullptr) break;
      ReadMetric(metric);
      ++build_.place.metric;
    }
    if (!build_.Check(reader)) return;
    build_.place.metric = -1;
  }

  void ReadMetric(std::string_view body) {
    OtlpMetric metric;
    bool unknown_data = false;
    WireReader reader = build_.Open(body);
    while (reader.Next()) {
      switch (reader.field()) {
        case 1:
          reader.Read(&metric.name);
          build_.place.metric_name = metric.name;
          break;
        case 2:
          reader.Read(&metric.description);
          break;
        case 3:
          reader.Read(&metric.unit);
          break;
        case 5:
        case 7:
        case 9:
        case 10:
        case 11:
          if (metric.data != OtlpData::kNone) {
            reader.Fail("metric has data twice");
            break;
          }
          metric.data = static_cast<OtlpData>(reader.field());
          reader.Read(&metric.body);
          break;
        case 12:
          break;  // metadata
        default:
          unknown_data = true;
      }
    }
    if (build_.Check(reader) &&
        build_.CheckUtf8(metric.name, "metric name is not UTF-8") &&
        build_.CheckUtf8(metric.description, "description is not UTF-8") &&
        build_.CheckUtf8(metric.unit, "unit is not UTF-8")) {
      if (metric.data == OtlpData::kNone && unknown_data) {
        build_.CountPoint();
        build_.Refuse(kUnsupportedKind, "a kind of metric that is not known");
      } else {
        ReadData(&metric);
      }
    }
    build_.place.metric_name = {};
  }

  void ReadData(OtlpMetric* metric) {
    WireReader head = build_.Open(metric->body);
    while (head.Next()) {
      uint64_t bits = 0;
      if (head.field() == 2) {
        head.ReadVarint(&metric->temporality);
      } else if (head.field() == 3 && metric->data == OtlpData::kSum) {
        head.ReadVarint(&bits);
        metric->monotonic = bits != 0;
      }
    }
    if (!build_.Check(head)) return;
    Translate(metric);

    const size_t series_before = build_.batch().series.size();
    build_.place.point = 0;
    WireReader reader = build_.Open(metric->body);
    while (build_.ok() && reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view point;
      reader.Read(&point);
      if (reader.error() != nullptr) break;
      build_.CountPoint();
      points_.Read(*metric, point);
      ++build_.place.point;
    }
    if (!build_.Check(reader) || !build_.ok()) return;
    build_.place.point = -1;
    if (build_.batch().series.size() != series_before) AddMetadata(*metric);
  }

  void Translate(OtlpMetric* metric) const {
    OtlpKind kind = OtlpKind::kGauge;
    if (metric->data == OtlpData::kSum) {
      kind = metric->monotonic ? OtlpKind::kCounter : OtlpKind::kUpDownCounter;
    } else if (metric->data == OtlpData::kSummary) {
      kind = OtlpKind::kSummary;
    } else if (metric->data != OtlpData::kGauge) {
      kind = OtlpKind::kHistogram;
    }
    metric->family = PrometheusMetricName(metric->name, metric->unit, kind);
    metric->bucket = metric->family + "_bucket";
    metric->sum = metric->family + "_sum";
    metric->count = metric->family + "_count";
  }

  void AddMetadata(const OtlpMetric& metric) {
    MetricType type = MetricType::kGauge;
    if (metric.data == OtlpData::kSum && metric.monotonic) {
      type = MetricType::kCounter;
    } else if (metric.data == OtlpData::kHistogram ||
               metric.data == OtlpData::kExponential) {
      type = MetricType::kHistogram;
    } else if (metric.data == OtlpData::kSummary) {
      type = MetricType::kSummary;
    }
    if (!build_.Charge(metric.family.size() + metric.description.size()))
      return;
    build_.batch().metadata.push_back(
        {metric.family,
         {type, std::string(metric.description), PrometheusUnit(metric.unit)}});
  }

  const std::string_view message_;
  OtlpBuilder build_;
  OtlpPointReader points_{build_};
  LabelRow resource_row_;  // the attributes for target_info
  bool has_target_labels_ = false;
};

}  // namespace

absl::StatusOr<OtlpDecoded> DecodeOtlp(std::string_view message,
                                       const Tenant& tenant,
                                       int64_t batch_bytes_max) {
  return Decoder(message, tenant, batch_bytes_max).Run();
}

}  // namespace vigie::collector
