// SelectorDeadline bounds what the selectors of one request take to be read: a
// regular expression of a few bytes can take a tenth of a second to compile,
// and a request can hold ten thousand. Thread-compatible.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/clock.h"
#include "server/http_message.h"

namespace vigie::server {

inline constexpr int64_t kSelectorsNsMax = 5'000'000'000;

class SelectorDeadline {
 public:
  // Both outlive it.
  SelectorDeadline(const HttpRequest& request, const Clock& clock)
      : request_(request), clock_(clock), begun_ns_(clock.MonotonicNs()) {}

  // Between one selector and the next. kDeadlineExceeded once they have taken
  // too long together, kCancelled once the client has left.
  absl::Status Check() const {
    if (request_.stop.stop_requested()) {
      return absl::CancelledError("canceled while its selectors were read");
    }
    if (clock_.MonotonicNs() - begun_ns_ > kSelectorsNsMax) {
      return absl::DeadlineExceededError(
          "reading the selectors took longer than 5 s: too many or too "
          "costly regular expressions");
    }
    return absl::OkStatus();
  }

 private:
  const HttpRequest& request_;
  const Clock& clock_;
  const int64_t begun_ns_;
};

}  // namespace vigie::server
