#include "deploy/demo/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vigie::demo {
namespace {

using ::testing::ElementsAre;

TEST(TimelineTest, DoesThingsInOrderOfTimeAndThenOfPlanning) {
  Timeline timeline;
  std::vector<int> done;
  timeline.After(2, [&] { done.push_back(3); });
  timeline.After(1, [&] { done.push_back(1); });
  timeline.After(1, [&] { done.push_back(2); });

  timeline.RunUntil(5);

  EXPECT_THAT(done, ElementsAre(1, 2, 3));
  EXPECT_EQ(timeline.now_s(), 5);
}

TEST(TimelineTest, StopsAfterTheGivenMoment) {
  Timeline timeline;
  std::vector<double> done;
  for (const double at : {1.0, 2.0, 3.0}) {
    timeline.After(at, [&] { done.push_back(timeline.now_s()); });
  }

  timeline.RunUntil(2);

  EXPECT_THAT(done, ElementsAre(1, 2));
  EXPECT_EQ(timeline.NextAt(), 3);
}

TEST(TimelineTest, WhatAnActionPlansIsDoneInTheSameRun) {
  Timeline timeline;
  std::vector<double> done;
  timeline.After(1, [&] {
    timeline.After(-7, [&] { done.push_back(timeline.now_s()); });
    timeline.After(1, [&] { done.push_back(timeline.now_s()); });
  });

  timeline.RunUntil(2);

  EXPECT_THAT(done, ElementsAre(1, 2));
}

}  // namespace
}  // namespace vigie::demo
