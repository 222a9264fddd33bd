// Increments become cumulative samples, each interval exactly once.
#include <gmock/gmock.h>

#include <random>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::vigie::testing::IsOk;

const Labels kTotal = SeriesNamed("requests_total");

class StoreDeltaTest : public StoreTest {
 protected:
  struct Interval {
    int64_t start_ms, end_ms;
    double increment;
  };
  static AppendBatch DeltasOf(const std::vector<Interval>& intervals,
                              const Labels& labels = kTotal) {
    AppendBatch batch;
    batch.series.push_back({labels, {}});
    for (const auto& [start_ms, end_ms, increment] : intervals) {
      batch.deltas.push_back({0, start_ms, end_ms, increment});
    }
    return batch;
  }
  AppendOutcome Append(const std::vector<Interval>& intervals) {
    return StoreTest::Append(DeltasOf(intervals));
  }
  std::map<int64_t, double> Values() {
    std::map<int64_t, double> values;
    for (const auto& [labels, samples] : Query()) {
      for (const auto& [time_ms, bits] : samples) {
        values[time_ms] = std::bit_cast<double>(bits);
      }
    }
    return values;
  }
};

TEST_F(StoreDeltaTest, IntervalsAddUpAndGapsAreFine) {
  Open();

  const AppendOutcome outcome = Append({{kNowMs - 100, kNowMs - 90, 3},
                                        {kNowMs - 90, kNowMs - 80, 0},
                                        {kNowMs - 50, kNowMs - 40, 4.5}});

  EXPECT_EQ(outcome.deltas_accepted, 3u);
  EXPECT_TRUE(outcome.refusals.empty());
  EXPECT_THAT(Values(), ElementsAre(Pair(kNowMs - 90, 3), Pair(kNowMs - 80, 3),
                                    Pair(kNowMs - 40, 7.5)));
}

TEST_F(StoreDeltaTest, AnIntervalIsCountedOnceHoweverOftenItIsSent) {
  Open();
  const std::vector<Interval> first = {{kNowMs - 100, kNowMs - 90, 3}};
  const std::vector<Interval> second = {{kNowMs - 90, kNowMs - 80, 4}};
  Append(first);
  Append(second);

  for (const char* state : {"open", "replayed", "sealed", "reopened"}) {
    SCOPED_TRACE(state);
    EXPECT_EQ(Append(first).deltas_accepted, 1u);
    EXPECT_EQ(Append(second).deltas_accepted, 1u);
    EXPECT_THAT(Values(),
                ElementsAre(Pair(kNowMs - 90, 3), Pair(kNowMs - 80, 7)));
    if (state == std::string_view("replayed")) {
      ASSERT_THAT(store_->Seal(), IsOk());
    } else {
      Open();
    }
  }
  Append({{kNowMs - 80, kNowMs, 1}});
  EXPECT_EQ(Values().at(kNowMs), 8);
}

TEST_F(StoreDeltaTest, AnOverlapIsRefusedByNameAndChangesNothing) {
  Open();
  Append({{kNowMs - 100, kNowMs - 90, 3}});

  const AppendOutcome outcome = Append({{kNowMs - 95, kNowMs - 85, 10}});

  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kOverlappingDelta);
  EXPECT_EQ(outcome.deltas_accepted, 0u);
  EXPECT_EQ(Values().size(), 1u);
}

TEST_F(StoreDeltaTest, OneBatchMayHoldThemInAnyOrder) {
  Open();

  Append({{kNowMs - 90, kNowMs - 80, 4},
          {kNowMs - 80, kNowMs - 70, 5},
          {kNowMs - 100, kNowMs - 90, 3}});

  EXPECT_THAT(Values(), ElementsAre(Pair(kNowMs - 90, 3), Pair(kNowMs - 80, 7),
                                    Pair(kNowMs - 70, 12)));
}

TEST_F(StoreDeltaTest, AnUnknownStartGoesOnWhereTheLastIntervalEnded) {
  Open();

  Append({{0, kNowMs - 90, 3}, {0, kNowMs - 80, 4}});

  EXPECT_THAT(Values(),
              ElementsAre(Pair(kNowMs - 90, 3), Pair(kNowMs - 80, 7)));
}

TEST_F(StoreDeltaTest, SamplesBearTheStartOfTheFirstInterval) {
  Open();
  Append({{kNowMs - 100, kNowMs - 90, 3}, {kNowMs - 90, kNowMs - 80, 4}});

  ByteAccount account("query", int64_t{1} << 30);
  auto snapshot = store_->queryable().Select({{}, {}, {}}, {&account, {}});
  ASSERT_THAT(snapshot, IsOk());
  SampleBatch batch;
  ASSERT_TRUE(*(*snapshot)->Samples(0)->Next(&batch));

  EXPECT_THAT(batch.starts_ms, ElementsAre(kNowMs - 100, kNowMs - 100));
}

TEST_F(StoreDeltaTest, WhatIsOldAndOfNoKnownCountIsRefused) {
  Open();

  EXPECT_EQ(ReasonOf(Append({{kNowMs - 86'400'100, kNowMs - 86'400'001, 1}})),
            RefusalReason::kTooOld);
  EXPECT_EQ(
      Append({{kNowMs - 86'400'100, kNowMs - 86'400'000, 1}}).deltas_accepted,
      1u);
}

TEST_F(StoreDeltaTest, EmptyIntervalsAndEndlessIncrementsAreRefused) {
  Open();
  const double inf = std::numeric_limits<double>::infinity();

  const AppendOutcome outcome = Append({{kNowMs, kNowMs, 1},
                                        {kNowMs, kNowMs - 1, 1},
                                        {kNowMs - 1, kNowMs, inf},
                                        {kNowMs - 1, kNowMs, NormalNan()}});

  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kInvalidSample);
  EXPECT_EQ(outcome.refusals[0].count, 4u);
  EXPECT_TRUE(Query().empty());
}

TEST_F(StoreDeltaTest, ASampleInTheWayIsNotOverwritten) {
  Open();
  StoreTest::Append(kTotal, {{kNowMs - 90, 1000}});

  EXPECT_EQ(ReasonOf(Append({{kNowMs - 100, kNowMs - 90, 3}})),
            RefusalReason::kDuplicateTime);
  EXPECT_EQ(Append({{kNowMs - 90, kNowMs - 80, 3}}).deltas_accepted, 1u);
  EXPECT_THAT(Values(),
              ElementsAre(Pair(kNowMs - 90, 1000), Pair(kNowMs - 80, 3)));
}

// Each interval is sent one to three times, out of the blue, with seals and
// restarts in between; the sums are those of each interval once.
TEST_F(StoreDeltaTest, RetriesSealsAndRestartsNeverCountTwice) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    Open();
    const Labels labels = SeriesNamed("m" + std::to_string(seed));
    double sum = 0;
    int64_t end_ms = kNowMs - 1'000'000;
    std::vector<Interval> sent;
    for (int i = 0; i < 60; ++i) {
      const int64_t start_ms = end_ms + static_cast<int64_t>(random() % 3);
      end_ms = start_ms + 1 + static_cast<int64_t>(random() % 5'000);
      sent.push_back({start_ms, end_ms, static_cast<double>(random() % 9)});
      sum += sent.back().increment;
      const size_t from = random() % sent.size();
      ASSERT_THAT(
          StoreTest::Append(
              DeltasOf({sent.begin() + static_cast<std::ptrdiff_t>(from),
                        sent.end()},
                       labels))
              .status,
          IsOk());
      if (random() % 8 == 0) {
        ASSERT_THAT(store_->Seal(), IsOk());
      }
      if (random() % 12 == 0) Open();
    }
    const Contents contents = Query();
    EXPECT_EQ(contents.at(labels).size(), 60u);
    EXPECT_EQ(contents.at(labels).rbegin()->second, BitsOf(sum));
  }
}

}  // namespace
}  // namespace vigie::store
