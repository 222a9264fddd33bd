// Keys of the block tables, and the rows behind them. Bytes:
// docs/formats/keys.md.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/exemplar.h"
#include "store/log.h"
#include "store/seal_capture.h"
#include "store/windows.h"

namespace vigie::store {

// A tenant's name goes into keys with one byte of length before it.
inline constexpr size_t kTenantBytesMax = 255;

// What the keys of all chunks of a series in a window begin with.
std::string ChunkPrefix(int32_t window, std::string_view tenant,
                        uint32_t metric_hash, uint64_t series_id);
// `seal` numbers the seals of the directory: what came first has the lower.
std::string ChunkKey(std::string_view prefix, int64_t first_ms, int32_t window,
                     uint32_t seal);
// The seal of a chunk's key; kDataLoss if the key is no chunk's.
absl::StatusOr<uint32_t> SealOfChunkKey(std::string_view key,
                                        std::string_view prefix);
// What all keys of the windows before `window` sort below.
std::string WindowPrefix(int32_t window);

// Tables `series`, `seen` and `exemplars`.
std::string SeriesKey(uint64_t series_id);
absl::StatusOr<uint64_t> ParseSeriesKey(std::string_view key);

struct SeriesRow {
  std::string tenant;
  Labels labels;
};
std::string EncodeSeriesRow(std::string_view tenant, const Labels& labels);
absl::StatusOr<SeriesRow> ParseSeriesRow(std::string_view value);

std::string EncodeSeenRow(const SeriesState& state);
absl::StatusOr<SeriesState> ParseSeenRow(std::string_view value);

std::string EncodeExemplarsRow(const std::vector<Exemplar>& exemplars);
absl::StatusOr<std::vector<Exemplar>> ParseExemplarsRow(std::string_view value);

// Table `metadata`.
struct MetadataKey {
  std::string tenant;
  std::string metric;
};
std::string EncodeMetadataKey(std::string_view tenant, std::string_view metric);
absl::StatusOr<MetadataKey> ParseMetadataKey(std::string_view key);
std::string EncodeMetadataRow(const MetadataEntry& entry);
absl::StatusOr<MetadataEntry> ParseMetadataRow(std::string_view value);

// Table `meta`, key "watermark": written by each seal, with what it seals.
struct Watermark {
  LogPosition replay_from = 1;  // everything before it is in blocks
  uint64_t next_series_id = 1;
  uint32_t next_seal = 1;
};
std::string EncodeWatermark(const Watermark& watermark);
absl::StatusOr<Watermark> ParseWatermark(std::string_view value);

}  // namespace vigie::store
