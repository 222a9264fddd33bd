// Slack by incoming webhook: one message with one attachment.
// Source: Slack, "Reference: Secondary message attachments", "Sending messages
// using incoming webhooks"; Alertmanager's <slack_config>.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "alerting/receivers/http_post.h"
#include "alerting/receivers/integration.h"
#include "alerting/receivers/message_text.h"

namespace vigie::alerting {

// Beyond these Slack cuts or refuses; we cut first, in characters.
inline constexpr size_t kSlackTitleMax = 1024;
inline constexpr size_t kSlackTextMax = 12'000;

struct SlackField {
  TemplateText title = {};
  TemplateText value = {};
  std::optional<bool> is_short = {};  // else the receiver's short_fields
};

struct SlackConfirmation {
  TemplateText text = {};
  TemplateText title = {};
  TemplateText ok_text = {};
  TemplateText dismiss_text = {};
};

struct SlackAction {
  TemplateText type = {};
  TemplateText text = {};
  TemplateText url = {};
  TemplateText style = {};
  TemplateText name = {};
  TemplateText value = {};
  std::optional<SlackConfirmation> confirm = {};
};

struct SlackSpec {
  bool send_resolved = false;
  HttpTarget target = {};
  TemplateText channel = {};
  TemplateText username = {R"({{ template "slack.default.username" . }})"};
  TemplateText color = {
      R"({{ if eq .Status "firing" }}danger{{ else }}good{{ end }})"};
  TemplateText title = {R"({{ template "slack.default.title" . }})"};
  TemplateText title_link = {R"({{ template "slack.default.titlelink" . }})"};
  TemplateText pretext = {R"({{ template "slack.default.pretext" . }})"};
  TemplateText text = {R"({{ template "slack.default.text" . }})"};
  TemplateText message_text = {};  // above the attachment
  TemplateText footer = {R"({{ template "slack.default.footer" . }})"};
  TemplateText fallback = {R"({{ template "slack.default.fallback" . }})"};
  TemplateText callback_id = {R"({{ template "slack.default.callbackid" . }})"};
  TemplateText icon_emoji = {R"({{ template "slack.default.iconemoji" . }})"};
  TemplateText icon_url = {R"({{ template "slack.default.iconurl" . }})"};
  TemplateText image_url = {};
  TemplateText thumb_url = {};
  bool short_fields = false;
  bool link_names = false;
  std::vector<std::string> markdown_in = {"fallback", "pretext", "text"};
  std::vector<SlackField> fields = {};
  std::vector<SlackAction> actions = {};
};

void ForEachText(const SlackSpec& spec,
                 const std::function<void(const TemplateText&)>& visit);

// The JSON that is sent.
absl::StatusOr<std::string> SlackMessage(const SlackSpec& spec,
                                         const TemplateSet& templates,
                                         const Notification& notification);

class SlackIntegration final : public Integration {
 public:
  SlackIntegration(SlackSpec spec, const TemplateSet& templates,
                   net::HttpClient& http)
      : spec_(std::move(spec)), templates_(templates), http_(http) {}

  std::string_view type() const override { return "slack"; }
  bool send_resolved() const override { return spec_.send_resolved; }
  DeliveryOutcome Deliver(const Notification& notification,
                          std::stop_token stop) override;

 private:
  const SlackSpec spec_;
  const TemplateSet& templates_;
  net::HttpClient& http_;
};

}  // namespace vigie::alerting
