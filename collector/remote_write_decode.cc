#include "collector/remote_write_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"
#include "collector/remote_write_batch.h"
#include "collector/wire_reader.h"

namespace vigie::collector {
namespace {

// Fields 1 to 4, bytes.
constexpr char kSeriesTag = 0x0A;  // of the request
constexpr char kLabelTag = 0x0A;   // of a series, as are the others
constexpr char kSampleTag = 0x12;
constexpr char kExemplarTag = 0x1A;
constexpr char kHistogramTag = 0x22;

// The labels of a series as they stand in the message.
struct SeriesBytes {
  std::string_view body;
  // The label fields, if they all stand at the beginning of `body`.
  std::string_view labels;
  bool plain = false;
  int64_t index = 0;  // in the message
};

bool ReadPair(WireReader reader, LabelView* label, const char** error,
              size_t* offset) {
  while (reader.Next()) {
    if (reader.field() == 1) reader.Read(&label->name);
    if (reader.field() == 2) reader.Read(&label->value);
  }
  *error = reader.error();
  *offset = reader.offset();
  return *error == nullptr;
}

// The bytes of a field whose tag ends at `p`, and where they end; null if they
// are cut short or so many that their length takes more than two bytes.
// WireReader does the same for every form of every field; this is for the forms
// that all senders write, a dozen times a series.
[[gnu::always_inline]] inline const char* TakeBytes(const char* p,
                                                    const char* end,
                                                    std::string_view* bytes) {
  if (p == end) return nullptr;
  size_t size = static_cast<uint8_t>(*p++);
  if (size >= 0x80) {
    if (p == end || static_cast<uint8_t>(*p) >= 0x80) return nullptr;
    size = (size & 0x7F) | static_cast<size_t>(static_cast<uint8_t>(*p++)) << 7;
  }
  if (size > static_cast<size_t>(end - p)) return nullptr;
  *bytes = {p, size};
  return p + size;
}

// Gives the labels of series that a batch names by reference.
class MessageLabels final : public store::LabelSource {
 public:
  explicit MessageLabels(const WriteMessage& message)
      : owner_(message.owner), size_(message.bytes.size()) {}

  void Add(std::string_view labels) { labels_.push_back(labels); }
  void Reserve(size_t series) { labels_.reserve(series); }

  Labels LabelsOf(uint32_t series) const override {
    // These bytes were a valid series when their alias was learnt.
    const std::string_view bytes = labels_[series];
    std::vector<LabelView> labels;
    WireReader reader(bytes, bytes.data());
    while (reader.Next()) {
      std::string_view pair;
      LabelView label;
      const char* error;
      size_t offset;
      reader.Read(&pair);
      ReadPair({pair, bytes.data()}, &label, &error, &offset);
      if (!label.value.empty()) labels.push_back(label);
    }
    return Labels::FromSorted(labels);
  }
  int64_t bytes() const override {
    return static_cast<int64_t>(size_ +
                                labels_.capacity() * sizeof(labels_[0]));
  }

 private:
  const std::shared_ptr<const void> owner_;
  const size_t size_;
  std::vector<std::string_view> labels_;  // by series of the batch
};

class Decoder {
 public:
  explicit Decoder(const WriteMessage& message)
      : message_(message), out_(message, WriteVersion::k1) {}

  absl::StatusOr<WriteRequestDecoded> Run() {
    if (message_.aliases != nullptr) {
      source_ = std::make_shared<MessageLabels>(message_);
      out_.set_source(source_.get());
    }
    WireReader reader = out_.Open(ReadLeadingSeries());
    while (out_.ok() && reader.Next()) {
      std::string_view body;
      switch (reader.field()) {
        case 1:
          reader.Read(&body);
          if (reader.error() == nullptr) Gather(body);
          break;
        case 3:
          reader.Read(&body);
          if (reader.error() == nullptr) ReadMetadata(body);
          break;
        case 4:
        case 5:
          // It would be an empty request, and lost without a word.
          reader.Fail("fields of io.prometheus.write.v2.Request");
          break;
        default:
          break;
      }
    }
    if (reader.error() != nullptr) gathered_ = 0;
    ReadTogether();
    out_.Check(reader, "request");
    return std::move(out_).Finish(by_reference_ > 0 ? std::move(source_)
                                                    : nullptr);
  }

 private:
  // The series that the message begins with, as a rule all; returns the rest.
  std::string_view ReadLeadingSeries() {
    const char* p = message_.bytes.data();
    const char* const end = p + message_.bytes.size();
    std::string_view body;
    size_t count = 0;
    for (const char* at = p; at != end && *at == kSeriesTag; ++count) {
      if ((at = TakeBytes(at + 1, end, &body)) == nullptr) break;
    }
    Reserve(count);
    while (out_.ok() && p != end && *p == kSeriesTag) {
      const char* const after = TakeBytes(p + 1, end, &body);
      if (after == nullptr) break;
      Gather(body);
      p = after;
    }
    return {p, static_cast<size_t>(end - p)};
  }

  void Reserve(size_t series) {
    // Of a message beyond the bound no more is kept.
    series = std::min(
        series, static_cast<size_t>(message_.batch_bytes_max) /
                    (sizeof(store::BatchSeries) + sizeof(store::FloatPoint)));
    out_.batch().series.reserve(series);
    out_.batch().floats.reserve(series);
    out_.decoded().aliases.reserve(series);
    if (source_ != nullptr) source_->Reserve(series);
  }

  void Gather(std::string_view body) {
    together_[gathered_++] = {body, {}, false, series_index_++};
    if (gathered_ == together_.size()) ReadTogether();
  }

  // Decodes the gathered series, those with an alias by their reference.
  void ReadTogether() {
    const size_t count = std::exchange(gathered_, 0);
    for (size_t i = 0; i < count; ++i) {
      SeriesBytes& series = together_[i];
      FindLabels(&series);
      aliases_[i] =
          series.plain && message_.aliases != nullptr
              ? message_.aliases->AliasOf(series.labels, message_.salt)
              : SeriesAlias{};
    }
    if (message_.aliases != nullptr) {
      message_.aliases->Find({aliases_.data(), count}, &cursor_,
                             {refs_.data(), count});
    }
    for (size_t i = 0; i < count && out_.ok(); ++i) {
      if (refs_[i].id == 0) {
        ReadNewSeries(together_[i], aliases_[i]);
      } else if (out_.StartKnown(together_[i].index, refs_[i], aliases_[i])) {
        ++by_reference_;
        source_->Add(together_[i].labels);
        ReadPlainPoints(together_[i]);
      }
    }
  }

  // Labels first, then points, in the forms that TakeBytes knows: what every
  // sender writes. All else is decoded in full.
  static void FindLabels(SeriesBytes* series) {
    const char* const begin = series->body.data();
    const char* const end = begin + series->body.size();
    const char* p = begin;
    std::string_view bytes;
    while (p != end && *p == kLabelTag) {
      if ((p = TakeBytes(p + 1, end, &bytes)) == nullptr) return;
    }
    series->labels = {begin, static_cast<size_t>(p - begin)};
    while (p != end && IsPointTag(*p)) {
      if ((p = TakeBytes(p + 1, end, &bytes)) == nullptr) return;
    }
    series->plain = p == end && !series->labels.empty();
  }

  static bool IsPointTag(char tag) {
    return tag == kSampleTag || tag == kExemplarTag || tag == kHistogramTag;
  }

  void ReadPlainPoints(const SeriesBytes& series) {
    const char* p = series.body.data() + series.labels.size();
    const char* const end = series.body.data() + series.body.size();
    std::string_view point;
    while (p != end && out_.ok()) {
      const char tag = *p;
      p = TakeBytes(p + 1, end, &point);  // not null: FindLabels has seen to it
      if (tag == kSampleTag) out_.AddSample(point, 0);
      if (tag == kExemplarTag) ReadExemplar(point);
      if (tag == kHistogramTag) out_.AddHistogram(point, 0);
    }
  }

  void ReadNewSeries(const SeriesBytes& series, const SeriesAlias& alias) {
    labels_.clear();
    uint64_t samples = 0;
    WireReader reader = out_.Open(series.body);
    while (reader.Next()) {
      if (reader.field() == 2 || reader.field() == 4) ++samples;
      if (reader.field() != 1) continue;
      std::string_view pair;
      reader.Read(&pair);
      if (reader.error() != nullptr ||
          !Read(pair, series.index, &labels_.emplace_back())) {
        break;
      }
    }
    if (!out_.ok() || !out_.Check(reader, PlaceOf(series.index))) return;
    if (!out_.StartNew(series.index, labels_, alias, samples)) return;
    if (source_ != nullptr && out_.keeps()) source_->Add({});
    ReadPoints(series.body);
  }

  static std::string PlaceOf(int64_t index) {
    return fmt::format("timeseries[{}]", index);
  }
  bool Read(std::string_view pair, int64_t index, LabelView* label) {
    const char* error;
    size_t offset;
    return ReadPair(out_.Open(pair), label, &error, &offset) ||
           out_.Malformed(PlaceOf(index), offset, error);
  }

  // Points are read even where the series is refused: a malformed one spoils
  // the whole message.
  void ReadPoints(std::string_view bytes) {
    WireReader reader = out_.Open(bytes);
    while (out_.ok() && reader.Next()) {
      std::string_view point;
      if (reader.field() < 2 || reader.field() > 4) continue;
      reader.Read(&point);
      if (reader.error() != nullptr) break;
      if (reader.field() == 2) out_.AddSample(point, 0);
      if (reader.field() == 3) ReadExemplar(point);
      if (reader.field() == 4) out_.AddHistogram(point, 0);
    }
    out_.Check(reader);
  }

  void ReadExemplar(std::string_view body) {
    Exemplar exemplar;
    LabelsBuilder labels;
    uint64_t time_ms = 0;
    bool valid = true;
    WireReader reader = out_.Open(body);
    while (reader.Next()) {
      std::string_view pair;
      LabelView label;
      if (reader.field() == 1) {
        reader.Read(&pair);
        if (reader.error() != nullptr) break;
        const char* error;
        size_t offset;
        if (!ReadPair(out_.Open(pair), &label, &error, &offset)) {
          out_.Malformed(out_.Place(), offset, error);
          return;
        }
        valid = valid && !label.name.empty() && IsValidUtf8(label.name) &&
                IsValidUtf8(label.value);
        if (valid) labels.Set(label.name, label.value);
      } else if (reader.field() == 2) {
        reader.ReadDouble(&exemplar.value);
      } else if (reader.field() == 3) {
        reader.ReadVarint(&time_ms);
      }
    }
    if (!out_.Check(reader)) return;
    exemplar.labels = labels.Build();
    exemplar.time_ms = static_cast<int64_t>(time_ms);
    out_.AddExemplar(std::move(exemplar), valid);
  }

  void ReadMetadata(std::string_view body) {
    uint64_t type = 0;
    std::string_view family, help, unit;
    WireReader reader = out_.Open(body);
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
    if (out_.Check(reader, fmt::format("metadata {}",
                                       Quoted(TruncatedUtf8(
                                           family, kSenderNameBytesShown))))) {
      out_.AddMetadata(type, family, help, unit);
    }
  }

  const WriteMessage& message_;
  WriteBatch out_;
  std::shared_ptr<MessageLabels> source_;
  SeriesAliases::Cursor cursor_;
  uint64_t by_reference_ = 0;
  int64_t series_index_ = 0;
  size_t gathered_ = 0;
  std::array<SeriesBytes, kSeriesTogether> together_;
  std::array<SeriesAlias, kSeriesTogether> aliases_;
  std::array<store::SeriesRef, kSeriesTogether> refs_;
  std::vector<LabelView> labels_;  // of a new series; kept for its memory
};

}  // namespace

absl::StatusOr<WriteRequestDecoded> DecodeWriteRequest(
    const WriteMessage& message) {
  return Decoder(message).Run();
}

}  // namespace vigie::collector
