#include "collector/remote_write_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>
#include <variant>

#include "base/strings.h"
#include "collector/wire_reader.h"

namespace vigie::collector {
namespace {

constexpr std::string_view kInvalidLabels = "invalid_labels";
constexpr std::string_view kInvalidHistogram = "invalid_histogram";
constexpr std::string_view kInvalidExemplar = "invalid_exemplar";
constexpr std::string_view kInvalidMetadata = "invalid_metadata";

// All series of remote write are one group: a series has to stay in the group
// it was first in, whatever it is sent together with.
constexpr std::string_view kGroup = "remote_write";

constexpr uint64_t kMetricTypeMax = 7;
// Of a sender's name, in errors.
constexpr size_t kNameBytesShown = 200;

// A native histogram as sent. Which of the two count fields is set says
// whether it is of integers or floats.
struct RawHistogram {
  bool is_float = false;
  uint64_t count = 0, zero_count = 0;
  double float_count = 0, float_zero_count = 0;
  double sum = 0, zero_threshold = 0;
  int32_t schema = 0;
  uint64_t reset_hint = 0;
  int64_t time_ms = 0;
  std::vector<BucketSpan> positive_spans, negative_spans;
  std::vector<int64_t> positive_deltas, negative_deltas;
  std::vector<double> positive_counts, negative_counts;
  std::vector<double> custom_values;
};

uint64_t BucketsIn(const std::vector<BucketSpan>& spans) {
  uint64_t buckets = 0;
  for (const BucketSpan& span : spans) buckets += span.length;
  return buckets;
}

// Deltas between neighbours to counts; false if one falls below zero or
// overflows.
bool SumDeltas(const std::vector<int64_t>& deltas,
               std::vector<uint64_t>* counts) {
  int64_t count = 0;
  counts->reserve(deltas.size());
  for (const int64_t delta : deltas) {
    if (__builtin_add_overflow(count, delta, &count) || count < 0) return false;
    counts->push_back(static_cast<uint64_t>(count));
  }
  return true;
}

template <class Count>
void CopyCommon(RawHistogram* raw, BasicHistogram<Count>* out) {
  out->reset_hint = static_cast<CounterResetHint>(raw->reset_hint);
  out->schema = raw->schema;
  out->zero_threshold = raw->zero_threshold;
  out->sum = raw->sum;
  out->positive_spans = std::move(raw->positive_spans);
  out->negative_spans = std::move(raw->negative_spans);
  out->custom_values = std::move(raw->custom_values);
}

// Null, or what contradicts itself.
const char* FaultOf(const RawHistogram& raw) {
  const bool custom = raw.schema == kCustomBucketsSchema;
  if (!custom && (raw.schema < kExponentialSchemaMin ||
                  raw.schema > kExponentialSchemaMax)) {
    return "schema is neither -4 to 8 nor -53";
  }
  if (!custom && !raw.custom_values.empty()) {
    return "custom values with an exponential schema";
  }
  if (raw.reset_hint > 3) return "unknown reset hint";
  const size_t positive =
      raw.is_float ? raw.positive_counts.size() : raw.positive_deltas.size();
  const size_t negative =
      raw.is_float ? raw.negative_counts.size() : raw.negative_deltas.size();
  if (BucketsIn(raw.positive_spans) != positive ||
      BucketsIn(raw.negative_spans) != negative) {
    return "spans and buckets differ in number";
  }
  return nullptr;
}

class Decoder {
 public:
  Decoder(std::string_view message, int64_t batch_bytes_max)
      : message_(message),
        bytes_left_(batch_bytes_max),
        bytes_max_(batch_bytes_max) {}

  absl::StatusOr<WriteRequestDecoded> Run() {
    decoded_.batch.group = kGroup;
    WireReader reader = Open(message_);
    while (status_.ok() && reader.Next()) {
      std::string_view body;
      if (reader.field() == 1) {
        reader.Read(&body);
        if (reader.error() == nullptr) ReadSeries(body);
        ++series_index_;
      } else if (reader.field() == 3) {
        reader.Read(&body);
        if (reader.error() == nullptr) ReadMetadata(body);
      }
    }
    Check(reader, "request");
    if (!status_.ok()) return status_;
    return std::move(decoded_);
  }

 private:
  WireReader Open(std::string_view bytes) const {
    return {bytes, message_.data()};
  }
  bool Check(const WireReader& reader, std::string_view place) {
    if (reader.error() == nullptr) return true;
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(fmt::format(
          "{}: byte {}: {}", place, reader.offset(), reader.error()));
    }
    return false;
  }
  bool Check(const WireReader& reader) {
    return reader.error() == nullptr || Check(reader, Place());
  }
  std::string Place() const {
    return fmt::format("timeseries[{}]", series_index_);
  }
  bool Charge(size_t bytes) {
    bytes_left_ -= static_cast<int64_t>(bytes);
    if (bytes_left_ < 0 && status_.ok()) {
      status_ = absl::OutOfRangeError(
          fmt::format("{}: the request holds more than {} bytes of samples",
                      Place(), bytes_max_));
    }
    return status_.ok();
  }
  void Refuse(std::string_view reason, uint64_t count, std::string text) {
    auto it = std::find_if(decoded_.refusals.begin(), decoded_.refusals.end(),
                           [&](const auto& r) { return r.reason == reason; });
    if (it == decoded_.refusals.end()) {
      const bool of_samples =
          reason != kInvalidExemplar && reason != kInvalidMetadata;
      decoded_.refusals.push_back({reason, of_samples, count, std::move(text)});
    } else {
      it->count += count;
    }
  }

  bool ReadPair(std::string_view body, LabelView* label) {
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) reader.Read(&label->name);
      if (reader.field() == 2) reader.Read(&label->value);
    }
    return Check(reader);
  }

  // Empty, or why labels_ cannot name a series.
  std::string FaultOfLabels() const {
    bool has_name = false;
    for (size_t i = 0; i < labels_.size(); ++i) {
      const LabelView& label = labels_[i];
      if (label.name.empty()) return fmt::format("labels[{}] has no name", i);
      if (!IsValidUtf8(label.name)) {
        return fmt::format("the name of labels[{}] is not UTF-8", i);
      }
      const auto name = [&] {
        return Quoted(TruncatedUtf8(label.name, kNameBytesShown));
      };
      if (!IsValidUtf8(label.value)) {
        return fmt::format("the value of label {} is not UTF-8", name());
      }
      if (i > 0 && label.name == labels_[i - 1].name) {
        return fmt::format("label {} occurs twice", name());
      }
      if (i > 0 && label.name < labels_[i - 1].name) {
        return fmt::format("label {} is not in sorted order", name());
      }
      has_name |= label.name == kMetricName && !label.value.empty();
    }
    return has_name ? "" : "no metric name";
  }

  void ReadSeries(std::string_view body) {
    labels_.clear();
    uint64_t samples = 0;
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() == 2 || reader.field() == 4) ++samples;
      if (reader.field() != 1) continue;
      std::string_view pair;
      reader.Read(&pair);
      if (reader.error() == nullptr &&
          !ReadPair(pair, &labels_.emplace_back())) {
        return;
      }
    }
    if (!Check(reader)) return;
    decoded_.samples += samples;
    const std::string fault = FaultOfLabels();
    if (!fault.empty()) {
      const auto name = std::find_if(
          labels_.begin(), labels_.end(),
          [](const LabelView& l) { return l.name == kMetricName; });
      Refuse(
          kInvalidLabels, samples,
          name != labels_.end() && IsValidUtf8(name->value)
              ? fmt::format("{} {}: {}", Place(),
                            Quoted(TruncatedUtf8(name->value, kNameBytesShown)),
                            fault)
              : fmt::format("{}: {}", Place(), fault));
    } else {
      std::erase_if(labels_,
                    [](const LabelView& label) { return label.value.empty(); });
      series_ = static_cast<uint32_t>(decoded_.batch.series.size());
      Labels labels = Labels::FromSorted(labels_);
      if (!Charge(labels.bytes().size() + sizeof(store::BatchSeries))) return;
      decoded_.batch.series.push_back({std::move(labels), {}});
    }
    // Points are read either way: a malformed one spoils the whole body.
    keep_ = fault.empty();
    WireReader points = Open(body);
    while (status_.ok() && points.Next()) {
      std::string_view point;
      if (points.field() < 2 || points.field() > 4) continue;
      points.Read(&point);
      if (points.error() != nullptr) break;
      if (points.field() == 2) ReadSample(point);
      if (points.field() == 3) ReadExemplar(point);
      if (points.field() == 4) ReadHistogram(point);
    }
    Check(points);
  }

  void ReadSample(std::string_view body) {
    Sample sample;
    uint64_t time_ms = 0;
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) reader.ReadDouble(&sample.value);
      if (reader.field() == 2) reader.ReadVarint(&time_ms);
    }
    if (!Check(reader) || !keep_ || !Charge(sizeof(store::FloatPoint))) return;
    sample.time_ms = static_cast<int64_t>(time_ms);
    decoded_.batch.floats.push_back({series_, sample, 0});
  }

  void ReadExemplar(std::string_view body) {
    Exemplar exemplar;
    LabelsBuilder labels;
    uint64_t time_ms = 0;
    bool valid = true;
    WireReader reader = Open(body);
    while (reader.Next()) {
      std::string_view pair;
      LabelView label;
      if (reader.field() == 1) {
        reader.Read(&pair);
        if (reader.error() != nullptr) break;
        if (!ReadPair(pair, &label)) return;
        valid = valid && !label.name.empty() && IsValidUtf8(label.name) &&
                IsValidUtf8(label.value);
        if (valid) labels.Set(label.name, label.value);
      } else if (reader.field() == 2) {
        reader.ReadDouble(&exemplar.value);
      } else if (reader.field() == 3) {
        reader.ReadVarint(&time_ms);
      }
    }
    if (!Check(reader) || !keep_) return;
    if (!valid) {
      return Refuse(
          kInvalidExemplar, 1,
          fmt::format("{}: an exemplar's labels are not valid", Place()));
    }
    exemplar.labels = labels.Build();
    exemplar.time_ms = static_cast<int64_t>(time_ms);
    if (!Charge(sizeof(store::ExemplarPoint) +
                exemplar.labels.bytes().size())) {
      return;
    }
    decoded_.batch.exemplars.push_back({series_, std::move(exemplar)});
  }

  bool ReadSpan(std::string_view body, std::vector<BucketSpan>* spans) {
    BucketSpan span;
    uint64_t bits = 0;
    WireReader reader = Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) {
        reader.ReadVarint(&bits);
        span.offset = static_cast<int32_t>(ZigZag(bits & UINT32_MAX));
      } else if (reader.field() == 2) {
        reader.ReadVarint(&bits);
        span.length = static_cast<uint32_t>(bits);
      }
    }
    spans->push_back(span);
    return Check(reader);
  }

  void ReadHistogram(std::string_view body) {
    RawHistogram raw;
    uint64_t bits = 0;
    const auto add_double = [](std::vector<double>* to) {
      return
          [to](uint64_t word) { to->push_back(std::bit_cast<double>(word)); };
    };
    const auto add_delta = [](std::vector<int64_t>* to) {
      return [to](uint64_t word) { to->push_back(ZigZag(word)); };
    };
    WireReader reader = Open(body);
    while (reader.Next()) {
      std::string_view span;
      switch (reader.field()) {
        case 1:
          reader.ReadVarint(&raw.count);
          raw.is_float = false;
          break;
        case 2:
          reader.ReadDouble(&raw.float_count);
          raw.is_float = true;
          break;
        case 3:
          reader.ReadDouble(&raw.sum);
          break;
        case 4:
          reader.ReadVarint(&bits);
          raw.schema = static_cast<int32_t>(ZigZag(bits & UINT32_MAX));
          break;
        case 5:
          reader.ReadDouble(&raw.zero_threshold);
          break;
        case 6:
          reader.ReadVarint(&raw.zero_count);
          break;
        case 7:
          reader.ReadDouble(&raw.float_zero_count);
          break;
        case 8:
        case 11:
          reader.Read(&span);
          if (reader.error() == nullptr &&
              !ReadSpan(span, reader.field() == 8 ? &raw.negative_spans
                                                  : &raw.positive_spans)) {
            return;
          }
          break;
        case 9:
          reader.ReadRepeatedVarint(add_delta(&raw.negative_deltas));
          break;
        case 10:
          reader.ReadRepeatedFixed64(add_double(&raw.negative_counts));
          break;
        case 12:
          reader.ReadRepeatedVarint(add_delta(&raw.positive_deltas));
          break;
        case 13:
          reader.ReadRepeatedFixed64(add_double(&raw.positive_counts));
          break;
        case 14:
          reader.ReadVarint(&raw.reset_hint);
          break;
        case 15:
          reader.ReadVarint(&bits);
          raw.time_ms = static_cast<int64_t>(bits);
          break;
        case 16:
          reader.ReadRepeatedFixed64(add_double(&raw.custom_values));
          break;
        default:
          break;
      }
    }
    if (!Check(reader) || !keep_) return;
    if (!Charge(sizeof(store::FloatHistogramPoint) +
                8 * (raw.positive_spans.size() + raw.negative_spans.size() +
                     raw.positive_deltas.size() + raw.negative_deltas.size() +
                     raw.positive_counts.size() + raw.negative_counts.size() +
                     raw.custom_values.size()))) {
      return;
    }
    const char* fault = FaultOf(raw);
    if (fault == nullptr) fault = AddHistogram(&raw);
    if (fault != nullptr) {
      Refuse(
          kInvalidHistogram, 1,
          fmt::format("{} {}: {}", Place(),
                      decoded_.batch.series[series_].labels.ToString(), fault));
    }
  }

  // Null, or what contradicts itself.
  const char* AddHistogram(RawHistogram* raw) {
    if (raw->is_float) {
      FloatHistogram histogram;
      histogram.count = raw->float_count;
      histogram.zero_count = raw->float_zero_count;
      histogram.positive_buckets = std::move(raw->positive_counts);
      histogram.negative_buckets = std::move(raw->negative_counts);
      CopyCommon(raw, &histogram);
      decoded_.batch.float_histograms.push_back(
          {series_, raw->time_ms, std::move(histogram), 0});
      return nullptr;
    }
    IntegerHistogram histogram;
    if (!SumDeltas(raw->positive_deltas, &histogram.positive_buckets) ||
        !SumDeltas(raw->negative_deltas, &histogram.negative_buckets)) {
      return "a bucket's count is below zero or beyond 63 bits";
    }
    histogram.count = raw->count;
    histogram.zero_count = raw->zero_count;
    CopyCommon(raw, &histogram);
    decoded_.batch.integer_histograms.push_back(
        {series_, raw->time_ms, std::move(histogram), 0});
    return nullptr;
  }

  void ReadMetadata(std::string_view body) {
    uint64_t type = 0;
    std::string_view family, help, unit;
    WireReader reader = Open(body);
    while (reader.Next()) {
      switch (reader.field()) {
        case 1:
          reader.ReadVarint(&type);
          break;
        case 2:
          reader.Read(&family);
          break;
        case 4:
          reader.Read(&help);
          break;
        case 5:
          reader.Read(&unit);
          break;
        default:
          break;
      }
    }
    if (!Check(reader,
               fmt::format("metadata {}",
                           Quoted(TruncatedUtf8(family, kNameBytesShown))))) {
      return;
    }
    if (family.empty() || !IsValidUtf8(family) || !IsValidUtf8(help) ||
        !IsValidUtf8(unit)) {
      return Refuse(kInvalidMetadata, 1,
                    "metadata without a family name or not UTF-8");
    }
    if (!Charge(sizeof(store::MetadataPoint) + family.size() + help.size() +
                unit.size())) {
      return;
    }
    decoded_.batch.metadata.push_back(
        {std::string(family),
         {type <= kMetricTypeMax ? static_cast<MetricType>(type)
                                 : MetricType::kUnknown,
          std::string(help), std::string(unit)}});
  }

  const std::string_view message_;
  int64_t bytes_left_;
  const int64_t bytes_max_;
  absl::Status status_;
  WriteRequestDecoded decoded_;
  int64_t series_index_ = 0;
  // Of the current series.
  std::vector<LabelView> labels_;
  uint32_t series_ = 0;
  bool keep_ = true;
};

}  // namespace

absl::StatusOr<WriteRequestDecoded> DecodeWriteRequest(
    std::string_view message, int64_t batch_bytes_max) {
  return Decoder(message, batch_bytes_max).Run();
}

}  // namespace vigie::collector
