#include "store/inspect.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <algorithm>

namespace vigie::store {

std::vector<TableReport> TablesOf(const Blocks& blocks) {
  const Blocks::Database database = blocks.database();
  std::vector<TableReport> tables;
  for (const std::shared_ptr<Family>& family : database.families) {
    rocksdb::ColumnFamilyMetaData metadata;
    database.db->GetColumnFamilyMetaData(family->handle(), &metadata);
    TableReport& table = tables.emplace_back();
    table.name = family->name();
    table.bytes = metadata.size;
    table.files = metadata.file_count;
    database.db->GetIntProperty(family->handle(),
                                rocksdb::DB::Properties::kEstimateNumKeys,
                                &table.rows);
  }
  std::sort(tables.begin(), tables.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return tables;
}

uint64_t CacheBytesOf(const Blocks& blocks) {
  uint64_t bytes = 0;
  blocks.database().db->GetIntProperty(
      rocksdb::DB::Properties::kBlockCacheUsage, &bytes);
  return bytes;
}

}  // namespace vigie::store
