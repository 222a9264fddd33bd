// BatchRecord: what the log keeps of one batch, as it was decided: only what
// was accepted, with the series it introduces. A replay applies it as it stands
// and decides nothing anew.
// Bytes: docs/formats/batch-record.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/exemplar.h"
#include "model/labels.h"
#include "model/sample.h"

namespace vigie::store {

struct BatchRecord {
  struct Definition {
    uint64_t id = 0;
    Labels labels;
  };
  // Of one series: floats[begin, end) of the record.
  struct Run {
    uint64_t id = 0;
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  struct Float {
    Sample sample;
    int64_t start_ms = 0;
  };
  struct SeriesExemplar {
    uint64_t id = 0;
    Exemplar exemplar;
  };
  struct MetricMetadata {
    std::string metric;
    Metadata metadata;
  };

  int64_t decided_ms = 0;  // by the clock, when the batch was decided
  std::string tenant;
  std::vector<Definition> definitions;
  std::vector<Run> runs;
  std::vector<Float> floats;
  std::vector<SeriesExemplar> exemplars;
  std::vector<MetricMetadata> metadata;

  bool empty() const {
    return floats.empty() && exemplars.empty() && metadata.empty();
  }
};

std::string EncodeBatchRecord(const BatchRecord& record);
// kDataLoss if the bytes are not what EncodeBatchRecord writes;
// kFailedPrecondition for a version that this program does not know.
absl::StatusOr<BatchRecord> DecodeBatchRecord(std::string_view bytes);

// As records and tables hold them.
void PutMetadata(const Metadata& metadata, std::string* out);
void PutExemplar(const Exemplar& exemplar, std::string* out);
class ByteReader;
// What they return is to be used only if `in->ok()` afterwards.
Metadata TakeMetadata(ByteReader* in);
absl::StatusOr<Exemplar> TakeExemplar(ByteReader* in);

}  // namespace vigie::store
