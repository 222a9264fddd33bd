// A webhook: the message as JSON, version 4 of Alertmanager's payload.
// Source: prometheus.io "Alertmanager configuration", <webhook_config>.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "alerting/receivers/http_post.h"
#include "alerting/receivers/integration.h"

namespace vigie::alerting {

struct WebhookSpec {
  bool send_resolved = true;
  HttpTarget target = {};
  int64_t alerts_max = 0;  // 0: all of them
};

// What is common and the status are those of the alerts that are left.
std::string WebhookPayload(const Notification& notification,
                           int64_t alerts_max);

class WebhookIntegration final : public Integration {
 public:
  WebhookIntegration(WebhookSpec spec, net::HttpClient& http)
      : spec_(std::move(spec)), http_(http) {}

  std::string_view type() const override { return "webhook"; }
  bool send_resolved() const override { return spec_.send_resolved; }
  int64_t alerts_max() const override { return spec_.alerts_max; }
  DeliveryOutcome Deliver(const Notification& notification,
                          std::stop_token stop) override;

 private:
  const WebhookSpec spec_;
  net::HttpClient& http_;
};

}  // namespace vigie::alerting
