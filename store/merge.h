// A merge reads all that is sealed of a day and writes it once more, each
// series in few large chunks: what cold days are made of.
// Why: docs/decisions/0095-hot-windows-and-cold-days.md.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "store/block_catalog.h"
#include "store/block_snapshot.h"
#include "store/blocks.h"
#include "store/keys.h"
#include "store/rocks_tables.h"

namespace vigie::store {

// Writes the generation `merged->generation` of `merged->day` as `view` has
// it into `files`, and fills in the rest of `*merged`. One series is in memory
// at a time. kDataLoss, naming what, if anything cannot be read; kCancelled.
absl::Status WriteMergedDay(RocksTables& tables, const BlockView& view,
                            const BlockSnapshot& snapshot,
                            const MergeOptions& options, FileSet* files,
                            ColdDay* merged);

}  // namespace vigie::store
