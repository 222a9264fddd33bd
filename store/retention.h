// What goes and what is merged, decided from what there is: retention by time
// and by size, and the days that a merge is worth.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "store/block_catalog.h"
#include "store/block_snapshot.h"
#include "store/store.h"

namespace vigie::store {

// Samples of a tenant before this time are no longer kept; INT64_MIN if all
// are.
int64_t OldestKeptMs(const StoreOptions& options, std::string_view tenant,
                     int64_t now_ms);
// The same over all tenants: before it whole windows go.
int64_t OldestKeptMs(const StoreOptions& options, int64_t now_ms);
// The same of rollups; of a resolution that is not among the options nothing
// goes.
int64_t OldestRollupMs(const StoreOptions& options, int64_t resolution_ms,
                       std::string_view tenant, int64_t now_ms);
int64_t OldestRollupMs(const StoreOptions& options, int64_t resolution_ms,
                       int64_t now_ms);

// What a tenant may still see.
struct Horizon {
  int64_t samples_ms = 0;  // the oldest ones
  struct Rollup {
    int64_t resolution_ms = 0;
    int64_t oldest_ms = 0;
  };
  std::vector<Rollup> rollups;  // of those in the options
};
// Where a tenant has rollups beyond its samples, these are seen by whole days,
// as they go.
Horizon HorizonOf(const StoreOptions& options, std::string_view tenant,
                  int64_t now_ms);

// The times before which samples and rollups must go so that all fits into
// `retention_bytes`, together with `log_bytes`: samples of the oldest days
// first, never of the newest, then rollups. INT64_MIN: all may stay.
struct OldestBySize {
  int64_t samples_ms = 0;
  int64_t rollups_ms = 0;
};
OldestBySize OldestThatFit(const StoreOptions& options,
                           const std::vector<DayState>& days,
                           uint64_t log_bytes);

// The day that a merge is worth now, oldest first: one that is over for good
// and was never merged, or into which enough came late. None: nothing is due.
std::optional<int32_t> DayToMerge(const StoreOptions& options,
                                  const std::vector<DayState>& days,
                                  int64_t now_ms);

// When the first of what the tenants have of a merged day is past its
// retention, as long as that does not end for all of them at once, as then no
// merge is needed. INT64_MAX: never.
int64_t FirstExpiryMs(const StoreOptions& options, int32_t day,
                      const std::vector<MergedTenant>& tenants, int64_t now_ms);

// Whether a forced merge would change anything of the day.
bool CanBeMerged(const StoreOptions& options, const DayState& day);

}  // namespace vigie::store
