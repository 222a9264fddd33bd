// How long to wait after a try that failed. Not installed.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <random>

#include "absl/time/time.h"

namespace vigie::sdk {

class Backoff {
 public:
  Backoff(absl::Duration min, absl::Duration max)
      : min_(min), max_(max), next_(min) {}

  // From half of the step to the whole of it, so that a fleet does not return
  // all at once; the step doubles.
  absl::Duration Next() {
    const absl::Duration step = next_;
    next_ = std::min(next_ * 2, max_);
    return step * std::uniform_real_distribution<double>(0.5, 1)(random_);
  }
  void Reset() { next_ = min_; }

 private:
  const absl::Duration min_;
  const absl::Duration max_;
  absl::Duration next_;
  std::minstd_rand random_{std::random_device()()};
};

}  // namespace vigie::sdk
