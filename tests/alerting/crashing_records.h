// CrashingRecords: record tables that survive the process which writes them.
// At a chosen write it dies: before that write is there, or after it is there
// and nobody was told. Nothing is taken then until Revive.
// Thread-safe.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "tests/support/memory_records.h"

namespace vigie::testing {

class CrashingRecords final : public store::Records {
 public:
  enum class Crash { kBeforeWrite, kAfterWrite };

  // The `write`-th write from now on, from 1, is the last.
  void CrashAt(int write, Crash crash) {
    std::lock_guard lock(mutex_);
    left_ = write;
    crash_ = crash;
  }
  bool crashed() const {
    std::lock_guard lock(mutex_);
    return dead_;
  }
  // Another process opens the same tables.
  void Revive() {
    std::lock_guard lock(mutex_);
    dead_ = false;
    left_.reset();
  }
  // A full disk: refuses writes, but the process lives.
  void Refuse(bool refuse) {
    std::lock_guard lock(mutex_);
    refuse_ = refuse;
  }
  size_t RowsOf(std::string_view table) const { return tables_.Size(table); }

  absl::Status Write(const store::RecordBatch& batch) override {
    std::lock_guard lock(mutex_);
    if (dead_ || refuse_) return absl::UnavailableError("no disk");
    const bool last = left_ && --*left_ == 0;
    if (last) dead_ = true;
    if (!last) return tables_.Write(batch);
    if (crash_ == Crash::kAfterWrite) (void)tables_.Write(batch);
    return absl::UnavailableError("crashed");
  }
  absl::StatusOr<std::string> Get(const Tenant& tenant, std::string_view table,
                                  std::string_view key) const override {
    return tables_.Get(tenant, table, key);
  }
  absl::Status Scan(
      const Tenant& tenant, std::string_view table, std::string_view first,
      std::string_view last,
      absl::FunctionRef<bool(std::string_view key, std::string_view value)>
          visit) const override {
    return tables_.Scan(tenant, table, first, last, visit);
  }

 private:
  MemoryRecords tables_;
  mutable std::mutex mutex_;
  std::optional<int> left_;
  Crash crash_ = Crash::kBeforeWrite;
  bool dead_ = false;
  bool refuse_ = false;
};

}  // namespace vigie::testing
