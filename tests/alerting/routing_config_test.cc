#include "alerting/routing_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "alerting/matcher_list.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using vigie::testing::HasError;
using vigie::testing::IsOk;

constexpr char kRoutes[] = VIGIE_SOURCE_DIR "/tests/alerting/routes/";

class RoutingConfigTest : public ::testing::Test {
 protected:
  RoutingConfigTest() : directory_(::testing::TempDir() + "routing_config/") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + name) << text;
  }
  absl::StatusOr<RoutingConfig> Load(const std::string& text) {
    Write("am.yml", text);
    return LoadRoutingConfig(directory_ + "am.yml");
  }
  // The error without the directory.
  std::string ErrorOf(const std::string& text) {
    const auto config = Load(text);
    if (config.ok()) return "OK";
    const std::string message(config.status().message());
    EXPECT_THAT(message, StartsWith(directory_));
    return message.substr(directory_.size());
  }

  const std::string directory_;
};

// The labels of `a=1,b="x y"`.
Labels LabelsOf(const std::string& text) {
  const auto matchers = ParseMatchers(text);
  EXPECT_THAT(matchers, IsOk());
  LabelsBuilder labels;
  for (const Matcher& matcher : *matchers) {
    labels.Set(matcher.name(), matcher.value());
  }
  return labels.Build();
}

TEST_F(RoutingConfigTest, RoutesAsAmtoolDoes) {
  std::ifstream table(std::string(kRoutes) + "routes.txt");
  absl::StatusOr<RoutingConfig> config = absl::UnknownError("no file yet");
  int rows = 0;
  for (std::string line; std::getline(table, line);) {
    SCOPED_TRACE(line);
    if (line.ends_with(".yml")) {
      config = LoadRoutingConfig(kRoutes + line);
      ASSERT_THAT(config, IsOk());
      EXPECT_THAT(config->unsupported, IsEmpty());
    } else if (!line.starts_with('#')) {
      const size_t arrow = line.find(" -> ");
      ASSERT_NE(arrow, std::string::npos);
      std::string receivers;
      for (const Route* route :
           MatchRoutes(config->root, LabelsOf(line.substr(0, arrow)))) {
        receivers += (receivers.empty() ? "" : ",") + route->receiver;
      }
      EXPECT_EQ(receivers, line.substr(arrow + 4));
      ++rows;
    }
  }
  EXPECT_EQ(rows, 34);
}

TEST_F(RoutingConfigTest, GivesChildrenWhatTheyDoNotSayThemselves) {
  const auto config = Load(R"(
route:
  receiver: a
  group_by: [x, y]
  group_wait: 10s
  repeat_interval: 12h
  routes:
    - matchers: ['p="1"', q=~"2|3"]
      group_by: ['...']
      group_interval: 1m
      routes: [{match: {r: s}}]
    - {receiver: b, group_by: [], group_wait: 0s}
receivers: [{name: a}, {name: b}]
)");
  ASSERT_THAT(config, IsOk());
  const Route& root = config->root;
  EXPECT_EQ(root.group_interval_ms, 300'000);
  const Route& first = root.routes.at(0);
  EXPECT_EQ(first.receiver, "a");
  EXPECT_TRUE(first.group_by_all);
  EXPECT_EQ(first.group_wait_ms, 10'000);
  EXPECT_EQ(first.group_interval_ms, 60'000);
  EXPECT_EQ(first.repeat_interval_ms, 12 * 3'600'000);
  EXPECT_EQ(first.routes.at(0).key, R"({}/{p="1",q=~"2|3"}/{r="s"})");
  EXPECT_TRUE(first.routes.at(0).group_by_all);
  const Route& second = root.routes.at(1);
  EXPECT_THAT(second.group_by, IsEmpty());
  EXPECT_FALSE(second.group_by_all);
  EXPECT_EQ(second.group_wait_ms, 0);
  EXPECT_EQ(second.key, "{}/{}");
}

TEST_F(RoutingConfigTest, TellsThePlaceOfEachFault) {
  const std::string receivers = "\nreceivers: [{name: a}]\n";
  const std::map<std::string, std::string> cases = {
      {"route: {}", "am.yml:1:8: the root route must name a receiver"},
      {"route: {receiver: a, matchers: [x=y]}",
       "am.yml:1:32: the root route must not have any matchers"},
      {"route: {receiver: a, match: {x: y}}",
       "am.yml:1:29: the root route must not have any matchers"},
      {"route: {receiver: a, continue: true}",
       "am.yml:1:32: the root route must not continue"},
      {"route: {receiver: b}",
       R"(am.yml:1:19: undefined receiver "b" used in route)"},
      {"route:\n  receiver: a\n  routes:\n    - receiver: b",
       R"(am.yml:4:17: undefined receiver "b" used in route)"},
      {"route: {receiver: a, group_interval: 0s}",
       "am.yml:1:38: group_interval cannot be zero"},
      {"route: {receiver: a, repeat_interval: 0s}",
       "am.yml:1:39: repeat_interval cannot be zero"},
      {"route: {receiver: a, group_wait: soon}",
       R"(am.yml:1:34: not a valid duration string: "soon")"},
      {"route: {receiver: a, group_by: [x, x]}",
       R"(am.yml:1:36: duplicated label "x" in group_by)"},
      {"route: {receiver: a, group_by: [x, '...']}",
       "am.yml:1:32: group_by: `...` must stand alone"},
      {"route: {receiver: a, groupby: [x]}", "am.yml:1:22: "},
      {"route: {receiver: a, routes: [{matchers: x=y}]}", "am.yml:1:42: "},
      {"route: {receiver: a, routes: [{matchers: [x]}]}",
       "am.yml:1:43: bad matcher format: x"},
      {"route: {receiver: a, routes: [{match_re: {x: '('}}]}", "am.yml:1:46: "},
      {"route: {receiver: a, routes: [{match: {x-y: z}}]}",
       R"(am.yml:1:45: invalid label name "x-y")"},
      {"route: {receiver: a}\nrouting: {}", "am.yml:2:1: "},
      {"route: {receiver: a, routes: [{mute_time_intervals: [x]}]}",
       R"(am.yml:1:54: undefined time interval "x" used in route)"},
      {"route: {receiver: a, active_time_intervals: [x]}\n"
       "time_intervals: [{name: x}]",
       "am.yml:1:45: the root route must not have any active_time_intervals"},
      {"route: {receiver: a}\ninhibit_rules: [{source_matchers: [x]}]",
       "am.yml:2:36: bad matcher format: x"},
      {"route: {receiver: a}\ninhibit_rules: [{sauce: [x]}]", "am.yml:2:18: "},
      {"global: {resolve_timeout: 5x}\nroute: {receiver: a}", "am.yml:1:27: "},
      {"route: {receiver: a}\ntemplates: [bad.tmpl]", "bad.tmpl:2:"},
      {"route: {receiver: a}\nroute: {receiver: a}", "am.yml:2:1: "},
  };
  Write("bad.tmpl", "{{ define \"x\" }}\n{{ if }}\n{{ end }}");
  for (const auto& [text, error] : cases) {
    EXPECT_THAT(ErrorOf(text + receivers), StartsWith(error)) << text;
  }
  EXPECT_THAT(ErrorOf("route: {receiver: a}"), HasSubstr("receivers"));
  EXPECT_THAT(ErrorOf("receivers: [{name: a}]"), HasSubstr("route"));
  EXPECT_THAT(LoadRoutingConfig(directory_ + "none.yml"),
              HasError(absl::StatusCode::kNotFound, HasSubstr("none.yml")));
}

TEST_F(RoutingConfigTest, ReadsTheTemplatesItsGlobsName) {
  std::filesystem::create_directories(directory_ + "t");
  Write("t/a.tmpl", R"({{ define "my.title" }}from a{{ end }})");
  Write("t/b.tmpl", R"({{ define "my.title" }}from b{{ end }})");
  const auto config = Load(
      "route: {receiver: a}\nreceivers: [{name: a}]\n"
      "templates: ['t/*.tmpl', 'none/*']\n");
  ASSERT_THAT(config, IsOk());

  EXPECT_THAT(
      config->templates->Execute(R"({{ template "my.title" . }})",
                                 TemplateValue(), {}, TemplateOutput::kText),
      IsOk());
  EXPECT_EQ(
      *config->templates->Execute(R"({{ template "my.title" . }})",
                                  TemplateValue(), {}, TemplateOutput::kText),
      "from b");
}

TEST_F(RoutingConfigTest, ReadsInhibitRulesInBothForms) {
  const auto config = Load(R"(
route: {receiver: a}
receivers: [{name: a}]
inhibit_rules:
  - source_match: {severity: critical}
    target_match_re: {severity: warning|info}
    equal: [alertname, site]
  - source_matchers: ['alertname="Down"']
    target_matchers: [job=~".+", alertname!="Down"]
)");
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->unsupported, IsEmpty());
  ASSERT_EQ(config->inhibit_rules.size(), 2);
  EXPECT_EQ(MatchersText(config->inhibit_rules[0].source),
            R"({severity="critical"})");
  EXPECT_EQ(MatchersText(config->inhibit_rules[0].target),
            R"({severity=~"warning|info"})");
  EXPECT_THAT(config->inhibit_rules[0].equal, ElementsAre("alertname", "site"));
  EXPECT_EQ(MatchersText(config->inhibit_rules[1].target),
            R"({alertname!="Down",job=~".+"})");
}

TEST_F(RoutingConfigTest, ReadsTimeIntervalsUnderBothNames) {
  const auto config = Load(R"(
route:
  receiver: a
  routes:
    - matchers: [x=y]
      mute_time_intervals: [weekend, night]
      active_time_intervals: [always]
      routes: [{receiver: a}]
receivers: [{name: a}]
time_intervals:
  - {name: weekend, time_intervals: [{weekdays: [saturday, sunday]}]}
  - {name: always, time_intervals: [{}]}
mute_time_intervals:
  - name: night
    time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]
)");
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->unsupported, IsEmpty());
  EXPECT_EQ(config->time_intervals.size(), 3);
  const Route& route = config->root.routes.at(0);
  EXPECT_THAT(route.mute_time_intervals, ElementsAre("weekend", "night"));
  EXPECT_THAT(route.active_time_intervals, ElementsAre("always"));
  EXPECT_THAT(route.routes.at(0).mute_time_intervals, IsEmpty());
}

TEST_F(RoutingConfigTest, NamesWhatItDoesNotDoYet) {
  const auto config = Load(R"(
global: {resolve_timeout: 10m}
route:
  receiver: a
  routes: [{labels: {team: x}}]
receivers: [{name: a}]
tracing: {endpoint: x}
)");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->resolve_timeout_ms, 600'000);
  EXPECT_THAT(config->unsupported,
              ElementsAre(HasSubstr("am.yml:5:13: key \"labels\""),
                          HasSubstr("am.yml:7:1: key \"tracing\"")));
}

}  // namespace
}  // namespace vigie::alerting
