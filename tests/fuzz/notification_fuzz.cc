// Arbitrary bytes as labels and annotations: what is sent is JSON whose texts
// hold no markup of theirs, and a mail with our headers and no others.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "alerting/receivers/email.h"
#include "alerting/receivers/receiver_config.h"
#include "alerting/receivers/slack.h"
#include "alerting/receivers/webhook.h"
#include "base/check.h"

namespace {

using vigie::Labels;
using vigie::alerting::ComposeEmail;
using vigie::alerting::EmailSpec;
using vigie::alerting::Notification;
using vigie::alerting::ParseAddressList;
using vigie::alerting::SlackMessage;
using vigie::alerting::SlackSpec;
using vigie::alerting::TemplateDialect;
using vigie::alerting::TemplateSet;
using vigie::alerting::WebhookPayload;

const TemplateSet& Templates() {
  static const TemplateSet* const templates = [] {
    auto* set = new TemplateSet(TemplateDialect::kNotifications);
    VIGIE_CHECK(AddDefaultTemplates(*set).ok());
    return set;
  }();
  return *templates;
}

Notification NotificationOf(std::string_view name, std::string_view value) {
  Notification out;
  out.id = std::string(value);
  out.group_key = std::string(name);
  out.receiver = std::string(value);
  out.group_labels = {{"alertname", value}};
  out.alerts.resize(1);
  out.alerts[0].labels = {{"alertname", value}, {name, value}};
  out.alerts[0].annotations = {{"summary", std::string(value)},
                               {std::string(name), std::string(value)}};
  out.alerts[0].generator_url = "http://" + std::string(value);
  out.external_url = std::string(value);
  out.now_ms = 1'795'240'446'000;
  return out;
}

void CheckSlack(const Notification& notification) {
  static const SlackSpec* const spec = [] {
    auto* out = new SlackSpec;
    out->text.text =
        "{{ range .Alerts }}{{ range .Labels.SortedPairs }}{{ .Name }}{{ "
        ".Value }}{{ end }}{{ range .Annotations.SortedPairs }}{{ .Name }}{{ "
        ".Value }}{{ end }}{{ .GeneratorURL }}{{ end }}{{ .Receiver }}";
    return out;
  }();
  const auto message = SlackMessage(*spec, Templates(), notification);
  VIGIE_CHECK(message.ok());
  const auto sent = nlohmann::json::parse(*message);
  const auto& attachment = sent["attachments"][0];
  for (const char* key : {"text", "fallback"}) {
    VIGIE_CHECK(attachment[key].get<std::string>().find_first_of("<>") ==
                std::string::npos);
  }
}

void CheckEmail(const Notification& notification) {
  const EmailSpec spec{.to = {"a@x.org"}, .from = {"b@x.org"}};
  const auto email = ComposeEmail(spec, Templates(), notification);
  VIGIE_CHECK(email.ok());
  const std::string& text = email->message;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    VIGIE_CHECK(byte < 0x7f && (byte >= ' ' || byte == '\r' || byte == '\n'));
    VIGIE_CHECK((byte != '\n' || (i > 0 && text[i - 1] == '\r')) &&
                (byte != '\r' || (i + 1 < text.size() && text[i + 1] == '\n')));
  }
  VIGIE_CHECK(text.find("\r\n.\r\n") == std::string::npos);
  int headers = 0, lines = 0;
  for (size_t at = 0, end; (end = text.find("\r\n", at)) != at; at = end + 2) {
    VIGIE_CHECK(end - at <= 998);
    headers += text[at] != ' ';
    ++lines;
  }
  VIGIE_CHECK(headers == 8 && lines >= headers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The first line is a label's name, the rest its value.
  const size_t line = text.find('\n');
  const std::string_view name = text.substr(0, line);
  const std::string_view value =
      line == std::string_view::npos ? text : text.substr(line + 1);
  if (name.empty() || value.empty()) return 0;
  const Notification notification = NotificationOf(name, value);
  CheckSlack(notification);
  CheckEmail(notification);
  VIGIE_CHECK(nlohmann::json::accept(WebhookPayload(notification, 0)));
  const auto addresses = ParseAddressList(text);
  if (!addresses.ok()) return 0;
  for (const auto& one : *addresses) {
    VIGIE_CHECK(one.address.find_first_of("\r\n<> ,") == std::string::npos);
  }
  return 0;
}
