#include <cmath>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMinute = 60'000;

class EngineRangeFunctionTest : public EngineFixture {
 protected:
  double Value(std::string_view text, int64_t time_ms) const {
    const auto result = Instant(text, time_ms);
    EXPECT_THAT(result, IsOk());
    const auto& vector = std::get<query::Vector>(result->value);
    EXPECT_EQ(vector.size(), 1) << text;
    return vector.empty() ? NAN : vector[0].sample.value;
  }
};

TEST_F(EngineRangeFunctionTest, IncreaseIsExtrapolatedToNearEdges) {
  Load({{"__name__", "c_total"}}, kMinute, {100, 110, 120, 130, 140, 150});

  // Samples 1m..5m of (0m, 5m]: 40 over 4 minutes, and a minute to the left.
  EXPECT_DOUBLE_EQ(Value("increase(c_total[5m])", 5 * kMinute), 50);
  EXPECT_DOUBLE_EQ(Value("rate(c_total[5m])", 5 * kMinute), 50.0 / 300);
  EXPECT_DOUBLE_EQ(Value("delta(c_total[5m])", 5 * kMinute), 50);
}

TEST_F(EngineRangeFunctionTest, FarFromAnEdgeOnlyHalfAGapIsAdded) {
  LoadSamples({{"__name__", "c_total"}},
              {{300'000, 100}, {310'000, 110}, {320'000, 120}});

  // 280 s to the left edge, 20 s to the right: 5 s each of a 10 s gap.
  EXPECT_DOUBLE_EQ(Value("increase(c_total[320s])", 340'000), 30);
}

TEST_F(EngineRangeFunctionTest, ACounterIsNotExtrapolatedBelowZero) {
  LoadSamples({{"__name__", "c_total"}}, {{60'000, 1}, {120'000, 21}});

  // The left edge is 60 s away, zero only 3 s.
  EXPECT_DOUBLE_EQ(Value("increase(c_total[2m])", 120'000), 21);
  EXPECT_DOUBLE_EQ(Value("delta(c_total[2m])", 120'000), 40);
}

TEST_F(EngineRangeFunctionTest, ResetsAreMadeUpFor) {
  Load({{"__name__", "c_total"}}, kMinute, {10, 20, 5, 15, 1, 11});

  EXPECT_EQ(At(5 * kMinute, "resets(c_total[10m])"), "{} 2");
  // 11 - 20 + 20 + 15 over 4 minutes and one more to the left.
  EXPECT_DOUBLE_EQ(Value("increase(c_total[5m])", 5 * kMinute), 26.0 / 4 * 5);
  EXPECT_DOUBLE_EQ(Value("irate(c_total[2m])", 4 * kMinute), 1.0 / 60);
  EXPECT_DOUBLE_EQ(Value("idelta(c_total[2m])", 4 * kMinute), -14);
}

TEST_F(EngineRangeFunctionTest, OneSampleGivesNoRate) {
  Load({{"__name__", "c_total"}}, kMinute, {1, 2, 3});

  EXPECT_EQ(At(2 * kMinute, "rate(c_total[1m])"), "");
  EXPECT_EQ(At(2 * kMinute, "irate(c_total[1m])"), "");
  EXPECT_EQ(At(2 * kMinute, "deriv(c_total[1m])"), "");
}

TEST_F(EngineRangeFunctionTest, ANameThatIsNoCounterIsTold) {
  Load({{"__name__", "x"}}, kMinute, {1, 2, 3});
  Load({{"__name__", "x_total"}}, kMinute, {1, 2, 3});

  EXPECT_THAT(Infos(Instant("rate(x[5m])", 2 * kMinute)),
              ElementsAre("PromQL info: metric might not be a counter, name "
                          "does not end in _total/_sum/_count/_bucket: \"x\" "
                          "(1:6)"));
  EXPECT_THAT(Infos(Instant("rate(x_total[5m])", 2 * kMinute)), IsEmpty());
  EXPECT_THAT(Infos(Instant("delta(x[5m])", 2 * kMinute)), IsEmpty());
}

TEST_F(EngineRangeFunctionTest, SumsAreCompensated) {
  Load({{"__name__", "x"}}, kMinute, {1, 1e100, 1, -1e100});

  EXPECT_EQ(At(3 * kMinute, "sum_over_time(x[10m])"), "{} 2");
  EXPECT_EQ(At(3 * kMinute, "avg_over_time(x[10m])"), "{} 0.5");
}

TEST_F(EngineRangeFunctionTest, AnAverageDoesNotOverflow) {
  Load({{"__name__", "x"}}, kMinute, {1e308, 1e308, 1e308});

  EXPECT_EQ(At(2 * kMinute, "avg_over_time(x[10m])"), "{} 1e+308");
  EXPECT_EQ(At(2 * kMinute, "sum_over_time(x[10m])"), "{} inf");
}

TEST_F(EngineRangeFunctionTest, InfinityIsNotCompensatedAway) {
  Load({{"__name__", "x"}}, kMinute, {1, INFINITY, 1});

  EXPECT_EQ(At(2 * kMinute, "sum_over_time(x[10m])"), "{} inf");
}

TEST_F(EngineRangeFunctionTest, ExtremesAreNanOnlyIfThereIsNothingElse) {
  Load({{"__name__", "x"}}, kMinute, {NAN, 3, NAN, 1, NAN});

  EXPECT_EQ(Over("max_over_time(x[2m])", kMinute, 4 * kMinute, kMinute),
            "{} 3@60000 3@120000 1@180000 1@240000");
  EXPECT_EQ(At(0, "min_over_time(x[1m])"), "{} nan");
}

TEST_F(EngineRangeFunctionTest, SlidingExtremesAreThoseOfEachWindow) {
  Load({{"__name__", "x"}}, kMinute, {5, 1, 4, 4, 2, 6, 3});

  EXPECT_EQ(Over("max_over_time(x[3m])", 0, 6 * kMinute, kMinute),
            "{} 5@0 5@60000 5@120000 4@180000 4@240000 6@300000 6@360000");
  EXPECT_EQ(Over("min_over_time(x[3m])", 0, 6 * kMinute, kMinute),
            "{} 5@0 1@60000 1@120000 1@180000 2@240000 2@300000 2@360000");
}

TEST_F(EngineRangeFunctionTest, OnlyLastAndFirstKeepTheName) {
  Load({{"__name__", "x"}}, kMinute, {1, 2, 3});

  EXPECT_EQ(At(2 * kMinute, "last_over_time(x[2m])"), "x 3");
  EXPECT_EQ(At(2 * kMinute, "max_over_time(x[2m])"), "{} 3");
  options_.experimental = true;
  EXPECT_EQ(At(2 * kMinute, "first_over_time(x[2m])"), "x 2");
}

TEST_F(EngineRangeFunctionTest, AConstantHasNoSlope) {
  Load({{"__name__", "x"}}, kMinute, {0.1, 0.1, 0.1});

  EXPECT_EQ(At(2 * kMinute, "deriv(x[10m])"), "{} 0");
  EXPECT_EQ(At(2 * kMinute, "predict_linear(x[10m], 3600)"), "{} 0.1");
}

TEST_F(EngineRangeFunctionTest, PredictionStartsAtTheEvaluationTime) {
  Load({{"__name__", "x"}}, kMinute, {0, 60, 120});

  EXPECT_NEAR(Value("predict_linear(x[10m], 0)", 4 * kMinute), 240, 1e-9);
  EXPECT_NEAR(Value("predict_linear(x[10m] @ 120, 60)", 4 * kMinute), 300,
              1e-9);
}

TEST_F(EngineRangeFunctionTest, QuantilesInterpolateAndWarn) {
  Load({{"__name__", "x"}}, kMinute, {1, 2, 3, 4});

  EXPECT_EQ(At(3 * kMinute, "quantile_over_time(0.5, x[10m])"), "{} 2.5");
  const auto result = Instant("quantile_over_time(2, x[10m])", 3 * kMinute);
  EXPECT_EQ(Text(result), "{} inf");
  EXPECT_THAT(Warnings(result),
              ElementsAre(HasSubstr("quantile value should be between 0 and 1, "
                                    "got 2 (1:")));
}

TEST_F(EngineRangeFunctionTest, AbsenceOverTimeTakesLabelsFromMatchers) {
  Load({{"__name__", "x"}, {"a", "1"}}, kMinute, {1});

  EXPECT_EQ(At(0, "absent_over_time(x{a=\"1\"}[1m])"), "");
  EXPECT_EQ(At(0, "absent_over_time(y{a=\"1\",b=~\"2\",c=\"3\",c=\"4\"}[1m])"),
            "{a=\"1\"} 1");
  EXPECT_EQ(Over("absent_over_time(x[1m])", 0, 2 * kMinute, kMinute),
            "{} 1@60000 1@120000");
}

}  // namespace
}  // namespace vigie::testing
