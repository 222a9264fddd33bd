// Decodes the protobuf of Prometheus remote write, already decompressed, by
// hand into one batch. Series that are known by their alias cost no label set:
// the batch names them by reference, and the message stays for the case that
// the store has forgotten one.
// Source: "Prometheus Remote-Write 1.0 specification" and 2.0 (2.0-rc.4).
// Thread-safe: no state but the aliases.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "collector/series_alias.h"
#include "store/appender.h"

namespace vigie::collector {

// prometheus.WriteRequest and io.prometheus.write.v2.Request.
enum class WriteVersion { k1, k2 };

struct WriteMessage {
  std::string_view bytes;
  // Keeps `bytes` while a batch may need them.
  std::shared_ptr<const void> owner;
  // What the batch may take in memory.
  int64_t batch_bytes_max = 0;
  // Null: every series is decoded in full. Otherwise it outlives the call.
  SeriesAliases* aliases = nullptr;
  SeriesAlias salt;  // by SeriesAliases::SaltOf
  // Another for each message, so that chance falls differently each time.
  uint64_t sequence = 0;
};

// What the decoder refused for one reason. Samples are floats and histograms;
// exemplars and metadata have reasons of their own.
struct WriteRefusal {
  std::string_view reason;  // a literal: "invalid_labels", "invalid_histogram"
  bool of_samples = true;
  uint64_t count = 0;
  std::string example;
};

struct WriteRequestDecoded {
  // The tenant is the caller's to set.
  store::AppendBatch batch;
  std::vector<SeriesAlias> aliases;  // parallel to batch.series; may be none
  // In the message, refused ones included.
  uint64_t samples = 0;  // floats and histograms
  uint64_t others = 0;   // exemplars, metadata, series without samples
  std::vector<WriteRefusal> refusals;  // at most one a reason
};

// A series whose labels are not sorted, not unique, not UTF-8 or without a
// metric name is refused alone, as is a histogram whose counts are none; an
// empty value is the same as no label. For a malformed body nothing is given:
//   kInvalidArgument  the wire is malformed, with the byte
//   kOutOfRange       the batch would take more than `batch_bytes_max`
absl::StatusOr<WriteRequestDecoded> DecodeWriteRequest(
    const WriteMessage& message);

// The same of io.prometheus.write.v2.Request. A symbol table that does not
// begin with the empty string is malformed; a reference outside of it spoils
// its series (exemplar, metadata) alone, as does a series with both floats and
// histograms or with neither. Both of the places where revisions of the
// specification have the start of a counter are read, the sample's own first.
absl::StatusOr<WriteRequestDecoded> DecodeWriteRequestV2(
    const WriteMessage& message);

}  // namespace vigie::collector
