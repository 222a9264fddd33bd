// Store: the whole of one data directory: log, head, blocks, records. One
// process at a time: a lock file keeps others out.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"
#include "store/appender.h"
#include "store/queryable.h"
#include "store/records.h"

namespace vigie::store {

struct StoreOptions {
  int64_t retention_ms = 30LL * 86'400'000;  // 0 keeps everything
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

  // Refuses new batches with kUnavailable, completes those in flight, syncs.
  virtual absl::Status Close() = 0;
};

}  // namespace vigie::store
