// A clock that moves only when told to. Sleepers wake when it passes them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/clock.h"

namespace vigie::testing {

class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(int64_t now_ms) : now_ms_(now_ms) {}

  void AdvanceMs(int64_t ms) {
    {
      std::lock_guard lock(mutex_);
      now_ms_ += ms;
      monotonic_ns_ += ms * 1'000'000;
    }
    moved_.notify_all();
  }
  // The wall clock steps, back too; monotonic time stays.
  void SetNowMs(int64_t now_ms) {
    std::lock_guard lock(mutex_);
    now_ms_ = now_ms;
  }
  // Blocks until `count` threads sleep on this clock.
  void AwaitSleepers(int count) {
    std::unique_lock lock(mutex_);
    sleeping_.wait(lock, [&] { return sleepers_ >= count; });
  }

  int64_t NowMs() const override {
    std::lock_guard lock(mutex_);
    return now_ms_;
  }
  int64_t MonotonicNs() const override {
    std::lock_guard lock(mutex_);
    return monotonic_ns_;
  }
  bool SleepFor(absl::Duration delay, std::stop_token stop) const override {
    return SleepUntil(MonotonicNs() + absl::ToInt64Nanoseconds(delay), stop);
  }
  bool SleepUntil(int64_t until, std::stop_token stop) const override {
    std::unique_lock lock(mutex_);
    ++sleepers_;
    sleeping_.notify_all();
    moved_.wait(lock, stop, [&] { return monotonic_ns_ >= until; });
    --sleepers_;
    return !stop.stop_requested();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable_any moved_;
  mutable std::condition_variable_any sleeping_;
  int64_t now_ms_;
  int64_t monotonic_ns_ = 0;
  mutable int sleepers_ = 0;
};

}  // namespace vigie::testing
