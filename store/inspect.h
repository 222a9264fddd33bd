// What the blocks hold, table by table, for StoreReport.
#pragma once

#include <vector>

#include "store/blocks.h"
#include "store/operations.h"

namespace vigie::store {

// Sorted by name. From RocksDB's own books: reads no data. No window may be
// dropped during the call.
std::vector<TableReport> TablesOf(const Blocks& blocks);
std::vector<RollupReport> RollupsOf(const Blocks& blocks);
// What its cache of blocks holds now.
uint64_t CacheBytesOf(const Blocks& blocks);

}  // namespace vigie::store
