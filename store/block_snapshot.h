// BlockSnapshot: what the blocks held at one moment, series by series.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/time_range.h"
#include "store/chunk.h"
#include "store/rollup.h"
#include "store/row_scan.h"
#include "store/sample_columns.h"

namespace vigie::store {

struct BlockPlace;
struct BlockView;

struct StoredChunk {
  const BlockPlace* place = nullptr;  // valid with the snapshot
  uint64_t series_id = 0;
  uint32_t seal = 0;  // 0 of a merged day
  ChunkHeader header;
  std::string bytes;
};

// That a merged day has something of a tenant: samples (resolution 0), or
// rollups.
struct MergedTenant {
  std::string tenant;
  int64_t resolution_ms = 0;
};

// Where a reader is. It costs more to make than to move, most of all to the
// series behind the last one. Of one thread, and of one snapshot, which
// outlives it.
class BlockCursor {
 public:
  virtual ~BlockCursor() = default;
  // Clears `*chunks`, which are no longer needed; what comes next may use their
  // room.
  virtual void GiveBack(std::vector<StoredChunk>* chunks) = 0;
};

class BlockSnapshot {
 public:
  virtual ~BlockSnapshot() = default;

  virtual std::unique_ptr<BlockCursor> NewCursor() const = 0;

  // The days that have something in `range`, rollups included, ascending.
  virtual std::vector<int32_t> Days(const TimeRange& range) const = 0;

  // Appends the chunks of a series in a day that overlap `range`: merged ones
  // first, then by window and time. What cannot be read because its bytes are
  // wrong or gone is left out, and a warning says which file or chunk, and of
  // which time. kUnavailable if the disk refuses.
  virtual absl::Status Read(int32_t day, std::string_view tenant,
                            uint32_t metric_hash, uint64_t series_id,
                            const TimeRange& range, BlockCursor* cursor,
                            std::vector<StoredChunk>* chunks,
                            std::vector<std::string>* warnings) const = 0;

  // Replaces `*samples` by those of the chunk that are not deleted; there may
  // be none. kDataLoss if the bytes are wrong.
  virtual absl::Status Decode(std::string_view tenant, const StoredChunk& chunk,
                              SampleColumns* samples) const = 0;

  // Appends those within `range` instead, if they are floats behind floats,
  // none with a start time and none deleted; false, and nothing appended,
  // otherwise.
  virtual absl::StatusOr<bool> Append(std::string_view tenant,
                                      const StoredChunk& chunk,
                                      const TimeRange& range,
                                      SampleColumns* samples) const = 0;

  // As Decode, but of floats the newest up to `max_ms` may be the only one.
  virtual absl::Status DecodeNewest(std::string_view tenant,
                                    const StoredChunk& chunk, int64_t max_ms,
                                    SampleColumns* samples) const = 0;

  // Whose samples and rollups a merged day has. What cannot be read is left
  // out: whoever reads it is told.
  virtual std::vector<MergedTenant> Tenants(int32_t day) const = 0;

  // The resolutions that a day has rollups of, the finest first.
  virtual std::vector<int64_t> Resolutions(int32_t day) const = 0;
  // Whether what counts of a series in a day is what its rollups were made of:
  // all of the day is merged, and nothing was deleted since.
  virtual bool IsAsMerged(int32_t day, std::string_view tenant,
                          uint64_t series_id) const = 0;
  // A rollup of a series without what was deleted; buckets that a deletion
  // touches are left out as a whole. Without buckets if there is none.
  // kDataLoss if the bytes are wrong, naming them.
  virtual absl::Status ReadRollup(int32_t day, int64_t resolution_ms,
                                  std::string_view tenant, uint32_t metric_hash,
                                  uint64_t series_id,
                                  RollupColumns* buckets) const = 0;
  // The same of the bytes of one.
  virtual absl::Status DecodeRollup(std::string_view tenant,
                                    const StoredChunk& chunk,
                                    RollupColumns* buckets) const = 0;

  // The index by day; exemplars by id.
  virtual const RowScan& index() const = 0;
  virtual const RowScan& exemplars() const = 0;
};

class RocksTables;

// `keeper` holds both until the snapshot is gone.
std::unique_ptr<BlockSnapshot> SnapshotOf(
    std::shared_ptr<void> keeper, RocksTables& tables,
    std::shared_ptr<const BlockView> view);

}  // namespace vigie::store
