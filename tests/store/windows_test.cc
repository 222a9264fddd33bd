#include "store/windows.h"

#include <gmock/gmock.h>

#include <limits>

namespace vigie::store {
namespace {

TEST(WindowsTest, TimesBeforeTheEpochBelongToNegativeWindows) {
  EXPECT_EQ(WindowOf(0), 0);
  EXPECT_EQ(WindowOf(-1), -1);
  EXPECT_EQ(WindowOf(-kWindowMs), -1);
  EXPECT_EQ(WindowOf(-kWindowMs - 1), -2);
  EXPECT_EQ(WindowOf(kTimeMinMs), INT32_MIN);
  EXPECT_EQ(WindowOf(kTimeMaxMs), INT32_MAX);
  EXPECT_EQ(NearestWindowOf(std::numeric_limits<int64_t>::min()), INT32_MIN);
  EXPECT_EQ(WindowStartMs(-1), -kWindowMs);
  EXPECT_EQ(WindowEndMs(-1), -1);
}

TEST(WindowsTest, ADayIsFourWindowsOnBothSidesOfTheEpoch) {
  EXPECT_EQ(DayOf(0), 0);
  EXPECT_EQ(DayOf(kDayMs - 1), 0);
  EXPECT_EQ(DayOf(-1), -1);
  EXPECT_EQ(DayOf(-kDayMs), -1);
  EXPECT_EQ(DayOf(-kDayMs - 1), -2);
  EXPECT_EQ(DayOfWindow(FirstWindowOf(-3)), -3);
  EXPECT_EQ(DayOfWindow(FirstWindowOf(-3) + kWindowsADay - 1), -3);
  EXPECT_EQ(DayStartMs(-1), -kDayMs);
  EXPECT_EQ(DayEndMs(-1), -1);
}

}  // namespace
}  // namespace vigie::store
