// Charge: bytes held against a ByteAccount, released with the object. Whoever
// allocates for a query charges first and keeps the Charge beside the memory.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "base/byte_account.h"

namespace vigie::query {

class Charge {
 public:
  Charge() = default;
  // `account` outlives the charge.
  explicit Charge(ByteAccount* account) : account_(account) {}
  Charge(Charge&& other) noexcept
      : account_(other.account_), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    if (this != &other) {
      Reset();
      account_ = other.account_;
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~Charge() { Reset(); }

  // The account's error if it is full; the charge is then unchanged.
  absl::Status Add(int64_t bytes) {
    if (absl::Status status = account_->Charge(bytes); !status.ok()) {
      return status;
    }
    bytes_ += bytes;
    return absl::OkStatus();
  }

  void Reset() {
    if (bytes_ > 0) account_->Release(std::exchange(bytes_, 0));
  }

  int64_t bytes() const { return bytes_; }

 private:
  ByteAccount* account_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace vigie::query
