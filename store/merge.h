// A merge reads all that is sealed of a day and writes it once more, each
// series in few large chunks, and its rollups beside it: what cold days are
// made of. Once the samples of a tenant are no longer kept, its rollups go on
// from merge to merge as they are.
// Why: docs/decisions/0095-hot-windows-and-cold-days.md.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "store/block_catalog.h"
#include "store/block_snapshot.h"
#include "store/blocks.h"
#include "store/keys.h"
#include "store/rocks_tables.h"

namespace vigie::store {

// Writes a day as `view` has it into `files`: `*merged` has its number and
// generation, and those of the rollups of `options`; the rest is filled in. One
// series is in memory at a time. kDataLoss, naming what, if anything cannot be
// read; kCancelled.
absl::Status WriteMergedDay(RocksTables& tables, const BlockView& view,
                            const BlockSnapshot& snapshot,
                            const MergeOptions& options, FileSet* files,
                            std::vector<ColdDay>* merged);

}  // namespace vigie::store
