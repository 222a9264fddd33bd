#include "store/records.h"

namespace vigie::store {

RecordBatch& RecordBatch::Put(const Tenant& tenant, std::string_view table,
                              std::string_view key, std::string_view value) {
  changes_.push_back(
      {tenant.name, std::string(table), std::string(key), std::string(value)});
  return *this;
}

RecordBatch& RecordBatch::Delete(const Tenant& tenant, std::string_view table,
                                 std::string_view key) {
  changes_.push_back(
      {tenant.name, std::string(table), std::string(key), std::nullopt});
  return *this;
}

}  // namespace vigie::store
