// BatchRecord: what the log keeps of one batch, as it was decided: only what
// was accepted, with the series it introduces. A replay applies it as it stands
// and decides nothing anew.
// Bytes: docs/formats/batch-record.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/exemplar.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "model/sample.h"

namespace vigie::store {

struct BatchRecord {
  struct Definition {
    uint64_t id = 0;
    Labels labels;
  };
  // Samples of one kind, of any series, in the order in which they are applied.
  template <class Value>
  struct Columns {
    std::vector<uint64_t> ids;
    std::vector<int64_t> times_ms;
    std::vector<Value> values;
    std::vector<int64_t> starts_ms;  // empty if none has a start time

    size_t size() const { return ids.size(); }
    bool empty() const { return ids.empty(); }
    int64_t start_ms(size_t i) const {
      return starts_ms.empty() ? 0 : starts_ms[i];
    }
    void Add(uint64_t id, int64_t time_ms, int64_t start_ms, Value value) {
      if (start_ms != 0 && starts_ms.empty()) starts_ms.resize(size());
      ids.push_back(id);
      times_ms.push_back(time_ms);
      values.push_back(std::move(value));
      if (start_ms != 0 || !starts_ms.empty()) starts_ms.push_back(start_ms);
    }
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
  Columns<double> floats;
  // What delta increments have added up to: samples as the others, and from
  // the end of the last one of a series its next interval goes on.
  Columns<double> deltas;
  Columns<IntegerHistogram> integer_histograms;
  Columns<FloatHistogram> float_histograms;
  std::vector<SeriesExemplar> exemplars;
  std::vector<MetricMetadata> metadata;

  bool empty() const {
    return floats.empty() && deltas.empty() && integer_histograms.empty() &&
           float_histograms.empty() && exemplars.empty() && metadata.empty();
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
