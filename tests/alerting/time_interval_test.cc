#include "alerting/time_interval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::StartsWith;
using vigie::testing::IsOk;

absl::Status Read(const std::string& text, TimeIntervals* out) {
  const auto node =
      yaml::Node::Parse("[{name: x, time_intervals: [" + text + "]}]", "t.yml");
  if (!node.ok()) return node.status();
  return ReadTimeIntervals(*node, out);
}

// Whether the interval holds the time, given as RFC 3339.
bool Holds(const std::string& interval, const std::string& time) {
  TimeIntervals intervals;
  EXPECT_THAT(Read(interval, &intervals), IsOk());
  absl::Time at;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, time, &at, &error)) << error;
  return intervals.at("x").at(0).Contains(absl::ToUnixMillis(at));
}

TEST(TimeIntervalTest, HoldsTimesOfDayWithTheirEndLeftOut) {
  const std::string office =
      "{times: [{start_time: '09:00', end_time: '17:00'}]}";
  EXPECT_FALSE(Holds(office, "2026-11-20T08:59:59Z"));
  EXPECT_TRUE(Holds(office, "2026-11-20T09:00:00Z"));
  EXPECT_TRUE(Holds(office, "2026-11-20T16:59:59.999Z"));
  EXPECT_FALSE(Holds(office, "2026-11-20T17:00:00Z"));
  EXPECT_TRUE(Holds("{times: [{start_time: '23:00', end_time: '24:00'}]}",
                    "2026-11-20T23:59:59Z"));
}

TEST(TimeIntervalTest, HoldsDaysMonthsAndYears) {
  EXPECT_TRUE(Holds("{weekdays: [saturday, sunday]}", "2026-11-21T00:00:00Z"));
  EXPECT_TRUE(Holds("{weekdays: [saturday, Sunday]}", "2026-11-22T00:00:00Z"));
  EXPECT_FALSE(Holds("{weekdays: ['monday:friday']}", "2026-11-22T00:00:00Z"));
  EXPECT_TRUE(Holds("{days_of_month: ['-3:-1']}", "2024-02-27T00:00:00Z"));
  EXPECT_FALSE(Holds("{days_of_month: ['-3:-1']}", "2024-02-26T00:00:00Z"));
  EXPECT_TRUE(Holds("{days_of_month: ['29:31']}", "2024-02-29T00:00:00Z"));
  EXPECT_TRUE(Holds("{days_of_month: ['15:-1']}", "2024-02-29T00:00:00Z"));
  EXPECT_TRUE(Holds("{months: ['november:december']}", "2026-11-22T00:00:00Z"));
  EXPECT_FALSE(Holds("{months: ['1:3']}", "2026-11-22T00:00:00Z"));
  EXPECT_TRUE(Holds("{years: ['2024:2026']}", "2026-11-22T00:00:00Z"));
  EXPECT_FALSE(Holds("{years: [2025]}", "2026-11-22T00:00:00Z"));
  EXPECT_FALSE(
      Holds("{weekdays: [sunday], years: [2025]}", "2026-11-22T00:00:00Z"));
  EXPECT_TRUE(Holds("{}", "2026-11-22T00:00:00Z"));
}

TEST(TimeIntervalTest, GoesByTheClockOnTheWallOverSummerTime) {
  const std::string night =
      "{location: Europe/Paris, times: [{start_time: '03:00', end_time: "
      "'04:00'}]}";
  EXPECT_TRUE(Holds(night, "2026-03-28T02:30:00Z"));  // winter: UTC+1
  EXPECT_FALSE(Holds(night, "2026-03-28T01:30:00Z"));
  EXPECT_TRUE(Holds(night, "2026-03-29T01:30:00Z"));  // 02:59 is before 03:00
  EXPECT_FALSE(Holds(night, "2026-03-29T00:59:59Z"));
  EXPECT_TRUE(Holds(night, "2026-10-25T02:30:00Z"));  // back to UTC+1
  EXPECT_FALSE(Holds(night, "2026-10-25T01:30:00Z"));
}

TEST(TimeIntervalTest, TellsThePlaceOfEachFault) {
  for (const char* text :
       {"{times: [{start_time: '9:00', end_time: '17:00'}]}",
        "{times: [{start_time: '09:00', end_time: '24:01'}]}",
        "{times: [{start_time: '17:00', end_time: '09:00'}]}",
        "{times: [{start_time: '17:00'}]}", "{weekdays: ['friday:monday']}",
        "{weekdays: [caturday]}", "{days_of_month: ['0:3']}",
        "{days_of_month: ['-3:3']}", "{days_of_month: [32]}",
        "{months: ['13']}", "{years: [soon]}", "{location: Mars/Olympus}",
        "{hours: [1]}"}) {
    TimeIntervals intervals;
    const absl::Status status = Read(text, &intervals);
    EXPECT_THAT(std::string(status.message()), StartsWith("t.yml:1:")) << text;
  }
}

TEST(TimeIntervalTest, RefusesTwoOfOneName) {
  TimeIntervals intervals;
  ASSERT_THAT(Read("{}", &intervals), IsOk());
  EXPECT_EQ(Read("{}", &intervals).message(),
            R"(t.yml:1:9: time interval "x" is not unique)");
}

}  // namespace
}  // namespace vigie::alerting
