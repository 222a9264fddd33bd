#include "alerting/receivers/webhook.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "alerting/receivers/notification_data.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;

json ObjectOf(const TextPairs& pairs) {
  json out = json::object();
  for (const auto& [name, value] : pairs) out[name] = value;
  return out;
}

json ObjectOf(const Labels& labels) {
  json out = json::object();
  for (const LabelView& label : labels) {
    out[std::string(label.name)] = std::string(label.value);
  }
  return out;
}

}  // namespace

std::string WebhookPayload(const Notification& notification,
                           int64_t alerts_max) {
  std::vector<Alert> alerts = notification.alerts;
  if (alerts_max > 0 && static_cast<size_t>(alerts_max) < alerts.size()) {
    alerts.resize(static_cast<size_t>(alerts_max));
  }
  json list = json::array();
  for (const Alert& alert : alerts) {
    list.push_back({{"status", StatusOf(alert)},
                    {"labels", ObjectOf(alert.labels)},
                    {"annotations", ObjectOf(alert.annotations)},
                    {"startsAt", Rfc3339(alert.starts_at_ms)},
                    {"endsAt", Rfc3339(alert.ends_at_ms)},
                    {"generatorURL", alert.generator_url},
                    {"fingerprint", Fingerprint(alert.labels)}});
  }
  const json payload = {
      {"version", "4"},
      {"groupKey", notification.group_key},
      {"truncatedAlerts", notification.alerts.size() - alerts.size()},
      {"receiver", notification.receiver},
      {"status", StatusOf(alerts)},
      {"notification_reason", notification.reason},
      {"alerts", std::move(list)},
      {"groupLabels", ObjectOf(notification.group_labels)},
      {"commonLabels", ObjectOf(CommonLabels(alerts))},
      {"commonAnnotations", ObjectOf(CommonAnnotations(alerts))},
      {"routeLabels", json::object()},
      {"externalURL", notification.external_url}};
  return payload.dump(-1, ' ', /*ensure_ascii=*/false,
                      json::error_handler_t::replace);
}

DeliveryOutcome WebhookIntegration::Deliver(const Notification& notification,
                                            std::stop_token stop) {
  return PostJson(http_, spec_.target, notification.id,
                  WebhookPayload(notification, spec_.alerts_max),
                  std::move(stop))
      .outcome;
}

}  // namespace vigie::alerting
