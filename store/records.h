// Records: small durable tables for state that people rely on: alert states,
// silences, the ledger, verdicts. Keys are ordered bytes. A write is synced
// before it returns: what it acknowledged survives kill -9 and a power cut.
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tenant.h"

namespace vigie::store {

// Changes to any number of tables, applied all or not at all, in order.
class RecordBatch {
 public:
  RecordBatch& Put(const Tenant& tenant, std::string_view table,
                   std::string_view key, std::string_view value);
  RecordBatch& Delete(const Tenant& tenant, std::string_view table,
                      std::string_view key);

  struct Change {
    std::string tenant;
    std::string table;
    std::string key;
    std::optional<std::string> value;  // none: delete
  };
  const std::vector<Change>& changes() const { return changes_; }

 private:
  std::vector<Change> changes_;
};

class Records {
 public:
  virtual ~Records() = default;

  // kInvalidArgument for an empty or overlong (> 255 bytes) tenant or table;
  // kUnavailable if the disk refuses; then nothing is applied.
  virtual absl::Status Write(const RecordBatch& batch) = 0;

  // kNotFound if there is no such key.
  virtual absl::StatusOr<std::string> Get(const Tenant& tenant,
                                          std::string_view table,
                                          std::string_view key) const = 0;

  // Calls `visit` with the keys in [first, last) in ascending order, from one
  // snapshot; an empty `last` has no upper end. Ends early when `visit`
  // returns false. The views are valid within the call only.
  virtual absl::Status Scan(
      const Tenant& tenant, std::string_view table, std::string_view first,
      std::string_view last,
      absl::FunctionRef<bool(std::string_view key, std::string_view value)>
          visit) const = 0;
};

}  // namespace vigie::store
