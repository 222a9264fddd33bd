#include "server/json.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <random>

namespace vigie::server {
namespace {

std::string Float(double value) {
  std::string out;
  AppendFloatText(value, &out);
  return out;
}
std::string Text(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}
std::string Time(int64_t time_ms) {
  std::string out;
  AppendTimestamp(time_ms, &out);
  return out;
}
std::string Histogram(const FloatHistogram& histogram) {
  std::string out;
  AppendHistogram(histogram, &out);
  return out;
}

// The right column is what Go's strconv prints, as Prometheus uses it.
TEST(JsonTest, WritesFloatsAsPrometheusDoes) {
  const std::pair<double, std::string_view> cases[] = {
      {0, "0"},
      {-0.0, "-0"},
      {1, "1"},
      {-1.5, "-1.5"},
      {0.1, "0.1"},
      {1.0 / 3, "0.3333333333333333"},
      {100000, "100000"},
      {1e-6, "0.000001"},
      {9.99e-7, "9.99e-07"},
      {-1e-10, "-1e-10"},
      {5e-324, "5e-324"},
      {1e15, "1000000000000000"},
      {1000000000000000.1, "1000000000000000.1"},
      {-1234567890123456.8, "-1234567890123456.8"},
      {9007199254740993, "9007199254740992"},
      {1.2345678901234568e20, "123456789012345680000"},
      {1e20, "100000000000000000000"},
      {9.999999999999999e20, "999999999999999900000"},
      {1e21, "1e+21"},
      {-1.5e300, "-1.5e+300"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {HUGE_VAL, "+Inf"},
      {-HUGE_VAL, "-Inf"},
      {NormalNan(), "NaN"},
      {-NormalNan(), "NaN"},
      {StaleMarker(), "NaN"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(Float(value), text);
}

TEST(JsonTest, EveryFloatReadsBackToTheSameBits) {
  constexpr uint64_t kSeed = 20261121;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    // Half of them of a size that metrics have.
    const double value = i % 2 == 0
                             ? std::bit_cast<double>(random())
                             : std::ldexp(static_cast<double>(random()), -44);
    if (!std::isfinite(value)) continue;
    const std::string text = Float(value);
    double read;
    std::from_chars(text.data(), text.data() + text.size(), read);
    ASSERT_EQ(std::bit_cast<uint64_t>(read), std::bit_cast<uint64_t>(value))
        << text;
  }
}

TEST(JsonTest, WritesTimestampsInSecondsWithThreeDecimalsOrNone) {
  EXPECT_EQ(Time(0), "0");
  EXPECT_EQ(Time(4000), "4");
  EXPECT_EQ(Time(1500), "1.500");
  EXPECT_EQ(Time(1), "0.001");
  EXPECT_EQ(Time(1435781430781), "1435781430.781");
  EXPECT_EQ(Time(-1500), "-1.500");
  EXPECT_EQ(Time(std::numeric_limits<int64_t>::min()), "-9223372036854775.808");
}

TEST(JsonTest, EscapesStringsAndReplacesWhatIsNotUtf8) {
  EXPECT_EQ(Text(""), R"("")");
  EXPECT_EQ(Text("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(Text("\n\r\t\x01\x1f"), R"("\n\r\t\u0001\u001f")");
  EXPECT_EQ(Text("\x7f"), "\"\x7f\"");
  EXPECT_EQ(Text("<&>"), R"("<&>")");
  EXPECT_EQ(Text("été 猫 🐈"), "\"été 猫 🐈\"");
  EXPECT_EQ(Text("a\xff\xfe"
                 "b"),
            R"("a\ufffd\ufffdb")");
  EXPECT_EQ(Text("\xc0\xaf"), R"("\ufffd\ufffd")");
  EXPECT_EQ(Text("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");
  EXPECT_EQ(Text("\xf0\x9f"), R"("\ufffd\ufffd")");
  EXPECT_EQ(Text("\xe2\x80\xa8\xe2\x80\xa9"), R"("\u2028\u2029")");
  EXPECT_EQ(Text(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonTest, WritesLabelsSortedByName) {
  std::string out;
  AppendLabels({{"job", "x"}, {"__name__", "up"}, {"a.b", "\""}}, &out);
  EXPECT_EQ(out, R"({"__name__":"up","a.b":"\"","job":"x"})");
}

TEST(JsonTest, WritesHistogramBucketsFromTheLowestWithTheirBoundaries) {
  FloatHistogram histogram;
  histogram.schema = 0;
  histogram.count = 12;
  histogram.sum = 3.5;
  histogram.zero_threshold = 0.001;
  histogram.zero_count = 2;
  histogram.positive_spans = {{0, 2}, {1, 1}};
  histogram.positive_buckets = {1, 0, 4};
  histogram.negative_spans = {{1, 1}};
  histogram.negative_buckets = {5};

  EXPECT_EQ(Histogram(histogram),
            R"({"count":"12","sum":"3.5","buckets":[[1,"-2","-1","5"],)"
            R"([3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"4","8","4"]]})");
}

TEST(JsonTest, WritesHistogramBoundsOfFinerSchemasToTheBit) {
  FloatHistogram histogram;
  histogram.schema = 3;
  histogram.count = 1;
  histogram.positive_spans = {{1, 1}};
  histogram.positive_buckets = {1};

  EXPECT_EQ(Histogram(histogram),
            R"({"count":"1","sum":"0","buckets":[[0,"1","1.0905077326652577",)"
            R"("1"]]})");
}

TEST(JsonTest, WritesCustomBucketsWithInfiniteEnds) {
  FloatHistogram histogram;
  histogram.schema = kCustomBucketsSchema;
  histogram.count = 3;
  histogram.custom_values = {0.5, 1};
  histogram.positive_spans = {{0, 3}};
  histogram.positive_buckets = {1, 0, 2};

  EXPECT_EQ(Histogram(histogram),
            R"({"count":"3","sum":"0","buckets":[[3,"-Inf","0.5","1"],)"
            R"([0,"1","+Inf","2"]]})");
}

TEST(JsonTest, LeavesBucketsOutOfAnEmptyHistogram) {
  EXPECT_EQ(Histogram({}), R"({"count":"0","sum":"0"})");
}

}  // namespace
}  // namespace vigie::server
