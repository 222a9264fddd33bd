// Which samples a tombstone takes away, and what is left without them.
// Thread-safe: no state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "store/keys.h"
#include "store/sample_columns.h"

namespace vigie::store {

// Whether a tombstone concerns what lies in a chunk of that series: of a
// merged day (`cold`), or of a seal if that is null.
inline bool Covers(const Tombstone& tombstone, std::string_view tenant,
                   uint64_t series_id, const ColdDay* cold, uint32_t seal) {
  const bool before = cold != nullptr ? cold->generation <= tombstone.generation
                                      : seal <= tombstone.seal;
  return before && tombstone.tenant == tenant &&
         std::binary_search(tombstone.ids.begin(), tombstone.ids.end(),
                            series_id);
}

// Removes the samples within `range`.
inline void RemoveRange(const TimeRange& range, SampleColumns* samples) {
  const size_t begin = samples->LowerBound(range.min_ms);
  const size_t end = samples->UpperBound(range.max_ms);
  if (range.empty() || begin == end) return;
  SampleColumns kept;
  kept.kind = samples->kind;
  kept.AppendSlice(*samples, 0, begin);
  kept.AppendSlice(*samples, end, samples->size());
  *samples = std::move(kept);
}

}  // namespace vigie::store
