// BlockCatalog: what of the chunks in RocksDB counts. Table `windows` says so,
// never the presence of a family or key: after a crash there may be more, and
// while a merge takes over there is for a moment more than one copy.
// Rows: docs/formats/keys.md.
// Thread-safe; the functions that change it come from one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "model/time_range.h"
#include "store/keys.h"
#include "store/rocks_tables.h"

namespace vigie::store {

// More windows than that never have a family of their own at one time; what
// is older than the newest ones, or comes on top, lies in `late`.
inline constexpr int32_t kHotWindowsMax = 16;

// Chunks that lie together: of a window, or of a merged day.
struct BlockPlace {
  std::shared_ptr<Family> family;
  std::string prefix;                   // of their keys
  int64_t start_ms = 0;                 // what their starts count from
  int64_t end_ms = 0;                   // the last millisecond of window or day
  uint32_t first_seal = 0;              // chunks with a lower one do not count
  std::shared_ptr<const ColdDay> cold;  // null: not merged
  uint64_t samples = 0;
  uint64_t chunks = 0;
  uint64_t bytes = 0;
  uint64_t longest_ms = 0;  // of its chunks

  TimeRange range() const { return {start_ms, end_ms}; }
};

// What lies where of one day.
struct DayState {
  int32_t day = 0;
  uint32_t generation = 0;  // of what is merged; 0: nothing is
  uint64_t cold_samples = 0;
  uint64_t cold_bytes = 0;
  std::vector<ColdDay> rollups;  // the finest first
  uint64_t hot_samples = 0;      // not merged yet
  uint64_t hot_bytes = 0;
  uint32_t hot_rows = 0;        // seals and windows that wrote some of it
  bool has_tombstones = false;  // some apply to it and are not carried out
};

// What counts at one moment. Never changes.
struct BlockView {
  // By day, the merged one first.
  std::map<int32_t, std::vector<BlockPlace>> days;
  // Of merged days, by day, the finest first.
  std::map<int32_t, std::vector<BlockPlace>> rollups;
  std::map<uint32_t, std::shared_ptr<const Tombstone>> tombstones;  // by number
  uint32_t last_seal = 0;
};

// Rollups of a resolution are not kept before that time.
using OldestOfRollup = absl::FunctionRef<int64_t(int64_t resolution_ms)>;

class BlockCatalog {
 public:
  // Reads the rows and removes what does not count: families without a row,
  // days of a generation that was replaced. `tables` outlives the catalog.
  static absl::StatusOr<std::unique_ptr<BlockCatalog>> Load(
      RocksTables& tables);

  std::shared_ptr<const BlockView> view() const;

  // The family for chunks of `window`, created if it deserves one; `late`
  // otherwise. `newest` is the newest window that is written or present. No
  // merge drops it before EndSeal, which a seal ends with, whatever comes of
  // it.
  absl::StatusOr<std::shared_ptr<Family>> FamilyFor(int32_t window,
                                                    int32_t newest);
  void EndSeal();
  std::vector<std::shared_ptr<Family>> HotFamilies() const;
  int32_t newest_window() const;  // INT32_MIN if there is none

  // A seal was taken in, its rows with it.
  void Sealed(const std::vector<SealedWindow>& rows);

  std::vector<DayState> Days() const;

  // A merge: numbers for what it writes, the rows that it replaces, the change
  // of rows as a file, whether all is as it was in `view`, and once it was
  // taken in. `merged` is the day and its rollups, the finest first; what has
  // no samples is not left.
  // `count` numbers, the first of them.
  uint32_t NewGenerations(uint32_t count);
  std::vector<SealedWindow> RowsOf(int32_t day) const;
  absl::Status WriteMergeRows(const std::vector<ColdDay>& merged,
                              const std::vector<SealedWindow>& rows,
                              FileSet* files) const;
  bool StillThere(const BlockView& view, int32_t day,
                  const std::vector<SealedWindow>& rows) const;
  void Merged(const std::vector<ColdDay>& merged,
              const std::vector<SealedWindow>& rows);

  // Makes samples that end before `time_ms`, and rollups that end before the
  // time of their resolution, count no more, on disk first.
  absl::Status DropBefore(int64_t time_ms, OldestOfRollup oldest_of_rollup);

  // `tombstone` gets its seal and generation here. Synced.
  absl::Status AddTombstone(Tombstone tombstone);
  // Of those that no longer apply to anything.
  absl::Status SweepTombstones();

  // Gives the space of what no view needs any more back. True if `late` is
  // then worth a compaction.
  bool Reclaim();

 private:
  explicit BlockCatalog(RocksTables& tables) : tables_(tables) {}
  using Row = std::pair<int32_t, uint32_t>;  // window, seal

  absl::Status DeleteLate(const std::string& begin, const std::string& end,
                          uint32_t last_seal, uint64_t* deleted);
  // A merged day, or a rollup of one: its resolution is not 0.
  using Merging = std::pair<int32_t, int64_t>;
  absl::Status DropRows(const std::vector<SealedWindow>& rows,
                        const std::vector<Merging>& days);
  void Forget(const std::vector<SealedWindow>& rows)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropUnused() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadRows() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DropUnnamed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Rebuild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Applies(const Tombstone& tombstone, int32_t first_day,
               int32_t last_day) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  RocksTables& tables_;
  mutable Mutex mutex_;
  std::map<Row, SealedWindow> rows_ ABSL_GUARDED_BY(mutex_);
  std::map<Merging, std::shared_ptr<const ColdDay>> cold_
      ABSL_GUARDED_BY(mutex_);
  std::map<int32_t, std::shared_ptr<Family>> hot_ ABSL_GUARDED_BY(mutex_);
  // Windows that a seal is being written for.
  std::set<int32_t> in_seal_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, std::shared_ptr<const Tombstone>> tombstones_
      ABSL_GUARDED_BY(mutex_);
  uint32_t next_generation_ ABSL_GUARDED_BY(mutex_) = 1;
  uint32_t next_tombstone_ ABSL_GUARDED_BY(mutex_) = 1;
  uint32_t last_seal_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const BlockView> view_ ABSL_GUARDED_BY(mutex_);

  // Replaced days, whose files go once no view has them.
  std::vector<std::pair<std::string, std::weak_ptr<const ColdDay>>> replaced_
      ABSL_GUARDED_BY(mutex_);
  bool late_is_dirty_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace vigie::store
