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

// Where chunks lie is what their keys begin with: nothing in the family of a
// hot window, the window in `late`, day and generation in `cold`.
std::string LatePlace(int32_t window);
std::string ColdPlace(int32_t day, uint32_t generation);
// What sorts after all keys of a place. `place` is not empty.
std::string EndOfPlace(std::string_view place);

// What the keys of all chunks of a series in a place begin with.
std::string SeriesPrefix(std::string_view place, std::string_view tenant,
                         uint32_t metric_hash, uint64_t series_id);
// `start_ms` counts from the start of the window or day, `seal` numbers the
// seals of the directory: what came first has the lower. 0 in `cold`.
std::string ChunkKey(std::string_view series_prefix, uint32_t start_ms,
                     uint32_t seal);
struct ChunkKeyParts {
  std::string_view tenant;  // part of the key
  uint32_t metric_hash = 0;
  uint64_t series_id = 0;
  uint32_t start_ms = 0;
  uint32_t seal = 0;
};
// Of a key without its place; kDataLoss if it is no chunk's.
absl::StatusOr<ChunkKeyParts> ParseChunkKey(std::string_view key);

// Columns of times that several chunks of a seal share come before the chunks.
std::string TimeColumnKey(std::string_view place, uint32_t seal,
                          uint32_t number);
std::string FirstChunkKey(std::string_view place);  // sorts after them all

// Table `windows`: what of the chunks counts.
struct SealedWindow {  // a row a window and seal
  int32_t window = 0;
  uint32_t seal = 0;
  bool late = false;  // in the family `late`, not in one of its own
  uint64_t samples = 0;
  uint64_t chunks = 0;
  uint64_t bytes = 0;  // of files, about
  // No chunk has more from its first to its last sample.
  uint64_t longest_ms = kWindowMs;
};
struct ColdDay {  // a row a merged day, and one for each of its rollups
  int32_t day = 0;
  int64_t resolution_ms = 0;  // whole seconds; 0: the samples themselves
  uint32_t generation = 0;
  uint64_t samples = 0;  // or buckets
  uint64_t chunks = 0;
  uint64_t bytes = 0;
  uint64_t longest_ms = kDayMs;  // likewise
};
inline constexpr std::string_view kNextGenerationKey = "g";
std::string SealedWindowKey(int32_t window, uint32_t seal);
std::string EncodeSealedWindow(const SealedWindow& row);
std::string ColdDayKey(int32_t day, int64_t resolution_ms);
std::string EncodeColdDay(const ColdDay& row);
std::string EncodeNextGeneration(uint32_t generation);
struct WindowsRow {
  enum class Kind { kColdDay, kSealedWindow, kNextGeneration };
  Kind kind = Kind::kColdDay;
  ColdDay day;
  SealedWindow window;
  uint32_t next_generation = 0;
};
absl::StatusOr<WindowsRow> ParseWindowsRow(std::string_view key,
                                           std::string_view value);

// Table `tombstones`, by number: samples of these series in a range of time
// that are deleted, as far as they were sealed or merged by then.
struct Tombstone {
  std::string tenant;
  TimeRange range;
  uint32_t seal = 0;          // the last one it applies to
  uint32_t generation = 0;    // likewise of merged days
  std::vector<uint64_t> ids;  // ascending
};
std::string TombstoneKey(uint32_t number);
absl::StatusOr<uint32_t> ParseTombstoneKey(std::string_view key);
std::string EncodeTombstone(const Tombstone& tombstone);
absl::StatusOr<Tombstone> ParseTombstone(std::string_view value);

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
