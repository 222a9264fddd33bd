// Windows cut time into spans of six hours, counted from the epoch: blocks are
// sealed, read and dropped by window, and merged by day.
// Thread-safe: no state.
#pragma once

#include <algorithm>
#include <cstdint>

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

// Days, likewise counted from the epoch: four windows each. What is merged is
// kept by day.
inline constexpr int32_t kWindowsADay = 4;
inline constexpr int64_t kDayMs = kWindowsADay * kWindowMs;

inline int32_t DayOfWindow(int32_t window) { return window >> 2; }
inline int32_t FirstWindowOf(int32_t day) { return day * kWindowsADay; }
inline int32_t DayOf(int64_t time_ms) { return DayOfWindow(WindowOf(time_ms)); }
inline int32_t NearestDayOf(int64_t time_ms) {
  return DayOfWindow(NearestWindowOf(time_ms));
}
inline int64_t DayStartMs(int32_t day) { return int64_t{day} * kDayMs; }
inline int64_t DayEndMs(int32_t day) {  // its last millisecond
  return DayStartMs(day) + (kDayMs - 1);
}

}  // namespace vigie::store
