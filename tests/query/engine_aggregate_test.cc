#include <cmath>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineAggregateTest : public EngineFixture {
 protected:
  void LoadOne(std::string_view group, std::string_view id, double value) {
    Load({{"__name__", "x"}, {"g", group}, {"id", id}}, 60'000, {value});
  }
  void LoadFour() {
    LoadOne("a", "1", 1);
    LoadOne("a", "2", 3);
    LoadOne("b", "1", 10);
    LoadOne("b", "2", 20);
  }
};

TEST_F(EngineAggregateTest, GroupsByAndWithout) {
  LoadFour();

  EXPECT_EQ(At(0, "sum(x)"), "{} 34");
  EXPECT_EQ(At(0, "sum by (g) (x)"), "{g=\"a\"} 4\n{g=\"b\"} 30");
  EXPECT_EQ(At(0, "avg without (id) (x)"), "{g=\"a\"} 2\n{g=\"b\"} 15");
  EXPECT_EQ(At(0, "count by (nothing) (x)"), "{} 4");
  EXPECT_EQ(At(0, "sum by (__name__) (x)"), "x 34");
}

TEST_F(EngineAggregateTest, TheSimpleOnes) {
  LoadFour();

  EXPECT_EQ(At(0, "min(x)"), "{} 1");
  EXPECT_EQ(At(0, "max(x)"), "{} 20");
  EXPECT_EQ(At(0, "group(x)"), "{} 1");
  EXPECT_EQ(At(0, "stddev(x{g=\"a\"})"), "{} 1");
  EXPECT_EQ(At(0, "stdvar(x{g=\"b\"})"), "{} 25");
  EXPECT_EQ(At(0, "quantile(0.5, x)"), "{} 6.5");
}

TEST_F(EngineAggregateTest, SumsAreCompensatedAndAveragesDoNotOverflow) {
  LoadOne("a", "1", 1);
  LoadOne("a", "2", 1e100);
  LoadOne("a", "3", 1);
  LoadOne("a", "4", -1e100);
  LoadOne("b", "1", 1.5e308);
  LoadOne("b", "2", 1.5e308);

  EXPECT_EQ(At(0, "sum(x{g=\"a\"})"), "{} 2");
  EXPECT_EQ(At(0, "avg(x{g=\"a\"})"), "{} 0.5");
  EXPECT_EQ(At(0, "sum(x{g=\"b\"})"), "{} inf");
  EXPECT_EQ(At(0, "avg(x{g=\"b\"})"), "{} 1.5e+308");
}

TEST_F(EngineAggregateTest, NanLosesToNumbersInExtremesOnly) {
  LoadOne("a", "1", NAN);
  LoadOne("a", "2", 2);
  LoadOne("b", "1", NAN);

  EXPECT_EQ(At(0, "max by (g) (x)"), "{g=\"a\"} 2\n{g=\"b\"} nan");
  EXPECT_EQ(At(0, "sum by (g) (x)"), "{g=\"a\"} nan\n{g=\"b\"} nan");
  EXPECT_EQ(At(0, "topk(1, x{g=\"a\"})"), "x{g=\"a\", id=\"2\"} 2");
}

TEST_F(EngineAggregateTest, InfinityHasNoDeviation) {
  LoadOne("a", "1", INFINITY);
  LoadOne("a", "2", 1);

  EXPECT_EQ(At(0, "stddev(x)"), "{} nan");
}

TEST_F(EngineAggregateTest, TopkRanksWithinGroups) {
  LoadFour();

  EXPECT_EQ(At(0, "topk(1, x)"), "x{g=\"b\", id=\"2\"} 20");
  EXPECT_EQ(At(0, "bottomk by (g) (1, x)"),
            "x{g=\"a\", id=\"1\"} 1\nx{g=\"b\", id=\"1\"} 10");
  EXPECT_EQ(At(0, "topk(3, x)"),
            "x{g=\"b\", id=\"2\"} 20\nx{g=\"b\", id=\"1\"} 10\n"
            "x{g=\"a\", id=\"2\"} 3");
  EXPECT_EQ(At(0, "topk(0, x)"), "");
}

TEST_F(EngineAggregateTest, TopkTakesItsParameterAtEachStep) {
  Load({{"__name__", "x"}, {"id", "1"}}, 60'000, {1, 1});
  Load({{"__name__", "x"}, {"id", "2"}}, 60'000, {2, 2});

  EXPECT_EQ(Over("topk(time() / 60, x)", 0, 60'000, 60'000),
            "x{id=\"2\"} 2@60000");
}

TEST_F(EngineAggregateTest, ImpossibleParametersAreErrors) {
  LoadFour();

  EXPECT_THAT(Instant("topk(NaN, x)", 0),
              HasError(absl::StatusCode::kFailedPrecondition,
                       "Parameter value is NaN"));
  EXPECT_THAT(At(0, "topk(1e30, x)"), HasSubstr("overflows int64"));
  EXPECT_THAT(Warnings(Instant("quantile(1.5, x)", 0)),
              ElementsAre("PromQL warning: quantile value should be between 0 "
                          "and 1, got 1.5 (1:10)"));
}

TEST_F(EngineAggregateTest, CountValuesWritesNumbersWithoutExponents) {
  LoadOne("a", "1", 1e6);
  LoadOne("a", "2", 1e6);
  LoadOne("b", "1", 0.5);
  LoadOne("b", "2", INFINITY);

  EXPECT_EQ(At(0, "count_values(\"v\", x)"),
            "{v=\"1000000\"} 2\n{v=\"0.5\"} 1\n{v=\"+Inf\"} 1");
  EXPECT_EQ(At(0, "count_values by (g) (\"g\", x{g=\"a\"})"),
            "{g=\"1000000\"} 2");
}

// Found by tests/promql/differential.py: the digits are the shortest, not all.
TEST_F(EngineAggregateTest, CountValuesWritesLargeNumbersAsGoDoes) {
  EXPECT_EQ(At(0, "count_values(\"v\", vector(1e308))"),
            "{v=\"1" + std::string(308, '0') + "\"} 1");
  EXPECT_EQ(At(0, "count_values(\"v\", vector(-123456789012345678901))"),
            "{v=\"-123456789012345680000\"} 1");
}

TEST_F(EngineAggregateTest, RatiosAreComplements) {
  options_.experimental = true;
  for (int i = 0; i < 200; ++i) LoadOne("a", fmt::format("{}", i), i);
  const auto count = [&](std::string_view text) {
    const auto result = Instant(text, 0);
    EXPECT_THAT(result, IsOk());
    return std::get<query::Vector>(result->value).size();
  };

  const size_t some = count("limit_ratio(0.3, x)");
  EXPECT_GT(some, 30);
  EXPECT_LT(some, 90);
  EXPECT_EQ(count("limit_ratio(-0.7, x)"), 200 - some);
  EXPECT_EQ(count("limit_ratio(0.3, x) and limit_ratio(-0.7, x)"), 0);
  EXPECT_EQ(count("limitk(7, x)"), 7);
  EXPECT_THAT(Warnings(Instant("limit_ratio(1.5, x)", 0)),
              ElementsAre(HasSubstr("ratio value should be between -1 and 1, "
                                    "got 1.5, capping to 1 (1:13)")));
}

}  // namespace
}  // namespace vigie::testing
