#include "deploy/demo/rhythm.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vigie::demo {
namespace {

constexpr RhythmOptions kFromMidnight = {.day_s = 2400, .start_hour = 0};

double AtHour(double hour) { return Rhythm(hour * 100, kFromMidnight); }

TEST(RhythmTest, TheMeanOfADayIsOne) {
  double sum = 0;
  for (int minute = 0; minute < 24 * 60; ++minute) sum += AtHour(minute / 60.0);

  EXPECT_NEAR(sum / (24 * 60), 1, 1e-9);
}

TEST(RhythmTest, TheEveningIsBusyAndTheNightQuiet) {
  EXPECT_GT(AtHour(21), 1.8);
  EXPECT_LT(AtHour(4), 0.2);
  EXPECT_GT(AtHour(12), AtHour(10));
  EXPECT_GT(AtHour(12), AtHour(15));
}

TEST(RhythmTest, NoMomentIsBusierThanTheMaximumAndOneReachesIt) {
  double busiest = 0;
  for (int minute = 0; minute < 24 * 60; ++minute) {
    busiest = std::max(busiest, AtHour(minute / 60.0));
  }

  EXPECT_NEAR(busiest, RhythmMax(), 1e-12);
}

TEST(RhythmTest, DaysRepeatAndBeginAtTheHourGiven) {
  EXPECT_NEAR(AtHour(30), AtHour(6), 1e-9);
  EXPECT_NEAR(Rhythm(0, {.day_s = 60, .start_hour = 20}), AtHour(20), 1e-9);
  EXPECT_NEAR(Rhythm(10, {.day_s = 60, .start_hour = 22}), AtHour(2), 1e-9);
}

}  // namespace
}  // namespace vigie::demo
