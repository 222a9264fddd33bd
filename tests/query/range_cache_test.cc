#include <atomic>
#include <thread>

#include "tests/query/range_cache_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::HasSubstr;

class RangeCacheTest : public RangeCacheFixture {
 protected:
  void SetUp() override {
    Open();
    clock_.AdvanceMs(60 * kMinute);
    for (int pod = 0; pod < 4; ++pod) Fill(pod, 0, 60 * kMinute);
  }

  static Labels Series(std::string_view name, int pod) {
    const std::string text = fmt::format("{}", pod);
    return Labels{{"__name__", name}, {"pod", text}};
  }

  // A sample every 15 s of [from, to], counted from the beginning.
  void Fill(int pod, int64_t from_ms, int64_t to_ms) {
    std::vector<Sample> samples;
    for (int64_t at = from_ms; at <= to_ms; at += 15'000) {
      samples.push_back({kBeginMs + at, static_cast<double>(at % 7'001) / 3});
    }
    Append(Series("x", pod), samples);
  }

  std::string Ask(std::string_view text, int64_t from_minute,
                  int64_t to_minute) {
    return Same(text, kBeginMs + from_minute * kMinute,
                kBeginMs + to_minute * kMinute, kMinute);
  }
};

TEST_F(RangeCacheTest, TheSameQuestionIsEvaluatedOnce) {
  Ask("sum(x)", 0, 50);
  const auto again = cached_->Run(
      RangeOf("sum(x)", kBeginMs, kBeginMs + 50 * kMinute, kMinute));

  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->stats.series_read, 0);
  EXPECT_GT(again->stats.bytes_peak, 50 * 16);
  EXPECT_EQ(Count("hit"), 1);
  EXPECT_EQ(Count("miss"), 1);
}

// Equal bounds are added up in the order of their series.
TEST_F(RangeCacheTest, QuantilesOverEqualBoundsAreNotKept) {
  const auto fill = [&](const char* metric, const char* bound, double value) {
    Append(Labels{{"__name__", metric}, {"le", bound}},
           {{kBeginMs, value}, {kBeginMs + 3 * kMinute, value}});
  };
  fill("apart_bucket", "1", 0.1);
  for (const char* bound : {"1", "1.0", "1e0"}) {
    fill("equal_bucket", bound, 0.1);
  }
  // So many that no count falls: that would be told, and not be kept either.
  for (const char* metric : {"apart_bucket", "equal_bucket"}) {
    fill(metric, "+Inf", 1);
  }
  for (int i = 0; i < 2; ++i) {
    Ask("histogram_quantile(0.9, apart_bucket)", 0, 3);
  }
  EXPECT_EQ(Count("hit"), 1);

  for (int i = 0; i < 2; ++i) {
    Ask("histogram_quantile(0.9, equal_bucket)", 0, 3);
  }
  EXPECT_EQ(Count("hit"), 1);
  EXPECT_EQ(Count("miss"), 3);
}

TEST_F(RangeCacheTest, AWindowThatMovesEvaluatesItsNewSteps) {
  Ask("sum(x)", 10, 40);
  Ask("sum(x)", 12, 42);
  EXPECT_EQ(Count("partial"), 1);
  Ask("sum(x)", 8, 44);  // and in front
  EXPECT_EQ(Count("partial"), 2);
  Ask("sum(x)", 8, 30);  // both sides were kept
  Ask("sum(x)", 20, 44);
  EXPECT_EQ(Count("hit"), 2);
  Ask("sum(x)", 50, 58);  // has nothing to do with it
  EXPECT_EQ(Count("miss"), 2);
}

TEST_F(RangeCacheTest, StepsOfAnotherPhaseAreOthers) {
  Ask("x", 0, 50);
  Same("x", kBeginMs + 1, kBeginMs + 50 * kMinute + 1, kMinute);
  Same("x", kBeginMs, kBeginMs + 50 * kMinute, kMinute / 2);

  EXPECT_EQ(Count("miss"), 3);
}

TEST_F(RangeCacheTest, ASeriesMayComeAndGo) {
  Append(Series("x", 9), {{kBeginMs + 30 * kMinute, 5}});
  Append(Series("y", 9), {{kBeginMs + 30 * kMinute, 5}});
  Ask("x", 0, 20);
  EXPECT_THAT(Ask("x", 0, 32), HasSubstr("pod=\"9\""));
  EXPECT_EQ(Ask("y", 0, 20), "");
  EXPECT_THAT(Ask("y", 0, 32), HasSubstr("pod=\"9\""));
  EXPECT_EQ(Ask("y", 0, 20), "");
  EXPECT_EQ(Count("partial") + Count("hit"), 3);
}

TEST_F(RangeCacheTest, ALateSampleIsSeenByTheNextQuestion) {
  const std::string before = Ask("sum(max_over_time(x[1m]))", 0, 60);

  Append(Series("x", 1), {{kBeginMs + 40 * kMinute + 1, 1e6}});

  const std::string after = Ask("sum(max_over_time(x[1m]))", 0, 60);
  EXPECT_NE(after, before);
  EXPECT_EQ(Count("partial"), 1) << "what lies before it is still used";
}

TEST_F(RangeCacheTest, WhatChangedBeforeTheWindowsDoesNotMatter) {
  Ask("sum(x)", 30, 60);
  Append(Series("x", 7), {{kBeginMs + 20 * kMinute, 1e6}});
  Ask("sum(x)", 30, 60);
  EXPECT_EQ(Count("hit"), 1);

  Append(Series("x", 7), {{kBeginMs + 29 * kMinute, 1e6}});
  Ask("sum(x)", 30, 60);
  EXPECT_EQ(Count("hit"), 1);
}

TEST_F(RangeCacheTest, ADeletionIsSeenByTheNextQuestion) {
  const std::string before = Ask("sum(x)", 0, 60);

  ASSERT_THAT(store_
                  ->DeleteSeries({.tenant = {},
                                  .selectors = {{Matcher::Equal("pod", "1")}},
                                  .range = {}},
                                 {})
                  .status(),
              IsOk());

  EXPECT_NE(Ask("sum(x)", 0, 60), before);
}

TEST_F(RangeCacheTest, AnswersThatHaveSomethingToSayAreNotKept) {
  const std::string informed = Ask("rate(x[5m])", 0, 50);
  EXPECT_THAT(informed, HasSubstr("might not be a counter"));
  EXPECT_EQ(Ask("rate(x[5m])", 0, 50), informed);

  EXPECT_EQ(Count("hit"), 0);
  EXPECT_EQ(Count("miss"), 2);
}

TEST_F(RangeCacheTest, WhatIsNewMayHaveSomethingToSayOfAll) {
  Append(Series("x_total", 1), {{kBeginMs + 10 * kMinute, 1}});
  const std::string text = "quantile(scalar(x_total), x)";
  Ask(text, 12, 14);
  Append(Series("x_total", 1), {{kBeginMs + 16 * kMinute, 2}});

  EXPECT_THAT(Ask(text, 12, 18), HasSubstr("quantile value"));

  EXPECT_EQ(Count("miss"), 2);
}

TEST_F(RangeCacheTest, ErrorsAreThoseOfTheWholeQuery) {
  const std::string text = "x / on () x{pod=~\"0|8\"}";
  Append(Series("x", 8), {{kBeginMs + 50 * kMinute, 1}});
  EXPECT_THAT(Ask("sum(" + text + ")", 0, 40), HasSubstr("many-to-one"));
  const std::string fine = "x{pod=\"1\"} / on () x{pod=~\"0|8\"}";
  Ask(fine, 0, 40);

  EXPECT_THAT(Ask(fine, 0, 52), HasSubstr("found duplicate series"));
  EXPECT_THAT(Ask(fine, 0, 52), HasSubstr("found duplicate series"));
}

TEST_F(RangeCacheTest, WhoAsksForItGetsAnEvaluationOfAll) {
  Ask("sum(x)", 0, 50);
  query::RangeQuery query =
      RangeOf("sum(x)", kBeginMs, kBeginMs + 50 * kMinute, kMinute);
  query.nocache = true;
  EXPECT_GT(cached_->Run(query)->stats.series_read, 0);
  query.nocache = false;
  query.explain = true;
  EXPECT_GT(cached_->Run(query)->stats.series_read, 0);

  EXPECT_EQ(Count("bypass"), 2);
}

TEST_F(RangeCacheTest, LookbackAndTenantTellQuestionsApart) {
  query::RangeQuery query = RangeOf("x{pod=\"1\"}", kBeginMs + 59 * kMinute,
                                    kBeginMs + 80 * kMinute, kMinute);
  const std::string far = Same(query);
  query.lookback_ms = kMinute;
  EXPECT_NE(Same(query), far);
  query.lookback_ms.reset();
  query.tenant.name = "other";
  EXPECT_EQ(Same(query), "");
}

TEST_F(RangeCacheTest, WhatIsKeptCountsAgainstTheBudgetOfWhoAsks) {
  engine_options_.query_bytes_max = 12'000;
  cached_ = std::make_unique<query::Engine>(store_->queryable(), clock_,
                                            engine_options_, &registry_);
  const auto ask = [&](int64_t to_minute) {
    return cached_->Run(
        RangeOf("x", kBeginMs, kBeginMs + to_minute * kMinute, kMinute / 4));
  };
  int64_t minutes = 1;
  while (ask(minutes).ok()) ++minutes;
  EXPECT_GT(Count("partial"), 1);
  EXPECT_GT(minutes, 10);

  EXPECT_THAT(ask(minutes), HasError(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("query.query_bytes_max")));
  EXPECT_EQ(cached_->process_account().bytes(), 0);
}

TEST_F(RangeCacheTest, AClockThatStepsBackBringsNothingOldToLight) {
  store_.reset();
  store_options_.store.retention_ms = 90 * kMinute;
  Open();
  clock_.SetNowMs(kBeginMs + 110 * kMinute);
  const std::string hidden = Ask("x", 0, 60);
  clock_.SetNowMs(kBeginMs + 60 * kMinute);

  EXPECT_NE(Ask("x", 0, 60), hidden);
  clock_.SetNowMs(kBeginMs + 115 * kMinute);
  EXPECT_NE(Ask("x", 0, 60), hidden);
}

// Writers acknowledge ever larger values at moving places, some of them far
// back, while readers ask. No answer may be older than what was acknowledged
// before its question.
TEST_F(RangeCacheTest, NoAnswerMissesWhatWasAcknowledgedBeforeTheQuestion) {
  constexpr int kWriters = 2;
  constexpr int kTurns = 300;
  std::atomic<int> acknowledged[kWriters] = {};
  std::atomic<int> wrong{0};
  const auto minute_of = [](int turn) { return (turn * 7) % 25; };
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < kWriters; ++w) {
      threads.emplace_back([&, w] {
        for (int turn = 1; turn <= kTurns; ++turn) {
          const int64_t at_ms =
              kBeginMs + (31 + minute_of(turn)) * kMinute + turn;
          Append(Series("late", w), {{at_ms, static_cast<double>(turn)}});
          acknowledged[w] = turn;
        }
      });
    }
    for (int r = 0; r < 2; ++r) {
      threads.emplace_back([&, r] {
        const int w = r % kWriters;
        while (acknowledged[w] < kTurns) {
          const int turn = acknowledged[w];
          const auto result = cached_->Run(RangeOf(
              fmt::format("count_over_time(late{{pod=\"{}\"}}[30m])", w),
              kBeginMs + 30 * kMinute, kBeginMs + 60 * kMinute, kMinute));
          if (!result.ok()) {
            ++wrong;
            continue;
          }
          const auto& matrix = std::get<query::Matrix>(result->value);
          // All of them lie in the window of the last step.
          const double seen =
              matrix.empty() ? 0 : matrix[0].floats.back().value;
          if (seen < turn) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(Count("partial") + Count("hit"), 0);
  Ask("late", 30, 60);
}

}  // namespace
}  // namespace vigie::testing
