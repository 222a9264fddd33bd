// Operations: what is done to a data directory as a whole, beside appends and
// queries, by `vigie store ...` and by the admin API. Types only; the doors
// are in store.h.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/tenant.h"
#include "model/time_range.h"
#include "store/queryable.h"

namespace vigie::store {

// How far a long operation has come. Both functions may be null; they are
// called by the thread that runs the operation, often, and must be quick.
struct Progress {
  // `done` of `total` (0: not known), in `unit` ("bytes", "series").
  std::function<void(std::string_view what, uint64_t done, uint64_t total,
                     std::string_view unit)>
      report;
  // What was not done as asked, though the operation goes on.
  std::function<void(std::string text)> warn;
  // Once requested the operation ends soon, with kCancelled, and leaves the
  // store as one that never began or as one that stopped between two steps:
  // each operation says which.
  std::stop_token stop;

  void Report(std::string_view what, uint64_t done, uint64_t total,
              std::string_view unit) const {
    if (report) report(what, done, total, unit);
  }
  void Warn(std::string text) const {
    if (warn) warn(std::move(text));
  }
  absl::Status Stopped() const {
    return stop.stop_requested() ? absl::CancelledError("stopped")
                                 : absl::OkStatus();
  }
};

// The samples in `range`, both ends included, of the series that match any of
// `selectors`; all series need `{__name__=~".+"}`.
struct DeleteRequest {
  Tenant tenant;
  std::vector<std::vector<Matcher>> selectors;
  TimeRange range;
};

// One series of an import. Samples within a batch ascend in time; batches may
// overlap, then the earlier batch wins at equal times.
struct ImportedSeries {
  Labels labels;
  std::vector<SampleBatch> batches;
};

// What is to be imported, series by series, in any order; a series may come
// again. Of one tenant. Used by one thread.
class ImportSource {
 public:
  virtual ~ImportSource() = default;
  virtual const Tenant& tenant() const = 0;
  // Replaces `*series`. False at the end; errors name file and place.
  virtual absl::StatusOr<bool> Next(ImportedSeries* series) = 0;
};

struct ImportOutcome {
  uint64_t series = 0;  // a series that came twice counts twice
  uint64_t samples = 0;
  uint64_t samples_refused = 0;  // see the warnings of the Progress
};

// What a verification looked at; what it found wrong is told on the way.
struct VerifyOutcome {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t series = 0;
  uint64_t samples = 0;
  uint64_t damages = 0;
};

struct TableReport {
  std::string name;
  uint64_t bytes = 0;
  uint64_t files = 0;
  uint64_t rows = 0;  // estimated
};

// What a tenant has series of: all of it counted, the largest of each kind
// listed.
struct TenantReport {
  std::string name;
  Cardinality counts;
};
inline constexpr uint64_t kReportedCounts = 10;

struct RollupReport {
  int64_t resolution_ms = 0;
  uint64_t days = 0;
  uint64_t buckets = 0;
  uint64_t bytes = 0;
};

// What a data directory holds, for people.
struct StoreReport {
  uint64_t log_bytes = 0;
  uint64_t block_bytes = 0;
  uint64_t cache_bytes = 0;  // of blocks, in memory
  uint64_t head_series = 0;
  uint64_t head_samples = 0;
  uint32_t seals = 0;                 // so far
  std::vector<RollupReport> rollups;  // the finest first
  std::vector<TableReport> tables;
  std::vector<TenantReport> tenants;  // those with most active series first
};

}  // namespace vigie::store
