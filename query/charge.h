// QueryAccount: what a query holds, in bytes and in samples. Charge: a part of
// it, released with the object. Whoever allocates for a query charges first
// and keeps the Charge beside the memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "base/byte_account.h"

namespace vigie::query {

// Thread-safe.
class QueryAccount {
 public:
  // Bytes go to `bytes`, which outlives this account.
  QueryAccount(ByteAccount* bytes, int64_t samples_max)
      : bytes_(*bytes), samples_max_(samples_max) {}
  // A tally of its own beside that of `whole`, which alone refuses and
  // outlives this account: what one node of an explained query holds.
  explicit QueryAccount(QueryAccount* whole)
      : bytes_(whole->bytes_),
        samples_max_(whole->samples_max_),
        whole_(whole) {}
  QueryAccount(const QueryAccount&) = delete;
  QueryAccount& operator=(const QueryAccount&) = delete;

  // kFailedPrecondition and kResourceExhausted of ByteAccount, or
  // kFailedPrecondition for too many samples, each with its Limit; nothing is
  // charged then.
  absl::Status Charge(int64_t bytes, int64_t samples);
  void Release(int64_t bytes, int64_t samples);

  // What the store charged to bytes() on behalf of this tally.
  void TallyStore(int64_t bytes);

  // For the store, which knows of bytes alone.
  ByteAccount& bytes() const { return bytes_; }
  // Of this tally. Samples are cells of series, absent ones included, and what
  // a window function has before it.
  int64_t bytes_peak() const {
    return whole_ == nullptr ? bytes_.bytes_peak() : tally_.peak.load();
  }
  int64_t samples_peak() const { return samples_.peak.load(); }

 private:
  struct Tally {
    std::atomic<int64_t> now{0};
    std::atomic<int64_t> peak{0};
    void Add(int64_t count);
    bool TryAdd(int64_t count, int64_t max);
    void Subtract(int64_t count) {
      now.fetch_sub(count, std::memory_order_relaxed);
    }
  };

  ByteAccount& bytes_;
  const int64_t samples_max_;
  QueryAccount* const whole_ = nullptr;
  Tally tally_;  // bytes, of a part
  Tally samples_;
};

class Charge {
 public:
  Charge() = default;
  // `account` outlives the charge.
  explicit Charge(QueryAccount* account) : account_(account) {}
  Charge(Charge&& other) noexcept
      : account_(other.account_),
        bytes_(std::exchange(other.bytes_, 0)),
        samples_(std::exchange(other.samples_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    if (this != &other) {
      Reset();
      account_ = other.account_;
      bytes_ = std::exchange(other.bytes_, 0);
      samples_ = std::exchange(other.samples_, 0);
    }
    return *this;
  }
  ~Charge() { Reset(); }

  // The account's error if it is full; the charge is then unchanged.
  absl::Status Add(int64_t bytes, int64_t samples = 0) {
    if (absl::Status status = account_->Charge(bytes, samples); !status.ok()) {
      return status;
    }
    bytes_ += bytes;
    samples_ += samples;
    return absl::OkStatus();
  }

  void Reset() {
    if (bytes_ == 0 && samples_ == 0) return;
    account_->Release(std::exchange(bytes_, 0), std::exchange(samples_, 0));
  }

  int64_t bytes() const { return bytes_; }

 private:
  QueryAccount* account_ = nullptr;
  int64_t bytes_ = 0;
  int64_t samples_ = 0;
};

}  // namespace vigie::query
