// Blocks: what is sealed, in RocksDB: chunks by window, rows of series,
// exemplars and metadata, and the watermark up to which the log is held here.
// Samples enter only through Publish, one atomic step over all tables.
// Tables: docs/formats/keys.md; why: docs/decisions/0016-seal-by-ingestion.md.
// Thread-safe, except that seals and drops come from one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/chunk.h"
#include "store/head.h"
#include "store/keys.h"
#include "store/records.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Env;
}  // namespace rocksdb

namespace vigie::store {

struct StoredChunk {
  uint32_t seal = 0;
  ChunkHeader header;
  std::string bytes;
};

// What the blocks held at one moment. Keeps its Blocks alive.
// Thread-safe.
class BlockSnapshot {
 public:
  virtual ~BlockSnapshot() = default;
  // The chunks of a series in a window that overlap `range`, by first time,
  // then seal. kDataLoss, naming what RocksDB says, if some cannot be read.
  virtual absl::StatusOr<std::vector<StoredChunk>> Read(
      int32_t window, std::string_view tenant, uint32_t metric_hash,
      uint64_t series_id, const TimeRange& range) const = 0;
};

class Blocks : public std::enable_shared_from_this<Blocks> {
 public:
  // Creates or opens `directory`. Files that a seal was writing when the
  // process ended are removed from `staging`, which is created as well and
  // lies in the same file system. kUnavailable, kDataLoss, naming the cause.
  // All files go through `env`, which outlives the Blocks; null: the default.
  static absl::StatusOr<std::shared_ptr<Blocks>> Open(
      const std::string& directory, const std::string& staging,
      rocksdb::Env* env = nullptr);
  ~Blocks();

  absl::StatusOr<Watermark> ReadWatermark() const;

  // Small values beside the tables; a Put is synced. kNotFound if absent.
  absl::StatusOr<std::string> GetMeta(std::string_view key) const;
  absl::Status PutMeta(std::string_view key, std::string_view value);

  // Puts everything that the blocks know of series and metadata into `head`.
  absl::Status LoadInto(Head* head) const;

  // A seal in two steps. Write puts all of `capture` into files that nobody
  // reads yet: chunks of at most `chunk_samples_max` samples, rows and the
  // watermark. Publish makes them part of the tables, all or nothing; the
  // caller holds its lock around it, so that head and blocks change as one.
  // After an error of either, what was captured may be written again: equal
  // samples are read once.
  absl::Status Write(const SealCapture& capture, const Watermark& watermark,
                     size_t chunk_samples_max);
  absl::Status Publish();

  // Readers of snapshots taken before still see what is dropped.
  absl::Status DropWindowsBefore(int32_t window);
  absl::Status DropSeries(const std::vector<uint64_t>& series_ids);
  absl::Status DropMetadata(
      const std::vector<std::pair<std::string, std::string>>& names);
  // Gives the space of dropped windows back. False, and nothing is done, while
  // there are snapshots, which may still need it.
  bool ReclaimWindowsBefore(int32_t window);

  std::unique_ptr<BlockSnapshot> TakeSnapshot();

  // Tries to leave the state that a failed write puts RocksDB in.
  void Resume();

  Records& records();
  uint64_t bytes_on_disk() const;

  // The database below, for operations on it as a whole. The families are
  // those of now, valid while no window is dropped.
  rocksdb::DB& database() const;
  std::vector<rocksdb::ColumnFamilyHandle*> families() const;

 private:
  class Impl;
  class Snapshot;
  explicit Blocks(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::store
