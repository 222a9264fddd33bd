// Windows cut time into spans of six hours, counted from the epoch: blocks are
// kept, read and dropped by window. A WindowSet says in which ones a series
// has samples.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "model/time_range.h"

namespace vigie::store {

inline constexpr int64_t kWindowMs = 6 * 3'600'000;

// Times that have a window whose number fits into 32 bits: 1.4 million years
// either way. Others are never stored.
inline constexpr int64_t kTimeMinMs = -(int64_t{1} << 31) * kWindowMs;
inline constexpr int64_t kTimeMaxMs = (int64_t{1} << 31) * kWindowMs - 1;

// `time_ms` within [kTimeMinMs, kTimeMaxMs].
inline int32_t WindowOf(int64_t time_ms) {
  const int64_t floor =
      time_ms >= 0 ? time_ms / kWindowMs : -((-time_ms - 1) / kWindowMs) - 1;
  return static_cast<int32_t>(floor);
}
// Of any time: the nearest window there is.
inline int32_t NearestWindowOf(int64_t time_ms) {
  return WindowOf(std::clamp(time_ms, kTimeMinMs, kTimeMaxMs));
}
inline int64_t WindowStartMs(int32_t window) {
  return int64_t{window} * kWindowMs;
}
inline int64_t WindowEndMs(int32_t window) {  // its last millisecond
  return WindowStartMs(window) + (kWindowMs - 1);
}

// Runs of consecutive windows, ascending: a series that reports without a
// pause has one.
class WindowSet {
 public:
  struct Run {
    int32_t first = 0;
    int32_t last = 0;
    friend bool operator==(const Run&, const Run&) = default;
  };

  void Add(int32_t window) {
    // The hot path: the newest window again.
    if (!runs_.empty() && runs_.back().first <= window &&
        window <= runs_.back().last) {
      return;
    }
    auto it = std::lower_bound(
        runs_.begin(), runs_.end(), window,
        [](const Run& run, int32_t w) { return run.last < w; });
    if (it != runs_.end() && it->first <= window) return;
    const bool joins_before =
        it != runs_.begin() && std::prev(it)->last == window - 1;
    const bool joins_after = it != runs_.end() && it->first == window + 1;
    if (joins_before && joins_after) {
      std::prev(it)->last = it->last;
      runs_.erase(it);
    } else if (joins_before) {
      std::prev(it)->last = window;
    } else if (joins_after) {
      it->first = window;
    } else {
      runs_.insert(it, {window, window});
    }
  }

  // For runs read back, ascending; false if they are not.
  bool AddRun(Run run) {
    if (run.first > run.last ||
        (!runs_.empty() && run.first <= runs_.back().last)) {
      return false;
    }
    runs_.push_back(run);
    return true;
  }

  void RemoveBefore(int32_t window) {
    std::erase_if(runs_, [&](const Run& run) { return run.last < window; });
    if (!runs_.empty()) {
      runs_.front().first = std::max(runs_.front().first, window);
    }
  }

  bool Overlaps(int32_t first, int32_t last) const {
    const auto it = std::lower_bound(
        runs_.begin(), runs_.end(), first,
        [](const Run& run, int32_t w) { return run.last < w; });
    return it != runs_.end() && it->first <= last;
  }
  bool Overlaps(const TimeRange& range) const {
    return !range.empty() && Overlaps(NearestWindowOf(range.min_ms),
                                      NearestWindowOf(range.max_ms));
  }

  // The runs, cut to [first, last].
  std::vector<Run> Within(int32_t first, int32_t last) const {
    std::vector<Run> cut;
    for (const Run& run : runs_) {
      if (run.last < first || run.first > last) continue;
      cut.push_back({std::max(run.first, first), std::min(run.last, last)});
    }
    return cut;
  }

  bool empty() const { return runs_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }

 private:
  std::vector<Run> runs_;
};

}  // namespace vigie::store
