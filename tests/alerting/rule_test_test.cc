// rule_tests/pass_*.yml and fail_*.yml: promtool 2.42 gives each the verdict
// that its name has.
#include "alerting/rule_test.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::MemoryStore;
using ::vigie::testing::SimulatedClock;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

RuleTestStore NewStore() {
  auto store = std::make_shared<MemoryStore>();
  return {store, store.get(), store.get()};
}

absl::StatusOr<RuleTestReport> RunFile(const std::string& path) {
  const SimulatedClock clock(0);
  return RunRuleTests(path, clock, NewStore);
}

class RuleTestTest : public ::testing::Test {
 protected:
  RuleTestTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "vigie_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    Write("rules.yml",
          "groups:\n"
          "  - name: g\n"
          "    rules:\n"
          "      - {record: third, expr: 'vector(1) / 3'}\n"
          "      - {record: now, expr: 'time()'}\n");
  }
  ~RuleTestTest() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
  }
  absl::StatusOr<RuleTestReport> Run(const std::string& text) const {
    Write("test.yml", text);
    return RunFile(directory_ / "test.yml");
  }

  std::filesystem::path directory_;
};

std::vector<std::filesystem::path> Files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(VIGIE_RULE_TESTS)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("pass_") || name.starts_with("fail_")) {
      files.push_back(entry.path());
    }
  }
  return files;
}

TEST(RuleTestFilesTest, HaveTheVerdictThatPromtoolGives) {
  const auto files = Files();

  EXPECT_THAT(files, SizeIs(20));
  for (const std::filesystem::path& path : files) {
    SCOPED_TRACE(path.filename());
    const auto report = RunFile(path);
    ASSERT_THAT(report, IsOk());
    if (path.filename().string().starts_with("pass_")) {
      EXPECT_THAT(report->failures, IsEmpty());
      EXPECT_GT(report->checks, 0U);
    } else {
      EXPECT_THAT(report->failures, Not(IsEmpty()));
    }
  }
}

TEST(RuleTestFilesTest, AFailureNamesFileTestAndBothSides) {
  const auto report = RunFile(VIGIE_RULE_TESTS "/fail_annotation.yml");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(
      report->failures,
      ElementsAre(AllOf(
          StartsWith(VIGIE_RULE_TESTS
                     "/fail_annotation.yml:12:9: test "
                     "\"annotations count\": alert Down at 4m\n"
                     "    expected, and did not come:\n"),
          HasSubstr("\n    came, and was not expected:\n"
                    "      {alertname=\"Down\", instance=\"a:1\", job=\"db\", "
                    "severity=\"page\", where=\"a:1\"}\n"
                    "        summary: \"a:1 of fr is down\"\n"
                    "        value: \"0\""),
          // The other alert is as it should be.
          Not(HasSubstr("ticket")))));
}

TEST(RuleTestFilesTest, ARuleThatFailsEndsItsTestAndIsNamed) {
  const auto report = RunFile(VIGIE_RULE_TESTS "/fail_rule.yml");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->failures,
              ElementsAre(AllOf(HasSubstr("broken.rules.yml:4:9: "),
                                HasSubstr("rule twice at 0"))));
  EXPECT_EQ(report->checks, 0U);
}

TEST_F(RuleTestTest, TheLastBitMayDifferIfTheFileSaysSo) {
  const std::string rest =
      "rule_files: [rules.yml]\n"
      "tests:\n"
      "  - promql_expr_test:\n"
      "      - expr: third\n"
      "        exp_samples: [{labels: third, value: 0.33333333333333337}]\n";

  EXPECT_THAT(Run(rest)->failures, SizeIs(1));
  EXPECT_THAT(Run("fuzzy_compare: true\n" + rest)->failures, IsEmpty());
}

TEST_F(RuleTestTest, ATestMayBeginAtAnotherTime) {
  for (const std::string start : {"1609459200", "\"2021-01-01T00:00:00Z\""}) {
    const auto report =
        Run("rule_files: ['r*.yml']\n"
            "tests:\n"
            "  - start_timestamp: " +
            start +
            "\n"
            "    input_series: [{series: m, values: '1+1x5'}]\n"
            "    promql_expr_test:\n"
            "      - {expr: now, eval_time: 2m,\n"
            "         exp_samples: [{labels: now, value: 1609459320}]}\n"
            "      - {expr: m, eval_time: 2m, exp_samples: [{labels: m, value: "
            "3}]}\n");
    ASSERT_THAT(report, IsOk());
    EXPECT_THAT(report->failures, IsEmpty());
    EXPECT_EQ(report->checks, 2U);
  }
}

TEST_F(RuleTestTest, PatternsWithoutRulesAreWarnedOf) {
  const auto report = Run("rule_files: [none/*.yml, rules.yml]\n");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->warnings, ElementsAre(HasSubstr("none/*.yml")));
  EXPECT_THAT(report->failures, IsEmpty());
}

// The first three series and what they give are those of the documentation.
TEST_F(RuleTestTest, NativeHistogramsAreLoadedAndCompared) {
  Write("rules.yml",
        "groups:\n"
        "  - name: g\n"
        "    rules:\n"
        "      - {record: per_minute, expr: 'rate(even[2m1s]) * 60'}\n"
        "      - {alert: Many, expr: 'histogram_count(grows) > 4'}\n");
  const auto report = Run(
      "rule_files: [rules.yml]\n"
      "tests:\n"
      "  - interval: 1m\n"
      "    input_series:\n"
      "      - series: one\n"
      "        values: '{{schema:1 sum:-0.3 count:32.1 z_bucket:7.1 "
      "z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 n_buckets:[4.1 5] "
      "n_offset:-5}}'\n"
      "      - {series: same, values: '{{sum:3 count:2 buckets:[2]}}x2'}\n"
      "      - series: grows\n"
      "        values: '{{sum:3 count:2 buckets:[2]}}+{{sum:1.3 count:1 "
      "buckets:[1]}}x2 stale {{count:1 buckets:[1]}}'\n"
      "      - {series: even, values: '{{sum:3 count:2 buckets:[2]}}+{{sum:1.5 "
      "count:1 buckets:[1]}}x2'}\n"
      "      - {series: falls, values: '{{count:2}} {{count:1}} 7'}\n"
      "    alert_rule_test:\n"
      "      - {eval_time: 1m, alertname: Many}\n"
      "    promql_expr_test:\n"
      "      - expr: one\n"
      "        eval_time: 1m\n"
      "        exp_samples:\n"
      "          - labels: one\n"
      "            histogram: '{{schema:1 n_offset:-5 n_buckets:[4.1 5] "
      "offset:-4 buckets:[0 5.1 10 7 0] z_bucket:7.1 z_bucket_w:0.05 "
      "count:32.1 sum:-0.3}}'\n"
      "      - expr: same\n"
      "        eval_time: 2m\n"
      "        exp_samples:\n"
      "          - labels: same\n"
      "            histogram: '{{count:2 sum:3 counter_reset_hint:not_reset "
      "buckets:[2]}}'\n"
      "      - expr: grows\n"
      "        eval_time: 2m\n"
      "        exp_samples:\n"
      "          - labels: grows\n"
      "            histogram: '{{count:4 sum:5.6 counter_reset_hint:not_reset "
      "buckets:[4]}}'\n"
      // Counts from 2 to 4 and sums from 3 to 6 within two minutes.
      "      - expr: per_minute\n"
      "        eval_time: 2m\n"
      "        exp_samples:\n"
      "          - labels: per_minute\n"
      "            histogram: '{{count:1 sum:1.5 counter_reset_hint:gauge "
      "buckets:[1]}}'\n"
      "      - {expr: grows, eval_time: 3m}\n"
      "      - expr: grows\n"
      "        eval_time: 4m\n"
      "        exp_samples:\n"
      "          - {labels: grows, histogram: '{{count:1 buckets:[1]}}'}\n"
      "      - expr: falls\n"
      "        eval_time: 1m\n"
      "        exp_samples:\n"
      "          - labels: falls\n"
      "            histogram: '{{count:1}}'\n"
      "      - expr: falls\n"
      "        eval_time: 2m\n"
      "        exp_samples: [{labels: falls, value: 7}]\n"
      "      - expr: histogram_count(same)\n"
      "        exp_samples: [{value: 2}]\n");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->failures, IsEmpty());
  EXPECT_EQ(report->checks, 10U);
}

TEST_F(RuleTestTest, AHistogramThatDiffersIsShownAsItIsWritten) {
  const auto failures = [&](std::string_view expected) {
    return Run(fmt::format(
                   "tests:\n"
                   "  - input_series: [{{series: h, values: '{{{{count:1 sum:2 "
                   "buckets:[1]}}}}'}}]\n"
                   "    promql_expr_test:\n"
                   "      - {{expr: h, exp_samples: [{{labels: h, {}}}]}}\n",
                   expected))
        ->failures;
  };

  EXPECT_THAT(failures("histogram: '{{count:1 sum:2 buckets:[1]}}'"),
              IsEmpty());
  for (const std::string other :
       {"histogram: '{{count:1 sum:2 buckets:[1] offset:1}}'",
        "histogram: '{{count:1 sum:2.5 buckets:[1]}}'",
        "histogram: '{{count:1 sum:2 buckets:[1] "
        "counter_reset_hint:not_reset}}'",
        "value: 0"}) {
    EXPECT_THAT(
        failures(other),
        ElementsAre(AllOf(HasSubstr("came, and was not expected:\n"
                                    "      h {{count:1 sum:2 buckets:[1]}}"),
                          HasSubstr("expected, and did not come:\n      h "))))
        << other;
  }
}

TEST_F(RuleTestTest, HistogramsThatNoStoreTakesAreFailures) {
  const auto report =
      Run("tests:\n"
          "  - input_series: [{series: h, values: '{{count:-1}}'}]\n"
          "    promql_expr_test: [{expr: h}]\n");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->failures,
              ElementsAre(HasSubstr("input_series: h: a negative count")));
}

TEST_F(RuleTestTest, NanEqualsNan) {
  EXPECT_THAT(
      Run("tests:\n"
          "  - promql_expr_test:\n"
          "      - {expr: 'vector(NaN)', exp_samples: [{value: .nan}]}\n"
          "      - {expr: 'vector(-Inf)', exp_samples: [{value: -.inf}]}"
          "\n")
          ->failures,
      IsEmpty());
}

TEST_F(RuleTestTest, ASeriesThatNoStoreTakesIsAFailure) {
  const auto report =
      Run("tests:\n"
          "  - input_series: [{series: '{a=\"b\"}', values: '1'}]\n"
          "    promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]\n");

  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->failures, ElementsAre(HasSubstr("input_series: ")));
}

TEST_F(RuleTestTest, WhatIsWrongInTheFileIsSaidWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"tests: [{input_series: [{series: 'm{', values: '1'}]}]", ":1:34: "},
      {"tests: [{input_series: [{series: m, values: '1x'}]}]", "repetition"},
      {"tests: [{input_series: [{series: m, values: '1 {{schema:9}}'}]}]",
       "test.yml:1:45: in a histogram: unknown schema 9"},
      {"tests: [{input_series: [{series: m}]}]", "values"},
      {"tests: [{alert_rule_test: [{eval_time: 1m}]}]", "alertname"},
      {"tests: [{promql_expr_test: [{expr: m, exp_samples: [{histogram: "
       "x}]}]}]",
       "test.yml:1:65: bad repetition in x"},
      {"tests: [{promql_expr_test: [{expr: m, exp_samples: [{histogram: "
       "'{{}} {{}}'}]}]}]",
       "expected one {{...}}"},
      {"tests: [{promql_expr_test: [{expr: m, exp_samples: [{histogram: "
       "'{{}}', value: 1}]}]}]",
       "test.yml:1:80: a value beside a histogram"},
      {"tests: [{start_timestamp: yesterday}]", "RFC 3339"},
      {"tests: [{evaltime: 1m}]", "evaltime"},
      {"group_eval_order: [a, a]", "repeated"},
      {"rulefiles: [x]", "rulefiles"},
      {"tests: [{promql_expr_test: [{eval_time: 99999d}]}]", ""},
  };
  for (const auto& [text, message] : wrong) {
    if (message.empty()) {
      EXPECT_THAT(Run(text)->failures, SizeIs(1)) << text;
    } else {
      EXPECT_THAT(Run(text), HasError(kInvalid, AllOf(HasSubstr("test.yml:1:"),
                                                      HasSubstr(message))))
          << text;
    }
  }
  Write("rules.yml", "groups: [{name: a, rules: [{record: m}]}]\n");
  EXPECT_THAT(Run("rule_files: [rules.yml]\n"),
              HasError(kInvalid, HasSubstr("rules.yml:1:")));
}

// The rules that are shipped, each with its tests.
TEST(ShippedRulesTest, PassTheirTests) {
  size_t checks = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(VIGIE_SHIPPED_RULE_TESTS)) {
    if (entry.path().extension() != ".yml") continue;
    const auto report = RunFile(entry.path());
    ASSERT_THAT(report, IsOk());
    EXPECT_THAT(report->failures, IsEmpty()) << entry.path();
    EXPECT_THAT(report->warnings, IsEmpty());
    checks += report->checks;
  }
  EXPECT_GT(checks, 100U);
}

}  // namespace
}  // namespace vigie::alerting
