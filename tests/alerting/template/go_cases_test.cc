// The language and its builtins against Go's own text/template: go_cases.json
// holds what Go 1.26 gave for each text over the data below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "alerting/template/template.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using testing::IsOk;
using Variant = TemplateValue::Variant;

constexpr int64_t kStartMs = 1795268524250;

TemplateValue ZeroTime() { return Variant(TemplateTime{.is_zero = true}); }
TemplateValue TimeAt(int64_t time_ms) {
  return Variant(TemplateTime{.time_ms = time_ms});
}

TemplateValue Alert(const std::string& instance, const std::string& status) {
  return TemplateValue::OfMap(
      {{"Status", status},
       {"Labels",
        TemplateValue::OfPairs(
            {{"alertname", "Down"}, {"job", "shop"}, {"instance", instance}})},
       {"Annotations",
        TemplateValue::OfPairs({{"summary", instance + " is <down>"}})},
       {"StartsAt", TimeAt(kStartMs)},
       {"EndsAt",
        status == "firing" ? ZeroTime() : TimeAt(kStartMs + 3'600'000)}});
}

TemplateValue Texts(const std::vector<std::string>& texts) {
  return TemplateValue::OfList({texts.begin(), texts.end()});
}

TemplateValue Data() {
  const TemplateValue a = Alert("a:1", "firing"), b = Alert("b:2", "resolved"),
                      c = Alert("c:3", "firing");
  TemplateList alerts{{a, b, c}};
  alerts.fields = std::make_shared<const TemplateMap>(
      TemplateMap{{"Firing", TemplateValue::OfList({a, c})},
                  {"Resolved", TemplateValue::OfList({b})}});
  std::vector<TemplateValue> durations;
  for (const int64_t ns :
       {int64_t{0}, int64_t{1}, int64_t{1'500}, int64_t{2'500'000},
        int64_t{1'001'000'000}, int64_t{60'000'000'000},
        int64_t{3'600'000'000'000}, int64_t{90'061'000'000'000},
        int64_t{-1'500'000'000}, int64_t{123'456'789}}) {
    durations.emplace_back(Variant(TemplateDuration{ns}));
  }
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return TemplateValue::OfMap({
      {"Receiver", "team-x"},
      {"Status", "firing"},
      {"Empty", ""},
      {"Alerts", Variant(std::make_shared<const TemplateList>(alerts))},
      {"None", TemplateValue::OfList({})},
      {"CommonLabels",
       TemplateValue::OfPairs(
           {{"alertname", "Down"}, {"job", "shop"}, {"a", "first"}})},
      {"GroupLabels", TemplateValue::OfPairs({{"alertname", "Down"}})},
      {"Float", Variant(3.14159)},
      {"Million", Variant(1e6)},
      {"Big", Variant(1e21)},
      {"Small", Variant(0.00001234)},
      {"Inf", Variant(kInf)},
      {"NegInf", Variant(-kInf)},
      {"NaN", Variant(std::nan(""))},
      {"Round", Variant(100.0)},
      {"Zero", Variant(0.0)},
      {"Digits", Variant(1234567.5)},
      {"Int", Variant(int64_t{7})},
      {"Ints",
       TemplateValue::OfList({Variant(int64_t{1}), Variant(int64_t{2})})},
      {"Strings", Texts({"a", "b", "c"})},
      {"Duration", Variant(TemplateDuration{3'723'500'000'000})},
      {"Durations", TemplateValue::OfList(durations)},
      {"Time", TimeAt(kStartMs)},
      {"Earlier", TimeAt(kStartMs - 90'000)},
      {"ZeroTime", ZeroTime()},
      {"Dict", Variant(TemplateDict{std::make_shared<const TemplateMap>(
                   TemplateMap{{"a", "x"}, {"b", Variant(2.5)}})})},
  });
}

nlohmann::json LoadCases() {
  std::ifstream file(VIGIE_TEMPLATE_TESTS "/go_cases.json");
  return nlohmann::json::parse(file);
}

class GoCasesTest : public ::testing::TestWithParam<nlohmann::json> {};

TEST_P(GoCasesTest, GivesWhatGoGives) {
  const std::string text = GetParam()["text"];
  SCOPED_TRACE(text);
  const TemplateSet set(TemplateDialect::kNotifications);

  const absl::Status checked = set.Check(text, {});
  const auto out = set.Execute(text, Data(), {}, TemplateOutput::kText);

  if (GetParam().contains("want")) {
    EXPECT_THAT(checked, IsOk());
    ASSERT_THAT(out, IsOk());
    EXPECT_EQ(*out, GetParam()["want"].get<std::string>());
  } else {
    EXPECT_FALSE(out.ok()) << *out;
    // Each error says where.
    EXPECT_THAT(std::string(out.status().message()),
                ::testing::MatchesRegex("[0-9]+:[0-9]+: .*"));
    if (GetParam()["error"] == "parse") {
      EXPECT_FALSE(checked.ok());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoCasesTest, ::testing::ValuesIn(LoadCases()));

}  // namespace
}  // namespace vigie::alerting
