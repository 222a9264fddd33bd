#include "base/byte_account.h"

#include <fmt/format.h>

#include "base/check.h"

namespace vigie {

ByteAccount::ByteAccount(std::string_view name, int64_t bytes_max,
                         ByteAccount* parent)
    : name_(name), bytes_max_(bytes_max), parent_(parent) {}

ByteAccount::~ByteAccount() {
  if (parent_ != nullptr) parent_->Release(bytes());
}

bool ByteAccount::TryCharge(int64_t bytes) {
  int64_t now = bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > bytes_max_ - now) return false;
  } while (!bytes_.compare_exchange_weak(now, now + bytes,
                                         std::memory_order_relaxed));
  int64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < now + bytes &&
         !peak_.compare_exchange_weak(peak, now + bytes,
                                      std::memory_order_relaxed)) {
  }
  return true;
}

absl::Status ByteAccount::Charge(int64_t bytes) {
  VIGIE_CHECK(bytes >= 0);
  if (!TryCharge(bytes)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: needs more than its limit of {} bytes of memory",
                    name_, bytes_max_));
  }
  if (parent_ != nullptr) {
    if (absl::Status status = parent_->Charge(bytes); !status.ok()) {
      bytes_.fetch_sub(bytes, std::memory_order_relaxed);
      return absl::ResourceExhaustedError(fmt::format(
          "{}: {}: all of its {} bytes of memory are in use, try again later",
          name_, parent_->name_, parent_->bytes_max_));
    }
  }
  return absl::OkStatus();
}

void ByteAccount::Release(int64_t bytes) {
  const int64_t before = bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  VIGIE_CHECK(before >= bytes);
  if (parent_ != nullptr) parent_->Release(bytes);
}

}  // namespace vigie
