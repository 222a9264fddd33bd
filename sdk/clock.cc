#include "sdk/clock.h"

#include <chrono>

namespace vigie::sdk {
namespace {

template <class ChronoClock>
int64_t NsOf() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             ChronoClock::now().time_since_epoch())
      .count();
}

class SystemClock final : public Clock {
 public:
  int64_t UnixNs() const override { return NsOf<std::chrono::system_clock>(); }
  int64_t SteadyNs() const override {
    return NsOf<std::chrono::steady_clock>();
  }
  void WaitUntil(std::unique_lock<std::mutex>& lock,
                 std::condition_variable& changed,
                 int64_t until_ns) const override {
    changed.wait_until(lock, std::chrono::steady_clock::time_point(
                                 std::chrono::nanoseconds(until_ns)));
  }
};

}  // namespace

const Clock& Clock::System() {
  static const auto* const clock = new SystemClock;
  return *clock;
}

}  // namespace vigie::sdk
