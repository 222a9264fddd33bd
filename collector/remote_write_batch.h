// WriteBatch is what both versions of remote write share while a message is
// decoded: where the decoder is (for errors), what may still be taken, and the
// points, whose messages are the same but for start times and exemplars.
// Thread-compatible; lives as long as one message is decoded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/remote_write_decode.h"
#include "collector/wire_reader.h"
#include "model/labels.h"

namespace vigie::collector {

inline constexpr std::string_view kInvalidSeriesLabels = "invalid_labels";
inline constexpr std::string_view kInvalidSeries = "invalid_series";
inline constexpr std::string_view kEmptySeries = "empty_series";
inline constexpr std::string_view kInvalidHistogram = "invalid_histogram";
inline constexpr std::string_view kInvalidExemplar = "invalid_exemplar";
inline constexpr std::string_view kInvalidMetadata = "invalid_metadata";

// Series whose aliases are looked up together: their bytes stay in the cache
// from one pass over them to the next.
inline constexpr size_t kSeriesTogether = 128;

class WriteBatch {
 public:
  // `message` outlives the batch.
  WriteBatch(const WriteMessage& message, WriteVersion version);

  WireReader Open(std::string_view bytes) const {
    return {bytes, message_.data()};
  }

  // The first error is kept and ends the walk; these return false then.
  bool ok() const { return status_.ok(); }
  bool Check(const WireReader& reader) {
    return reader.error() == nullptr ||
           Malformed(Place(), reader.offset(), reader.error());
  }
  bool Check(const WireReader& reader, std::string_view place) {
    return reader.error() == nullptr ||
           Malformed(place, reader.offset(), reader.error());
  }
  bool Malformed(std::string_view place, size_t offset, std::string_view error);
  bool Charge(size_t bytes);

  // Counts as refused; `reason` is a literal.
  void Refuse(std::string_view reason, uint64_t count, std::string text);

  // Every series of the message goes through one of these three. `index` is
  // its place in the message. False if over the bound.
  bool StartKnown(int64_t index, store::SeriesRef ref,
                  const SeriesAlias& alias);
  // Its labels in their order. Not valid: the series is refused, its points
  // are read and left out, `samples` of them.
  bool StartNew(int64_t index, const std::vector<LabelView>& labels,
                const SeriesAlias& alias, uint64_t samples);
  bool StartRefused(int64_t index, std::string_view reason, std::string fault,
                    uint64_t samples);

  // Points of the current series; false if malformed or over the bound. A
  // start of its own has precedence over `start_ms`; 0 is none.
  bool AddSample(std::string_view body, int64_t start_ms);
  bool AddHistogram(std::string_view body, int64_t start_ms);
  // Not valid labels: `exemplar` is counted as refused.
  bool AddExemplar(Exemplar exemplar, bool valid);
  bool AddMetadata(uint64_t type, std::string_view family,
                   std::string_view help, std::string_view unit);

  // The current series is in the batch.
  bool keeps() const { return keep_; }
  store::AppendBatch& batch() { return decoded_.batch; }
  WriteRequestDecoded& decoded() { return decoded_; }
  // `timeseries[3]`.
  std::string Place() const;

  // `source` gives the labels of the series that were started by reference.
  absl::StatusOr<WriteRequestDecoded> Finish(
      std::shared_ptr<const store::LabelSource> source) &&;
  // For what is said of a histogram; set before the first point.
  void set_source(const store::LabelSource* source) { source_ = source; }

 private:
  std::string NameOfSeries() const;

  const std::string_view message_;
  const WriteVersion version_;
  int64_t bytes_left_;
  const int64_t bytes_max_;
  absl::Status status_;
  WriteRequestDecoded decoded_;
  const store::LabelSource* source_ = nullptr;
  // Of the current series.
  int64_t index_ = 0;
  uint32_t series_ = 0;
  bool keep_ = true;
  std::vector<LabelView> kept_labels_;  // by StartNew; kept for its memory
};

// Of a sender's name, in errors.
inline constexpr size_t kSenderNameBytesShown = 200;

}  // namespace vigie::collector
