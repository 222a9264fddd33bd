#include "store/rocks_records.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::store {
namespace {

constexpr size_t kNameBytesMax = 255;
// No tenant is empty, so no record has a key that starts with a zero byte.
constexpr std::string_view kVersionKey("\0version", 8);
constexpr std::string_view kVersion = "1";

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

absl::Status FromRocks(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = fmt::format("records: {}", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsInvalidArgument()) return absl::InternalError(message);
  return absl::UnavailableError(message);
}

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

absl::Status CheckName(std::string_view what, std::string_view name) {
  if (!name.empty() && name.size() <= kNameBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("records: a {} has 1 to {} bytes, not {}", what,
                  kNameBytesMax, name.size()));
}

// Lengths come first, so no pair of names is the start of another's.
absl::StatusOr<std::string> PrefixOf(std::string_view tenant,
                                     std::string_view table) {
  VIGIE_RETURN_IF_ERROR(CheckName("tenant", tenant));
  VIGIE_RETURN_IF_ERROR(CheckName("table", table));
  std::string prefix;
  prefix += static_cast<char>(tenant.size());
  prefix += tenant;
  prefix += static_cast<char>(table.size());
  prefix += table;
  return prefix;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksRecords>> RocksRecords::Open(
    rocksdb::DB& db, rocksdb::ColumnFamilyHandle& family) {
  std::string version;
  const rocksdb::Status status =
      db.Get(rocksdb::ReadOptions(), &family, ToSlice(kVersionKey), &version);
  if (status.IsNotFound()) {
    VIGIE_RETURN_IF_ERROR(FromRocks(
        db.Put(Synced(), &family, ToSlice(kVersionKey), ToSlice(kVersion))));
  } else if (!status.ok()) {
    return FromRocks(status);
  } else if (version != kVersion) {
    return absl::FailedPreconditionError(
        fmt::format("records: format version {}; this vigie reads and writes "
                    "version {}",
                    version, kVersion));
  }
  return std::unique_ptr<RocksRecords>(new RocksRecords(db, family));
}

absl::Status RocksRecords::Write(const RecordBatch& batch) {
  rocksdb::WriteBatch writes;
  for (const RecordBatch::Change& change : batch.changes()) {
    VIGIE_ASSIGN_OR_RETURN(std::string key,
                           PrefixOf(change.tenant, change.table));
    key += change.key;
    const rocksdb::Status status =
        change.value ? writes.Put(&family_, key, *change.value)
                     : writes.Delete(&family_, key);
    VIGIE_RETURN_IF_ERROR(FromRocks(status));
  }
  if (batch.changes().empty()) return absl::OkStatus();
  return FromRocks(db_.Write(Synced(), &writes));
}

absl::StatusOr<std::string> RocksRecords::Get(const Tenant& tenant,
                                              std::string_view table,
                                              std::string_view key) const {
  VIGIE_ASSIGN_OR_RETURN(std::string full, PrefixOf(tenant.name, table));
  full += key;
  std::string value;
  const rocksdb::Status status =
      db_.Get(rocksdb::ReadOptions(), &family_, full, &value);
  if (status.IsNotFound()) {
    return absl::NotFoundError(
        fmt::format("records: table {} has no such key", table));
  }
  VIGIE_RETURN_IF_ERROR(FromRocks(status));
  return value;
}

absl::Status RocksRecords::Scan(
    const Tenant& tenant, std::string_view table, std::string_view first,
    std::string_view last,
    absl::FunctionRef<bool(std::string_view key, std::string_view value)> visit)
    const {
  VIGIE_ASSIGN_OR_RETURN(const std::string prefix,
                         PrefixOf(tenant.name, table));
  const std::string begin = prefix + std::string(first);
  const std::string end = prefix + std::string(last);
  // An iterator reads from the snapshot of its creation.
  const std::unique_ptr<rocksdb::Iterator> it(
      db_.NewIterator(rocksdb::ReadOptions(), &family_));
  for (it->Seek(begin); it->Valid(); it->Next()) {
    const std::string_view key = ToView(it->key());
    if (!key.starts_with(prefix) || (!last.empty() && key >= end)) break;
    if (!visit(key.substr(prefix.size()), ToView(it->value()))) break;
  }
  return FromRocks(it->status());
}

}  // namespace vigie::store
