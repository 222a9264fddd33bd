#include "collector/remote_write_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/strings.h"

namespace vigie::collector {
namespace {

// All series of remote write are one group: a series has to stay in the group
// it was first in, whatever it is sent together with.
constexpr std::string_view kGroup = "remote_write";

constexpr uint64_t kMetricTypeMax = 7;

std::string Shown(std::string_view name) {
  return Quoted(TruncatedUtf8(name, kSenderNameBytesShown));
}

// Empty, or why the labels cannot name a series.
std::string FaultOfLabels(const std::vector<LabelView>& labels) {
  bool has_name = false;
  for (size_t i = 0; i < labels.size(); ++i) {
    const LabelView& label = labels[i];
    if (label.name.empty()) return fmt::format("labels[{}] has no name", i);
    if (!IsValidUtf8(label.name)) {
      return fmt::format("the name of labels[{}] is not UTF-8", i);
    }
    if (!IsValidUtf8(label.value)) {
      return fmt::format("the value of label {} is not UTF-8",
                         Shown(label.name));
    }
    if (i > 0 && label.name == labels[i - 1].name) {
      return fmt::format("label {} occurs twice", Shown(label.name));
    }
    if (i > 0 && label.name < labels[i - 1].name) {
      return fmt::format("label {} is not in sorted order", Shown(label.name));
    }
    has_name |= label.name == kMetricName && !label.value.empty();
  }
  return has_name ? "" : "no metric name";
}

// A native histogram as sent. Which of the two count fields is set says
// whether it is of integers or floats.
struct RawHistogram {
  bool is_float = false;
  uint64_t count = 0, zero_count = 0;
  double float_count = 0, float_zero_count = 0;
  double sum = 0, zero_threshold = 0;
  int32_t schema = 0;
  uint64_t reset_hint = 0;
  int64_t time_ms = 0, start_ms = 0;
  std::vector<BucketSpan> positive_spans, negative_spans;
  std::vector<int64_t> positive_deltas, negative_deltas;
  std::vector<double> positive_counts, negative_counts;
  std::vector<double> custom_values;

  size_t bytes() const {
    return sizeof(store::FloatHistogramPoint) +
           8 * (positive_spans.size() + negative_spans.size() +
                positive_deltas.size() + negative_deltas.size() +
                positive_counts.size() + negative_counts.size() +
                custom_values.size());
  }
};

int32_t Sint32(uint64_t bits) {
  return static_cast<int32_t>(ZigZag(bits & UINT32_MAX));
}

void ReadSpan(WireReader span, WireReader* histogram,
              std::vector<BucketSpan>* spans) {
  BucketSpan& out = spans->emplace_back();
  uint64_t bits = 0;
  while (span.Next()) {
    if (span.field() == 1) {
      span.ReadVarint(&bits);
      out.offset = Sint32(bits);
    } else if (span.field() == 2) {
      span.ReadVarint(&bits);
      out.length = static_cast<uint32_t>(bits);
    }
  }
  if (span.error() != nullptr) histogram->Fail(span.error());
}

// On return the reader is at the end or has an error.
void ReadHistogram(const WriteBatch& batch, WriteVersion version,
                   WireReader* reader, RawHistogram* raw) {
  const auto add_double = [](std::vector<double>* to) {
    return [to](uint64_t word) { to->push_back(std::bit_cast<double>(word)); };
  };
  const auto add_delta = [](std::vector<int64_t>* to) {
    return [to](uint64_t word) { to->push_back(ZigZag(word)); };
  };
  while (reader->Next()) {
    uint64_t bits = 0;
    std::string_view span;
    switch (reader->field()) {
      case 1:
        reader->ReadVarint(&raw->count);
        raw->is_float = false;
        break;
      case 2:
        reader->ReadDouble(&raw->float_count);
        raw->is_float = true;
        break;
      case 3:
        reader->ReadDouble(&raw->sum);
        break;
      case 4:
        reader->ReadVarint(&bits);
        raw->schema = Sint32(bits);
        break;
      case 5:
        reader->ReadDouble(&raw->zero_threshold);
        break;
      case 6:
        reader->ReadVarint(&raw->zero_count);
        break;
      case 7:
        reader->ReadDouble(&raw->float_zero_count);
        break;
      case 8:
      case 11:
        reader->Read(&span);
        if (reader->error() == nullptr) {
          ReadSpan(batch.Open(span), reader,
                   reader->field() == 8 ? &raw->negative_spans
                                        : &raw->positive_spans);
        }
        break;
      case 9:
        reader->ReadRepeatedVarint(add_delta(&raw->negative_deltas));
        break;
      case 10:
        reader->ReadRepeatedFixed64(add_double(&raw->negative_counts));
        break;
      case 12:
        reader->ReadRepeatedVarint(add_delta(&raw->positive_deltas));
        break;
      case 13:
        reader->ReadRepeatedFixed64(add_double(&raw->positive_counts));
        break;
      case 14:
        reader->ReadVarint(&raw->reset_hint);
        break;
      case 15:
        reader->ReadVarint(&bits);
        raw->time_ms = static_cast<int64_t>(bits);
        break;
      case 16:
        reader->ReadRepeatedFixed64(add_double(&raw->custom_values));
        break;
      case 17:
        if (version == WriteVersion::k1) break;
        reader->ReadVarint(&bits);
        raw->start_ms = static_cast<int64_t>(bits);
        break;
      default:
        break;
    }
  }
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
void MoveCommon(RawHistogram* raw, BasicHistogram<Count>* out) {
  out->reset_hint = static_cast<CounterResetHint>(raw->reset_hint);
  out->schema = raw->schema;
  out->zero_threshold = raw->zero_threshold;
  out->sum = raw->sum;
  out->positive_spans = std::move(raw->positive_spans);
  out->negative_spans = std::move(raw->negative_spans);
  out->custom_values = std::move(raw->custom_values);
}

// Null, or what no histogram can say; then nothing was added. Whether the parts
// of one agree is for the store to see.
const char* AddTo(store::AppendBatch* batch, uint32_t series,
                  RawHistogram* raw) {
  if (raw->reset_hint > 3) return "unknown reset hint";
  if (raw->is_float) {
    FloatHistogram histogram;
    histogram.count = raw->float_count;
    histogram.zero_count = raw->float_zero_count;
    histogram.positive_buckets = std::move(raw->positive_counts);
    histogram.negative_buckets = std::move(raw->negative_counts);
    MoveCommon(raw, &histogram);
    batch->float_histograms.push_back(
        {series, raw->time_ms, std::move(histogram), raw->start_ms});
    return nullptr;
  }
  IntegerHistogram histogram;
  if (!SumDeltas(raw->positive_deltas, &histogram.positive_buckets) ||
      !SumDeltas(raw->negative_deltas, &histogram.negative_buckets)) {
    return "a bucket's count is below zero or beyond 63 bits";
  }
  histogram.count = raw->count;
  histogram.zero_count = raw->zero_count;
  MoveCommon(raw, &histogram);
  batch->integer_histograms.push_back(
      {series, raw->time_ms, std::move(histogram), raw->start_ms});
  return nullptr;
}

// A sample as senders write it: value, then time, each at most once. False if
// it is written otherwise.
bool ReadPlainSample(std::string_view body, Sample* sample) {
  const char* p = body.data();
  const char* const end = p + body.size();
  if (end - p >= 9 && *p == 0x09) {
    std::memcpy(&sample->value, p + 1, 8);
    p += 9;
  }
  if (p == end) return true;
  if (*p++ != 0x10) return false;
  uint64_t time_ms = 0;
  for (int shift = 0; p != end && shift < 63; shift += 7) {
    const auto byte = static_cast<uint8_t>(*p++);
    time_ms |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      sample->time_ms = static_cast<int64_t>(time_ms);
      return p == end;
    }
  }
  return false;
}

}  // namespace

WriteBatch::WriteBatch(const WriteMessage& message, WriteVersion version)
    : message_(message.bytes),
      version_(version),
      bytes_left_(message.batch_bytes_max),
      bytes_max_(message.batch_bytes_max) {
  decoded_.batch.group = kGroup;
}

bool WriteBatch::Malformed(std::string_view place, size_t offset,
                           std::string_view error) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(
        fmt::format("{}: byte {}: {}", place, offset, error));
  }
  return false;
}

bool WriteBatch::Charge(size_t bytes) {
  bytes_left_ -= static_cast<int64_t>(bytes);
  if (bytes_left_ < 0 && status_.ok()) {
    status_ = absl::OutOfRangeError(
        fmt::format("{}: the request holds more than {} bytes of samples",
                    Place(), bytes_max_));
  }
  return status_.ok();
}

void WriteBatch::Refuse(std::string_view reason, uint64_t count,
                        std::string text) {
  auto it = std::find_if(decoded_.refusals.begin(), decoded_.refusals.end(),
                         [&](const auto& r) { return r.reason == reason; });
  if (it == decoded_.refusals.end()) {
    const bool of_samples = reason != kInvalidExemplar &&
                            reason != kInvalidMetadata &&
                            reason != kEmptySeries;
    decoded_.refusals.push_back({reason, of_samples, count, std::move(text)});
  } else {
    it->count += count;
  }
}

std::string WriteBatch::Place() const {
  return fmt::format("timeseries[{}]", index_);
}

bool WriteBatch::StartKnown(int64_t index, store::SeriesRef ref,
                            const SeriesAlias& alias) {
  index_ = index;
  keep_ = true;
  series_ = static_cast<uint32_t>(decoded_.batch.series.size());
  if (!Charge(sizeof(store::BatchSeries) + sizeof(SeriesAlias))) return false;
  decoded_.batch.series.emplace_back().ref = ref;
  decoded_.aliases.push_back(alias);
  return true;
}

bool WriteBatch::StartNew(int64_t index, const std::vector<LabelView>& labels,
                          const SeriesAlias& alias, uint64_t samples) {
  index_ = index;
  if (std::string fault = FaultOfLabels(labels); !fault.empty()) {
    const auto name = std::find_if(
        labels.begin(), labels.end(),
        [](const LabelView& label) { return label.name == kMetricName; });
    if (name != labels.end() && IsValidUtf8(name->value)) {
      fault = fmt::format("{}: {}", Shown(name->value), fault);
      return StartRefused(index, kInvalidSeriesLabels, " " + fault, samples);
    }
    return StartRefused(index, kInvalidSeriesLabels, ": " + fault, samples);
  }
  kept_labels_.clear();
  for (const LabelView& label : labels) {
    if (!label.value.empty()) kept_labels_.push_back(label);
  }
  keep_ = true;
  series_ = static_cast<uint32_t>(decoded_.batch.series.size());
  Labels set = Labels::FromSorted(kept_labels_);
  if (!Charge(set.bytes().size() + sizeof(store::BatchSeries) +
              sizeof(SeriesAlias))) {
    return false;
  }
  decoded_.batch.series.push_back({std::move(set), {}});
  decoded_.aliases.push_back(alias);
  return true;
}

bool WriteBatch::StartRefused(int64_t index, std::string_view reason,
                              std::string fault, uint64_t samples) {
  index_ = index;
  keep_ = false;
  Refuse(reason, samples, Place() + fault);
  return true;
}

bool WriteBatch::AddSample(std::string_view body, int64_t start_ms) {
  Sample sample;
  if (!ReadPlainSample(body, &sample)) {
    sample = {};
    WireReader reader = Open(body);
    while (reader.Next()) {
      uint64_t bits = 0;
      if (reader.field() == 1) {
        reader.ReadDouble(&sample.value);
      } else if (reader.field() == 2) {
        reader.ReadVarint(&bits);
        sample.time_ms = static_cast<int64_t>(bits);
      } else if (reader.field() == 3 && version_ == WriteVersion::k2) {
        reader.ReadVarint(&bits);
        if (bits != 0) start_ms = static_cast<int64_t>(bits);
      }
    }
    if (!Check(reader)) return false;
  }
  ++decoded_.samples;
  if (!keep_) return true;
  if (!Charge(sizeof(store::FloatPoint))) return false;
  // In place: a copy of so many small fields waits for each of them.
  store::FloatPoint& point = decoded_.batch.floats.emplace_back();
  point.series = series_;
  point.sample.time_ms = sample.time_ms;
  point.sample.value = sample.value;
  point.start_ms = start_ms;
  return true;
}

bool WriteBatch::AddHistogram(std::string_view body, int64_t start_ms) {
  RawHistogram raw;
  WireReader reader = Open(body);
  ReadHistogram(*this, version_, &reader, &raw);
  if (!Check(reader)) return false;
  ++decoded_.samples;
  if (!keep_) return true;
  if (!Charge(raw.bytes())) return false;
  if (raw.start_ms == 0) raw.start_ms = start_ms;
  if (const char* fault = AddTo(&decoded_.batch, series_, &raw)) {
    Refuse(kInvalidHistogram, 1,
           fmt::format("{} {}: {}", Place(), NameOfSeries(), fault));
  }
  return true;
}

std::string WriteBatch::NameOfSeries() const {
  const store::BatchSeries& series = decoded_.batch.series[series_];
  return series.ref.id == 0 ? series.labels.ToString()
                            : source_->LabelsOf(series_).ToString();
}

bool WriteBatch::AddExemplar(Exemplar exemplar, bool valid) {
  ++decoded_.others;
  if (!keep_ || !valid) {
    Refuse(kInvalidExemplar, 1,
           fmt::format("{}: an exemplar's {} not valid", Place(),
                       keep_ ? "labels are" : "series is"));
    return true;
  }
  if (!Charge(sizeof(store::ExemplarPoint) + exemplar.labels.bytes().size())) {
    return false;
  }
  decoded_.batch.exemplars.push_back({series_, std::move(exemplar)});
  return true;
}

bool WriteBatch::AddMetadata(uint64_t type, std::string_view family,
                             std::string_view help, std::string_view unit) {
  ++decoded_.others;
  if (family.empty() || !IsValidUtf8(family) || !IsValidUtf8(help) ||
      !IsValidUtf8(unit)) {
    Refuse(kInvalidMetadata, 1, "metadata without a family name or not UTF-8");
    return true;
  }
  if (!Charge(sizeof(store::MetadataPoint) + family.size() + help.size() +
              unit.size())) {
    return false;
  }
  decoded_.batch.metadata.push_back(
      {std::string(family),
       {type <= kMetricTypeMax ? static_cast<MetricType>(type)
                               : MetricType::kUnknown,
        std::string(help), std::string(unit)}});
  return true;
}

absl::StatusOr<WriteRequestDecoded> WriteBatch::Finish(
    std::shared_ptr<const store::LabelSource> source) && {
  if (!status_.ok()) return status_;
  decoded_.batch.label_source = std::move(source);
  return std::move(decoded_);
}

}  // namespace vigie::collector
