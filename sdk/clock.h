// Where the SDK's time comes from; tests bring their own.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace vigie::sdk {

class Clock {
 public:
  virtual ~Clock() = default;

  // Nanoseconds since the Unix epoch. May step, backwards too.
  virtual int64_t UnixNs() const = 0;
  // Nanoseconds that only grow; good for spans alone.
  virtual int64_t SteadyNs() const = 0;
  // Waits on `changed` until it is notified or `until_ns` of SteadyNs() is
  // there, and may wake up for no reason.
  virtual void WaitUntil(std::unique_lock<std::mutex>& lock,
                         std::condition_variable& changed,
                         int64_t until_ns) const = 0;

  // The machine's. Never destroyed.
  static const Clock& System();
};

}  // namespace vigie::sdk
