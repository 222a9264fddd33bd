// What the tests of the receivers share: a notification, the default
// templates, a configuration parsed from a text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "alerting/receivers/integration.h"
#include "alerting/receivers/receiver_config.h"
#include "alerting/template/template.h"
#include "base/yaml/yaml.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {

inline constexpr int64_t kNowMs = 1'795'240'446'000;  // 2026-11-21 05:54:06 UTC

inline Alert FiringAlert(std::string_view instance) {
  return {
      .labels = {{"alertname", "PaymentsFail"},
                 {"job", "payments"},
                 {"instance", instance}},
      .annotations = {{"summary", "payments fail"}},
      .starts_at_ms = kNowMs - 60'000,
      .generator_url = "http://vigie.example:9090/graph?g0.expr=up&g0.tab=1"};
}

inline Alert ResolvedAlert(std::string_view instance) {
  Alert alert = FiringAlert(instance);
  alert.ends_at_ms = kNowMs - 1'500;
  return alert;
}

inline Notification ANotification() {
  return {.id = "n-17",
          .group_key = R"({}:{alertname="PaymentsFail"})",
          .receiver = "team",
          .group_labels = {{"alertname", "PaymentsFail"}},
          .alerts = {FiringAlert("payments-0"), ResolvedAlert("payments-1")},
          .reason = "first_notification",
          .external_url = "http://vigie.example:9090",
          .now_ms = kNowMs};
}

inline TemplateSet DefaultTemplates() {
  TemplateSet templates(TemplateDialect::kNotifications);
  const absl::Status added = AddDefaultTemplates(templates);
  EXPECT_TRUE(added.ok()) << added.ToString();
  return templates;
}

// `text` has the keys `global` (or not) and `receivers`. The file is taken to
// be `directory`/am.yml.
inline absl::StatusOr<ReceiverConfig> ParseReceivers(
    const std::string& text, std::vector<std::string>* unsupported,
    const std::string& directory = "") {
  const std::string name = directory.empty() ? "am.yml" : directory + "/am.yml";
  auto root = yaml::Node::Parse(text, name);
  if (!root.ok()) return root.status();
  auto map = root->AsMap();
  if (!map.ok()) return map.status();
  const yaml::Node* global = map->Find("global");
  auto receivers = map->Require("receivers");
  if (!receivers.ok()) return receivers.status();
  return ReceiverConfig::Parse(global, *receivers, unsupported);
}

// The integrations of the receiver "team", ready to deliver.
class Team {
 public:
  explicit Team(const std::string& text, const std::string& directory = "")
      : templates_(DefaultTemplates()) {
    std::vector<std::string> unsupported;
    auto config = ParseReceivers(text, &unsupported, directory);
    EXPECT_TRUE(config.ok()) << config.status().ToString();
    EXPECT_THAT(unsupported, ::testing::IsEmpty());
    if (!config.ok()) return;
    EXPECT_THAT(config->CheckTemplates(templates_), vigie::testing::IsOk());
    auto made = config->Make("team", templates_, http_, smtp_);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    if (made.ok()) integrations_ = *std::move(made);
  }

  Integration& operator[](size_t i) { return *integrations_.at(i); }
  DeliveryOutcome Deliver(const Notification& notification = ANotification()) {
    return integrations_.at(0)->Deliver(notification, {});
  }

 private:
  TemplateSet templates_;
  net::HttpClient http_;
  net::SmtpClient smtp_;
  std::vector<std::unique_ptr<Integration>> integrations_;
};

// Values that labels may have and that must stay values.
inline const std::vector<std::string>& HostileValues() {
  static const std::vector<std::string> values = {
      "<!channel>",
      "<!here|all>",
      "<@U012AB3CD>",
      "<#C012AB3CD>",
      "<!subteam^S012>",
      "<http://evil.example|http://bank.example>",
      "a>b|c&d;",
      "&lt;!channel&gt;",
      "</td><script>alert(1)</script>",
      "\"><img src=x onerror=alert(1)>",
      "' onmouseover='alert(1)",
      "javascript:alert(1)",
      "{{ .ExternalURL }}",
      "{{ template \"__subject\" . }}",
      "x\r\nBcc: evil@example.org",
      "x\nSubject: other",
      "x\r\n\r\n<h1>body</h1>",
      "x\r\n.\r\nMAIL FROM:<evil@example.org>",
      "=?utf-8?B?ZXZpbA==?=",
      "--=_vigie_part--",
      std::string("zero\0byte", 9),
      "\x1b[31mred\x07",
      "\xff\xfe not UTF-8 \xc3",
      "\xe2\x80\xaegnp.exe",
      std::string(5000, 'A'),
      "h\xc3\xa9t\xc3\xa9rog\xc3\xa8ne \xe2\x82\xac \xf0\x9f\x94\xa5",
      "\\\"quotes\\\" and \\backslashes\\",
      "%s%n%x",
  };
  return values;
}

// As ANotification, with `value` wherever a stranger may write.
inline Notification HostileNotification(const std::string& value) {
  Notification out = ANotification();
  out.group_labels = {{"alertname", value}};
  out.alerts.clear();
  out.alerts.push_back({.labels = {{"alertname", value}, {"job", value}},
                        .annotations = {{"summary", value}, {value, "x"}},
                        .starts_at_ms = kNowMs,
                        .generator_url = value});
  return out;
}

}  // namespace vigie::alerting
