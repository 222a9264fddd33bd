// Store: the whole of one data directory: log, head, blocks, records. One
// process at a time: a lock file keeps others out.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"
#include "store/appender.h"
#include "store/operations.h"
#include "store/queryable.h"
#include "store/records.h"

namespace vigie::store {

struct StoreOptions {
  int64_t retention_ms = 30LL * 86'400'000;  // 0 keeps everything
  // Tenants of whom more or less is kept than that.
  std::map<std::string, int64_t, std::less<>> tenant_retention_ms;
  // Buckets that stand for samples once those are gone, from the finest to the
  // coarsest; kept at least as long as samples are.
  struct Rollup {
    int64_t resolution_ms = 0;  // a part of a day
    int64_t retention_ms = 0;   // 0 keeps everything
    // A tenant that is not here and keeps less than others of its samples has
    // no rollups beyond them.
    std::map<std::string, int64_t, std::less<>> tenant_retention_ms;
  };
  std::vector<Rollup> rollups;
  // The oldest days go until log and blocks fit into it, their samples first;
  // 0: no bound.
  uint64_t retention_bytes = 0;
  int64_t out_of_order_window_ms = 30 * 60'000;
  int64_t future_window_ms = 10 * 60'000;
  int64_t seal_interval_ms = 30 * 60'000;
  uint32_t chunk_samples_max = 512;
  int64_t inflight_bytes_max = 64 << 20;
  // kFdatasync: an acknowledgement survives a power cut. kOs: kill -9 only.
  enum class Durability { kFdatasync, kOs };
  Durability durability = Durability::kFdatasync;
};

// The section `storage:` of vigie.yml; errors carry file:line:column.
absl::StatusOr<StoreOptions> ParseStoreOptions(const yaml::Node& section);

class Store {
 public:
  // Creates the directory or opens it and replays its log. `clock` and
  // `registry` outlive the store. kUnavailable if another process has it
  // open or the disk refuses; kDataLoss, naming file and range, if it cannot
  // be trusted; kFailedPrecondition for a format of another version, by name.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const std::string& directory, const StoreOptions& options,
      const Clock& clock, prometheus::Registry& registry);

  virtual ~Store() = default;  // drains, as Close does

  virtual Appender& appender() = 0;
  virtual const Queryable& queryable() const = 0;
  virtual Records& records() = 0;

  // Moves what the head holds into blocks now, rather than when due.
  virtual absl::Status Seal() = 0;

  // Writes a data directory of its own, which opens as it is and holds all
  // that was acknowledged before the call, into `directory`: absent or empty,
  // or kAlreadyExists. Files are linked where the file system can. What a
  // failure or a stop leaves half-made is removed; what a crash leaves is
  // refused by name when it is opened.
  virtual absl::Status Snapshot(const std::string& directory,
                                const Progress& progress) = 0;

  // Merges what is sealed as far as it goes. A stop ends it between two
  // windows.
  virtual absl::Status Compact(const Progress& progress) = 0;

  // Deletes samples; returns how many series were touched. Queries no longer
  // see them when it returns; the space comes back with the next merge.
  virtual absl::StatusOr<uint64_t> DeleteSeries(const DeleteRequest& request,
                                                const Progress& progress) = 0;

  // Puts the samples of `source` into blocks, past the windows that appends
  // must keep; what is older than retention or further ahead than
  // future_window is refused and counted. In steps: after an error or a stop
  // what was taken stays, and importing all of it again changes no answer, as
  // a sample that is there already stays as it is.
  virtual absl::StatusOr<ImportOutcome> Import(ImportSource& source,
                                               const Progress& progress) = 0;

  // Reads everything that is sealed and the log, and compares every checksum.
  // Damage is told, file and range first, and no error. Works on links to the
  // files, in the folder `verify` of the directory. One at a time: kUnavailable
  // while another runs.
  virtual absl::StatusOr<VerifyOutcome> Verify(
      const Progress& progress,
      const std::function<void(const std::string& damage)>& found) = 0;

  virtual absl::StatusOr<StoreReport> Inspect() = 0;

  // Refuses new batches with kUnavailable, completes those in flight, syncs.
  virtual absl::Status Close() = 0;
};

}  // namespace vigie::store
