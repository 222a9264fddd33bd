#include "store/reopen_pace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vigie::store {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kMs = 1'000'000;

// When openings begin, in seconds, of someone who always wants one; each takes
// `cost_ms`.
std::vector<int64_t> Openings(ReopenPace* pace, int64_t cost_ms, int count) {
  std::vector<int64_t> seconds;
  int64_t now_ns = 0;
  for (int i = 0; i < count; ++i) {
    now_ns += pace->WaitNs(now_ns);
    seconds.push_back(now_ns / (1'000 * kMs));
    pace->Began(now_ns);
    now_ns += cost_ms * kMs;
    pace->Ended(now_ns);
  }
  return seconds;
}

TEST(ReopenPaceTest, WaitsGrowUpToAHundredTimesWhatAnOpeningTakes) {
  ReopenPace none, some, much;
  EXPECT_THAT(Openings(&none, 0, 7), ElementsAre(0, 1, 3, 7, 11, 15, 19));
  EXPECT_THAT(Openings(&some, 300, 8), ElementsAre(0, 1, 3, 7, 15, 31, 61, 91));
  EXPECT_THAT(Openings(&much, 5'000, 9),
              ElementsAre(0, 5, 10, 15, 23, 39, 71, 135, 199));
}

TEST(ReopenPaceTest, AnOpeningThatGetsCheaperShortensTheWait) {
  ReopenPace pace;
  Openings(&pace, 5'000, 9);
  pace.Began(1'000'000 * kMs);
  EXPECT_EQ(pace.WaitNs(1'000'000 * kMs), 64'000 * kMs);

  pace.Ended(1'000'050 * kMs);

  EXPECT_EQ(pace.WaitNs(1'000'050 * kMs), 4'950 * kMs);
}

TEST(ReopenPaceTest, AChangeEndsTheWaiting) {
  ReopenPace pace;
  Openings(&pace, 1'000, 9);
  ASSERT_GT(pace.WaitNs(0), 0);

  pace.Changed();

  EXPECT_EQ(pace.WaitNs(0), 0);
  EXPECT_THAT(Openings(&pace, 0, 3), ElementsAre(0, 1, 3));
}

}  // namespace
}  // namespace vigie::store
