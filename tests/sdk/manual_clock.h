// The SDK's clock, standing still until a test moves it.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "sdk/clock.h"

namespace vigie::testing {

class ManualClock final : public sdk::Clock {
 public:
  explicit ManualClock(int64_t unix_ns) : unix_ns_(unix_ns) {}

  // Whoever waits until then or earlier wakes up.
  void AdvanceNs(int64_t ns) {
    std::vector<Waiter> waiters;
    {
      std::lock_guard lock(mutex_);
      unix_ns_ += ns;
      steady_ns_ += ns;
      waiters = waiters_;
    }
    for (const Waiter& waiter : waiters) {
      // Held until the waiter really waits: it registers before.
      { std::lock_guard lock(*waiter.mutex); }
      waiter.changed->notify_all();
    }
  }
  void AdvanceMs(int64_t ms) { AdvanceNs(ms * 1'000'000); }
  // The wall clock steps; steady time stays.
  void SetUnixNs(int64_t unix_ns) {
    std::lock_guard lock(mutex_);
    unix_ns_ = unix_ns;
  }
  // Blocks until some thread waits for a time at least `min_ns` and at most
  // `max_ns` from now, and gives how far that is.
  int64_t AwaitWait(int64_t min_ns, int64_t max_ns) {
    std::unique_lock lock(mutex_);
    int64_t found = 0;
    registered_.wait(lock, [&] {
      return std::any_of(waiters_.begin(), waiters_.end(),
                         [&](const Waiter& w) {
                           found = w.until_ns - steady_ns_;
                           return found >= min_ns && found <= max_ns;
                         });
    });
    return found;
  }

  int64_t UnixNs() const override {
    std::lock_guard lock(mutex_);
    return unix_ns_;
  }
  int64_t SteadyNs() const override {
    std::lock_guard lock(mutex_);
    return steady_ns_;
  }
  void WaitUntil(std::unique_lock<std::mutex>& lock,
                 std::condition_variable& changed,
                 int64_t until_ns) const override {
    {
      std::lock_guard own(mutex_);
      if (steady_ns_ >= until_ns) return;
      waiters_.push_back({lock.mutex(), &changed, until_ns});
    }
    registered_.notify_all();
    changed.wait(lock);
    std::lock_guard own(mutex_);
    waiters_.erase(
        std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& w) {
          return w.changed == &changed && w.until_ns == until_ns;
        }));
  }

 private:
  struct Waiter {
    std::mutex* mutex;
    std::condition_variable* changed;
    int64_t until_ns;
  };

  mutable std::mutex mutex_;
  mutable std::condition_variable registered_;
  mutable std::vector<Waiter> waiters_;
  int64_t unix_ns_;
  int64_t steady_ns_ = 0;
};

}  // namespace vigie::testing
