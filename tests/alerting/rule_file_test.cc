#include "alerting/rule_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

absl::StatusOr<std::vector<RuleGroupSpec>> Parse(std::string_view text) {
  const auto root = yaml::Node::Parse(text, "rules.yml");
  if (!root.ok()) return root.status();
  return ParseRuleFile(*root);
}

// The error of a rule that has these lines, the first of them in line 4.
absl::Status RuleError(const std::string& lines) {
  return Parse("groups:\n- name: g\n  rules:\n" + lines).status();
}

TEST(RuleFileTest, ReadsEveryKey) {
  const auto groups = Parse(R"(
groups:
- name: api
  interval: 30s
  query_offset: 1m
  limit: 10
  labels: {team: web, tier: front}
  rules:
  - record: job:requests:rate5m
    expr: sum by (job) (rate(requests_total[5m]))
    labels: {tier: back}
  - alert: Slow
    expr: latency > 1
    for: 5m
    keep_firing_for: 10m
    labels:
      severity: page
    annotations:
      summary: "{{ $labels.job }} takes {{ $value }} s"
)");

  ASSERT_THAT(groups, IsOk());
  ASSERT_THAT(*groups, SizeIs(1));
  const RuleGroupSpec& group = groups->at(0);
  EXPECT_EQ(group.name, "api");
  EXPECT_EQ(group.file, "rules.yml");
  EXPECT_EQ(group.interval_ms, 30'000);
  EXPECT_EQ(group.query_offset_ms, 60'000);
  EXPECT_EQ(group.limit, 10);
  EXPECT_THAT(group.labels,
              ElementsAre(Pair("team", "web"), Pair("tier", "front")));
  ASSERT_THAT(group.rules, SizeIs(2));
  const RuleSpec& record = group.rules[0];
  EXPECT_EQ(record.kind, RuleSpec::Kind::kRecording);
  EXPECT_EQ(record.name, "job:requests:rate5m");
  EXPECT_EQ(record.place, "rules.yml:9:5");
  EXPECT_THAT(record.labels,
              ElementsAre(Pair("team", "web"), Pair("tier", "back")));
  const RuleSpec& alert = group.rules[1];
  EXPECT_EQ(alert.kind, RuleSpec::Kind::kAlerting);
  EXPECT_EQ(alert.expr, "latency > 1");
  EXPECT_EQ(alert.for_ms, 300'000);
  EXPECT_EQ(alert.keep_firing_for_ms, 600'000);
  EXPECT_THAT(alert.labels,
              ElementsAre(Pair("severity", "page"), Pair("team", "web"),
                          Pair("tier", "front")));
  EXPECT_THAT(
      alert.annotations,
      ElementsAre(Pair("summary", "{{ $labels.job }} takes {{ $value }} s")));
}

TEST(RuleFileTest, TakesWhatPrometheusTakes) {
  EXPECT_THAT(Parse(""), IsOk());
  EXPECT_THAT(Parse("groups:"), IsOk());
  EXPECT_THAT(Parse("groups: [{name: g}]"), IsOk());
  // A number as expression, an empty label, two equal rules, UTF-8 names.
  EXPECT_THAT(Parse(R"(
groups:
- name: g
  rules:
  - {record: a, expr: 1, labels: {n: 1, empty: }}
  - {record: a, expr: 1, labels: {n: 1, empty: }}
  - {record: "größe.total", expr: up}
  - {alert: "An alert with spaces", expr: 'up[5m]', annotations: {"a b": c}}
)"),
              IsOk());
}

TEST(RuleFileTest, PlacesEveryFaultInTheFile) {
  const std::pair<std::string, std::string> cases[] = {
      {"  - expr: up",
       "rules.yml:4:5: group \"g\", rule 1, \"\": one of 'record' or 'alert' "
       "must be set"},
      {"  - {alert: a, record: b, expr: up}",
       "rules.yml:4:5: group \"g\", rule 1, \"a\": only one of 'record' and "
       "'alert' must be set"},
      {"  - alert: a",
       "rules.yml:4:5: group \"g\", rule 1, \"a\": field 'expr' must be set in "
       "rule"},
      {"  - record: a\n    expr: up\n  - alert: b\n    expr: sum(up",
       "rules.yml:7:11: group \"g\", rule 2, \"b\": could not parse "
       "expression: 1:7: parse error: unclosed left parenthesis"},
      {"  - record: a\n    expr: up\n    for: 5m",
       "rules.yml:6:10: group \"g\", rule 1, \"a\": invalid field 'for' in "
       "recording rule"},
      {"  - record: a\n    expr: up\n    keep_firing_for: 5m",
       "rules.yml:6:22: group \"g\", rule 1, \"a\": invalid field "
       "'keep_firing_for' in recording rule"},
      {"  - record: a\n    expr: up\n    annotations: {a: b}",
       "rules.yml:6:18: group \"g\", rule 1, \"a\": invalid field "
       "'annotations' in recording rule"},
      {"  - record: 'up{a=\"b\"}'\n    expr: up",
       "rules.yml:4:13: group \"g\", rule 1, \"up{a=\\\"b\\\"}\": braces "
       "present in the recording rule name; should it be in expr?: "
       "up{a=\"b\"}"},
      {"  - record: a\n    expr: up\n    labels: {__name__: b}",
       "rules.yml:6:24: group \"g\", rule 1, \"a\": invalid label name: "
       "\"__name__\""},
      {"  - alert: a\n    expr: up\n    for: 5 minutes",
       "rules.yml:6:10: not a valid duration string: \"5 minutes\""},
      {"  - alert: a\n    expr: up\n    runbook: x",
       "rules.yml:6:5: unknown key \"runbook\""},
      {"  - alert: a\n    expr: up\n    expr: down",
       "rules.yml:6:5: key \"expr\" is already set in line 5"},
  };
  for (const auto& [lines, message] : cases) {
    EXPECT_THAT(RuleError(lines),
                HasError(absl::StatusCode::kInvalidArgument, message))
        << lines;
  }
}

TEST(RuleFileTest, PlacesAFaultOfABlockOfTextInsideIt) {
  EXPECT_THAT(
      RuleError("  - alert: a\n    expr: |\n      sum(up)\n        and bad("),
      HasError(absl::StatusCode::kInvalidArgument,
               AllOf(StartsWith("rules.yml:5:11: "), HasSubstr(": 2:"),
                     HasSubstr("parse error"))));
}

TEST(RuleFileTest, RefusesAGroupThatIsThereAlready) {
  EXPECT_THAT(Parse("groups:\n- name: a\n- name: a\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "rules.yml:3:3: groupname: \"a\" is repeated in the "
                       "same file"));
  EXPECT_THAT(Parse("groups:\n- rules: []\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "rules.yml:2:3: Groupname must not be empty"));
}

TEST(RuleFileTest, RefusesATemplateThatCannotWorkAndNamesTheFunction) {
  EXPECT_THAT(RuleError("  - alert: a\n    expr: up\n    annotations:\n"
                        "      summary: '{{ $labels.job | frobnicate }}'"),
              HasError(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("rules.yml:7:16: group \"g\", rule 1, "
                                        "\"a\": annotation \"summary\": "),
                             HasSubstr("frobnicate"))));
  EXPECT_THAT(
      RuleError("  - alert: a\n    expr: up\n    labels:\n"
                "      x: '{{ $nobody }}'"),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("label \"x\": ")));
  // Those of recording rules are no templates.
  EXPECT_THAT(RuleError("  - record: a\n    expr: up\n    labels:\n"
                        "      x: '{{ $nobody }}'"),
              IsOk());
}

TEST(RuleFileTest, TakesExperimentalFunctionsOnlyWhereTheyAreSwitchedOn) {
  const auto root = yaml::Node::Parse(
      "groups: [{name: g, rules: [{record: a, expr: 'sort_by_label(up)'}]}]",
      "rules.yml");
  ASSERT_THAT(root, IsOk());

  EXPECT_THAT(ParseRuleFile(*root),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRuleFile(*root, {.experimental = true}), IsOk());
}

TEST(CheckRuleFileTest, FindsAFaultARuleAndGoesOn) {
  const auto root = yaml::Node::Parse(
      "groups:\n"
      "  - name: a\n"
      "    rules:\n"
      "      - {record: fine, expr: up}\n"
      "      - {record: wrong, expr: 'up =='}\n"
      "      - {alert: wrong, expr: up, annotations: {a: '{{ nope }}'}}\n"
      "  - {name: a}\n"
      "    \n"
      "  - {name: b, rules: [], unknown: 1}\n"
      "unknown: 1\n",
      "rules.yml");
  ASSERT_THAT(root, IsOk());

  std::vector<std::string> faults;
  for (const absl::Status& fault : CheckRuleFile(*root)) {
    faults.emplace_back(fault.message());
  }

  EXPECT_THAT(
      faults,
      ElementsAre(StartsWith("rules.yml:5:"), StartsWith("rules.yml:6:"),
                  AllOf(StartsWith("rules.yml:7:"), HasSubstr("repeated")),
                  StartsWith("rules.yml:9:"), StartsWith("rules.yml:10:")));
  EXPECT_EQ(ParseRuleFile(*root).status().message(), faults[0]);
}

class LoadRuleFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/rules.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = std::filesystem::path(name).lexically_normal();
    std::filesystem::create_directory(directory_ + "/d");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& file, const std::string& group) {
    std::ofstream(directory_ + "/" + file)
        << "groups: [{name: " << group << "}]\n";
  }

  std::string directory_;
};

TEST_F(LoadRuleFilesTest, ReadsInOrderOfPatternAndNameEachFileOnce) {
  Write("d/b.yml", "b");
  Write("d/a.yml", "a");
  Write("z.yml", "z");

  const auto groups = LoadRuleFiles(
      {"z.yml", "d/*.yml", "none/*.yml", "absent.yml", "d/b.yml"}, directory_);

  ASSERT_THAT(groups, IsOk());
  EXPECT_THAT(*groups, ElementsAre(Field(&RuleGroupSpec::name, "z"),
                                   Field(&RuleGroupSpec::name, "a"),
                                   Field(&RuleGroupSpec::name, "b")));
  EXPECT_EQ(groups->at(1).file, directory_ + "/d/a.yml");
}

TEST_F(LoadRuleFilesTest, ReadsNothingIfOneFileIsWrong) {
  Write("a.yml", "a");
  Write("b.yml", "''");

  EXPECT_THAT(LoadRuleFiles({"*.yml"}, directory_),
              HasError(absl::StatusCode::kInvalidArgument,
                       StartsWith(directory_ + "/b.yml:1:10: ")));
  EXPECT_THAT(*LoadRuleFiles({}, directory_), IsEmpty());
}

}  // namespace
}  // namespace vigie::alerting
