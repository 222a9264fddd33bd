#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMinute = 60'000;

class EngineSelectTest : public EngineFixture {};

TEST_F(EngineSelectTest, LookbackIsOpenOnTheLeft) {
  Load({{"__name__", "up"}, {"job", "a"}}, kMinute, {1});

  EXPECT_EQ(At(5 * kMinute - 1, "up"), "up{job=\"a\"} 1");
  EXPECT_EQ(At(5 * kMinute, "up"), "");
}

TEST_F(EngineSelectTest, AStalenessMarkerEndsTheSeriesAtOnce) {
  Load({{"__name__", "up"}}, kMinute, {1, StaleMarker(), std::nullopt, 2});

  EXPECT_EQ(At(kMinute - 1, "up"), "up 1");
  EXPECT_EQ(At(kMinute, "up"), "");
  EXPECT_EQ(At(2 * kMinute, "up"), "");
  EXPECT_EQ(At(3 * kMinute, "up"), "up 2");
  EXPECT_EQ(At(3 * kMinute, "count_over_time(up[5m])"), "{} 2");
}

TEST_F(EngineSelectTest, RangesAreOpenOnTheLeft) {
  Load({{"__name__", "x"}}, kMinute, {0, 1, 2, 3, 4, 5});

  EXPECT_EQ(At(5 * kMinute, "x[2m]"), "x 4@240000 5@300000");
  EXPECT_EQ(At(5 * kMinute, "count_over_time(x[5m])"), "{} 5");
}

TEST_F(EngineSelectTest, OffsetAndAtMoveTheTime) {
  Load({{"__name__", "x"}}, kMinute, {0, 1, 2, 3, 4, 5});

  EXPECT_EQ(At(5 * kMinute, "x offset 2m"), "x 3");
  EXPECT_EQ(At(3 * kMinute, "x offset -2m"), "x 5");
  EXPECT_EQ(At(5 * kMinute, "x @ 120"), "x 2");
  EXPECT_EQ(At(5 * kMinute, "x @ 120 offset 1m"), "x 1");
  EXPECT_EQ(Over("x @ start()", kMinute, 3 * kMinute, kMinute),
            "x 1@60000 1@120000 1@180000");
  EXPECT_EQ(Over("x @ end()", kMinute, 3 * kMinute, kMinute),
            "x 3@60000 3@120000 3@180000");
}

TEST_F(EngineSelectTest, MatchersSeeAnAbsentLabelAsEmpty) {
  Load({{"__name__", "x"}, {"a", "1"}}, kMinute, {1});
  Load({{"__name__", "x"}}, kMinute, {2});

  EXPECT_EQ(At(0, "x{a=\"\"}"), "x 2");
  EXPECT_EQ(At(0, "x{a!=\"\"}"), "x{a=\"1\"} 1");
  EXPECT_EQ(At(0, "x{a=~\".*\"}"), "x 2\nx{a=\"1\"} 1");
  EXPECT_EQ(At(0, "x{a=~\"1|2\",a!~\"2\"}"), "x{a=\"1\"} 1");
}

TEST_F(EngineSelectTest, ValuesComeBackBitForBit) {
  const double payload = std::bit_cast<double>(0x7ff8000000abcdefULL);
  Load({{"__name__", "x"}}, kMinute, {-0.0, payload, INFINITY});
  const auto bits = [&](int64_t time_ms) {
    const auto result = Instant("x", time_ms);
    return std::bit_cast<uint64_t>(
        std::get<query::Vector>(result->value).at(0).sample.value);
  };

  EXPECT_EQ(bits(0), 0x8000000000000000ULL);
  EXPECT_EQ(bits(kMinute), 0x7ff8000000abcdefULL);
  EXPECT_EQ(bits(2 * kMinute), 0x7ff0000000000000ULL);
}

TEST_F(EngineSelectTest, SubqueryStepsAreMultiplesOfTheStep) {
  Load({{"__name__", "x"}}, 10'000, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});

  EXPECT_EQ(At(65'000, "x[50s:20s]"), "x 2@20000 4@40000 6@60000");
  EXPECT_EQ(At(65'000, "x[50s:20s] offset 20s"), "x 0@0 2@20000 4@40000");
  EXPECT_EQ(At(65'000, "sum_over_time(x[50s:20s])"), "{} 12");
}

TEST_F(EngineSelectTest, ASubqueryCanReachBeforeTheEpoch) {
  LoadSamples({{"__name__", "x"}}, {{-50'000, 1}, {-30'000, 2}, {-10'000, 3}});

  EXPECT_EQ(At(0, "x[1m:20s]"), "x 1@-40000 2@-20000 3@0");
}

TEST_F(EngineSelectTest, AnInstantQueryTellsTheFourTypesApart) {
  Load({{"__name__", "x"}}, kMinute, {1});

  EXPECT_EQ(At(4'000, "1+1"), "scalar 2");
  EXPECT_EQ(At(0, "\"a\""), "string a");
  EXPECT_EQ(At(0, "vector(1)"), "{} 1");
  EXPECT_EQ(At(0, "x[1m]"), "x 1@0");
}

TEST_F(EngineSelectTest, ARangeQueryRefusesStringsAndRanges) {
  EXPECT_THAT(Range("\"a\"", 0, 10, 1),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must be Scalar or instant Vector")));
  EXPECT_THAT(Range("x[1m]", 0, 10, 1),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("\"range vector\"")));
}

TEST_F(EngineSelectTest, RangeQueriesAreChecked) {
  EXPECT_THAT(Range("1", 10, 0, 1),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Range("1", 0, 10, 0),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Range("1", 0, 11'001, 1),
              HasError(absl::StatusCode::kInvalidArgument,
                       "exceeded maximum resolution of 11,000 points per "
                       "timeseries. Try decreasing the query resolution "
                       "(?step=XX)"));
  EXPECT_THAT(Range("1", 0, 11'000, 1), IsOk());
}

TEST_F(EngineSelectTest, DurationsMayBeExpressions) {
  options_.experimental = true;
  Load({{"__name__", "x"}}, 10'000, {0, 1, 2, 3, 4, 5, 6});

  EXPECT_EQ(At(60'000, "count_over_time(x[5s*4])"), "{} 2");
  EXPECT_EQ(At(60'000, "x offset (1m/2)"), "x 3");
  EXPECT_EQ(Over("count_over_time(x[step()])", 40'000, 60'000, 20'000),
            "{} 2@40000 2@60000");
  EXPECT_THAT(At(60'000, "x[5s-10s]"),
              HasSubstr("duration must be greater than 0"));
}

}  // namespace
}  // namespace vigie::testing
