// Where time comes from. Rooms take a Clock; nothing else reads the system's.
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "absl/time/time.h"

namespace vigie {

class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch; may step back.
  virtual int64_t NowMs() const = 0;

  // Nanoseconds from an arbitrary origin; never steps back. For durations.
  virtual int64_t MonotonicNs() const = 0;

  // Returns true once `delay` has passed, false as soon as `stop` is
  // requested.
  virtual bool SleepFor(absl::Duration delay, std::stop_token stop) const = 0;

  // As SleepFor, until MonotonicNs() has reached `monotonic_ns`. A schedule
  // should use this: time that passes before the sleep begins is not slept
  // again.
  virtual bool SleepUntil(int64_t monotonic_ns, std::stop_token stop) const {
    return SleepFor(absl::Nanoseconds(monotonic_ns - MonotonicNs()), stop);
  }
};

class SystemClock final : public Clock {
 public:
  int64_t NowMs() const override;
  int64_t MonotonicNs() const override;
  bool SleepFor(absl::Duration delay, std::stop_token stop) const override;
};

}  // namespace vigie
