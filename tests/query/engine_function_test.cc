#include "query/natural_order.h"
#include "query/number_text.h"
#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineFunctionTest : public EngineFixture {};

TEST_F(EngineFunctionTest, ScalarIsNanUnlessThereIsOneElement) {
  Load({{"__name__", "x"}, {"a", "1"}}, 60'000, {7});
  Load({{"__name__", "x"}, {"a", "2"}}, 60'000, {8});

  EXPECT_EQ(At(0, "scalar(x{a=\"1\"})"), "scalar 7");
  EXPECT_EQ(At(0, "scalar(x)"), "scalar nan");
  EXPECT_EQ(At(0, "scalar(y)"), "scalar nan");
}

TEST_F(EngineFunctionTest, AbsentAnswersWithTheLabelsThatAreFixed) {
  EXPECT_EQ(At(0, "absent(x{a=\"1\",b=~\"2\"})"), "{a=\"1\"} 1");
  EXPECT_EQ(At(0, "absent(sum(x{a=\"1\"}))"), "{} 1");
  EXPECT_EQ(At(0, "absent(vector(0))"), "");
}

TEST_F(EngineFunctionTest, RoundGoesUpAtHalfAndClampMayBeEmpty) {
  Load({{"__name__", "x"}}, 60'000, {-2.5});

  EXPECT_EQ(At(0, "round(x)"), "{} -2");
  EXPECT_EQ(At(0, "round(x, 0.1)"), "{} -2.5");
  EXPECT_EQ(At(0, "clamp(x, 0, 1)"), "{} 0");
  EXPECT_EQ(At(0, "clamp(x, 1, 0)"), "");
  EXPECT_EQ(At(0, "clamp_max(x, NaN)"), "{} nan");
  EXPECT_EQ(At(0, "sgn(x) + abs(x)"), "{} 1.5");
}

TEST_F(EngineFunctionTest, DatesAreUtc) {
  // 2024-02-29T23:59:58Z, a Thursday.
  const std::string at = "vector(1709251198)";

  EXPECT_EQ(At(0, "year(" + at + ")"), "{} 2024");
  EXPECT_EQ(At(0, "month(" + at + ")"), "{} 2");
  EXPECT_EQ(At(0, "day_of_month(" + at + ")"), "{} 29");
  EXPECT_EQ(At(0, "day_of_year(" + at + ")"), "{} 60");
  EXPECT_EQ(At(0, "day_of_week(" + at + ")"), "{} 4");
  EXPECT_EQ(At(0, "days_in_month(" + at + ")"), "{} 29");
  EXPECT_EQ(At(0, "hour(" + at + ")"), "{} 23");
  EXPECT_EQ(At(0, "minute(" + at + ")"), "{} 59");
  EXPECT_EQ(At(0, "year(vector(-1))"), "{} 1969");
  EXPECT_EQ(At(90'000, "minute()"), "{} 1");
}

TEST_F(EngineFunctionTest, TimestampIsTheSamplesForASelectorOnly) {
  LoadSamples({{"__name__", "x"}}, {{30'000, 1}});

  EXPECT_EQ(At(60'000, "timestamp(x)"), "{} 30");
  EXPECT_EQ(At(60'000, "timestamp(x + 0)"), "{} 60");
  EXPECT_EQ(At(60'000, "timestamp(x @ 40)"), "{} 30");
}

TEST_F(EngineFunctionTest, LabelReplaceExpandsGroupsAsGoDoes) {
  Load({{"__name__", "x"}, {"src", "one-two"}}, 60'000, {1});
  const auto replaced = [&](std::string_view replacement) {
    return At(0, fmt::format("label_replace(x, \"d\", \"{}\", \"src\", "
                             "\"(?P<n>.*)-(.*)\")",
                             replacement));
  };

  EXPECT_EQ(replaced("$2/${1}"), "x{d=\"two/one\", src=\"one-two\"} 1");
  EXPECT_EQ(replaced("$n"), "x{d=\"one\", src=\"one-two\"} 1");
  EXPECT_EQ(replaced("$1x"), "x{src=\"one-two\"} 1");  // a group named 1x
  EXPECT_EQ(replaced("$$1"), "x{d=\"$1\", src=\"one-two\"} 1");
  EXPECT_EQ(replaced("$9"), "x{src=\"one-two\"} 1");
}

TEST_F(EngineFunctionTest, LabelReplaceWithoutAMatchChangesNothing) {
  Load({{"__name__", "x"}, {"src", "one"}}, 60'000, {1});

  EXPECT_EQ(At(0, "label_replace(x, \"src\", \"y\", \"src\", \"on\")"),
            "x{src=\"one\"} 1");
  EXPECT_EQ(At(0, "label_replace(x, \"src\", \"\", \"src\", \".*\")"), "x 1");
  EXPECT_THAT(At(0, "label_replace(x, \"d\", \"y\", \"src\", \"(\")"),
              HasSubstr("invalid regular expression in label_replace(): ("));
}

TEST_F(EngineFunctionTest, ANameGivenByHandSurvivesItsRemoval) {
  Load({{"__name__", "x_total"}}, 60'000, {1, 2, 3});

  EXPECT_EQ(At(120'000,
               "label_replace(rate(x_total[5m]), \"__name__\", "
               "\"r:$1\", \"__name__\", \"(.*)\")"),
            "r:x_total 0.008333333333333333");
  EXPECT_EQ(At(120'000, "label_join(-x_total, \"a\", \"-\", \"__name__\")"),
            "{a=\"x_total\"} -3");
}

TEST_F(EngineFunctionTest, CollidingLabelsAreAnError) {
  Load({{"__name__", "x"}, {"a", "1"}}, 60'000, {1});
  Load({{"__name__", "x"}, {"a", "2"}}, 60'000, {2});

  EXPECT_EQ(At(0, "label_replace(x, \"a\", \"\", \"\", \"\")"),
            "vector cannot contain metrics with the same labelset");
}

TEST_F(EngineFunctionTest, SortsAnInstantAndWarnsInARange) {
  Load({{"__name__", "x"}, {"a", "n10"}}, 60'000, {1, 1});
  Load({{"__name__", "x"}, {"a", "n2"}}, 60'000, {NAN, NAN});
  Load({{"__name__", "x"}, {"a", "n1"}}, 60'000, {3, 3});
  options_.experimental = true;

  EXPECT_EQ(At(0, "sort_desc(x)"),
            "x{a=\"n1\"} 3\nx{a=\"n10\"} 1\nx{a=\"n2\"} nan");
  EXPECT_EQ(At(0, "sort(x)"), "x{a=\"n10\"} 1\nx{a=\"n1\"} 3\nx{a=\"n2\"} nan");
  EXPECT_EQ(At(0, "sort_by_label(x, \"a\")"),
            "x{a=\"n1\"} 3\nx{a=\"n2\"} nan\nx{a=\"n10\"} 1");
  EXPECT_THAT(Warnings(Instant("sort(x)", 0)), IsEmpty());
  EXPECT_THAT(Warnings(Range("sum(sort(x))", 0, 60'000, 60'000)),
              ElementsAre("PromQL warning: sort is ineffective for range "
                          "queries since results are always ordered by labels "
                          "(1:5)"));
}

TEST_F(EngineFunctionTest, ASmoothedSelectorIsOnTheLineBetweenSamples) {
  options_.experimental = true;
  Load({{"__name__", "x"}}, 60'000, {1, 3});

  EXPECT_EQ(At(0, "x smoothed"), "x 1");
  EXPECT_EQ(At(15'000, "x smoothed"), "x 1.5");
  EXPECT_EQ(At(60'000, "x smoothed"), "x 3");
  // Behind the last sample it is the last one, as far as lookback goes.
  EXPECT_EQ(At(100'000, "x smoothed"), "x 3");
  EXPECT_EQ(At(360'000, "x smoothed"), "");
  EXPECT_EQ(At(75'000, "x smoothed offset 1m"), "x 1.5");
}

TEST_F(EngineFunctionTest, InfoAddsTheLabelsThatDescribeASeries) {
  options_.experimental = true;
  Load({{"__name__", "x"}, {"instance", "a"}, {"job", "j"}}, 60'000, {1, 2});
  Load({{"__name__", "target_info"},
        {"instance", "a"},
        {"job", "j"},
        {"version", "1"}},
       60'000, {1, StaleMarker()});
  Load({{"__name__", "target_info"},
        {"instance", "a"},
        {"job", "j"},
        {"version", "2"}},
       60'000, {std::nullopt, 1});

  EXPECT_EQ(Over("info(x)", 0, 60'000, 60'000),
            "x{instance=\"a\", job=\"j\", version=\"1\"} 1@0\n"
            "x{instance=\"a\", job=\"j\", version=\"2\"} 2@60000");
  EXPECT_EQ(At(0, "info(x, {missing=~\".+\"})"), "");
  EXPECT_EQ(At(0, "info(x, {missing=~\".*\"})"),
            "x{instance=\"a\", job=\"j\"} 1");
  EXPECT_EQ(At(60'000, "info(x offset 1m)"),
            "x{instance=\"a\", job=\"j\", version=\"1\"} 1");
}

TEST_F(EngineFunctionTest, AnnotationsAreCutAtTen) {
  for (int i = 0; i < 12; ++i) {
    const std::string name = fmt::format("m{}", i);
    Load({{"__name__", name}, {"id", name}}, 60'000, {1, 2});
  }
  const auto infos = Infos(Instant("rate({__name__=~\"m.*\"}[5m])", 60'000));

  ASSERT_EQ(infos.size(), 11);
  EXPECT_EQ(infos.back(), "2 more info annotations omitted");
}

TEST(NumberTextTest, WritesAndReadsAsGo) {
  EXPECT_EQ(query::FixedText(1e21), "1000000000000000000000");
  EXPECT_EQ(query::FixedText(-0.0), "-0");
  EXPECT_EQ(query::GeneralText(1e6), "1e+06");
  EXPECT_EQ(query::GeneralText(123456), "123456");
  EXPECT_EQ(query::GeneralText(0.00001), "1e-05");
  EXPECT_EQ(query::OpenMetricsText(1), "1.0");
  EXPECT_EQ(query::ParseFloatText("+Inf"), INFINITY);
  EXPECT_EQ(query::ParseFloatText("1e-1"), 0.1);
  EXPECT_EQ(query::ParseFloatText("-0x1p2"), -4);
  EXPECT_EQ(query::ParseFloatText(""), std::nullopt);
  EXPECT_EQ(query::ParseFloatText("1 "), std::nullopt);
  EXPECT_EQ(query::ParseFloatText("--1"), std::nullopt);
  EXPECT_EQ(query::ParseFloatText("nano"), std::nullopt);
}

TEST(NaturalOrderTest, CountsAsPeopleDo) {
  EXPECT_TRUE(query::NaturallyBefore("a2", "a10"));
  EXPECT_FALSE(query::NaturallyBefore("a10", "a2"));
  EXPECT_TRUE(query::NaturallyBefore("a", "a1"));
  EXPECT_TRUE(query::NaturallyBefore("1.2.3", "1.10.0"));
  EXPECT_FALSE(query::NaturallyBefore("x", "x"));
}

TEST_F(EngineFunctionTest, LabelsThatGrowAreHeldAgainstTheBudget) {
  for (int i = 0; i < 20; ++i) {
    Load({{"__name__", "x"}, {"a", fmt::format("{:08}", i)}}, 1'000, {1.0});
  }
  options_.query_bytes_max = 1 << 20;
  std::string doubled = "x";
  std::string joined = "x";
  for (int i = 0; i < 30; ++i) {
    doubled = fmt::format("label_replace({}, \"a\", \"$1$1\", \"a\", \"(.*)\")",
                          doubled);
    joined = fmt::format("label_join({}, \"a\", \"\", \"a\", \"a\")", joined);
  }
  // One that would take 80 GB at once, were it made.
  std::string long_template;
  for (int i = 0; i < 10'000; ++i) long_template += "$1";
  const std::string once = fmt::format(
      "label_replace(label_replace(x, \"a\", \"{0}\", \"a\", \"(.*)\"), "
      "\"a\", \"{0}\", \"a\", \"(.*)\")",
      long_template);

  for (const std::string& text : {doubled, joined, once}) {
    EXPECT_THAT(At(0, text), HasSubstr("limit of 1048576 bytes"));
  }
}

}  // namespace
}  // namespace vigie::testing
