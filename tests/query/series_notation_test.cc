#include "query/parser/series_notation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "model/sample.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using ::testing::ElementsAre;
using testing::HasCode;
using testing::HasError;
using ::testing::HasSubstr;
using testing::IsOk;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SeriesNotationTest, RunsHaveTheirFirstValueAndAsManyMoreAsTheySay) {
  EXPECT_THAT(*ParseStepValues("1 2"), ElementsAre(1, 2));
  EXPECT_THAT(*ParseStepValues("5x2"), ElementsAre(5, 5, 5));
  // Zeros, not sixteen.
  EXPECT_THAT(*ParseStepValues("0x3"), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(*ParseStepValues("1+2x3"), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(*ParseStepValues(" 1-1x2\n-3+0x1 "),
              ElementsAre(1, 0, -1, -3, -3));
  EXPECT_THAT(*ParseStepValues("1e-3x1"), ElementsAre(1e-3, 1e-3));
  EXPECT_THAT(*ParseStepValues(""), ElementsAre());
}

TEST(SeriesNotationTest, AGapIsNoSampleAndStaleIsAMarker) {
  const auto values = ParseStepValues("1 _ _x2 stale");

  ASSERT_THAT(values, IsOk());
  EXPECT_THAT(*values, ElementsAre(1, std::nullopt, std::nullopt, std::nullopt,
                                   ::testing::Truly([](const auto& value) {
                                     return value.has_value() &&
                                            IsStaleMarker(*value);
                                   })));
}

TEST(SeriesNotationTest, WhatIsNoValueIsRefused) {
  for (const std::string text :
       {"1x", "0x1F", "x3", "1+2", "1x-1", "one", "1x100001", "1x9999999999999999999",
        "stale stales", "__"}) {
    EXPECT_THAT(ParseStepValues(text), HasCode(kInvalid)) << text;
  }
  EXPECT_THAT(ParseStepValues("1 {{schema:0 sum:1}}x3"),
              HasError(kInvalid, HasSubstr("native histograms")));
}

TEST(SeriesNotationTest, AMetricHasLabelsAndNoMatchers) {
  EXPECT_EQ(*ParseSeriesLabels("up{job=\"a b\", instance='x'}"),
            Labels({{"__name__", "up"}, {"job", "a b"}, {"instance", "x"}}));
  EXPECT_EQ(*ParseSeriesLabels("{}"), Labels());
  EXPECT_EQ(*ParseSeriesLabels("{a=\"b\"}"), Labels({{"a", "b"}}));
  EXPECT_THAT(ParseSeriesLabels("up{job=~\"x\"}"), HasCode(kInvalid));
  EXPECT_THAT(ParseSeriesLabels("up{"), HasCode(kInvalid));

  const auto line = ParseSeriesLine("up{job=\"}\"} 1 2x1");
  ASSERT_THAT(line, IsOk());
  EXPECT_EQ(line->labels, Labels({{"__name__", "up"}, {"job", "}"}}));
  EXPECT_THAT(line->values, ElementsAre(1, 2, 2));
}

}  // namespace
}  // namespace vigie::query
