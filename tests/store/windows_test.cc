#include "store/windows.h"

#include <gmock/gmock.h>

#include <random>
#include <set>

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

TEST(WindowSetTest, IsTheSetOfWhatWasAddedWhateverTheOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    WindowSet set;
    std::set<int32_t> expected;
    for (int i = 0; i < 60; ++i) {
      const auto window = static_cast<int32_t>(random() % 80) - 40;
      set.Add(window);
      expected.insert(window);
    }
    const auto before = static_cast<int32_t>(random() % 80) - 40;
    set.RemoveBefore(before);
    expected.erase(expected.begin(), expected.lower_bound(before));
    for (int32_t w = -45; w < 45; ++w) {
      EXPECT_EQ(set.Overlaps(w, w), expected.contains(w)) << w;
    }
    for (size_t i = 1; i < set.runs().size(); ++i) {
      EXPECT_LT(set.runs()[i - 1].last + 1, set.runs()[i].first);
    }
  }
}

}  // namespace
}  // namespace vigie::store
