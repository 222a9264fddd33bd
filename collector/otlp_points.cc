#include "collector/otlp_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "collector/otlp_exemplar.h"
#include "collector/otlp_histogram.h"
#include "collector/otlp_translate.h"

namespace vigie::collector {
namespace {

enum class Temporality : uint64_t { kUnspecified, kDelta, kCumulative };

int64_t ToMs(uint64_t unix_nano) {
  return static_cast<int64_t>(unix_nano / 1'000'000);
}

// What the points of all kinds have in common.
struct Point {
  uint64_t start_nano = 0;
  uint64_t time_nano = 0;
  uint64_t flags = 0;
  bool no_value() const { return (flags & 1) != 0; }
  int64_t time_ms() const { return ToMs(time_nano); }
  int64_t start_ms() const { return ToMs(start_nano); }
};

}  // namespace

class OtlpPointReader::Impl {
 public:
  explicit Impl(OtlpBuilder& builder) : build_(builder) {}

  void ReadPoint(const OtlpMetric& metric, std::string_view body) {
    attributes_.clear();
    exemplars_.clear();
    switch (metric.data) {
      case OtlpData::kGauge:
      case OtlpData::kSum:
        return ReadNumber(metric, body);
      case OtlpData::kHistogram:
        return ReadHistogram(metric, body);
      case OtlpData::kExponential:
        return ReadExponential(metric, body);
      case OtlpData::kSummary:
        return ReadSummary(metric, body);
      case OtlpData::kNone:
        return;
    }
  }

 private:
  // Gathers a point's attributes into row_; false if malformed, or with the
  // point refused (then the builder is ok).
  bool ReadAttributes() {
    row_.Clear();
    for (size_t i = 0; i < attributes_.size(); ++i) {
      std::string_view key, value;
      if (!build_.ReadAttribute(attributes_[i], &row_, &key, &value))
        return false;
      const std::string_view label = build_.LabelName(key, i);
      if (label.empty()) {
        build_.Refuse(kInvalidLabels,
                      fmt::format("attributes[{}]: {} leaves no label name", i,
                                  Quoted(TruncatedUtf8(key, kNameBytesShown))));
        return false;
      }
      row_.Add(label, key, value);
    }
    row_.Finish();
    return true;
  }

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

  // True if the point can go on; its labels are in row_ then.
  bool Admit(const OtlpMetric& metric, const Point& point) {
    if (!ReadAttributes()) return false;
    if (metric.family.empty()) {
      build_.Refuse(kInvalidLabels, "the name leaves no metric name");
      return false;
    }
    if (point.time_nano == 0) {
      build_.Refuse(kInvalidPoint, "no time");
      return false;
    }
    return true;
  }
  bool AdmitCumulative(const OtlpMetric& metric, std::string_view kind) {
    if (metric.temporality == uint64_t(Temporality::kCumulative)) return true;
    if (metric.temporality == uint64_t(Temporality::kDelta)) {
      build_.Refuse(kUnsupportedKind, fmt::format("delta {}", kind));
    } else {
      build_.Refuse(kInvalidPoint,
                    fmt::format("{} without aggregation temporality", kind));
    }
    return false;
  }
  // True if the point counts what happened since the one before; its interval
  // and increment are then to be admitted too.
  static bool IsDelta(const OtlpMetric& metric) {
    return metric.temporality == uint64_t(Temporality::kDelta);
  }
  // The store adds `increment` up, once an interval: one that could not be told
  // from its neighbours, or would spoil the total for good, is refused.
  bool AdmitDelta(const OtlpMetric& metric, const Point& point,
                  double increment, std::string_view kind) {
    std::string why;
    if (point.start_nano == 0 || point.start_nano >= point.time_nano) {
      why = fmt::format("delta {} without an interval", kind);
    } else if (point.start_ms() == point.time_ms()) {
      why = fmt::format("delta {}'s interval lies within a millisecond", kind);
    } else if (!std::isfinite(increment)) {
      why = fmt::format("delta {} of {}", kind, BoundText(increment));
    } else if (metric.monotonic && increment < 0) {
      why = fmt::format("monotonic delta {} of {}", kind, increment);
    } else {
      return true;
    }
    build_.Refuse(kInvalidPoint, why);
    return false;
  }

  void ReadNumber(const OtlpMetric& metric, std::string_view body) {
    Point point;
    double value = 0;
    bool has_value = false;
    WireReader reader = build_.Open(body);
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
    if (!build_.Check(reader) || !Admit(metric, point)) return;
    if (!has_value && !point.no_value())
      return build_.Refuse(kInvalidPoint, "no value");
    const bool delta = metric.data == OtlpData::kSum && IsDelta(metric);
    if (metric.data == OtlpData::kSum && !delta &&
        !AdmitCumulative(metric, "sum")) {
      return;
    }
    if (delta && !point.no_value() &&
        !AdmitDelta(metric, point, value, "sum")) {
      return;
    }
    uint32_t series;
    if (!build_.AddSeries(&row_, metric.family, {}, &series)) return;
    if (point.no_value()) {
      build_.AddFloat(series, point.time_ms(), StaleMarker(), 0);
    } else if (delta) {
      build_.AddDelta(series, point.start_ms(), point.time_ms(), value);
    } else {
      build_.AddFloat(series, point.time_ms(), value,
                      metric.data == OtlpData::kSum ? point.start_ms() : 0);
    }
    build_.Accepted(point.time_ms());
    for (const std::string_view exemplar : exemplars_) {
      if (!AddExemplar(point, exemplar, [&](double) { return series; })) return;
    }
  }

  void ReadHistogram(const OtlpMetric& metric, std::string_view body) {
    Point point;
    uint64_t count = 0;
    double sum = 0;
    bool has_sum = false;
    counts_.clear();
    bounds_.clear();
    WireReader reader = build_.Open(body);
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
    const bool delta = IsDelta(metric);
    if (!build_.Check(reader) || !Admit(metric, point) ||
        (!delta && !AdmitCumulative(metric, "histogram"))) {
      return;
    }
    if (std::string why = FaultOfBuckets(count, point); !why.empty()) {
      return build_.Refuse(kInvalidPoint, why);
    }
    if (delta && !point.no_value() &&
        !AdmitDelta(metric, point, sum, "histogram")) {
      return;
    }
    const auto add = [&](std::string_view name, LabelView extra, double value) {
      uint32_t series;
      if (!build_.AddSeries(&row_, name, extra, &series)) return false;
      if (point.no_value()) {
        build_.AddFloat(series, point.time_ms(), StaleMarker(), 0);
      } else if (delta) {
        build_.AddDelta(series, point.start_ms(), point.time_ms(), value);
      } else {
        build_.AddFloat(series, point.time_ms(), value, point.start_ms());
      }
      return true;
    };
    const auto first_bucket =
        static_cast<uint32_t>(build_.batch().series.size());
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
    build_.Accepted(point.time_ms());
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

  void ReadExponential(const OtlpMetric& metric, std::string_view body) {
    Point point;
    IntegerHistogram histogram;
    int64_t scale = 0;
    std::string_view positive, negative;
    WireReader reader = build_.Open(body);
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
    if (!build_.Check(reader) || !ReadBuckets(positive, &above) ||
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
      return build_.Refuse(kInvalidPoint, why);
    }
    uint32_t series;
    if (!build_.Charge(sizeof(store::IntegerHistogramPoint) +
                       8 * (above.counts.size() + below.counts.size())) ||
        !build_.AddSeries(&row_, metric.family, {}, &series)) {
      return;
    }
    build_.batch().integer_histograms.push_back(
        {series, point.time_ms(), std::move(histogram),
         point.no_value() ? 0 : point.start_ms()});
    build_.Accepted(point.time_ms());
    for (const std::string_view exemplar : exemplars_) {
      if (!AddExemplar(point, exemplar, [&](double) { return series; })) return;
    }
  }

  bool ReadBuckets(std::string_view body, ExponentialBuckets* buckets) {
    WireReader reader = build_.Open(body);
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
    return build_.Check(reader);
  }

  void ReadSummary(const OtlpMetric& metric, std::string_view body) {
    Point point;
    uint64_t count = 0;
    double sum = 0;
    quantiles_.clear();
    WireReader reader = build_.Open(body);
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
    if (!build_.Check(reader) || !Admit(metric, point)) return;
    for (size_t i = 0; i < quantiles_.size(); ++i) {
      const double q = quantiles_[i].first;
      if (!(q >= 0 && q <= 1)) {
        return build_.Refuse(kInvalidPoint,
                             fmt::format("quantile_values[{}]: {} is "
                                         "outside 0 to 1",
                                         i, BoundText(q)));
      }
    }
    const auto add = [&](std::string_view name, LabelView extra, double value,
                         int64_t start_ms) {
      uint32_t series;
      if (!build_.AddSeries(&row_, name, extra, &series)) return false;
      build_.AddFloat(series, point.time_ms(),
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
    build_.Accepted(point.time_ms());
  }

  bool ReadQuantile(std::string_view body) {
    auto& [quantile, value] = quantiles_.emplace_back();
    WireReader reader = build_.Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) reader.ReadDouble(&quantile);
      if (reader.field() == 2) reader.ReadDouble(&value);
    }
    return build_.Check(reader);
  }

  // False if malformed or over the bound.
  template <class SeriesOf>
  bool AddExemplar(const Point& point, std::string_view body,
                   SeriesOf series_of) {
    OtlpExemplar sent;
    if (!ReadExemplar(body, &build_, &sent) || point.no_value()) {
      return build_.ok();
    }
    Exemplar exemplar;
    exemplar.value = sent.value;
    exemplar.time_ms =
        sent.time_nano == 0 ? point.time_ms() : ToMs(sent.time_nano);
    if (!LabelExemplar(sent, &build_, &row_, &exemplar.labels)) return false;
    if (!build_.Charge(sizeof(store::ExemplarPoint) + kExemplarCharsMax))
      return false;
    const uint32_t series = series_of(exemplar.value);
    build_.batch().exemplars.push_back({series, std::move(exemplar)});
    return true;
  }

  OtlpBuilder& build_;
  // Of the current point; kept for their memory.
  LabelRow row_;
  std::vector<std::string_view> attributes_;
  std::vector<std::string_view> exemplars_;
  std::vector<uint64_t> counts_;
  std::vector<double> bounds_;
  std::vector<std::pair<double, double>> quantiles_;
};

OtlpPointReader::OtlpPointReader(OtlpBuilder& builder)
    : impl_(std::make_unique<Impl>(builder)) {}
OtlpPointReader::~OtlpPointReader() = default;

void OtlpPointReader::Read(const OtlpMetric& metric, std::string_view body) {
  impl_->ReadPoint(metric, body);
}

}  // namespace vigie::collector
