// The functions beyond Go's own. Those of notifications against Debian's amtool
// (notification_cases.json); those of rule files against Debian's promtool, in
// tests/alerting/rule_tests/pass_functions.yml; here what these do not know.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "alerting/template/template.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using testing::HasError;
using ::testing::HasSubstr;
using testing::IsOk;
using Variant = TemplateValue::Variant;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr int64_t kNowMs = 1'795'268'600'250;  // 2026-11-21 13:43:20.25

TemplateContext Context() {
  TemplateContext context;
  context.now_ms = kNowMs;
  context.external_url = "http://vigie.example/some/path?x=1";
  return context;
}

absl::StatusOr<std::string> Rules(const std::string& text) {
  return TemplateSet(TemplateDialect::kRules)
      .Execute(text, {}, Context(), TemplateOutput::kText);
}

absl::StatusOr<std::string> Notification(const std::string& text) {
  const TemplateValue data = TemplateValue::OfMap(
      {{"T", Variant(TemplateTime{.time_ms = kNowMs - 90'000})},
       {"Labels", TemplateValue::OfPairs({{"a", "<1>"}})},
       {"Record", TemplateValue::OfMap({{"N", Variant(int64_t{1})}})},
       {"L", TemplateValue::OfList({"x", "y"})}});
  return TemplateSet(TemplateDialect::kNotifications)
      .Execute(text, data, Context(), TemplateOutput::kText);
}

// "startsAt" of the JSON is StartsAt in a template.
TemplateValue OfJson(const std::string& key, const nlohmann::json& json) {
  if (json.is_string()) {
    const std::string text = json;
    absl::Time time;
    if (!key.ends_with("At") ||
        !absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) {
      return text;
    }
    return Variant(TemplateTime{.time_ms = absl::ToUnixMillis(time),
                                .is_zero = text.starts_with("0001")});
  }
  if (json.is_array()) {
    TemplateList list;
    std::vector<TemplateValue> firing, resolved;
    for (const nlohmann::json& item : json) {
      list.items.push_back(OfJson("", item));
      (item["status"] == "firing" ? firing : resolved)
          .push_back(list.items.back());
    }
    list.fields = std::make_shared<const TemplateMap>(
        TemplateMap{{"Firing", TemplateValue::OfList(firing)},
                    {"Resolved", TemplateValue::OfList(resolved)}});
    return Variant(std::make_shared<const TemplateList>(list));
  }
  const bool record = json.contains("status");
  TemplateMap map;
  for (const auto& [name, value] : json.items()) {
    std::string field = name;
    if (record) field[0] = static_cast<char>(field[0] - 'a' + 'A');
    map.emplace(field, OfJson(name, value));
  }
  return TemplateValue::OfMap(std::move(map));
}

TEST(TemplateFunctionsTest, NotificationsPrintWhatAmtoolPrints) {
  std::ifstream file(VIGIE_TEMPLATE_TESTS "/notification_cases.json");
  const nlohmann::json table = nlohmann::json::parse(file);
  const TemplateValue data = OfJson("", table["data"]);
  const TemplateSet set(TemplateDialect::kNotifications);

  ASSERT_GE(table["cases"].size(), 15U);
  for (const nlohmann::json& one : table["cases"]) {
    const std::string text = one["text"];
    const auto out = set.Execute(text, data, {}, TemplateOutput::kText);
    ASSERT_THAT(out, IsOk()) << text;
    EXPECT_EQ(*out, one["want"].get<std::string>()) << text;
  }
}

TEST(TemplateFunctionsTest, RulesKnowTheTimeAndTheirUrl) {
  // Through nanoseconds in a double, as Prometheus goes: .249, not .25.
  EXPECT_EQ(*Rules("{{ now }} {{ now | humanizeTimestamp }}"),
            "1.79526860025e+09 2026-11-21 13:43:20.249 +0000 UTC");
  EXPECT_EQ(*Rules("{{ toDuration 90.5 }} {{ (toDuration 3661.0).Minutes }}"),
            "1m30.5s 61.016666666666666");
  EXPECT_EQ(*Rules("{{ pathPrefix }} {{ externalURL }}"),
            "/some/path http://vigie.example/some/path?x=1");
  EXPECT_EQ(*Rules("{{ urlQueryEscape \"a b&c\" }}"), "a+b%26c");
  EXPECT_EQ(*Rules("{{ define \"t\" }}<{{ . }}>{{ end }}{{ tmpl \"t\" 5 }}"),
            "<5>");
}

TEST(TemplateFunctionsTest, ValuesThatDoNotFitAreErrorsThatNameThem) {
  EXPECT_THAT(Rules("{{ toTime 1e10 }}"),
              HasError(kInvalid, HasSubstr("1:4: toTime: 1e+10")));
  EXPECT_THAT(Rules("{{ humanize \"abc\" }}"),
              HasError(kInvalid, HasSubstr("\"abc\" is not a number")));
  EXPECT_THAT(Rules("{{ parseDuration \"1 day\" }}"),
              HasError(kInvalid, HasSubstr("parseDuration")));
  EXPECT_THAT(Rules("{{ tmpl \"none\" 1 }}"),
              HasError(kInvalid, HasSubstr("\"none\" is not defined")));
  EXPECT_THAT(Rules("{{ label \"a\" 3 }}"),
              HasError(kInvalid, HasSubstr("no sample")));
  EXPECT_THAT(Notification("{{ tz \"../../etc/passwd\" .T }}"),
              HasError(kInvalid, HasSubstr("no time zone")));
  EXPECT_THAT(Notification("{{ dict \"a\" }}"),
              HasError(kInvalid, HasSubstr("a key without a value")));
  EXPECT_THAT(Notification("{{ toJson .Record }}"),
              HasError(kInvalid, HasSubstr("not a record")));
  EXPECT_THAT(Notification("{{ base64decode \"a\" }}"),
              HasError(kInvalid, HasSubstr("base64")));
  EXPECT_THAT(Notification("{{ urlUnescape \"%zz\" }}"),
              HasError(kInvalid, HasSubstr("%zz")));
  EXPECT_THAT(Notification("{{ reReplaceAll \"(\" \"\" \"x\" }}"),
              HasError(kInvalid, HasSubstr("1:4: reReplaceAll: ")));
}

TEST(TemplateFunctionsTest, NotificationsTellTheTimeInAZone) {
  EXPECT_EQ(*Notification("{{ .T.Format \"15:04 MST\" }}"), "13:41 UTC");
  EXPECT_EQ(*Notification("{{ date \"2006-01-02 15:04 MST\" "
                          "(tz \"Europe/Paris\" .T) }}"),
            "2026-11-21 14:41 CET");
  EXPECT_EQ(*Notification("{{ tz \"Asia/Tokyo\" .T }}"),
            "2026-11-21 22:41:50.25 +0900 JST");
  EXPECT_EQ(*Notification("{{ since .T }} {{ since .T | humanizeDuration }}"),
            "1m30s 1m 30s");
  EXPECT_EQ(*Notification("{{ now.Format \"15:04:05\" }}"), "13:43:20");
}

TEST(TemplateFunctionsTest, NotificationsBuildTextOfLists) {
  EXPECT_EQ(*Notification("{{ list 1 \"a\" | toJson }}"), "[1,\"a\"]");
  EXPECT_EQ(*Notification("{{ toJson .Labels }}{{ toJson \"q\\\"\\n\" }}"),
            "{\"a\":\"\\u003c1\\u003e\"}\"q\\\"\\n\"");
  EXPECT_EQ(*Notification("{{ $d := dict \"k\" .L \"n\" nil }}"
                          "{{ toJson $d }}{{ $d.k | join \"+\" }}"),
            "{\"k\":[\"x\",\"y\"],\"n\":null}x+y");
  EXPECT_EQ(*Notification("{{ append .L \"z\" | join \"\" }}{{ len .L }}"),
            "xyz2");
  EXPECT_EQ(*Notification("{{ base64encode \"a b\" }} "
                          "{{ base64decode \"YSBi\" }}"),
            "YSBi a b");
  EXPECT_EQ(*Notification("{{ urlUnescape \"a%20b+c\" }}|{{ trimSpace "
                          "\" a \" }}|{{ safeUrl \"x\" }}"),
            "a b c|a|x");
}

}  // namespace
}  // namespace vigie::alerting
