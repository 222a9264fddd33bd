// How many series there are of what: of those in memory, and what a day has
// more of than the day before it.
// Thread-safe: no state; the caller guards the index.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/day_index.h"
#include "store/queryable.h"
#include "store/series_index.h"

namespace vigie::store {

// All but the growth. At most `limit` of each kind; 0: all.
absl::StatusOr<Cardinality> CountSeries(const SeriesIndex& index,
                                        std::string_view tenant, uint64_t limit,
                                        const ReadContext& context);

// The growth from the day before `day` to `day`, into `*result`; `known` are
// the ids that have not left the head. Series are counted, not ids.
absl::Status CountGrowth(const DayIndex& index, int32_t day,
                         std::string_view tenant, const IdRuns& known,
                         uint64_t limit, const ReadContext& context,
                         Cardinality* result);

}  // namespace vigie::store
