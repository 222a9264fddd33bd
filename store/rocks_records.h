// RocksRecords keeps every table of records.h in one RocksDB column family.
// Keys: docs/formats/records.md. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/records.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
}  // namespace rocksdb

namespace vigie::store {

class RocksRecords final : public Records {
 public:
  // `db` and `family` outlive the object; no other writes to the family, and
  // its comparator is the bytewise one. Marks an empty family with the version
  // of the format. kFailedPrecondition if it bears another one.
  static absl::StatusOr<std::unique_ptr<RocksRecords>> Open(
      rocksdb::DB& db, rocksdb::ColumnFamilyHandle& family);

  absl::Status Write(const RecordBatch& batch) override;
  absl::StatusOr<std::string> Get(const Tenant& tenant, std::string_view table,
                                  std::string_view key) const override;
  absl::Status Scan(
      const Tenant& tenant, std::string_view table, std::string_view first,
      std::string_view last,
      absl::FunctionRef<bool(std::string_view key, std::string_view value)>
          visit) const override;

 private:
  RocksRecords(rocksdb::DB& db, rocksdb::ColumnFamilyHandle& family)
      : db_(db), family_(family) {}

  rocksdb::DB& db_;
  rocksdb::ColumnFamilyHandle& family_;
};

}  // namespace vigie::store
