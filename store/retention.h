// What goes and what is merged, decided from what there is: retention by time
// and by size, and the days that a merge is worth.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "store/block_catalog.h"
#include "store/store.h"

namespace vigie::store {

// Samples of a tenant before this time are no longer kept; INT64_MIN if all
// are.
int64_t OldestKeptMs(const StoreOptions& options, std::string_view tenant,
                     int64_t now_ms);
// The same over all tenants: before it whole windows go.
int64_t OldestKeptMs(const StoreOptions& options, int64_t now_ms);

// How many of the oldest of `days` must go so that all fits into
// `retention_bytes`, together with `other_bytes` that stay. Never the newest.
size_t DaysBeyondSize(const StoreOptions& options,
                      const std::vector<DayState>& days, uint64_t other_bytes);

// The day that a merge is worth now, oldest first: one that is over for good
// and was never merged, or into which enough came late. None: nothing is due.
std::optional<int32_t> DayToMerge(const StoreOptions& options,
                                  const std::vector<DayState>& days,
                                  int64_t now_ms);

// Whether a forced merge would change anything of the day.
bool CanBeMerged(const DayState& day);

}  // namespace vigie::store
