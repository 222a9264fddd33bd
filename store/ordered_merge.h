// OrderedMerge makes one ascending run of what several sources have of a
// series: chunks of several seals, merged days, the head.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "store/sample_columns.h"

namespace vigie::store {

// Where samples of one time differ the lower rank wins: the id that was given
// first, and of one id what was sealed first, the head last. Merging an id's
// chunks into one does not change it.
struct SampleRank {
  uint64_t series_id = 0;
  uint64_t seal = 0;  // 0: a merged day
  friend auto operator<=>(const SampleRank&, const SampleRank&) = default;
};
inline constexpr uint64_t kSealOfHead = ~uint64_t{0};

struct RankedRuns {
  SampleRank rank;
  SampleRuns runs;
};

// All samples of `sources`, each time once. `*conflicts` grows by the times at
// which values differ in their bits. `sources` is used up.
SampleRuns OrderedMerge(std::vector<RankedRuns>* sources, uint64_t* conflicts);

}  // namespace vigie::store
