// Chunk packs a run of float samples of one series into bytes and back, bit
// for bit: times as delta of delta, values as XOR with the one before, as
// integer deltas or as a constant, whichever is the shortest.
// Bytes: docs/formats/chunk.md.
// Source of the bit streams: Pelkonen et al., "Gorilla", VLDB 2015, 4.1.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/sample_columns.h"

namespace vigie::store {

// More are refused on both sides: it bounds what a decode may allocate.
inline constexpr size_t kChunkSamplesLimit = 4096;

// The samples [begin, end) of `samples`, 1 to kChunkSamplesLimit of them.
std::string EncodeChunk(const SampleColumns& samples, size_t begin, size_t end);

// What a chunk says of itself without being decoded.
struct ChunkHeader {
  size_t samples = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
};

// kDataLoss if the bytes are not what EncodeChunk writes; kFailedPrecondition
// for a version or kind that this program does not know.
absl::StatusOr<ChunkHeader> ReadChunkHeader(std::string_view bytes);

// Replaces `*samples`. Errors as above.
absl::Status DecodeChunk(std::string_view bytes, SampleColumns* samples);

}  // namespace vigie::store
