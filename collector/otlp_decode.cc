#include "collector/otlp_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "base/strings.h"
#include "collector/label_row.h"
#include "collector/otlp_histogram.h"
#include "collector/otlp_translate.h"
#include "collector/otlp_value.h"
#include "collector/wire_reader.h"

namespace vigie::collector {
namespace {

using store::AppendBatch;

constexpr std::string_view kInvalidPoint = "invalid_point";
constexpr std::string_view kInvalidLabels = "invalid_labels";
constexpr std::string_view kUnsupportedKind = "unsupported_kind";

// OpenMetrics' limit on the labels of an exemplar, in characters.
constexpr size_t kExemplarCharsMax = 128;
// What a series and a sample take in a batch beside the label bytes.
constexpr size_t kSeriesBytes =
    sizeof(store::BatchSeries) + sizeof(store::FloatPoint) + 32;

constexpr std::string_view kServiceName = "service.name";
constexpr std::string_view kServiceNamespace = "service.namespace";
constexpr std::string_view kServiceInstance = "service.instance.id";

int64_t ToMs(uint64_t unix_nano) {
  return static_cast<int64_t>(unix_nano / 1'000'000);
}

// The fields of Metric.data.
enum class Data : uint32_t {
  kNone = 0,
  kGauge = 5,
  kSum = 7,
  kHistogram = 9,
  kExponential = 10,
  kSummary = 11,
};

enum class Temporality : uint64_t { kUnspecified, kDelta, kCumulative };

// A metric, its points not yet read.
struct Metric {
  std::string_view name, description, unit;
  Data data = Data::kNone;
  std::string_view body;
  uint64_t temporality = 0;
  bool monotonic = false;
  std::string family;              // translated
  std::string bucket, sum, count;  // names of a histogram's series
};

// What the points of all kinds have in common.
struct Point {
  uint64_t start_nano = 0;
  uint64_t time_nano = 0;
  uint64_t flags = 0;
  bool no_value() const { return (flags & 1) != 0; }
  int64_t time_ms() const { return ToMs(time_nano); }
  int64_t start_ms() const { return ToMs(start_nano); }
};

class Decoder {
 public:
  Decoder(std::string_view message, const Tenant& tenant,
          int64_t batch_bytes_max)
      : message_(message),
        tenant_(tenant),
        bytes_left_(batch_bytes_max),
        bytes_max_(batch_bytes_max) {}

  absl::StatusOr<OtlpDecoded> Run() {
    WireReader reader = Open(message_);
    while (status_.ok() && reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view body;
      reader.Read(&body);
      if (reader.error() != nullptr) break;
      ReadResourceMetrics(body);
      ++resource_index_;
    }
    resource_index_ = -1;
    Check(reader);
    if (!status_.ok()) return status_;
    return std::move(decoded_);
  }

 private:
  // --- places and errors ---
  WireReader Open(std::string_view bytes) const {
    return {bytes, message_.data()};
  }
  std::string Place() const {
    std::string out = resource_index_ < 0 ? "request"
                                          : fmt::format("resource_metrics[{}]",
                                                        resource_index_);
    if (scope_index_ >= 0) {
      out += fmt::format(".scope_metrics[{}]", scope_index_);
    }
    if (metric_index_ >= 0) {
      out += fmt::format(".metrics[{}]", metric_index_);
      if (metric_ != nullptr && !metric_->name.empty()) {
        out += " " + Quoted(metric_->name.substr(0, 200));
      }
    }
    if (point_index_ >= 0)
      out += fmt::format(": data_points[{}]", point_index_);
    return out;
  }
  bool Malformed(const char* error, size_t offset) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          fmt::format("{}: byte {}: {}", Place(), offset, error));
    }
    return false;
  }
  bool Check(const WireReader& reader) {
    return reader.error() == nullptr ||
           Malformed(reader.error(), reader.offset());
  }
  bool CheckUtf8(std::string_view text, const char* error) {
    return IsValidUtf8(text) ||
           Malformed(error, static_cast<size_t>(text.data() - message_.data()));
  }
  void Refuse(std::string_view reason, std::string_view why) {
    auto it = std::find_if(decoded_.refusals.begin(), decoded_.refusals.end(),
                           [&](const auto& r) { return r.reason == reason; });
    if (it == decoded_.refusals.end()) {
      decoded_.refusals.push_back(
          {reason, 1, fmt::format("{}: {}", Place(), why)});
    } else {
      ++it->points;
    }
  }
  bool Charge(size_t bytes) {
    bytes_left_ -= static_cast<int64_t>(bytes);
    if (bytes_left_ < 0 && status_.ok()) {
      status_ = absl::OutOfRangeError(
          fmt::format("{}: the request grows to more than {} bytes of series",
                      Place(), bytes_max_));
    }
    return status_.ok();
  }

  // --- resource, scope, metric ---
  void ReadResourceMetrics(std::string_view body) {
    std::string_view resource;
    bool seen = false;
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() != 1) continue;
      if (seen) reader.Fail("resource occurs twice");
      seen = true;
      reader.Read(&resource);
    }
    if (!Check(reader) || !ReadResource(resource)) return;

    current_ = {};
    current_.batch.tenant = tenant_;
    current_.batch.group =
        Labels({{"instance", instance_}, {"job", job_}}).ToString();
    newest_ms_ = std::numeric_limits<int64_t>::min();
    scope_index_ = 0;
    WireReader scopes = Open(body);
    while (status_.ok() && scopes.Next()) {
      if (scopes.field() != 2) continue;
      std::string_view scope;
      scopes.Read(&scope);
      if (scopes.error() != nullptr) break;
      ReadScopeMetrics(scope);
      ++scope_index_;
    }
    if (!Check(scopes)) return;
    scope_index_ = -1;
    AddTargetInfo();
    AppendBatch& batch = current_.batch;
    if (!batch.series.empty() || !batch.metadata.empty()) {
      decoded_.batches.push_back(std::move(current_));
    }
  }

  // Leaves the other attributes in resource_row_.
  bool ReadResource(std::string_view resource) {
    std::string name, name_space;
    job_.clear();
    instance_.clear();
    resource_row_.Clear();
    has_target_labels_ = false;
    WireReader reader = Open(resource);
    while (reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view pair;
      reader.Read(&pair);
      if (reader.error() != nullptr) break;
      std::string_view key, value;
      if (!ReadAttribute(pair, &resource_row_, &key, &value)) return false;
      if (key == kServiceName) {
        name = value;
      } else if (key == kServiceNamespace) {
        name_space = value;
      } else if (key == kServiceInstance) {
        instance_ = value;
      } else if (const auto label = LabelName(key); !label.empty()) {
        // One that leaves no name is dropped: no point depends on it.
        resource_row_.Add(label, key, value);
        has_target_labels_ = true;
      }
    }
    if (!Check(reader)) return false;
    resource_row_.Finish();
    job_ = name.empty() || name_space.empty() ? name : name_space + "/" + name;
    return true;
  }

  // What the resource says beyond its identity, beside its newest sample.
  void AddTargetInfo() {
    if (!has_target_labels_ || (job_.empty() && instance_.empty()) ||
        newest_ms_ == std::numeric_limits<int64_t>::min()) {
      return;
    }
    uint32_t series;
    if (!AddSeries(&resource_row_, "target_info", {}, &series)) return;
    AddFloat(series, newest_ms_, 1, 0);
    current_.batch.metadata.push_back(
        {"target_info", {MetricType::kGauge, "Target metadata", ""}});
  }

  void ReadScopeMetrics(std::string_view body) {
    metric_index_ = 0;
    WireReader reader = Open(body);
    while (status_.ok() && reader.Next()) {
      if (reader.field() != 2) continue;
      std::string_view metric;
      reader.Read(&metric);
      if (reader.error() != nullptr) break;
      ReadMetric(metric);
      ++metric_index_;
    }
    if (!Check(reader)) return;
    metric_index_ = -1;
  }

  void ReadMetric(std::string_view body) {
    Metric metric;
    bool unknown_data = false;
    WireReader reader = Open(body);
    metric_ = &metric;
    while (reader.Next()) {
      switch (reader.field()) {
        case 1:
          reader.Read(&metric.name);
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
          if (metric.data != Data::kNone) {
            reader.Fail("metric has data twice");
            break;
          }
          metric.data = static_cast<Data>(reader.field());
          reader.Read(&metric.body);
          break;
        case 12:
          break;  // metadata
        default:
          unknown_data = true;
      }
    }
    if (Check(reader) && CheckUtf8(metric.name, "metric name is not UTF-8") &&
        CheckUtf8(metric.description, "description is not UTF-8") &&
        CheckUtf8(metric.unit, "unit is not UTF-8")) {
      if (metric.data == Data::kNone && unknown_data) {
        ++decoded_.points;
        Refuse(kUnsupportedKind, "a kind of metric that is not known");
      } else {
        ReadData(&metric);
      }
    }
    metric_ = nullptr;
  }

  void ReadData(Metric* metric) {
    WireReader head = Open(metric->body);
    while (head.Next()) {
      uint64_t bits = 0;
      if (head.field() == 2) {
        head.ReadVarint(&metric->temporality);
      } else if (head.field() == 3 && metric->data == Data::kSum) {
        head.ReadVarint(&bits);
        metric->monotonic = bits != 0;
      }
    }
    if (!Check(head)) return;
    Translate(metric);

    const size_t series_before = current_.batch.series.size();
    point_index_ = 0;
    WireReader reader = Open(metric->body);
    while (status_.ok() && reader.Next()) {
      if (reader.field() != 1) continue;
      std::string_view point;
      reader.Read(&point);
      if (reader.error() != nullptr) break;
      ++decoded_.points;
      ReadPoint(*metric, point);
      ++point_index_;
    }
    if (!Check(reader) || !status_.ok()) return;
    point_index_ = -1;
    if (current_.batch.series.size() != series_before) AddMetadata(*metric);
  }

  void Translate(Metric* metric) const {
    OtlpKind kind = OtlpKind::kGauge;
    if (metric->data == Data::kSum) {
      kind = metric->monotonic ? OtlpKind::kCounter : OtlpKind::kUpDownCounter;
    } else if (metric->data == Data::kSummary) {
      kind = OtlpKind::kSummary;
    } else if (metric->data != Data::kGauge) {
      kind = OtlpKind::kHistogram;
    }
    metric->family = PrometheusMetricName(metric->name, metric->unit, kind);
    metric->bucket = metric->family + "_bucket";
    metric->sum = metric->family + "_sum";
    metric->count = metric->family + "_count";
  }

  void AddMetadata(const Metric& metric) {
    MetricType type = MetricType::kGauge;
    if (metric.data == Data::kSum && metric.monotonic) {
      type = MetricType::kCounter;
    } else if (metric.data == Data::kHistogram ||
               metric.data == Data::kExponential) {
      type = MetricType::kHistogram;
    } else if (metric.data == Data::kSummary) {
      type = MetricType::kSummary;
    }
    if (!Charge(metric.family.size() + metric.description.size())) return;
    current_.batch.metadata.push_back(
        {metric.family,
         {type, std::string(metric.description), PrometheusUnit(metric.unit)}});
  }

  // --- attributes and series ---
  bool ReadAttribute(std::string_view pair, LabelRow* row,
                     std::string_view* key, std::string_view* value) {
    WireFault fault;
    if (!ReadKeyValue(pair, message_.data(), &scratch_, key, value, &fault)) {
      return Malformed(fault.error, fault.offset);
    }
    if (value->data() == scratch_.data()) {
      *value = row->Own(std::exchange(scratch_, {}));
    }
    return true;
  }

  // Empty if nothing is left of the key. Each key is translated once; that of
  // the attribute at the same place of the point before is the likely one.
  std::string_view LabelName(std::string_view key, size_t place) {
    if (place >= likely_names_.size()) likely_names_.resize(place + 1);
    auto& [likely_key, likely_label] = likely_names_[place];
    if (key != likely_key || key.empty()) {
      likely_label = LabelName(key);
      likely_key = key;
    }
    return likely_label;
  }
  std::string_view LabelName(std::string_view key) {
    if (auto it = label_names_.find(key); it != label_names_.end()) {
      return it->second;
    }
    const std::string_view label =
        label_texts_.emplace_back(PrometheusLabelName(key));
    label_names_.emplace(key, label);
    return label;
  }

  // Gathers a point's attributes into row_; false if malformed, or with the
  // point refused (then status_ is OK).
  bool ReadAttributes() {
    row_.Clear();
    for (size_t i = 0; i < attributes_.size(); ++i) {
      std::string_view key, value;
      if (!ReadAttribute(attributes_[i], &row_, &key, &value)) return false;
      const std::string_view label = LabelName(key, i);
      if (label.empty()) {
        Refuse(kInvalidLabels,
               fmt::format("attributes[{}]: {} leaves no label name", i,
                           Quoted(key.substr(0, 200))));
        return false;
      }
      row_.Add(label, key, value);
    }
    row_.Finish();
    return true;
  }

  // `extra` is `le` or `quantile`, or empty.
  bool AddSeries(LabelRow* row, std::string_view name, LabelView extra,
                 uint32_t* series) {
    if (!Charge(row->bytes() + name.size() + instance_.size() + job_.size() +
                extra.value.size() + kSeriesBytes)) {
      return false;
    }
    const std::array<LabelView, 4> overrides = {
        {{kMetricName, name}, {"instance", instance_}, {"job", job_}, extra}};
    *series = static_cast<uint32_t>(current_.batch.series.size());
    current_.batch.series.push_back(
        {row->Build({overrides.data(), extra.name.empty() ? 3u : 4u}), {}});
    return true;
  }

  void AddFloat(uint32_t series, int64_t time_ms, double value,
                int64_t start_ms) {
    current_.batch.floats.push_back({series, {time_ms, value}, start_ms});
  }

  // --- points ---
  // Fields that have the same numbers everywhere but for the attributes.
  void ReadCommon(WireReader* reader, Point* point) {
    if (reader->field() == 2) {
      reader->ReadFixed64(&point->start_nano);
    } else if (reader->field() == 3) {
      reader->ReadFixed64(&point->time_nano);
    }
  }
  template <class T>
  void Gather(WireReader* reader, std::vector<T>* out) {
    std::string_view body;
    reader->Read(&body);
    if (reader->error() == nullptr) out->push_back(body);
  }

  void ReadPoint(const Metric& metric, std::string_view body) {
    attributes_.clear();
    exemplars_.clear();
    switch (metric.data) {
      case Data::kGauge:
      case Data::kSum:
        return ReadNumber(metric, body);
      case Data::kHistogram:
        return ReadHistogram(metric, body);
      case Data::kExponential:
        return ReadExponential(metric, body);
      case Data::kSummary:
        return ReadSummary(metric, body);
      case Data::kNone:
        return;
    }
  }

  // True if the point can go on; its labels are in row_ then.
  bool Admit(const Metric& metric, const Point& point) {
    if (!ReadAttributes()) return false;
    if (metric.family.empty()) {
      Refuse(kInvalidLabels, "the name leaves no metric name");
      return false;
    }
    if (point.time_nano == 0) {
      Refuse(kInvalidPoint, "no time");
      return false;
    }
    return true;
  }
  bool AdmitCumulative(const Metric& metric, std::string_view kind) {
    if (metric.temporality == uint64_t(Temporality::kCumulative)) return true;
    if (metric.temporality == uint64_t(Temporality::kDelta)) {
      Refuse(kUnsupportedKind, fmt::format("delta {}", kind));
    } else {
      Refuse(kInvalidPoint,
             fmt::format("{} without aggregation temporality", kind));
    }
    return false;
  }
  void Accepted(const Point& point) {
    ++current_.points;
    newest_ms_ = std::max(newest_ms_, point.time_ms());
  }

  void ReadNumber(const Metric& metric, std::string_view body) {
    Point point;
    double value = 0;
    bool has_value = false;
    WireReader reader = Open(body);
    while (reader.Next()) {
      uint64_t bits = 0;
      switch (reader.field()) {
        case 4:
          reader.ReadDouble(&value);
          has_value = true;
          break;
        case 6:
          reader.ReadFixed64(&bits);
          value = static_cast<double>(static_cast<int64_t>(bits));
          has_value = true;
          break;
        case 5:
          Gather(&reader, &exemplars_);
          break;
        case 7:
          Gather(&reader, &attributes_);
          break;
        case 8:
          reader.ReadVarint(&point.flags);
          break;
        default:
          ReadCommon(&reader, &point);
      }
    }
    if (!Check(reader) || !Admit(metric, point)) return;
    if (!has_value && !point.no_value())
      return Refuse(kInvalidPoint, "no value");
    const bool delta = metric.data == Data::kSum &&
                       metric.temporality == uint64_t(Temporality::kDelta);
    if (metric.data == Data::kSum && !delta &&
        !AdmitCumulative(metric, "sum")) {
      return;
    }
    if (delta && !point.no_value() &&
        (point.start_nano == 0 || point.start_nano >= point.time_nano)) {
      return Refuse(kInvalidPoint, "delta sum without an interval");
    }
    uint32_t series;
    if (!AddSeries(&row_, metric.family, {}, &series)) return;
    if (point.no_value()) {
      AddFloat(series, point.time_ms(), StaleMarker(), 0);
    } else if (delta) {
      current_.batch.deltas.push_back(
          {series, point.start_ms(), point.time_ms(), value});
    } else {
      AddFloat(series, point.time_ms(), value,
               metric.data == Data::kSum ? point.start_ms() : 0);
    }
    Accepted(point);
    for (const std::string_view exemplar : exemplars_) {
      if (!AddExemplar(point, exemplar, [&](double) { return series; })) return;
    }
  }

  void ReadHistogram(const Metric& metric, std::string_view body) {
    Point point;
    uint64_t count = 0;
    double sum = 0;
    bool has_sum = false;
    counts_.clear();
    bounds_.clear();
    WireReader reader = Open(body);
    while (reader.Next()) {
      switch (reader.field()) {
        case 4:
          reader.ReadFixed64(&count);
          break;
        case 5:
          reader.ReadDouble(&sum);
          has_sum = true;
          break;
        case 6:
          reader.ReadRepeatedFixed64([&](uint64_t n) { counts_.push_back(n); });
          break;
        case 7:
          reader.ReadRepeatedFixed64([&](uint64_t bits) {
            bounds_.push_back(std::bit_cast<double>(bits));
          });
          break;
        case 8:
          Gather(&reader, &exemplars_);
          break;
        case 9:
          Gather(&reader, &attributes_);
          break;
        case 10:
          reader.ReadVarint(&point.flags);
          break;
        default:
          ReadCommon(&reader, &point);
      }
    }
    if (!Check(reader) || !Admit(metric, point) ||
        !AdmitCumulative(metric, "histogram")) {
      return;
    }
    if (std::string why = FaultOfBuckets(count, point); !why.empty()) {
      return Refuse(kInvalidPoint, why);
    }
    const int64_t start_ms = point.no_value() ? 0 : point.start_ms();
    const auto add = [&](std::string_view name, LabelView extra, double value) {
      uint32_t series;
      if (!AddSeries(&row_, name, extra, &series)) return false;
      AddFloat(series, point.time_ms(),
               point.no_value() ? StaleMarker() : value, start_ms);
      return true;
    };
    const auto first_bucket =
        static_cast<uint32_t>(current_.batch.series.size());
    uint64_t below = 0;
    for (size_t i = 0; i < bounds_.size(); ++i) {
      if (!counts_.empty()) below += counts_[i];
      const std::string le = BoundText(bounds_[i]);
      if (!add(metric.bucket, {"le", le}, static_cast<double>(below))) return;
    }
    const auto total = static_cast<double>(count);
    if (!add(metric.bucket, {"le", "+Inf"}, total) ||
        !add(metric.count, {}, total)) {
      return;
    }
    // An ended series may say no sum; it had one.
    if ((has_sum || point.no_value()) && !add(metric.sum, {}, sum)) return;
    Accepted(point);
    for (const std::string_view exemplar : exemplars_) {
      const auto bucket_of = [&](double value) {
        const auto it = std::lower_bound(bounds_.begin(), bounds_.end(), value);
        return first_bucket + static_cast<uint32_t>(it - bounds_.begin());
      };
      if (!AddExemplar(point, exemplar, bucket_of)) return;
    }
  }

  // Empty if counts_ and bounds_ make sense together.
  std::string FaultOfBuckets(uint64_t count, const Point& point) const {
    for (size_t i = 0; i < bounds_.size(); ++i) {
      if (std::isnan(bounds_[i]) || bounds_[i] == HUGE_VAL) {
        return fmt::format("explicit_bounds[{}] is {}", i,
                           BoundText(bounds_[i]));
      }
      if (i > 0 && bounds_[i] <= bounds_[i - 1]) {
        return fmt::format("explicit_bounds[{}]: {} is not above {}", i,
                           BoundText(bounds_[i]), BoundText(bounds_[i - 1]));
      }
    }
    if (point.no_value()) return {};
    const bool none = counts_.empty() && bounds_.empty();
    if (!none && counts_.size() != bounds_.size() + 1) {
      return fmt::format("{} bucket counts for {} bounds", counts_.size(),
                         bounds_.size());
    }
    unsigned __int128 total = 0;
    for (const uint64_t n : counts_) total += n;
    if (!none && total != count) {
      return fmt::format("buckets do not add up to the count {}", count);
    }
    return {};
  }

  void ReadExponential(const Metric& metric, std::string_view body) {
    Point point;
    IntegerHistogram histogram;
    int64_t scale = 0;
    std::string_view positive, negative;
    WireReader reader = Open(body);
    while (reader.Next()) {
      uint64_t bits = 0;
      switch (reader.field()) {
        case 1:
          Gather(&reader, &attributes_);
          break;
        case 4:
          reader.ReadFixed64(&histogram.count);
          break;
        case 5:
          reader.ReadDouble(&histogram.sum);
          break;
        case 6:
          reader.ReadVarint(&bits);
          scale = ZigZag(bits & UINT32_MAX);
          break;
        case 7:
          reader.ReadFixed64(&histogram.zero_count);
          break;
        case 8:
          if (!positive.empty()) reader.Fail("positive occurs twice");
          reader.Read(&positive);
          break;
        case 9:
          if (!negative.empty()) reader.Fail("negative occurs twice");
          reader.Read(&negative);
          break;
        case 10:
          reader.ReadVarint(&point.flags);
          break;
        case 11:
          Gather(&reader, &exemplars_);
          break;
        case 14:
          reader.ReadDouble(&histogram.zero_threshold);
          break;
        default:
          ReadCommon(&reader, &point);
      }
    }
    ExponentialBuckets above, below;
    if (!Check(reader) || !ReadBuckets(positive, &above) ||
        !ReadBuckets(negative, &below) || !Admit(metric, point) ||
        !AdmitCumulative(metric, "exponential histogram")) {
      return;
    }
    if (histogram.zero_threshold == 0) {
      histogram.zero_threshold = kDefaultZeroThreshold;
    }
    if (point.no_value()) {
      histogram = {};
      histogram.sum = StaleMarker();
    } else if (std::string why;
               !SetExponentialBuckets(static_cast<int32_t>(scale), above, below,
                                      &histogram, &why)) {
      return Refuse(kInvalidPoint, why);
    }
    uint32_t series;
    if (!Charge(sizeof(store::IntegerHistogramPoint) +
                8 * (above.counts.size() + below.counts.size())) ||
        !AddSeries(&row_, metric.family, {}, &series)) {
      return;
    }
    current_.batch.integer_histograms.push_back(
        {series, point.time_ms(), std::move(histogram),
         point.no_value() ? 0 : point.start_ms()});
    Accepted(point);
    for (const std::string_view exemplar : exemplars_) {
      if (!AddExemplar(point, exemplar, [&](double) { return series; })) return;
    }
  }

  bool ReadBuckets(std::string_view body, ExponentialBuckets* buckets) {
    WireReader reader = Open(body);
    while (reader.Next()) {
      uint64_t bits = 0;
      if (reader.field() == 1) {
        reader.ReadVarint(&bits);
        buckets->offset = static_cast<int32_t>(ZigZag(bits & UINT32_MAX));
      } else if (reader.field() == 2) {
        reader.ReadRepeatedVarint(
            [&](uint64_t n) { buckets->counts.push_back(n); });
      }
    }
    return Check(reader);
  }

  void ReadSummary(const Metric& metric, std::string_view body) {
    Point point;
    uint64_t count = 0;
    double sum = 0;
    quantiles_.clear();
    WireReader reader = Open(body);
    while (reader.Next()) {
      std::string_view pair;
      switch (reader.field()) {
        case 4:
          reader.ReadFixed64(&count);
          break;
        case 5:
          reader.ReadDouble(&sum);
          break;
        case 6:
          reader.Read(&pair);
          if (reader.error() == nullptr && !ReadQuantile(pair)) return;
          break;
        case 7:
          Gather(&reader, &attributes_);
          break;
        case 8:
          reader.ReadVarint(&point.flags);
          break;
        default:
          ReadCommon(&reader, &point);
      }
    }
    if (!Check(reader) || !Admit(metric, point)) return;
    for (size_t i = 0; i < quantiles_.size(); ++i) {
      const double q = quantiles_[i].first;
      if (!(q >= 0 && q <= 1)) {
        return Refuse(kInvalidPoint, fmt::format("quantile_values[{}]: {} is "
                                                 "outside 0 to 1",
                                                 i, BoundText(q)));
      }
    }
    const auto add = [&](std::string_view name, LabelView extra, double value,
                         int64_t start_ms) {
      uint32_t series;
      if (!AddSeries(&row_, name, extra, &series)) return false;
      AddFloat(series, point.time_ms(),
               point.no_value() ? StaleMarker() : value,
               point.no_value() ? 0 : start_ms);
      return true;
    };
    if (!add(metric.sum, {}, sum, point.start_ms()) ||
        !add(metric.count, {}, static_cast<double>(count), point.start_ms())) {
      return;
    }
    for (const auto& [quantile, value] : quantiles_) {
      const std::string text = BoundText(quantile);
      if (!add(metric.family, {"quantile", text}, value, 0)) return;
    }
    Accepted(point);
  }

  bool ReadQuantile(std::string_view body) {
    auto& [quantile, value] = quantiles_.emplace_back();
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) reader.ReadDouble(&quantile);
      if (reader.field() == 2) reader.ReadDouble(&value);
    }
    return Check(reader);
  }

  // False if malformed or over the bound.
  template <class SeriesOf>
  bool AddExemplar(const Point& point, std::string_view body,
                   SeriesOf series_of) {
    Exemplar exemplar;
    uint64_t time_nano = 0;
    std::string_view trace_id, span_id;
    std::vector<std::string_view> attributes;
    WireReader reader = Open(body);
    while (reader.Next()) {
      uint64_t bits = 0;
      switch (reader.field()) {
        case 2:
          reader.ReadFixed64(&time_nano);
          break;
        case 3:
          reader.ReadDouble(&exemplar.value);
          break;
        case 4:
          reader.Read(&span_id);
          break;
        case 5:
          reader.Read(&trace_id);
          break;
        case 6:
          reader.ReadFixed64(&bits);
          exemplar.value = static_cast<double>(static_cast<int64_t>(bits));
          break;
        case 7:
          Gather(&reader, &attributes);
          break;
        default:
          break;
      }
    }
    if (!Check(reader) || point.no_value()) return status_.ok();
    exemplar.time_ms = time_nano == 0 ? point.time_ms() : ToMs(time_nano);
    LabelsBuilder labels;
    size_t chars = 0;
    const auto set_id = [&](std::string_view name, std::string_view id) {
      if (id.find_first_not_of('\0') == std::string_view::npos) return;
      chars += name.size() + 2 * id.size();
      if (chars > kExemplarCharsMax) return;
      labels.Set(name, absl::BytesToHexString(ToAbsl(id)));
    };
    set_id("trace_id", trace_id);
    set_id("span_id", span_id);
    // Attributes go in together or not at all, as in Prometheus.
    LabelsBuilder full = labels;
    for (const std::string_view pair : attributes) {
      std::string_view key, value;
      if (!ReadAttribute(pair, &row_, &key, &value)) return false;
      chars += key.size() + value.size();
      if (chars <= kExemplarCharsMax && !key.empty()) full.Set(key, value);
    }
    exemplar.labels = (chars <= kExemplarCharsMax ? full : labels).Build();
    if (!Charge(sizeof(store::ExemplarPoint) + kExemplarCharsMax)) return false;
    const uint32_t series = series_of(exemplar.value);
    current_.batch.exemplars.push_back({series, std::move(exemplar)});
    return true;
  }

  const std::string_view message_;
  const Tenant& tenant_;
  int64_t bytes_left_;
  const int64_t bytes_max_;
  absl::Status status_;
  OtlpDecoded decoded_;

  // Where we are; -1 outside.
  int resource_index_ = 0;
  int scope_index_ = -1;
  int metric_index_ = -1;
  int point_index_ = -1;
  const Metric* metric_ = nullptr;

  // Of the current resource.
  OtlpBatch current_;
  std::string job_, instance_;
  LabelRow resource_row_;
  bool has_target_labels_ = false;
  int64_t newest_ms_ = 0;

  // Of the current point; kept for their memory.
  LabelRow row_;
  std::vector<std::string_view> attributes_;
  std::vector<std::string_view> exemplars_;
  std::vector<uint64_t> counts_;
  std::vector<double> bounds_;
  std::vector<std::pair<double, double>> quantiles_;
  std::string scratch_;

  // Attribute names, views into message_, and what they became.
  absl::flat_hash_map<std::string_view, std::string_view> label_names_;
  std::deque<std::string> label_texts_;
  std::vector<std::pair<std::string_view, std::string_view>> likely_names_;
};

}  // namespace

absl::StatusOr<OtlpDecoded> DecodeOtlp(std::string_view message,
                                       const Tenant& tenant,
                                       int64_t batch_bytes_max) {
  return Decoder(message, tenant, batch_bytes_max).Run();
}

}  // namespace vigie::collector
