// Blocks: what is sealed, in RocksDB: chunks of hot windows and of merged
// days, rows of series, exemplars and metadata, and the watermark up to which
// the log is held here. Samples enter through Publish, one atomic step over
// all tables, and move to a merged day in another one.
// Tables: docs/formats/keys.md; why: docs/decisions/0016-seal-by-ingestion.md
// and 0095-hot-windows-and-cold-days.md.
// Thread-safe; seals come from one thread at a time, merges likewise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/block_catalog.h"
#include "store/block_snapshot.h"
#include "store/chunk.h"
#include "store/head.h"
#include "store/keys.h"
#include "store/records.h"

namespace rocksdb {
class DB;
class Env;
}  // namespace rocksdb
namespace vigie {
class Clock;
}  // namespace vigie

namespace vigie::store {

enum class MergeStep { kWritten, kPublished };

// What of a tenant is before this time is not kept; null: all is.
using OldestOfTenant = std::function<int64_t(std::string_view tenant)>;

struct MergeOptions {
  OldestOfTenant oldest_ms;  // of samples
  struct Rollup {
    int64_t resolution_ms = 0;
    OldestOfTenant oldest_ms;
  };
  // What is written beside the samples, the finest first. A day that has
  // rollups keeps or drops the samples of a tenant as a whole.
  std::vector<Rollup> rollups;
  // Before anyone sees the merge: of `tenant` it leaves samples out that are no
  // longer kept, the newest of them at that time.
  std::function<void(std::string_view tenant, int64_t newest_ms)> left_out;
  std::stop_token stop;
  std::function<void(uint64_t samples)> progress;  // now and then
  std::function<void(MergeStep)> after_step;       // for tests
};

class Blocks {
 public:
  // Creates or opens `directory`. Files that a seal or merge was writing when
  // the process ended are removed from `staging`, which is created as well and
  // lies in the same file system. kUnavailable, kDataLoss, naming the cause.
  // All files go through `env`; null: the default. `clock` says when a broken
  // database may be opened again; null: the system's. Both outlive the Blocks.
  static absl::StatusOr<std::shared_ptr<Blocks>> Open(
      const std::string& directory, const std::string& staging,
      rocksdb::Env* env = nullptr, const Clock* clock = nullptr);
  ~Blocks();

  absl::StatusOr<Watermark> ReadWatermark() const;

  // Small values beside the tables; a Put is synced. kNotFound if absent,
  // naming the files that it may have been cut off from.
  absl::StatusOr<std::string> GetMeta(std::string_view key) const;
  absl::Status PutMeta(std::string_view key, std::string_view value);

  // Puts everything that the blocks know of series and metadata into `head`.
  absl::Status LoadInto(Head* head) const;
  // Its two parts: rows of `names` and `active`, by id.
  absl::Status VisitNames(
      absl::FunctionRef<absl::Status(uint64_t id, std::string_view tenant,
                                     const Labels& labels)>
          visit) const;
  absl::Status VisitStates(
      absl::FunctionRef<absl::Status(uint64_t id, const SeriesState& state)>
          visit) const;

  // A seal in two steps. Write puts all of `capture` into files that nobody
  // reads yet: chunks of at most `chunk_samples_max` samples, rows and the
  // watermark. Publish makes them part of the tables, all or nothing; the
  // caller holds its lock around it, so that head and blocks change as one.
  // After an error of either, what was captured may be written again: equal
  // samples are read once.
  absl::Status Write(const SealCapture& capture, const Watermark& watermark,
                     size_t chunk_samples_max);
  absl::Status Publish();

  // What counts now.
  std::shared_ptr<const BlockView> view() const;
  // By day, those with anything in them.
  std::vector<DayState> Days() const;
  // Makes one generation of all that is sealed of a day, each series in few
  // chunks, without what is deleted, and its rollups. Answers stay the same; a
  // crash leaves the old or the new. kDataLoss, naming what, if something
  // cannot be read: then nothing changes. kCancelled.
  absl::Status MergeDay(int32_t day, const MergeOptions& options);

  // Deletes samples of these series, ascending ids, as far as they are sealed.
  // Durable and seen by new snapshots when it returns.
  absl::Status Delete(std::string_view tenant, std::vector<uint64_t> ids,
                      const TimeRange& range);

  // Readers of snapshots taken before still see what is dropped.
  // Windows and days that end before; the names of what is left with neither
  // samples nor rollups go too.
  absl::Status DropBefore(int64_t time_ms, OldestOfRollup oldest_of_rollup);
  absl::Status DropSeries(const std::vector<uint64_t>& series_ids);
  absl::Status DropMetadata(
      const std::vector<std::pair<std::string, std::string>>& names);
  // Gives back the space of what no snapshot needs any more.
  void Reclaim();

  std::unique_ptr<BlockSnapshot> TakeSnapshot();

  // Makes a database of its own in `target`, of links to what is sealed now.
  // kUnavailable, kDataLoss.
  absl::Status LinkTo(const std::string& target) const;

  // A write that fails may leave the database unable to take others, while it
  // can still be read. Then, and if the disk takes files again, this opens it
  // anew; who reads goes on with the old one. What was refused may be there
  // afterwards, as after a crash. kUnavailable, naming the cause, if the disk
  // still fails, or did so right after the last opening: then the next one
  // waits (reopen_pace.h).
  absl::Status Recover();

  // The same object throughout; a write recovers by itself, and is tried twice.
  Records& records();
  uint64_t bytes_on_disk() const;

  // The database below and its families of now, for operations on it as a
  // whole.
  struct Database {
    std::shared_ptr<rocksdb::DB> db;
    std::vector<std::shared_ptr<Family>> families;
  };
  Database database() const;

 private:
  struct Opened;
  class Impl;
  explicit Blocks(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::store
