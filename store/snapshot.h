// A snapshot of a running store, as a data directory of its own: what the
// blocks hold at one moment, as hard links where the file system has them, and
// an empty log. The caller seals before, so that the blocks hold everything.
// Why no log: docs/decisions/0071-snapshots-seal-first.md.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "store/blocks.h"
#include "store/file_layer.h"
#include "store/operations.h"

namespace vigie::store {

// As Store::Snapshot. No window may be dropped and no seal published during
// the call.
absl::Status WriteSnapshot(const Blocks& blocks, const std::string& directory,
                           FileLayer& files, const Progress& progress);

}  // namespace vigie::store
