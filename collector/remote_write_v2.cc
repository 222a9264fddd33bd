#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/strings.h"
#include "collector/remote_write_batch.h"
#include "collector/remote_write_decode.h"
#include "collector/wire_reader.h"

namespace vigie::collector {
namespace {

// One in so many known series brings its metadata along, so that the store
// sees what is still in use. The others are skipped: it was taken with the
// alias, which it is part of.
constexpr uint64_t kMetadataShare = 256;

struct MetadataRefs {
  uint64_t type = 0, help = 0, unit = 0;
  bool any() const { return type != 0 || help != 0 || unit != 0; }
};

// A series before its points are read.
struct SeriesBytes {
  std::string_view body;
  std::string_view refs;  // packed, if they are one field
  bool packed = true;
  MetadataRefs metadata;
  int64_t created_ms = 0;
  uint64_t samples = 0, histograms = 0;
  int64_t index = 0;  // in the message
};

// Several labels refs, packed or not, as they follow one another. False if
// malformed; the reader has the error.
bool AppendRefs(WireReader* reader, std::vector<uint64_t>* refs) {
  reader->ReadRepeatedVarint([&](uint64_t ref) { refs->push_back(ref); });
  return reader->error() == nullptr;
}

// The family that a series belongs to by its metadata's type: the sender says
// the series' name alone.
std::string_view FamilyOf(std::string_view name, uint64_t type) {
  const auto without = [&](std::initializer_list<std::string_view> suffixes) {
    for (const std::string_view suffix : suffixes) {
      if (name.size() > suffix.size() && name.ends_with(suffix)) {
        return name.substr(0, name.size() - suffix.size());
      }
    }
    return name;
  };
  switch (static_cast<MetricType>(type)) {
    case MetricType::kHistogram:
      return without({"_bucket", "_count", "_sum"});
    case MetricType::kGaugeHistogram:
      return without({"_bucket", "_gcount", "_gsum"});
    case MetricType::kSummary:
      return without({"_count", "_sum"});
    default:
      return name;
  }
}

// Gives the labels of series that a batch names by reference.
class SymbolLabels final : public store::LabelSource {
 public:
  explicit SymbolLabels(const WriteMessage& message)
      : owner_(message.owner), size_(message.bytes.size()) {}

  std::vector<std::string_view>& symbols() { return symbols_; }
  void Add(std::string_view refs) { refs_.push_back(refs); }

  Labels LabelsOf(uint32_t series) const override {
    // They were a valid series when their alias was learnt.
    std::vector<LabelView> labels;
    std::string_view name;
    bool is_value = false;
    const std::string_view refs = refs_[series];
    for (size_t i = 0; i < refs.size(); ++i) {
      uint64_t ref = 0;
      for (int shift = 0;; shift += 7, ++i) {
        ref |= static_cast<uint64_t>(refs[i] & 0x7F) << shift;
        if (static_cast<uint8_t>(refs[i]) < 0x80) break;
      }
      const std::string_view text = symbols_[ref];
      if (!is_value) {
        name = text;
      } else if (!text.empty()) {
        labels.push_back({name, text});
      }
      is_value = !is_value;
    }
    return Labels::FromSorted(labels);
  }
  int64_t bytes() const override {
    return static_cast<int64_t>(
        size_ + (symbols_.capacity() + refs_.capacity()) * sizeof(refs_[0]));
  }

 private:
  const std::shared_ptr<const void> owner_;
  const size_t size_;
  std::vector<std::string_view> symbols_;
  std::vector<std::string_view> refs_;  // by series of the batch
};

class Decoder {
 public:
  explicit Decoder(const WriteMessage& message)
      : message_(message),
        out_(message, WriteVersion::k2),
        source_(std::make_shared<SymbolLabels>(message)),
        symbols_(source_->symbols()) {
    out_.set_source(source_.get());
  }

  absl::StatusOr<WriteRequestDecoded> Run() {
    if (ReadRequest()) {
      for (size_t i = 0; i < bodies_.size() && out_.ok();
           i += kSeriesTogether) {
        ReadTogether(i, std::min(kSeriesTogether, bodies_.size() - i));
      }
    }
    return std::move(out_).Finish(by_reference_ > 0 ? std::move(source_)
                                                    : nullptr);
  }

 private:
  // Symbols may stand anywhere, so they are gathered before any series.
  bool ReadRequest() {
    WireReader reader = out_.Open(message_.bytes);
    while (out_.ok() && reader.Next()) {
      std::string_view bytes;
      switch (reader.field()) {
        case 1:
        case 2:
        case 3:
          // It would be an empty request, and lost without a word.
          reader.Fail("fields of prometheus.WriteRequest");
          break;
        case 4:
          reader.Read(&bytes);
          out_.Charge(sizeof(bytes) + sizeof(SeriesAlias));
          symbols_.push_back(bytes);
          if (symbols_.size() == 1 && !bytes.empty()) {
            reader.Fail("symbols[0] is not the empty string");
          }
          break;
        case 5:
          reader.Read(&bytes);
          out_.Charge(sizeof(bytes));
          bodies_.push_back(bytes);
          break;
        default:
          break;
      }
    }
    if (!out_.Check(reader, "request")) return false;
    if (symbols_.empty() && !bodies_.empty()) {
      return out_.Malformed("request", message_.bytes.size(), "no symbols");
    }
    hashes_.resize(symbols_.size());
    out_.batch().series.reserve(bodies_.size());
    out_.batch().floats.reserve(bodies_.size());
    out_.decoded().aliases.reserve(bodies_.size());
    return out_.ok();
  }

  void ReadTogether(size_t first, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      SeriesBytes& series = together_[i];
      series = {};
      series.body = bodies_[first + i];
      series.index = static_cast<int64_t>(first + i);
      if (!ReadOutline(&series)) return;
      aliases_[i] =
          message_.aliases != nullptr ? AliasOf(series) : SeriesAlias{};
    }
    if (message_.aliases != nullptr) {
      message_.aliases->Find({aliases_.data(), count}, &cursor_,
                             {refs_.data(), count});
    }
    for (size_t i = 0; i < count && out_.ok(); ++i) {
      const SeriesBytes& series = together_[i];
      const bool one_kind = (series.samples == 0) != (series.histograms == 0);
      if (refs_[i].id == 0 || !one_kind || IsMetadataDue(series, aliases_[i])) {
        ReadInFull(series, aliases_[i]);
      } else if (out_.StartKnown(series.index, refs_[i], aliases_[i])) {
        ++by_reference_;
        source_->Add(series.refs);
        ReadPoints(series);
      }
    }
  }

  // Whether this known series is decoded in full for its metadata's sake.
  bool IsMetadataDue(const SeriesBytes& series,
                     const SeriesAlias& alias) const {
    constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;
    return series.metadata.any() &&
           (alias.low ^ message_.sequence * kGolden) * kGolden >> 32 <
               (uint64_t{1} << 32) / kMetadataShare;
  }

  static std::string PlaceOf(const SeriesBytes& series) {
    return fmt::format("timeseries[{}]", series.index);
  }

  bool ReadOutline(SeriesBytes* series) {
    bool has_refs = false;
    WireReader reader = out_.Open(series->body);
    while (reader.Next()) {
      std::string_view bytes;
      uint64_t bits = 0;
      switch (reader.field()) {
        case 1:
          series->packed =
              series->packed && !has_refs && reader.type() == WireType::kBytes;
          has_refs = true;
          if (series->packed) reader.Read(&series->refs);
          break;
        case 2:
          ++series->samples;
          break;
        case 3:
          ++series->histograms;
          break;
        case 5:
          reader.Read(&bytes);
          if (reader.error() == nullptr &&
              !ReadMetadataRefs(bytes, *series, &series->metadata)) {
            return false;
          }
          break;
        case 6:
          reader.ReadVarint(&bits);
          series->created_ms = static_cast<int64_t>(bits);
          break;
        default:
          break;
      }
    }
    return out_.Check(reader, PlaceOf(*series));
  }

  bool ReadMetadataRefs(std::string_view body, const SeriesBytes& series,
                        MetadataRefs* metadata) {
    WireReader reader = out_.Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) reader.ReadVarint(&metadata->type);
      if (reader.field() == 3) reader.ReadVarint(&metadata->help);
      if (reader.field() == 4) reader.ReadVarint(&metadata->unit);
    }
    return out_.Check(reader, PlaceOf(series));
  }

  const SeriesAlias& HashOf(uint64_t symbol) {
    SeriesAlias& hash = hashes_[symbol];
    if (hash == SeriesAlias{}) {
      hash = message_.aliases->AliasOf(symbols_[symbol], {});
    }
    return hash;
  }

  // Of the labels' texts, as their numbers mean nothing beyond this message,
  // and of the metadata: where that changes, the series is decoded in full.
  // None if anything refers beyond the symbols.
  SeriesAlias AliasOf(const SeriesBytes& series) {
    if (!series.packed) return {};
    const uint64_t size = symbols_.size();
    if (series.metadata.help >= size || series.metadata.unit >= size) return {};
    hashed_.clear();
    const auto* p = reinterpret_cast<const uint8_t*>(series.refs.data());
    const auto* const end = p + series.refs.size();
    while (p != end) {
      uint64_t ref = *p++;
      if (ref >= 0x80) {
        ref &= 0x7F;
        for (int shift = 7;; shift += 7) {
          if (p == end || shift > 28) return {};
          ref |= static_cast<uint64_t>(*p & 0x7F) << shift;
          if (*p++ < 0x80) break;
        }
      }
      if (ref >= size) return {};
      hashed_.push_back(HashOf(ref));
    }
    hashed_.push_back(HashOf(series.metadata.help));
    hashed_.push_back(HashOf(series.metadata.unit));
    hashed_.push_back({series.metadata.type, 0});
    return message_.aliases->AliasOf(
        {reinterpret_cast<const char*>(hashed_.data()),
         hashed_.size() * sizeof(SeriesAlias)},
        message_.salt);
  }

  void ReadInFull(const SeriesBytes& series, const SeriesAlias& alias) {
    all_refs_.clear();
    WireReader reader = out_.Open(series.body);
    while (reader.Next()) {
      if (reader.field() == 1 && !AppendRefs(&reader, &all_refs_)) break;
    }
    if (!out_.Check(reader, PlaceOf(series))) return;
    const uint64_t samples = series.samples + series.histograms;
    labels_.clear();
    std::string fault;
    if (!LabelsOf(all_refs_, &labels_, &fault)) {
      out_.StartRefused(series.index, kInvalidSeriesLabels, ": " + fault,
                        samples);
    } else if (series.samples > 0 && series.histograms > 0) {
      out_.StartRefused(series.index, kInvalidSeries,
                        ": both samples and histograms", samples);
    } else if (samples == 0) {
      ++out_.decoded().others;
      out_.StartRefused(series.index, kEmptySeries,
                        ": neither samples nor histograms", 1);
    } else if (!out_.StartNew(series.index, labels_, alias, samples)) {
      return;
    }
    if (out_.keeps()) {
      source_->Add({});
      ReadMetadata(series);
    }
    ReadPoints(series);
  }

  // False, and `fault` says why, if the references make no labels.
  bool LabelsOf(const std::vector<uint64_t>& refs,
                std::vector<LabelView>* labels, std::string* fault) const {
    if (refs.size() % 2 != 0) {
      *fault = fmt::format("{} labels_refs, an odd number", refs.size());
      return false;
    }
    for (size_t i = 0; i < refs.size(); ++i) {
      if (refs[i] >= symbols_.size()) {
        *fault = fmt::format("labels_refs[{}]: {} is not among {} symbols", i,
                             refs[i], symbols_.size());
        return false;
      }
      if (i % 2 == 0) {
        labels->push_back({symbols_[refs[i]], {}});
      } else {
        labels->back().value = symbols_[refs[i]];
      }
    }
    return true;
  }

  // Of the current series; once a message for all series of a family.
  void ReadMetadata(const SeriesBytes& series) {
    const MetadataRefs& refs = series.metadata;
    if (!refs.any()) return;
    if (refs.help >= symbols_.size() || refs.unit >= symbols_.size()) {
      ++out_.decoded().others;
      out_.Refuse(
          kInvalidMetadata, 1,
          fmt::format("{}: metadata: {} or {} is not among {} symbols",
                      out_.Place(), refs.help, refs.unit, symbols_.size()));
      return;
    }
    const auto name = std::find_if(
        labels_.begin(), labels_.end(),
        [](const LabelView& label) { return label.name == kMetricName; });
    const std::string_view family = FamilyOf(name->value, refs.type);
    const std::string_view help = symbols_[refs.help];
    const std::string_view unit = symbols_[refs.unit];
    if (families_.emplace(family, refs.type, help, unit).second) {
      out_.AddMetadata(refs.type, family, help, unit);
    }
  }

  void ReadPoints(const SeriesBytes& series) {
    WireReader reader = out_.Open(series.body);
    while (out_.ok() && reader.Next()) {
      std::string_view point;
      if (reader.field() < 2 || reader.field() > 4) continue;
      reader.Read(&point);
      if (reader.error() != nullptr) break;
      if (reader.field() == 2) out_.AddSample(point, series.created_ms);
      if (reader.field() == 3) out_.AddHistogram(point, series.created_ms);
      if (reader.field() == 4) ReadExemplar(point);
    }
    out_.Check(reader);
  }

  void ReadExemplar(std::string_view body) {
    Exemplar exemplar;
    uint64_t time_ms = 0;
    exemplar_refs_.clear();
    WireReader reader = out_.Open(body);
    while (reader.Next()) {
      if (reader.field() == 1) {
        if (!AppendRefs(&reader, &exemplar_refs_)) break;
      } else if (reader.field() == 2) {
        reader.ReadDouble(&exemplar.value);
      } else if (reader.field() == 3) {
        reader.ReadVarint(&time_ms);
      }
    }
    if (!out_.Check(reader)) return;
    exemplar.time_ms = static_cast<int64_t>(time_ms);
    exemplar_labels_.clear();
    std::string fault;
    bool valid = LabelsOf(exemplar_refs_, &exemplar_labels_, &fault);
    LabelsBuilder labels;
    for (const LabelView& label : exemplar_labels_) {
      valid = valid && !label.name.empty() && IsValidUtf8(label.name) &&
              IsValidUtf8(label.value);
      if (valid) labels.Set(label.name, label.value);
    }
    exemplar.labels = labels.Build();
    out_.AddExemplar(std::move(exemplar), valid);
  }

  const WriteMessage& message_;
  WriteBatch out_;
  std::shared_ptr<SymbolLabels> source_;
  std::vector<std::string_view>& symbols_;  // source_'s
  std::vector<SeriesAlias> hashes_;         // of symbols_, once needed
  std::vector<std::string_view> bodies_;    // of all series
  SeriesAliases::Cursor cursor_;
  uint64_t by_reference_ = 0;
  std::array<SeriesBytes, kSeriesTogether> together_;
  std::array<SeriesAlias, kSeriesTogether> aliases_;
  std::array<store::SeriesRef, kSeriesTogether> refs_;
  absl::flat_hash_set<std::tuple<std::string_view, uint64_t, std::string_view,
                                 std::string_view>>
      families_;
  // Kept for their memory.
  std::vector<SeriesAlias> hashed_;
  std::vector<uint64_t> all_refs_, exemplar_refs_;
  std::vector<LabelView> labels_, exemplar_labels_;
};

}  // namespace

absl::StatusOr<WriteRequestDecoded> DecodeWriteRequestV2(
    const WriteMessage& message) {
  return Decoder(message).Run();
}

}  // namespace vigie::collector
