// Decodes the protobuf of Prometheus remote write 1.0, already decompressed,
// by hand into one batch.
// Source: "Prometheus Remote-Write 1.0 specification".
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "store/appender.h"

namespace vigie::collector {

// What the decoder refused for one reason. Samples are of any kind; exemplars
// and metadata have reasons of their own, as they are no reason to answer 400.
struct WriteRefusal {
  std::string_view reason;  // a literal: "invalid_labels", "invalid_histogram"
  bool of_samples = true;
  uint64_t count = 0;
  std::string example;
};

struct WriteRequestDecoded {
  // The tenant is the caller's to set.
  store::AppendBatch batch;
  uint64_t samples = 0;                // in the message, refused ones included
  std::vector<WriteRefusal> refusals;  // at most one a reason
};

// A series whose labels are not sorted, not unique, not UTF-8 or without a
// metric name is refused alone, as is a histogram that contradicts itself; an
// empty value is the same as no label. For a malformed body nothing is given:
//   kInvalidArgument  the wire is malformed, with the byte
//   kOutOfRange       the batch would take more than `batch_bytes_max`
absl::StatusOr<WriteRequestDecoded> DecodeWriteRequest(std::string_view message,
                                                       int64_t batch_bytes_max);

}  // namespace vigie::collector
