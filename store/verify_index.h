// The part of verification that holds the tables of the blocks against each
// other: a sample that the index of its day does not know is lost to queries,
// however sound its bytes are.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "store/blocks.h"
#include "store/operations.h"

namespace vigie::store {

// Calls `found` with each of these, day, tenant and series first, as kDataLoss:
//   a series that has chunks on a day and is not in the index of it,
//   one in that index without labels, or with others than its label pairs say,
//   or than its row of `names` says,
//   a series of `names` that `active` does not have, or the other way round,
//   one that `active` says was indexed last on a day that does not know it,
//   and what cannot be read.
// Nobody writes to `blocks` meanwhile. Holds about 100 bytes a series of the
// largest day. kCancelled once stopped.
absl::Status VerifyIndex(
    const Blocks& blocks, const BlockSnapshot& snapshot,
    const Progress& progress,
    const std::function<void(const absl::Status& damage)>& found);

}  // namespace vigie::store
