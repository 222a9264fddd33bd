// ChunkStatistics: what a run of floats says as a whole, so that a query over
// it need not decode it. Staleness markers are no values and count nowhere;
// any other NaN is a value, as in PromQL.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "store/byte_coding.h"

namespace vigie::store {

struct ChunkStatistics {
  uint64_t count = 0;  // 0: then the rest says nothing
  double first = 0;
  double last = 0;
  // Of the values that are no NaN; NaN if there are none. The first of equals,
  // which matters for 0 and -0.
  double min = 0;
  double max = 0;
  double sum = 0;       // compensated (Neumaier), in order of time
  uint64_t resets = 0;  // values below the value before them

  // Bit equality.
  friend bool operator==(const ChunkStatistics& a, const ChunkStatistics& b);
};

ChunkStatistics StatisticsOf(std::span<const double> values);

// As bytes: about a dozen for decimal values. Bytes: docs/formats/chunk.md.
void PutStatistics(const ChunkStatistics& statistics, std::string* out);
// False if the bytes are not what PutStatistics wrote.
bool TakeStatistics(ByteReader* in, ChunkStatistics* statistics);

}  // namespace vigie::store
