// Chunk: a run of samples of one series and one kind as bytes, bit for bit:
// times and start times as integers, values and counts as columns over time.
// Bytes: docs/formats/chunk.md. Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/sample.h"
#include "store/chunk_statistics.h"
#include "store/sample_columns.h"
#include "store/time_column.h"

namespace vigie::store {

// More are refused on both sides: it bounds what a decode may allocate.
inline constexpr size_t kChunkSamplesLimit = 4096;

// Shorter chunks carry no statistics: decoding one is as quick.
inline constexpr size_t kChunkStatisticsSamplesMin = 120;

// Where a chunk that starts at `begin` must end: after `samples_max` samples at
// most (and kChunkSamplesLimit), where the samples end, or, of histograms,
// where their layout changes or they would become too many to decode at once.
size_t ChunkEnd(const SampleColumns& samples, size_t begin, size_t samples_max);

// The samples [begin, end) of `samples`, at least one, and no more than
// ChunkEnd allows. With a sink, times that are not regular are put there if
// that saves anything; without, the chunk is whole in itself.
std::string EncodeChunk(const SampleColumns& samples, size_t begin, size_t end,
                        TimeColumnSink* sink = nullptr);

// What a chunk says of itself without being decoded.
struct ChunkHeader {
  SampleKind kind = SampleKind::kFloat;
  size_t samples = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
};

// kDataLoss if the bytes are not what EncodeChunk writes; kFailedPrecondition
// for a version or kind that this program does not know.
absl::StatusOr<ChunkHeader> ReadChunkHeader(std::string_view bytes);

// Of a chunk of floats; decodes it if it carries none. Errors as above, and
// kFailedPrecondition for histograms.
absl::StatusOr<ChunkStatistics> ReadChunkStatistics(std::string_view bytes);

// The number of the shared time column that a merge or seal must carry along,
// or none. Errors as of ReadChunkHeader.
absl::StatusOr<std::optional<uint32_t>> ReadSharedTimeColumn(
    std::string_view bytes);

// The newest sample up to `max_ms` of a chunk of floats without start times,
// for less than decoding it takes; none of other chunks, or if all are newer.
// Errors as of DecodeChunk.
absl::StatusOr<std::optional<Sample>> ReadNewestFloat(std::string_view bytes,
                                                      int64_t max_ms,
                                                      TimeColumnSource* source);

// Replaces `*samples`. `source` may be null if nothing is shared. Errors as of
// ReadChunkHeader, and those of the source.
absl::Status DecodeChunk(std::string_view bytes, TimeColumnSource* source,
                         SampleColumns* samples);
// Of a chunk that shares nothing.
absl::Status DecodeChunk(std::string_view bytes, SampleColumns* samples);
// Appends the floats within `range` to floats before them, if neither have
// start times; false, and nothing appended, otherwise. After an error there is
// nothing in `*samples` but what was.
absl::StatusOr<bool> AppendChunk(std::string_view bytes,
                                 TimeColumnSource* source,
                                 const TimeRange& range,
                                 SampleColumns* samples);

}  // namespace vigie::store
