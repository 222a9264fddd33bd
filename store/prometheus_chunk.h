// The chunks of Prometheus's blocks: XOR chunks of floats, chunks of integer
// and of float histograms. Read only, and bounded: any bytes give samples or
// an error.
// Source: prometheus/tsdb/docs/format/chunks.md, tsdb/chunkenc.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/queryable.h"

namespace vigie::store {

// The encoding byte of a chunk.
inline constexpr uint8_t kPrometheusXor = 1;
inline constexpr uint8_t kPrometheusHistogram = 2;
inline constexpr uint8_t kPrometheusFloatHistogram = 3;

// A histogram with more buckets than this is refused as damaged.
inline constexpr uint64_t kPrometheusBucketsMax = 1 << 16;

// The samples of the chunk with this encoding and these bytes (checksum taken
// off). Reset hints are as Prometheus reads them: of the first sample what the
// chunk says, of those after it that there was no reset. kDataLoss if the
// bytes are not those of such a chunk; kUnimplemented for another encoding.
absl::StatusOr<SampleBatch> DecodePrometheusChunk(uint8_t encoding,
                                                  std::string_view bytes);

}  // namespace vigie::store
