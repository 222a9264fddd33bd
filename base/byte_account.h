// ByteAccount bounds what one query (or one door) may hold: memory is charged
// before it is allocated, to the account and to its parent, the process.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace vigie {

class ByteAccount {
 public:
  // `name` is what errors call it: "query", "process". `parent`, if any, is
  // charged too and outlives this account.
  ByteAccount(std::string_view name, int64_t bytes_max,
              ByteAccount* parent = nullptr);
  ~ByteAccount();
  ByteAccount(const ByteAccount&) = delete;
  ByteAccount& operator=(const ByteAccount&) = delete;

  // kFailedPrecondition, naming the account and its limit, if `bytes` more
  // would exceed it or its parent's; nothing is charged then. A full parent
  // answers kResourceExhausted: others hold the memory, later it may fit.
  absl::Status Charge(int64_t bytes);
  void Release(int64_t bytes);

  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  int64_t bytes_peak() const { return peak_.load(std::memory_order_relaxed); }
  int64_t bytes_max() const { return bytes_max_; }

 private:
  bool TryCharge(int64_t bytes);

  const std::string name_;
  const int64_t bytes_max_;
  ByteAccount* const parent_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> peak_{0};
};

}  // namespace vigie
