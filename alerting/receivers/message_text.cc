#include "alerting/receivers/message_text.h"

#include <fmt/format.h>

#include <utility>

#include "alerting/receivers/notification_data.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kWordJoiner = "\xE2\x81\xA0";   // U+2060
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";     // U+2026

// Slack's three characters: with them there is no <url|text>, <@user>,
// <!channel>. Source: Slack, "Formatting text for app surfaces".
std::string Escaped(std::string_view value, Markup markup) {
  std::string text = SanitizedUtf8(value);
  if (markup == Markup::kNone) return text;
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
      if (c == '@' && markup == Markup::kSlackLinkNames) out += kWordJoiner;
    }
  }
  return out;
}

// In Slack's <url|text> the URL ends at `|` or `>`.
std::string EscapedUrl(std::string_view url, Markup markup) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) return "";
  const std::string text = SanitizedUtf8(url);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f || c == '<' || c == '>' || c == '|' ||
        c == '"' || c == '\'') {
      out += fmt::format("%{:02X}", byte);
    } else if (c == '&' && markup != Markup::kNone) {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

TemplateValue Pairs(const TextPairs& pairs, Markup markup) {
  TextPairs escaped;
  for (const auto& [name, value] : pairs) {
    escaped.emplace_back(Escaped(name, markup), Escaped(value, markup));
  }
  return TemplateValue::OfPairs(escaped);
}

TextPairs PairsOf(const Labels& labels) {
  TextPairs out;
  for (const LabelView& label : labels)
    out.emplace_back(label.name, label.value);
  return out;
}

TemplateValue AlertData(const Alert& alert, Markup markup) {
  return TemplateValue::OfMap({
      {"Status", std::string(StatusOf(alert))},
      {"Labels", Pairs(PairsOf(alert.labels), markup)},
      {"Annotations", Pairs(alert.annotations, markup)},
      {"StartsAt", TemplateValue::Variant(TemplateTime{alert.starts_at_ms})},
      {"EndsAt", TemplateValue::Variant(TemplateTime{
                     alert.ends_at_ms, /*is_zero=*/alert.firing()})},
      {"GeneratorURL", EscapedUrl(alert.generator_url, markup)},
      {"Fingerprint", Fingerprint(alert.labels)},
  });
}

TemplateValue AlertsData(const std::vector<Alert>& alerts, Markup markup) {
  std::vector<TemplateValue> all, firing, resolved;
  for (const Alert& alert : alerts) {
    all.push_back(AlertData(alert, markup));
    (alert.firing() ? firing : resolved).push_back(all.back());
  }
  auto fields = std::make_shared<const TemplateMap>(
      TemplateMap{{"Firing", TemplateValue::OfList(std::move(firing))},
                  {"Resolved", TemplateValue::OfList(std::move(resolved))}});
  return TemplateValue::Variant(std::make_shared<const TemplateList>(
      TemplateList{std::move(all), std::move(fields)}));
}

// Length of the well-formed character at the start of `text`, or 0.
size_t CharacterBytes(std::string_view text) {
  for (size_t bytes = 1; bytes <= 4 && bytes <= text.size(); ++bytes) {
    if (IsValidUtf8(text.substr(0, bytes))) return bytes;
  }
  return 0;
}

}  // namespace

std::string SanitizedUtf8(std::string_view text) {
  if (IsValidUtf8(text)) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    out += bytes == 0 ? kReplacement : text.substr(0, bytes);
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return out;
}

std::string CutText(std::string_view text, size_t characters_max) {
  size_t characters = 0, at = 0, cut = 0;
  while (at < text.size()) {
    if (characters + 1 == characters_max) cut = at;
    if (characters == characters_max) {
      return std::string(text.substr(0, cut)).append(kEllipsis);
    }
    do {
      ++at;
    } while (at < text.size() && (text[at] & 0xC0) == 0x80);
    ++characters;
  }
  return std::string(text);
}

TemplateValue NotificationData(const Notification& notification,
                               Markup markup) {
  return TemplateValue::OfMap({
      {"Receiver", Escaped(notification.receiver, markup)},
      {"Status", std::string(StatusOf(notification.alerts))},
      {"Alerts", AlertsData(notification.alerts, markup)},
      {"GroupLabels", Pairs(PairsOf(notification.group_labels), markup)},
      {"CommonLabels", Pairs(CommonLabels(notification.alerts), markup)},
      {"CommonAnnotations",
       Pairs(CommonAnnotations(notification.alerts), markup)},
      {"RouteLabels", Pairs({}, markup)},
      {"ExternalURL", EscapedUrl(notification.external_url, markup)},
      {"NotificationReason", notification.reason},
  });
}

Renderer::Renderer(const TemplateSet& templates,
                   const Notification& notification, Markup markup)
    : templates_(templates),
      context_{.now_ms = notification.now_ms,
               .external_url = notification.external_url},
      data_(NotificationData(notification, markup)) {}

absl::StatusOr<std::string> Renderer::Execute(const TemplateText& text,
                                              TemplateOutput output) const {
  if (text.text.find("{{") == std::string::npos) return text.text;
  auto filled = templates_.Execute(text.text, data_, context_, output);
  if (!filled.ok()) {
    return text.place.empty() ? filled.status()
                              : Prefixed(text.place, filled.status());
  }
  return SanitizedUtf8(*filled);
}

absl::StatusOr<std::string> Renderer::Text(const TemplateText& text) const {
  return Execute(text, TemplateOutput::kText);
}

absl::StatusOr<std::string> Renderer::Html(const TemplateText& text) const {
  return Execute(text, TemplateOutput::kHtml);
}

}  // namespace vigie::alerting
