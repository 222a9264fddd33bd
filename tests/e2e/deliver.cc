// One attempt at telling a receiver, without a daemon around it:
//   deliver ALERTMANAGER_YML RECEIVER <alert.json
// alert.json is {"id": "...", "labels": {...}, "annotations": {...}}. Prints
// one line of JSON for each integration: type, ok, temporary, status, answer.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "alerting/receivers/receiver_config.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;

Notification NotificationOf(const json& given) {
  LabelsBuilder labels;
  for (const auto& [name, value] : given["labels"].items()) {
    labels.Set(name, value.get<std::string>());
  }
  Alert alert;
  alert.labels = labels.Build();
  for (const auto& [name, value] : given["annotations"].items()) {
    alert.annotations.emplace_back(name, value.get<std::string>());
  }
  alert.starts_at_ms = SystemClock().NowMs();
  return {.id = given.value("id", "n"),
          .group_key = "{}:{}",
          .alerts = {alert},
          .reason = "first_notification",
          .external_url = "http://127.0.0.1:9090",
          .now_ms = SystemClock().NowMs()};
}

int Run(const std::string& path, const std::string& receiver) {
  const auto root = yaml::Node::LoadFile(path);
  if (!root.ok()) {
    std::cerr << root.status() << "\n";
    return 2;
  }
  auto map = *root->AsMap();
  const yaml::Node* global = map.Find("global");
  const auto receivers = map.Require("receivers");
  std::vector<std::string> unsupported;
  const auto config =
      receivers.ok() ? ReceiverConfig::Parse(global, *receivers, &unsupported)
                     : absl::StatusOr<ReceiverConfig>(receivers.status());
  if (!config.ok()) {
    std::cerr << config.status() << "\n";
    return 2;
  }
  TemplateSet templates(TemplateDialect::kNotifications);
  if (!AddDefaultTemplates(templates).ok()) return 2;
  net::HttpClient http;
  net::SmtpClient smtp;
  auto integrations = config->Make(receiver, templates, http, smtp);
  if (!integrations.ok()) {
    std::cerr << integrations.status() << "\n";
    return 2;
  }
  Notification notification = NotificationOf(json::parse(std::cin));
  notification.receiver = receiver;
  for (const auto& integration : *integrations) {
    const DeliveryOutcome outcome = integration->Deliver(notification, {});
    std::cout << json{{"type", integration->type()},
                      {"ok", outcome.status.ok()},
                      {"temporary", outcome.temporary},
                      {"status", outcome.status.ToString()},
                      {"answer", outcome.answer}}
              << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace vigie::alerting

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: deliver ALERTMANAGER_YML RECEIVER <alert\n");
    return 2;
  }
  return vigie::alerting::Run(argv[1], argv[2]);
}
