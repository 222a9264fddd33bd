// ReopenPace: when a database that broke again right after it was opened again
// may be opened once more. At once the first time; then 1 s, 2 s, 4 s after the
// opening before, and so on up to a hundred times what that one took, but not
// below 4 s, nor above 64 s. So openings that do not help take about a
// hundredth of the time, and a small database is back seconds after its disk.
// Why: docs/decisions/0111-openings-are-paced-by-what-they-take.md.
// Thread-compatible. Times are monotonic, in nanoseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace vigie::store {

class ReopenPace {
 public:
  // Until the next opening may begin; 0: now.
  int64_t WaitNs(int64_t now_ns) const {
    return wait_ns_ == 0 ? 0
                         : std::max<int64_t>(began_ns_ + wait_ns_ - now_ns, 0);
  }

  void Began(int64_t now_ns) {
    began_ns_ = now_ns;
    wait_ns_ = std::clamp(2 * wait_ns_, kFirstNs, wait_max_ns_);
  }
  // Whether it helped or not.
  void Ended(int64_t now_ns) {
    wait_max_ns_ =
        std::clamp(kTimesItsCost * (now_ns - began_ns_), kMaxMinNs, kMaxMaxNs);
    wait_ns_ = std::min(wait_ns_, wait_max_ns_);
  }

  // A change came to its end: the next trouble is a new one.
  void Changed() { wait_ns_ = 0; }

 private:
  static constexpr int64_t kFirstNs = 1'000'000'000;
  static constexpr int64_t kMaxMinNs = 4 * kFirstNs;
  static constexpr int64_t kMaxMaxNs = 64 * kFirstNs;
  static constexpr int64_t kTimesItsCost = 100;

  int64_t began_ns_ = 0;
  int64_t wait_ns_ = 0;
  int64_t wait_max_ns_ = kMaxMinNs;
};

}  // namespace vigie::store
