#include "server/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "server/content_encoding.h"
#include "server/form.h"
#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::ElementsAre;
using vigie::testing::HasError;
using vigie::testing::IsOk;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ParametersTest, ReadsTimesAsSecondsOrRfc3339) {
  const std::pair<std::string_view, int64_t> cases[] = {
      {"4", 4000},
      {"1435781430.781", 1435781430781},
      {"0.0006", 1},
      {"-1.5", -1500},
      {"+2", 2000},
      {"1e3", 1'000'000},
      {"2015-07-01T20:10:51.781Z", 1435781451781},
      {"2015-07-01T20:10:51.7819999Z", 1435781451781},
      {"2015-07-01T22:10:51+02:00", 1435781451000},
      {"1969-12-31T23:59:59.5Z", -500},
      {"2024-02-29T00:00:00Z", 1709164800000},
      {"-292273086-05-16T16:47:06Z", std::numeric_limits<int64_t>::min()},
      {"292277025-08-18T07:12:54.999999999Z",
       std::numeric_limits<int64_t>::max()},
  };
  for (const auto& [text, time_ms] : cases) {
    const absl::StatusOr<int64_t> parsed = ParseTimeMs(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, time_ms) << text;
  }
}

TEST(ParametersTest, RefusesWhatIsNoTimeInPrometheussWords) {
  for (const std::string_view text :
       {"", "x", "1x", "nan", "inf", "1e300", "2015-13-01T00:00:00Z",
        "2015-02-29T00:00:00Z", "2015-07-01T24:00:00Z", "2015-07-01",
        "2015-07-01T20:10:51", "2015-07-01T20:10:51.Z", "2015-07-01T20:10:51Zx",
        "+-1"}) {
    EXPECT_FALSE(ParseTimeMs(text).ok()) << text;
  }
  EXPECT_THAT(ParseTimeMs("x\n"),
              HasError(kInvalid, R"(cannot parse "x\n" to a valid timestamp)"));
}

TEST(ParametersTest, ReadsDurationsAsSecondsOrWithUnits) {
  EXPECT_EQ(*ParseDurationParamMs("5m"), 300'000);
  EXPECT_EQ(*ParseDurationParamMs("1h30m"), 5'400'000);
  EXPECT_EQ(*ParseDurationParamMs("15"), 15'000);
  EXPECT_EQ(*ParseDurationParamMs("0.25"), 250);
  EXPECT_EQ(*ParseDurationParamMs("-1"), -1000);
  EXPECT_THAT(ParseDurationParamMs("5 m"),
              HasError(kInvalid, R"(cannot parse "5 m" to a valid duration)"));
  EXPECT_THAT(ParseDurationParamMs("1e300"),
              HasError(kInvalid, ::testing::HasSubstr("It overflows int64")));
}

TEST(ParametersTest, ReadsLimits) {
  EXPECT_EQ(*ParseLimit(""), 0u);
  EXPECT_EQ(*ParseLimit("40000"), 40000u);
  EXPECT_THAT(ParseLimit("-1"),
              HasError(kInvalid, "limit must be non-negative"));
  EXPECT_THAT(
      ParseLimit("1.5"),
      HasError(kInvalid, R"(strconv.Atoi: parsing "1.5": invalid syntax)"));
  EXPECT_THAT(ParseLimit("99999999999999999999"),
              HasError(kInvalid, ::testing::HasSubstr("value out of range")));
}

TEST(ParametersTest, FormatsRfc3339WithoutTrailingZeros) {
  EXPECT_EQ(FormatRfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatRfc3339(1435781451780), "2015-07-01T20:10:51.78Z");
  EXPECT_EQ(FormatRfc3339(-500), "1969-12-31T23:59:59.5Z");
}

TEST(ParametersTest, UnescapesUtf8LabelNames) {
  EXPECT_EQ(UnescapeLabelName("job"), "job");
  EXPECT_EQ(UnescapeLabelName("U__http_2e_status"), "http.status");
  EXPECT_EQ(UnescapeLabelName("U__a__b"), "a_b");
  EXPECT_EQ(UnescapeLabelName("U___732b_"), "猫");
  EXPECT_EQ(UnescapeLabelName("U__bad_zz_"), "U__bad_zz_");
  EXPECT_EQ(UnescapeLabelName("U__cut_2"), "U__cut_2");
  EXPECT_EQ(UnescapeLabelName("U___d800_"), "U___d800_");
}

TEST(FormTest, DecodesPairsAndKeepsTheirOrder) {
  Form form;
  ASSERT_THAT(form.Add("query=a%2Bb+c&match[]=x&match%5B%5D=y&&empty"), IsOk());
  ASSERT_THAT(form.Add("query=later"), IsOk());

  EXPECT_EQ(form.Get("query"), "a+b c");
  EXPECT_THAT(form.GetAll("match[]"), ElementsAre("x", "y"));
  EXPECT_EQ(form.Get("empty"), "");
  EXPECT_EQ(form.Get("absent"), "");
}

TEST(FormTest, RefusesBrokenEscapesSemicolonsAndTooManyPairs) {
  EXPECT_THAT(Form().Add("a=%zz"),
              HasError(kInvalid, R"(invalid URL escape "%zz")"));
  EXPECT_THAT(Form().Add("a=%4"),
              HasError(kInvalid, R"(invalid URL escape "%4")"));
  EXPECT_THAT(Form().Add("%=1"), HasError(kInvalid, ::testing::_));
  EXPECT_THAT(Form().Add("a=1;b=2"),
              HasError(kInvalid, "invalid semicolon separator in query"));
  std::string many;
  for (size_t i = 0; i <= kFormPairsMax; ++i) many += "a&";
  EXPECT_THAT(Form().Add(many),
              HasError(kInvalid, "more than 10000 parameters"));
}

TEST(FormTest, APlusInAPathIsAPlus) {
  EXPECT_EQ(*PercentDecode("a+b%20c"), "a+b c");
}

TEST(ContentEncodingTest, TakesTheGreatestWeightAndTheCheapestOfEqualOnes) {
  using Format = compress::StreamCompressor::Format;
  EXPECT_EQ(ChooseEncoding("gzip"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("deflate, gzip;q=1.0, *;q=0.5"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("GZIP;q=0.8"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("deflate"), Format::kZlib);
  EXPECT_EQ(ChooseEncoding("gzip;q=0, deflate"), Format::kZlib);
  EXPECT_EQ(ChooseEncoding("gzip; q=0.000"), std::nullopt);
  EXPECT_EQ(ChooseEncoding(""), std::nullopt);
  EXPECT_EQ(ChooseEncoding("br, zstd"), Format::kZstd);
  EXPECT_EQ(ChooseEncoding("gzip, deflate, br, zstd"), Format::kZstd);
  EXPECT_EQ(ChooseEncoding("zstd;q=0.5, gzip;q=0.501"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("gzip;q=0.5;x, deflate;q=0.6"), Format::kZlib);
  EXPECT_EQ(ChooseEncoding("*"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("gzip;q=0, *"), std::nullopt);
  EXPECT_EQ(ChooseEncoding("identity, gzip;q=0.5"), std::nullopt);
  EXPECT_EQ(ChooseEncoding("identity;q=0.5, gzip"), Format::kGzip);
  EXPECT_EQ(ChooseEncoding("snappy"), std::nullopt);
  EXPECT_EQ(ChooseEncoding("gzip;q=nan, , ;q=1"), std::nullopt);
}

}  // namespace
}  // namespace vigie::server
