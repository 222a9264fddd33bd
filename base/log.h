// Logging through spdlog's default logger, to standard error, one line a
// record, thing first. RateLimiter keeps a hostile sender from filling it.
#pragma once

#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"

namespace vigie {

// kInvalidArgument for anything but "debug", "info", "warn" and "error".
absl::Status CheckLogLevel(std::string_view level);

// Sets form and level of what is logged; as CheckLogLevel.
absl::Status SetUpLog(std::string_view level);

// Lets one record pass every `interval`; tells how many were held back since.
// Thread-safe.
class LogRateLimiter {
 public:
  LogRateLimiter(const Clock& clock, absl::Duration interval);
  // True if the caller should log now; then `*suppressed` is the number of
  // records that were not.
  bool Pass(uint64_t* suppressed);

 private:
  const Clock& clock_;
  const int64_t interval_ns_;
  std::atomic<int64_t> next_ns_{0};
  std::atomic<uint64_t> suppressed_{0};
};

}  // namespace vigie
