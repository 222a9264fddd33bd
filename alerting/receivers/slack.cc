#include "alerting/receivers/slack.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/status_macros.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;

// What Slack shows as text: there data are escaped. Elsewhere (URLs, names,
// colours) entities would stay as they are written.
enum class Kind : uint8_t { kShown, kPlain };

class Message {
 public:
  Message(const SlackSpec& spec, const TemplateSet& templates,
          const Notification& notification)
      : shown_(templates, notification,
               spec.link_names ? Markup::kSlackLinkNames : Markup::kSlack),
        plain_(templates, notification, Markup::kNone) {}

  // Leaves the key out if the text is empty. The first error is kept.
  void Set(json* object, const char* key, const TemplateText& text, Kind kind,
           size_t characters_max = kSlackTextMax) {
    const std::string value = Get(text, kind, characters_max);
    if (!value.empty()) (*object)[key] = value;
  }
  std::string Get(const TemplateText& text, Kind kind,
                  size_t characters_max = kSlackTextMax) {
    auto filled = (kind == Kind::kShown ? shown_ : plain_).Text(text);
    if (filled.ok()) return CutText(*filled, characters_max);
    if (status_.ok()) status_ = filled.status();
    return "";
  }
  const absl::Status& status() const { return status_; }

 private:
  Renderer shown_;
  Renderer plain_;
  absl::Status status_;
};

json FieldsOf(const SlackSpec& spec, Message& message) {
  json out = json::array();
  for (const SlackField& field : spec.fields) {
    out.push_back({{"title", message.Get(field.title, Kind::kShown)},
                   {"value", message.Get(field.value, Kind::kShown)},
                   {"short", field.is_short.value_or(spec.short_fields)}});
  }
  return out;
}

json ActionsOf(const SlackSpec& spec, Message& message) {
  json out = json::array();
  for (const SlackAction& action : spec.actions) {
    json one = json::object();
    message.Set(&one, "type", action.type, Kind::kPlain);
    message.Set(&one, "text", action.text, Kind::kShown);
    message.Set(&one, "url", action.url, Kind::kPlain);
    message.Set(&one, "style", action.style, Kind::kPlain);
    message.Set(&one, "name", action.name, Kind::kPlain);
    message.Set(&one, "value", action.value, Kind::kPlain);
    if (action.confirm) {
      json& confirm = one["confirm"] = json::object();
      message.Set(&confirm, "text", action.confirm->text, Kind::kShown);
      message.Set(&confirm, "title", action.confirm->title, Kind::kShown);
      message.Set(&confirm, "ok_text", action.confirm->ok_text, Kind::kShown);
      message.Set(&confirm, "dismiss_text", action.confirm->dismiss_text,
                  Kind::kShown);
    }
    out.push_back(std::move(one));
  }
  return out;
}

json AttachmentOf(const SlackSpec& spec, Message& message) {
  json out = {{"text", message.Get(spec.text, Kind::kShown)},
              {"fallback", message.Get(spec.fallback, Kind::kShown)},
              {"mrkdwn_in", spec.markdown_in}};
  message.Set(&out, "title", spec.title, Kind::kShown, kSlackTitleMax);
  message.Set(&out, "title_link", spec.title_link, Kind::kPlain);
  message.Set(&out, "pretext", spec.pretext, Kind::kShown);
  message.Set(&out, "callback_id", spec.callback_id, Kind::kPlain);
  message.Set(&out, "image_url", spec.image_url, Kind::kPlain);
  message.Set(&out, "thumb_url", spec.thumb_url, Kind::kPlain);
  message.Set(&out, "footer", spec.footer, Kind::kShown);
  message.Set(&out, "color", spec.color, Kind::kPlain);
  if (!spec.fields.empty()) out["fields"] = FieldsOf(spec, message);
  if (!spec.actions.empty()) out["actions"] = ActionsOf(spec, message);
  return out;
}

// Slack, and what imitates it, may say no in a 2xx: with a text that is not
// "ok", or with JSON that says "ok": false.
DeliveryOutcome Judged(DeliveryOutcome outcome,
                       const net::HttpResponse& response) {
  std::string said = response.body;
  bool temporary = false;
  if (response.content_type.starts_with("application/json")) {
    const json answer = json::parse(said, nullptr, /*allow_exceptions=*/false);
    if (answer.is_object() && answer.value("ok", json()) == true)
      return outcome;
    said = "not understood";
    if (answer.is_object() && answer.contains("error") &&
        answer["error"].is_string()) {
      said = answer["error"].get<std::string>();
    }
    // Source: Slack, "chat.postMessage", errors that pass.
    for (const char* passing :
         {"ratelimited", "rate_limited", "request_timeout", "internal_error",
          "fatal_error", "service_unavailable"}) {
      temporary |= said == passing;
    }
  } else if (said.empty() || said == "ok") {
    return outcome;
  }
  outcome.answer += " " + SafeAnswer(said, {});
  outcome.temporary = temporary;
  outcome.status = absl::FailedPreconditionError("answered " + outcome.answer);
  return outcome;
}

}  // namespace

void ForEachText(const SlackSpec& spec,
                 const std::function<void(const TemplateText&)>& visit) {
  for (const TemplateText* text :
       {&spec.channel, &spec.username, &spec.color, &spec.title,
        &spec.title_link, &spec.pretext, &spec.text, &spec.message_text,
        &spec.footer, &spec.fallback, &spec.callback_id, &spec.icon_emoji,
        &spec.icon_url, &spec.image_url, &spec.thumb_url}) {
    visit(*text);
  }
  for (const SlackField& field : spec.fields) {
    visit(field.title);
    visit(field.value);
  }
  for (const SlackAction& action : spec.actions) {
    for (const TemplateText* text :
         {&action.type, &action.text, &action.url, &action.style, &action.name,
          &action.value}) {
      visit(*text);
    }
    if (!action.confirm) continue;
    visit(action.confirm->text);
    visit(action.confirm->title);
    visit(action.confirm->ok_text);
    visit(action.confirm->dismiss_text);
  }
}

absl::StatusOr<std::string> SlackMessage(const SlackSpec& spec,
                                         const TemplateSet& templates,
                                         const Notification& notification) {
  Message message(spec, templates, notification);
  json out = {{"attachments", json::array({AttachmentOf(spec, message)})}};
  message.Set(&out, "channel", spec.channel, Kind::kPlain);
  message.Set(&out, "username", spec.username, Kind::kPlain);
  message.Set(&out, "icon_emoji", spec.icon_emoji, Kind::kPlain);
  message.Set(&out, "icon_url", spec.icon_url, Kind::kPlain);
  message.Set(&out, "text", spec.message_text, Kind::kShown);
  if (spec.link_names) out["link_names"] = true;
  VIGIE_RETURN_IF_ERROR(message.status());
  return out.dump(-1, ' ', /*ensure_ascii=*/false,
                  json::error_handler_t::replace);
}

DeliveryOutcome SlackIntegration::Deliver(const Notification& notification,
                                          std::stop_token stop) {
  auto message = SlackMessage(spec_, templates_, notification);
  if (!message.ok()) return {.status = message.status()};
  PostResult result = PostJson(http_, spec_.target, notification.id,
                               *std::move(message), std::move(stop));
  if (!result.outcome.status.ok()) return std::move(result.outcome);
  return Judged(std::move(result.outcome), result.response);
}

}  // namespace vigie::alerting
