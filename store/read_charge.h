// What a read holds while it looks for its answer: charged before it is
// allocated, released when the call ends; and how often it looks whether it
// should stop.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/byte_account.h"
#include "base/status_macros.h"
#include "store/queryable.h"

namespace vigie::store {

class ScopedCharge {
 public:
  explicit ScopedCharge(ByteAccount* account) : account_(account) {}
  ~ScopedCharge() { account_->Release(bytes_); }
  ScopedCharge(const ScopedCharge&) = delete;
  ScopedCharge& operator=(const ScopedCharge&) = delete;

  absl::Status Add(size_t bytes) {
    VIGIE_RETURN_IF_ERROR(account_->Charge(static_cast<int64_t>(bytes)));
    bytes_ += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  }

 private:
  ByteAccount* const account_;
  int64_t bytes_ = 0;
};

// kCancelled if `context` asks to stop, looked at every 1024th step.
inline absl::Status CheckStop(const ReadContext& context, size_t* steps) {
  if (++*steps % 1024 == 0 && context.stop.stop_requested()) {
    return absl::CancelledError("select: cancelled");
  }
  return absl::OkStatus();
}

}  // namespace vigie::store
