// MemoryRecords: record tables in memory, for tests of what rests on them. A
// write may be told to fail; what the tables hold outlives whoever wrote it,
// as after kill -9.
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "store/records.h"

namespace vigie::testing {

class MemoryRecords final : public store::Records {
 public:
  // Skips `skip` writes and refuses the next `count` with kUnavailable.
  void FailWrites(int skip, int count) {
    std::lock_guard lock(mutex_);
    skip_ = skip;
    fail_ = count;
  }
  // Writes that were applied, and the changes in them.
  uint64_t writes() const {
    std::lock_guard lock(mutex_);
    return writes_;
  }
  uint64_t changes() const {
    std::lock_guard lock(mutex_);
    return changes_;
  }
  // Records of a table, of every tenant.
  size_t Size(std::string_view table) const {
    std::lock_guard lock(mutex_);
    size_t size = 0;
    for (const auto& [key, value] : records_) {
      if (std::get<1>(key) == table) ++size;
    }
    return size;
  }

  absl::Status Write(const store::RecordBatch& batch) override {
    std::lock_guard lock(mutex_);
    if (skip_ > 0) {
      --skip_;
    } else if (fail_ > 0) {
      --fail_;
      return absl::UnavailableError("records: the disk refuses");
    }
    ++writes_;
    changes_ += batch.changes().size();
    for (const auto& change : batch.changes()) {
      const Key key(change.tenant, change.table, change.key);
      if (change.value.has_value()) {
        records_[key] = *change.value;
      } else {
        records_.erase(key);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Get(const Tenant& tenant, std::string_view table,
                                  std::string_view key) const override {
    std::lock_guard lock(mutex_);
    const auto it =
        records_.find(Key(tenant.name, std::string(table), std::string(key)));
    if (it == records_.end()) return absl::NotFoundError("no such record");
    return it->second;
  }

  absl::Status Scan(
      const Tenant& tenant, std::string_view table, std::string_view first,
      std::string_view last,
      absl::FunctionRef<bool(std::string_view key, std::string_view value)>
          visit) const override {
    std::map<Key, std::string> snapshot;
    {
      std::lock_guard lock(mutex_);
      snapshot = records_;
    }
    const std::string name(table);
    for (auto it =
             snapshot.lower_bound(Key(tenant.name, name, std::string(first)));
         it != snapshot.end(); ++it) {
      const auto& [owner, of, key] = it->first;
      if (owner != tenant.name || of != name) break;
      if (!last.empty() && key >= last) break;
      if (!visit(key, it->second)) break;
    }
    return absl::OkStatus();
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  mutable std::mutex mutex_;
  std::map<Key, std::string> records_;
  int skip_ = 0;
  int fail_ = 0;
  uint64_t writes_ = 0;
  uint64_t changes_ = 0;
};

}  // namespace vigie::testing
