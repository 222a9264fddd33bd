#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineBinaryTest : public EngineFixture {
 protected:
  void SetUp() override {
    Load({{"__name__", "l"}, {"a", "1"}}, 60'000, {10});
    Load({{"__name__", "l"}, {"a", "2"}}, 60'000, {20});
    Load({{"__name__", "r"}, {"a", "1"}}, 60'000, {1});
    Load({{"__name__", "r"}, {"a", "3"}}, 60'000, {3});
    Load({{"__name__", "m"}, {"a", "1"}, {"b", "x"}}, 60'000, {5});
    Load({{"__name__", "m"}, {"a", "1"}, {"b", "y"}}, 60'000, {7});
  }
};

TEST_F(EngineBinaryTest, ArithmeticDropsTheNameAndAFilterKeepsIt) {
  EXPECT_EQ(At(0, "l + r"), "{a=\"1\"} 11");
  EXPECT_EQ(At(0, "l > r"), "l{a=\"1\"} 10");
  EXPECT_EQ(At(0, "l > bool r"), "{a=\"1\"} 1");
  EXPECT_EQ(At(0, "l > on(a) r"), "{a=\"1\"} 10");
}

TEST_F(EngineBinaryTest, AFilterByAScalarGivesTheVectorsValue) {
  EXPECT_EQ(At(0, "15 < l"), "l{a=\"2\"} 20");
  EXPECT_EQ(At(0, "l == bool 10"), "{a=\"1\"} 1\n{a=\"2\"} 0");
  EXPECT_EQ(At(0, "2 - l"), "{a=\"1\"} -8\n{a=\"2\"} -18");
}

TEST_F(EngineBinaryTest, ScalarsFollowIeeeAndC) {
  EXPECT_EQ(At(0, "1 / 0"), "scalar inf");
  EXPECT_EQ(At(0, "-7 % 3"), "scalar -1");
  EXPECT_EQ(At(0, "2 ^ 3 ^ 2"), "scalar 512");
  EXPECT_EQ(At(0, "-1 ^ 2"), "scalar -1");
  EXPECT_EQ(At(0, "1 >= bool 1"), "scalar 1");
}

TEST_F(EngineBinaryTest, SetOperatorsMatchWithoutTheName) {
  EXPECT_EQ(At(0, "l and r"), "l{a=\"1\"} 10");
  EXPECT_EQ(At(0, "l unless r"), "l{a=\"2\"} 20");
  EXPECT_EQ(At(0, "l or r"), "l{a=\"1\"} 10\nl{a=\"2\"} 20\nr{a=\"3\"} 3");
}

TEST_F(EngineBinaryTest, ManyMeetOneWhereItIsSaid) {
  EXPECT_EQ(At(0, "m * on(a) group_left r"),
            "{a=\"1\", b=\"x\"} 5\n{a=\"1\", b=\"y\"} 7");
  EXPECT_EQ(At(0, "r * on(a) group_right m"),
            "{a=\"1\", b=\"x\"} 5\n{a=\"1\", b=\"y\"} 7");
  EXPECT_EQ(At(0,
               "label_replace(r, \"c\", \"z\", \"\", \"\") + on(a) "
               "group_right(c) m"),
            "{a=\"1\", b=\"x\", c=\"z\"} 6\n{a=\"1\", b=\"y\", c=\"z\"} 8");
}

TEST_F(EngineBinaryTest, AmbiguousMatchesAreErrorsThatNameTheSeries) {
  EXPECT_THAT(
      Instant("r + on(a) m", 0),
      HasError(absl::StatusCode::kFailedPrecondition,
               "found duplicate series for the match group {a=\"1\"} on the "
               "right hand-side of the operation: [{__name__=\"m\", a=\"1\", "
               "b=\"y\"}, {__name__=\"m\", a=\"1\", b=\"x\"}];many-to-many "
               "matching not allowed: matching labels must be unique on one "
               "side"));
  EXPECT_EQ(At(0, "m + on(a) r"),
            "multiple matches for labels: many-to-one matching must be "
            "explicit (group_left/group_right)");
  EXPECT_EQ(At(0,
               "m + on(a) group_left(b) label_replace(r, \"b\", \"z\", \"\","
               " \"\")"),
            "multiple matches for labels: grouping labels must ensure unique "
            "matches");
}

TEST_F(EngineBinaryTest, AmbiguityFailsEvenWhereAFilterWouldLeaveOne) {
  EXPECT_THAT(At(0,
                 "m > on(a) group_left(b) label_replace(r * 6, \"b\", "
                 "\"z\", \"\", \"\")"),
              HasSubstr("grouping labels must ensure unique matches"));
}

TEST_F(EngineBinaryTest, NothingOnOneSideIsNotAmbiguous) {
  EXPECT_EQ(At(0, "none + on(a) m"), "");
}

TEST_F(EngineBinaryTest, FillStandsInForAMissingSide) {
  options_.experimental = true;

  EXPECT_EQ(At(0, "l + fill(0) r"), "{a=\"1\"} 11\n{a=\"2\"} 20\n{a=\"3\"} 3");
  EXPECT_EQ(At(0, "l + fill_right(5) r"), "{a=\"1\"} 11\n{a=\"2\"} 25");
  EXPECT_EQ(At(0, "r + on(a) group_right fill_left(1) m"),
            "{a=\"1\", b=\"x\"} 6\n{a=\"1\", b=\"y\"} 8");
}

TEST_F(EngineBinaryTest, SeriesThatBecomeEqualAreRefusedAtTheSameStepOnly) {
  EXPECT_EQ(At(0, "-{__name__=~\"l|r\"}"),
            "vector cannot contain metrics with the same labelset");
  LoadSamples({{"__name__", "n1"}}, {{0, 1}, {60'000, StaleMarker()}});
  LoadSamples({{"__name__", "n2"}}, {{60'000, 2}});
  EXPECT_EQ(Over("-{__name__=~\"n.\"}", 0, 60'000, 60'000), "{} -1@0 -2@60000");
}

TEST_F(EngineBinaryTest, TrimmingFloatsIsToldAndGivesNothing) {
  options_.experimental = true;
  const auto result = Instant("l </ 3", 0);

  EXPECT_EQ(Text(result), "");
  EXPECT_THAT(Infos(result),
              ElementsAre("PromQL info: incompatible sample types encountered "
                          "for binary operator \"</\": float </ float (1:1)"));
}

}  // namespace
}  // namespace vigie::testing
