#include "query/extrapolation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace vigie::query {
namespace {

size_t UpTo(const std::vector<int64_t>& times, int64_t time_ms) {
  return static_cast<size_t>(
      std::upper_bound(times.begin(), times.end(), time_ms) - times.begin());
}

TEST(WindowsAlikeTest, AreWhatSearchingEachFinds) {
  size_t alike_windows = 0;
  for (uint64_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto any = [&](int64_t from, int64_t to) {
      return std::uniform_int_distribution<int64_t>(from, to)(random);
    };
    const int64_t gap_ms = any(1, 20);
    std::vector<int64_t> times = {any(-300, 300)};
    for (int64_t more = any(1, 60); more > 0; --more) {
      times.push_back(times.back() + gap_ms);
    }
    WindowGrid grid;
    grid.first.start_ms = any(-600, 900);
    grid.first.end_ms = grid.first.start_ms + any(1, 200);
    grid.step_ms = gap_ms * any(1, 5);
    grid.count = any(2, 80);
    const AlikeWindows alike = WindowsAlike(times, grid);
    ASSERT_LE(0, alike.begin);
    ASSERT_LE(alike.begin, alike.end);
    ASSERT_LE(alike.end, grid.count);
    for (int64_t step = alike.begin; step < alike.end; ++step) {
      const size_t begin =
          UpTo(times, grid.first.start_ms + step * grid.step_ms);
      const size_t end = UpTo(times, grid.first.end_ms + step * grid.step_ms);
      const auto moved = static_cast<size_t>(step - alike.begin) * alike.moved;
      ASSERT_EQ(begin, alike.first + moved) << step;
      ASSERT_EQ(end - begin, alike.samples) << step;
      ++alike_windows;
    }
    // No other window has a sample nearer than one gap to both of its edges.
    for (int64_t step = 0; step < grid.count; ++step) {
      if (alike.begin <= step && step < alike.end) continue;
      EXPECT_TRUE(
          grid.first.start_ms + step * grid.step_ms < times.front() - gap_ms ||
          grid.first.end_ms + step * grid.step_ms >= times.back() + gap_ms)
          << step;
    }
  }
  EXPECT_GT(alike_windows, 10'000u);
}

TEST(WindowsAlikeTest, AreNoneWhereSamplesOrWindowsAreUneven) {
  const WindowGrid grid = {
      .first = {.start_ms = 0, .end_ms = 40}, .step_ms = 20, .count = 5};
  EXPECT_EQ(WindowsAlike({0, 10, 20, 30, 40, 50}, grid).end, 1);
  EXPECT_EQ(WindowsAlike({0, 10, 20, 31, 40, 50}, grid).end, 0);
  EXPECT_EQ(WindowsAlike({0, 8, 16, 24, 32, 40}, grid).end, 0);
  EXPECT_EQ(WindowsAlike({10}, grid).end, 0);
  EXPECT_EQ(WindowsAlike({}, grid).end, 0);
}

}  // namespace
}  // namespace vigie::query
