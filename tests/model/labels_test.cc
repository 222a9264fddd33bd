#include "model/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <string>
#include <vector>

#include "absl/hash/hash.h"
#include "model/sample.h"
#include "model/time_range.h"
#include "tests/support/status_matchers.h"

namespace vigie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

TEST(LabelsTest, AreEqualWhateverOrderTheyWereGivenIn) {
  const Labels a{{"job", "x"}, {"__name__", "up"}, {"a", "1"}};
  const Labels b{{"a", "1"}, {"job", "x"}, {"__name__", "up"}};

  EXPECT_EQ(a, b);
  EXPECT_EQ(a.bytes(), b.bytes());
  EXPECT_EQ(absl::HashOf(a), absl::HashOf(b));
  EXPECT_THAT(std::vector<LabelView>(a.begin(), a.end()),
              ElementsAre(LabelView{"__name__", "up"}, LabelView{"a", "1"},
                          LabelView{"job", "x"}));
}

TEST(LabelsTest, DoNotTellEmptyFromAbsent) {
  const Labels labels{{"a", "1"}, {"b", ""}};

  EXPECT_EQ(labels, (Labels{{"a", "1"}}));
  EXPECT_EQ(labels.Get("b"), "");
  EXPECT_FALSE(labels.Has("b"));
  EXPECT_EQ(labels.size(), 1u);
}

TEST(LabelsTest, FindEachLabel) {
  const std::string longest(300, 'v');
  const Labels labels{
      {"__name__", "m"}, {"b", longest}, {"c", "x"}, {longest, "y"}};

  EXPECT_EQ(labels.metric_name(), "m");
  EXPECT_EQ(labels.Get("b"), longest);
  EXPECT_EQ(labels.Get("c"), "x");
  EXPECT_EQ(labels.Get(longest), "y");
  EXPECT_EQ(labels.Get("a"), "");
  EXPECT_EQ(labels.Get("bb"), "");
  EXPECT_EQ(labels.Get("zz"), "");
  EXPECT_EQ(Labels().Get("a"), "");
  EXPECT_TRUE(Labels().empty());
}

TEST(LabelsTest, AreOrderedAsPrometheusOrdersSeries) {
  const std::vector<Labels> ordered = {
      Labels(),
      Labels{{"a", "1"}},
      Labels{{"a", "1"}, {"b", "1"}},
      Labels{{"a", "1"}, {"c", "0"}},
      Labels{{"a", "10"}},
      Labels{{"a", "2"}},
      Labels{{"aa", "0"}},
      Labels{{"b", "\x7F"}},
      Labels{{"b", "\xC3\xA9"}},  // bytes, not signed characters
  };
  std::vector<Labels> shuffled = ordered;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(3));
  std::sort(shuffled.begin(), shuffled.end());

  EXPECT_EQ(shuffled, ordered);
}

TEST(LabelsTest, ComeBackFromTheirBytes) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    LabelsBuilder builder;
    for (size_t i = random() % 6; i > 0; --i) {
      builder.Set(std::string(random() % 200, 'a' + random() % 3),
                  std::string(random() % 200, 'x'));
    }
    const Labels labels = builder.Build();
    const auto got = Labels::FromBytes(labels.bytes());
    ASSERT_THAT(got, IsOk());
    EXPECT_EQ(*got, labels);
    EXPECT_EQ(Labels::FromSorted({labels.begin(), labels.end()}), labels);
  }
}

TEST(LabelsTest, DoNotComeFromOtherBytes) {
  using namespace std::string_literals;
  for (const std::string& bytes : {"\x01"s,
                                   "\x01"
                                   "a"s,
                                   "\x01"
                                   "a\x01"s,
                                   "\x05"
                                   "a"s,
                                   "\x01"
                                   "a\x00"s,  // an empty value
                                   "\x01"
                                   "b\x01"
                                   "1\x01"
                                   "a\x01"
                                   "1"s,  // not sorted
                                   "\x01"
                                   "a\x01"
                                   "1\x01"
                                   "a\x01"
                                   "2"s,  // twice
                                   "\x81\x00"
                                   "a\x01"
                                   "1"s,  // a length in too many bytes
                                   "\x01"
                                   "a\x81\x00"
                                   "1"s,
                                   "\xFF\xFF\xFF\xFF\xFF\xFF\x01"s}) {
    EXPECT_THAT(Labels::FromBytes(bytes), HasCode(absl::StatusCode::kDataLoss))
        << ::testing::PrintToString(bytes);
  }
  EXPECT_THAT(Labels::FromBytes(""), IsOk());
}

TEST(LabelsTest, AreWrittenAsPrometheusWritesThem) {
  EXPECT_EQ((Labels{{"__name__", "up"}, {"job", "x"}}).ToString(),
            "up{job=\"x\"}");
  EXPECT_EQ((Labels{{"__name__", "a:b"}}).ToString(), "a:b");
  EXPECT_EQ((Labels{{"job", "x"}, {"a", "1"}}).ToString(),
            "{a=\"1\", job=\"x\"}");
  EXPECT_EQ(Labels().ToString(), "{}");
  EXPECT_EQ((Labels{{"__name__", "http.x"}, {"a.b", "1"}}).ToString(),
            "{\"http.x\", \"a.b\"=\"1\"}");
  EXPECT_EQ((Labels{{"a", "\"\\\n\t\x01é"}}).ToString(),
            "{a=\"\\\"\\\\\\n\\t\\x01é\"}");
}

TEST(LabelsBuilderTest, ChangesASet) {
  LabelsBuilder builder(Labels{{"a", "1"}, {"b", "2"}, {"c", "3"}});
  builder.Set("b", "").Set("a", "9").Remove("c").Remove("x").Set("d", "4");

  EXPECT_EQ(builder.Get("a"), "9");
  EXPECT_EQ(builder.Get("b"), "");
  EXPECT_EQ(builder.Build(), (Labels{{"a", "9"}, {"d", "4"}}));
  EXPECT_EQ(builder.Set("a", "8").Build(), (Labels{{"a", "8"}, {"d", "4"}}));
  EXPECT_THAT(LabelsBuilder().Build().bytes(), IsEmpty());
}

TEST(NamesTest, AreLegacyOrNeedQuotes) {
  for (const char* name : {"a", "_", "a:b", "A9", ":x"}) {
    EXPECT_TRUE(IsLegacyMetricName(name)) << name;
  }
  for (const char* name : {"", "9a", "a.b", "a b", "é", "a-b"}) {
    EXPECT_FALSE(IsLegacyMetricName(name)) << name;
    EXPECT_FALSE(IsLegacyLabelName(name)) << name;
  }
  EXPECT_TRUE(IsLegacyLabelName("a_9"));
  EXPECT_FALSE(IsLegacyLabelName("a:b"));
}

TEST(SampleTest, IsComparedBitForBit) {
  EXPECT_EQ((Sample{1, NormalNan()}), (Sample{1, NormalNan()}));
  EXPECT_NE((Sample{1, NormalNan()}), (Sample{1, StaleMarker()}));
  EXPECT_NE((Sample{1, 0.0}), (Sample{1, -0.0}));
  EXPECT_TRUE(IsStaleMarker(StaleMarker()));
  EXPECT_FALSE(IsStaleMarker(NormalNan()));
  EXPECT_FALSE(IsStaleMarker(std::bit_cast<double>(kStaleNanBits + 1)));
}

TEST(TimeRangeTest, HoldsBothItsEnds) {
  const TimeRange range{10, 20};
  EXPECT_TRUE(range.Contains(10));
  EXPECT_TRUE(range.Contains(20));
  EXPECT_FALSE(range.Contains(21));
  EXPECT_TRUE(range.Overlaps({20, 30}));
  EXPECT_FALSE(range.Overlaps({21, 30}));
  EXPECT_FALSE(range.Overlaps({15, 14}));
  EXPECT_TRUE((TimeRange{1, 0}).empty());
}

}  // namespace
}  // namespace vigie
