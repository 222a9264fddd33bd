// Every script of tests/promql/scripts is one case; its failures are told as
// file:line.
#include "tests/promql/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "model/sample.h"
#include "tests/support/status_matchers.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::filesystem::path> ScriptFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(VIGIE_SCRIPTS_DIR)) {
    if (entry.path().extension() == ".test") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ScriptTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(ScriptTest, GivesWhatItSays) {
  std::ifstream in(GetParam());
  std::stringstream text;
  text << in.rdbuf();

  const auto script = ParseScript(
      "tests/promql/scripts/" + GetParam().filename().string(), text.str());
  ASSERT_THAT(script, IsOk());
  int evals = 0;
  for (const std::string& failure : RunScript(*script, &evals)) {
    ADD_FAILURE() << failure;
  }

  EXPECT_GT(evals, 0);
}

INSTANTIATE_TEST_SUITE_P(Scripts, ScriptTest,
                         ::testing::ValuesIn(ScriptFiles()),
                         [](const auto& info) {
                           return info.param.stem().string();
                         });

std::vector<std::string> FailuresOf(std::string_view text) {
  const auto script = ParseScript("a.test", text);
  EXPECT_THAT(script, IsOk());
  int evals = 0;
  return script.ok() ? RunScript(*script, &evals) : std::vector<std::string>();
}

TEST(ScriptRunnerTest, TellsEveryKindOfDifferenceWithItsPlace) {
  constexpr std::string_view kLoad = "load 1m\n  a{b=\"c\"} 1+1x5\n\n";
  const auto failures = [&](std::string_view eval) {
    return FailuresOf(std::string(kLoad) + std::string(eval));
  };
  EXPECT_THAT(failures("eval instant at 2m a\n  a{b=\"c\"} 3"), IsEmpty());
  EXPECT_THAT(failures("eval instant at 2m a\n  a{b=\"c\"} 4"),
              ElementsAre(HasSubstr("a.test:4: a: a{b=\"c\"}: expected 4")));
  EXPECT_THAT(failures("eval instant at 2m a"),
              ElementsAre(HasSubstr("unexpected or repeated series")));
  EXPECT_THAT(failures("eval instant at 2m a\n  a{b=\"c\"} 3\n  a{b=\"d\"} 3"),
              ElementsAre(HasSubstr("is missing")));
  EXPECT_THAT(failures("eval instant at 2m 1\n  2"),
              ElementsAre(HasSubstr("got the scalar 1")));
  EXPECT_THAT(failures("eval instant at 2m 'x'\n  expect string 'y'"),
              ElementsAre(HasSubstr("got the string")));
  EXPECT_THAT(failures("eval range from 0 to 2m step 1m a\n  a{b=\"c\"} 1 2 4"),
              ElementsAre(HasSubstr("expected 1@0 2@60000 4@120000")));
  EXPECT_THAT(failures("eval instant at 2m a\n  expect fail"),
              ElementsAre(HasSubstr("did not fail")));
  EXPECT_THAT(failures("eval instant at 2m a +\n  1"),
              ElementsAre(HasSubstr("parse error")));
  EXPECT_THAT(failures("eval instant at 2m a +\n  expect fail msg: b"),
              ElementsAre(HasSubstr("another message")));
  EXPECT_THAT(failures("eval instant at 2m a\n  expect warn\n  a{b=\"c\"} 3"),
              ElementsAre(HasSubstr("an annotation is missing")));
}

TEST(ScriptRunnerTest, TellsHowHistogramsDiffer) {
  constexpr std::string_view kLoad =
      "load 1m\n  h {{count:3 sum:4 buckets:[1 2]}}x2\n\n";
  const auto failures = [&](std::string_view eval) {
    return FailuresOf(std::string(kLoad) + std::string(eval));
  };
  EXPECT_THAT(failures("eval instant at 1m h\n"
                       "  h {{count:3 sum:4 buckets:[0 1 2] offset:-1}}"),
              IsEmpty());
  for (const std::string other :
       {"{{count:3 sum:4 buckets:[1 2] offset:1}}", "{{count:3 sum:4}}",
        "{{count:3 sum:4 buckets:[2 1]}}", "{{count:3 sum:5 buckets:[1 2]}}",
        "{{schema:1 count:3 sum:4 buckets:[1 2]}}",
        "{{count:3 sum:4 buckets:[1 2] counter_reset_hint:gauge}}",
        "{{count:3 sum:4 buckets:[1 2] z_bucket:1}}", "3"}) {
    EXPECT_THAT(failures("eval instant at 1m h\n  h " + other),
                ElementsAre(HasSubstr("got {{count:3 sum:4 counter_reset_hint:"
                                      "not_reset buckets:[1 2]}}")))
        << other;
  }
  EXPECT_THAT(failures("eval range from 0 to 1m step 1m h\n  h 1 2"),
              ElementsAre(HasSubstr("expected 1@0 2@60000, got {{count:3")));
}

TEST(ScriptRunnerTest, RefusesScriptsItDoesNotUnderstand) {
  const auto message = [](std::string_view text) {
    return std::string(ParseScript("a.test", text).status().message());
  };
  EXPECT_THAT(message("\nlod 5m"), HasSubstr("a.test:2: unknown command"));
  EXPECT_THAT(message("load 5x"), HasSubstr("a.test:1:"));
  EXPECT_THAT(message("load 5m\n  a 1 2y+"), HasSubstr("a.test:2:"));
  EXPECT_THAT(message("load 5m\n  a {{cuont:1}}"),
              HasSubstr("a.test:2: in a histogram: unknown key \"cuont\""));
  EXPECT_THAT(message("load 5m\n  a{b!=\"c\"} 1"), HasSubstr("not matchers"));
  EXPECT_THAT(message("load 5m\n  a 1+1"), HasSubstr("step without a run"));
  EXPECT_THAT(message("eval instant 5m a"), HasSubstr("expected 'at'"));
  EXPECT_THAT(message("eval instant at 5m"), HasSubstr("without a query"));
  EXPECT_THAT(message("eval instant at 5m a\n  a 1 2"),
              HasSubstr("one value a series"));
  EXPECT_THAT(message("eval instant at 5m a\n  expect nothing"),
              HasSubstr("unknown expectation"));
}

TEST(ScriptRunnerTest, NotationOfSeriesGivesItsSamples) {
  const auto script = ParseScript(
      "a.test", "load 30s\n  a{b=\"x y\"} 1 _ stale 1+2x2 _x2 3x1 -1-1x1 5m");
  ASSERT_THAT(script, IsOk());
  const auto& load = std::get<ScriptLoad>(script->commands.at(0));
  ASSERT_EQ(load.series.size(), 1U);
  EXPECT_EQ(load.series[0].labels.Get("b"), "x y");
  EXPECT_EQ(load.interval_ms, 30'000);
  std::string shown;
  for (const auto& value : load.series[0].values) {
    const double number = value.has_value() ? std::get<double>(*value) : 0;
    shown += !value.has_value()      ? "_ "
             : IsStaleMarker(number) ? "stale "
                                     : std::to_string(int(number)) + " ";
  }
  EXPECT_EQ(shown, "1 _ stale 1 3 5 _ _ 3 3 -1 -2 300 ");
}

}  // namespace
}  // namespace vigie::testing
