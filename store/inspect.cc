#include "store/inspect.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <algorithm>
#include <map>

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

std::vector<RollupReport> RollupsOf(const Blocks& blocks) {
  std::map<int64_t, RollupReport> found;
  for (const DayState& day : blocks.Days()) {
    for (const ColdDay& one : day.rollups) {
      RollupReport& report = found[one.resolution_ms];
      report.resolution_ms = one.resolution_ms;
      ++report.days;
      report.buckets += one.samples;
      report.bytes += one.bytes;
    }
  }
  std::vector<RollupReport> rollups;
  for (const auto& [resolution_ms, report] : found) rollups.push_back(report);
  return rollups;
}

}  // namespace vigie::store
