#include "alerting/receivers/receiver_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "alerting/receivers/email.h"
#include "alerting/receivers/slack.h"
#include "alerting/receivers/webhook.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "model/labels.h"

namespace vigie::alerting {

using IntegrationSpec = std::variant<SlackSpec, EmailSpec, WebhookSpec>;

struct ReceiverSpec {
  std::string name = {};
  std::string place = {};
  std::vector<IntegrationSpec> integrations = {};
};

struct ReceiverSpecs {
  std::vector<ReceiverSpec> receivers = {};
};

namespace {

const std::vector<std::string_view> kOtherKinds = {
    "discord_configs",    "incidentio_configs", "jira_configs",
    "mattermost_configs", "msteams_configs",    "msteamsv2_configs",
    "opsgenie_configs",   "pagerduty_configs",  "pushover_configs",
    "rocketchat_configs", "sns_configs",        "telegram_configs",
    "victorops_configs",  "webex_configs",      "wechat_configs"};

const std::vector<std::string_view> kOtherGlobalKeys = {
    "jira_api_url",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "pagerduty_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "slack_app_token",
    "slack_app_token_file",
    "slack_app_url",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "webex_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_url"};

const std::vector<std::string_view> kOtherHttpKeys = {
    "http_headers", "no_proxy", "oauth2", "proxy_connect_header", "proxy_url"};

const std::vector<std::string_view> kOtherTlsKeys = {
    "ca",       "ca_ref",  "cert",        "cert_file",   "cert_ref",   "key",
    "key_file", "key_ref", "max_version", "min_version", "server_name"};

// What a message says of itself; a second word on it would contradict ours.
constexpr std::string_view kOurHeaders[] = {"Content-Transfer-Encoding",
                                            "Content-Type", "Mime-Version"};

std::string Resolved(const yaml::Node& node, const std::string& name) {
  if (name.empty()) return name;
  return (std::filesystem::path(node.file_name()).parent_path() / name)
      .string();
}

absl::Status ReadText(yaml::MapReader& map, std::string_view key,
                      TemplateText* out) {
  const yaml::Node* node = map.Find(key);
  if (node == nullptr) return absl::OkStatus();
  VIGIE_RETURN_IF_ERROR(map.Read(key, &out->text));
  out->place = node->place();
  return absl::OkStatus();
}

// `key`, or `key_file` with the name of a file; not both.
absl::Status ReadSecret(yaml::MapReader& map, const std::string& key,
                        SecretText* out) {
  std::string value, file;
  VIGIE_RETURN_IF_ERROR(map.Read(key, &value));
  VIGIE_RETURN_IF_ERROR(map.Read(key + "_file", &file));
  if (!value.empty() && !file.empty()) {
    return map.Find(key)->Error(
        fmt::format("at most one of {0} and {0}_file may be set", key));
  }
  if (!value.empty()) *out = {.value = Secret(std::move(value))};
  if (!file.empty()) *out = {.file = Resolved(map.node(), file)};
  return absl::OkStatus();
}

// "host:port", "[::1]:587".
absl::Status ParseSmarthost(const yaml::Node& node, std::string* host,
                            int* port) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, node.AsString());
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return node.Error("must be host:port");
  *host = text.substr(0, colon);
  if (host->starts_with('[') && host->ends_with(']')) {
    *host = host->substr(1, host->size() - 2);
  } else if (host->find(':') != std::string::npos) {
    return node.Error("must be host:port, an IPv6 address in brackets");
  }
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + colon + 1, end, *port);
  if (error != std::errc() || at != end || *port < 1 || *port > 65535) {
    return node.Error("the port must be a number from 1 to 65535");
  }
  return absl::OkStatus();
}

// "message-id" is "Message-Id", as Go writes header names.
std::string CanonicalHeader(std::string_view name) {
  std::string out;
  bool upper = true;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    out += static_cast<char>(upper ? std::toupper(byte) : std::tolower(byte));
    upper = c == '-';
  }
  return out;
}

class Reader {
 public:
  explicit Reader(std::vector<std::string>* unsupported)
      : unsupported_(unsupported) {}

  absl::Status ReadGlobal(const yaml::Node& node);
  absl::StatusOr<ReceiverSpecs> ReadReceivers(const yaml::Node& node);

 private:
  absl::StatusOr<ReceiverSpec> ReadReceiver(const yaml::Node& node);
  absl::StatusOr<IntegrationSpec> ReadSlack(const yaml::Node& node);
  absl::StatusOr<IntegrationSpec> ReadEmail(const yaml::Node& node);
  absl::StatusOr<IntegrationSpec> ReadWebhook(const yaml::Node& node);

  absl::Status ReadUrl(yaml::MapReader& map, const std::string& key,
                       SecretText* out);
  absl::Status ReadHttp(yaml::MapReader& map, HttpTarget* out);
  absl::Status ReadAuthorization(yaml::MapReader& map, HttpTarget* out);
  absl::Status ReadTimeout(yaml::MapReader& map, HttpTarget* out);
  absl::Status ReadSlackTexts(yaml::MapReader& map, SlackSpec* out);
  absl::Status ReadSlackFields(yaml::MapReader& map, SlackSpec* out);
  absl::Status ReadSlackActions(yaml::MapReader& map, SlackSpec* out);
  absl::Status ReadSmtp(yaml::MapReader& map, const std::string& prefix,
                        EmailSpec* out);
  absl::Status ReadTls(const yaml::Node& node, EmailSpec* out);
  absl::Status ReadHeaders(yaml::MapReader& map, EmailSpec* out);
  absl::Status ReadThreading(yaml::MapReader& map, EmailSpec* out);

  // A value that vigie does not do, where the key's other values are fine.
  void Unsupported(const yaml::Node& value, std::string_view key) {
    unsupported_->push_back(fmt::format(
        "{}: this value of key \"{}\": not supported yet", value.place(), key));
  }
  absl::Status ReadUnsupportedFlag(yaml::MapReader& map, std::string_view key) {
    bool wanted = false;
    VIGIE_RETURN_IF_ERROR(map.Read(key, &wanted));
    if (wanted) Unsupported(*map.Find(key), key);
    return absl::OkStatus();
  }

  std::vector<std::string>* unsupported_;
  EmailSpec email_;  // with what `global` says
  SecretText slack_url_;
  HttpTarget http_;
};

absl::Status Reader::ReadUrl(yaml::MapReader& map, const std::string& key,
                             SecretText* out) {
  const yaml::Node* node = map.Find(key);
  VIGIE_RETURN_IF_ERROR(ReadSecret(map, key, out));
  if (node == nullptr || node->is_null()) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const std::string url, node->AsString());
  if (url.find("{{") != std::string::npos) {
    // A label would choose where the message goes.
    Unsupported(*node, key);
    return absl::OkStatus();
  }
  if (absl::Status valid = CheckHttpUrl(url); !valid.ok()) {
    return node->Error(fmt::format("{}: {}", key, MessageOf(valid)));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadAuthorization(yaml::MapReader& map, HttpTarget* out) {
  int ways = 0;
  HttpAuthorization found;
  if (const yaml::Node* node = map.Find("basic_auth")) {
    ++ways;
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader basic, node->AsMap());
    found.type = "Basic";
    VIGIE_RETURN_IF_ERROR(ReadSecret(basic, "username", &found.username));
    VIGIE_RETURN_IF_ERROR(ReadSecret(basic, "password", &found.secret));
    basic.MarkUnsupported({"username_ref", "password_ref"}, unsupported_);
    VIGIE_RETURN_IF_ERROR(basic.Finish());
  }
  if (const yaml::Node* node = map.Find("authorization")) {
    ++ways;
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader header, node->AsMap());
    VIGIE_RETURN_IF_ERROR(header.Read("type", &found.type));
    VIGIE_RETURN_IF_ERROR(ReadSecret(header, "credentials", &found.secret));
    if (found.type == "Basic" || found.type == "basic") {
      return node->Error("authorization: for type Basic use basic_auth");
    }
    header.MarkUnsupported({"credentials_ref"}, unsupported_);
    VIGIE_RETURN_IF_ERROR(header.Finish());
  }
  if (map.Find("bearer_token") != nullptr ||
      map.Find("bearer_token_file") != nullptr) {
    ++ways;
    VIGIE_RETURN_IF_ERROR(ReadSecret(map, "bearer_token", &found.secret));
  }
  if (ways > 1) {
    return map.node().Error(
        "at most one of basic_auth, authorization and bearer_token(_file) may "
        "be set");
  }
  if (ways == 1) out->authorization = std::move(found);
  return absl::OkStatus();
}

// Replaces what `global` says, all of it, as Alertmanager does.
absl::Status Reader::ReadHttp(yaml::MapReader& map, HttpTarget* out) {
  const yaml::Node* node = map.Find("http_config");
  if (node == nullptr || node->is_null()) return absl::OkStatus();
  out->authorization.reset();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader http, node->AsMap());
  VIGIE_RETURN_IF_ERROR(ReadAuthorization(http, out));
  VIGIE_RETURN_IF_ERROR(ReadUnsupportedFlag(http, "follow_redirects"));
  VIGIE_RETURN_IF_ERROR(ReadUnsupportedFlag(http, "proxy_from_environment"));
  // How the transport works is ours to choose.
  bool ignored = false;
  VIGIE_RETURN_IF_ERROR(http.Read("enable_http2", &ignored));
  if (const yaml::Node* tls_node = http.Find("tls_config")) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader tls, tls_node->AsMap());
    VIGIE_RETURN_IF_ERROR(ReadUnsupportedFlag(tls, "insecure_skip_verify"));
    tls.MarkUnsupported({"ca_file"}, unsupported_);
    tls.MarkUnsupported(kOtherTlsKeys, unsupported_);
    VIGIE_RETURN_IF_ERROR(tls.Finish());
  }
  http.MarkUnsupported(kOtherHttpKeys, unsupported_);
  return http.Finish();
}

absl::Status Reader::ReadTimeout(yaml::MapReader& map, HttpTarget* out) {
  int64_t timeout_ms = 0;
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("timeout", &timeout_ms));
  if (timeout_ms > 0) out->timeout = absl::Milliseconds(timeout_ms);
  return absl::OkStatus();
}

absl::StatusOr<IntegrationSpec> Reader::ReadWebhook(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  WebhookSpec out{.target = http_};
  VIGIE_RETURN_IF_ERROR(map.Read("send_resolved", &out.send_resolved));
  VIGIE_RETURN_IF_ERROR(ReadUrl(map, "url", &out.target.url));
  if (out.target.url.empty()) {
    return node.Error("one of url and url_file must be set");
  }
  VIGIE_RETURN_IF_ERROR(map.Read("max_alerts", &out.alerts_max));
  if (out.alerts_max < 0) {
    return map.Find("max_alerts")->Error("must not be negative");
  }
  VIGIE_RETURN_IF_ERROR(ReadHttp(map, &out.target));
  VIGIE_RETURN_IF_ERROR(ReadTimeout(map, &out.target));
  map.MarkUnsupported({"payload"}, unsupported_);
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return IntegrationSpec(std::move(out));
}

absl::Status Reader::ReadSlackTexts(yaml::MapReader& map, SlackSpec* out) {
  const std::pair<std::string_view, TemplateText*> texts[] = {
      {"channel", &out->channel},
      {"username", &out->username},
      {"color", &out->color},
      {"title", &out->title},
      {"title_link", &out->title_link},
      {"pretext", &out->pretext},
      {"text", &out->text},
      {"message_text", &out->message_text},
      {"footer", &out->footer},
      {"fallback", &out->fallback},
      {"callback_id", &out->callback_id},
      {"icon_emoji", &out->icon_emoji},
      {"icon_url", &out->icon_url},
      {"image_url", &out->image_url},
      {"thumb_url", &out->thumb_url}};
  for (const auto& [key, text] : texts) {
    VIGIE_RETURN_IF_ERROR(ReadText(map, key, text));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadSlackFields(yaml::MapReader& map, SlackSpec* out) {
  const yaml::Node* list = map.Find("fields");
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader field_map, node.AsMap());
    SlackField field;
    VIGIE_RETURN_IF_ERROR(ReadText(field_map, "title", &field.title));
    VIGIE_RETURN_IF_ERROR(ReadText(field_map, "value", &field.value));
    if (const yaml::Node* flag = field_map.Find("short");
        flag != nullptr && !flag->is_null()) {
      VIGIE_ASSIGN_OR_RETURN(field.is_short, flag->AsBool());
    }
    VIGIE_RETURN_IF_ERROR(field_map.Finish());
    if (field.title.text.empty() || field.value.text.empty()) {
      return node.Error("a field needs a title and a value");
    }
    out->fields.push_back(std::move(field));
  }
  return absl::OkStatus();
}

absl::StatusOr<SlackConfirmation> ReadConfirmation(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  SlackConfirmation out;
  VIGIE_RETURN_IF_ERROR(ReadText(map, "text", &out.text));
  VIGIE_RETURN_IF_ERROR(ReadText(map, "title", &out.title));
  VIGIE_RETURN_IF_ERROR(ReadText(map, "ok_text", &out.ok_text));
  VIGIE_RETURN_IF_ERROR(ReadText(map, "dismiss_text", &out.dismiss_text));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  if (out.text.text.empty()) return node.Error("confirm needs a text");
  return out;
}

absl::Status Reader::ReadSlackActions(yaml::MapReader& map, SlackSpec* out) {
  const yaml::Node* list = map.Find("actions");
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader action_map, node.AsMap());
    SlackAction action;
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "type", &action.type));
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "text", &action.text));
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "url", &action.url));
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "style", &action.style));
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "name", &action.name));
    VIGIE_RETURN_IF_ERROR(ReadText(action_map, "value", &action.value));
    if (const yaml::Node* confirm = action_map.Find("confirm")) {
      VIGIE_ASSIGN_OR_RETURN(action.confirm, ReadConfirmation(*confirm));
    }
    VIGIE_RETURN_IF_ERROR(action_map.Finish());
    if (action.type.text.empty() || action.text.text.empty()) {
      return node.Error("an action needs a type and a text");
    }
    if (action.url.text.empty() && action.name.text.empty()) {
      return node.Error("an action needs a url or a name");
    }
    if (!action.url.text.empty()) {  // a button that is a link is only that
      action.name = {};
      action.value = {};
      action.confirm.reset();
    }
    out->actions.push_back(std::move(action));
  }
  return absl::OkStatus();
}

absl::StatusOr<IntegrationSpec> Reader::ReadSlack(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  SlackSpec out{.target = http_};
  VIGIE_RETURN_IF_ERROR(map.Read("send_resolved", &out.send_resolved));
  const size_t unsupported_before = unsupported_->size();
  map.MarkUnsupported({"app_token", "app_token_file", "app_url",
                       "message_strategy", "threaded_options"},
                      unsupported_);
  const bool by_token = unsupported_->size() > unsupported_before;
  VIGIE_RETURN_IF_ERROR(ReadUnsupportedFlag(map, "update_message"));
  VIGIE_RETURN_IF_ERROR(ReadUrl(map, "api_url", &out.target.url));
  if (out.target.url.empty()) out.target.url = slack_url_;
  if (out.target.url.empty() && !by_token) {
    return node.Error(
        "no Slack URL: set api_url or api_url_file here, or slack_api_url or "
        "slack_api_url_file in global");
  }
  VIGIE_RETURN_IF_ERROR(ReadSlackTexts(map, &out));
  VIGIE_RETURN_IF_ERROR(ReadSlackFields(map, &out));
  VIGIE_RETURN_IF_ERROR(ReadSlackActions(map, &out));
  VIGIE_RETURN_IF_ERROR(map.Read("short_fields", &out.short_fields));
  VIGIE_RETURN_IF_ERROR(map.Read("link_names", &out.link_names));
  if (const yaml::Node* list = map.Find("mrkdwn_in")) {
    VIGIE_ASSIGN_OR_RETURN(std::vector<std::string> names, list->AsStrings());
    if (!names.empty()) out.markdown_in = std::move(names);
  }
  VIGIE_RETURN_IF_ERROR(ReadHttp(map, &out.target));
  VIGIE_RETURN_IF_ERROR(ReadTimeout(map, &out.target));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return IntegrationSpec(std::move(out));
}

absl::Status Reader::ReadTls(const yaml::Node& node, EmailSpec* out) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  bool skip_verify = false;
  std::string ca_file;
  VIGIE_RETURN_IF_ERROR(map.Read("insecure_skip_verify", &skip_verify));
  VIGIE_RETURN_IF_ERROR(map.Read("ca_file", &ca_file));
  out->verify_certificate = !skip_verify;
  out->ca_file = Resolved(node, ca_file);
  map.MarkUnsupported(kOtherTlsKeys, unsupported_);
  return map.Finish();
}

// What both `global` (with the prefix "smtp_") and a receiver may say.
absl::Status Reader::ReadSmtp(yaml::MapReader& map, const std::string& prefix,
                              EmailSpec* out) {
  const auto key = [&prefix](std::string_view name) {
    return fmt::format("{}{}", prefix, name);
  };
  VIGIE_RETURN_IF_ERROR(ReadText(map, key("from"), &out->from));
  if (const yaml::Node* node = map.Find(key("smarthost"));
      node != nullptr && !node->is_null()) {
    VIGIE_RETURN_IF_ERROR(ParseSmarthost(*node, &out->smarthost, &out->port));
  }
  VIGIE_RETURN_IF_ERROR(map.Read(key("hello"), &out->hello));
  VIGIE_RETURN_IF_ERROR(map.Read(key("auth_username"), &out->username));
  VIGIE_RETURN_IF_ERROR(ReadSecret(map, key("auth_password"), &out->password));
  VIGIE_RETURN_IF_ERROR(ReadSecret(map, key("auth_secret"), &out->secret));
  VIGIE_RETURN_IF_ERROR(map.Read(key("auth_identity"), &out->identity));
  VIGIE_RETURN_IF_ERROR(map.Read(key("require_tls"), &out->require_tls));
  if (const yaml::Node* node = map.Find(key("force_implicit_tls"));
      node != nullptr && !node->is_null()) {
    VIGIE_ASSIGN_OR_RETURN(out->force_implicit_tls, node->AsBool());
  }
  if (const yaml::Node* node = map.Find(key("tls_config"));
      node != nullptr && !node->is_null()) {
    VIGIE_RETURN_IF_ERROR(ReadTls(*node, out));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadHeaders(yaml::MapReader& map, EmailSpec* out) {
  const yaml::Node* node = map.Find("headers");
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader headers, node->AsMap());
  for (const auto& [name, value] : headers.Entries()) {
    if (!IsMailHeaderName(name)) {
      return value.Error(fmt::format("{} is no header name", Quoted(name)));
    }
    const std::string canonical = CanonicalHeader(name);
    for (const auto& [other, text] : out->headers) {
      if (other == canonical) {
        return value.Error(fmt::format("duplicate header \"{}\"", canonical));
      }
    }
    VIGIE_ASSIGN_OR_RETURN(std::string text, value.AsString());
    if (std::find(std::begin(kOurHeaders), std::end(kOurHeaders), canonical) !=
        std::end(kOurHeaders)) {
      Unsupported(value, name);
      continue;
    }
    out->headers.emplace_back(canonical,
                              TemplateText{std::move(text), value.place()});
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadThreading(yaml::MapReader& map, EmailSpec* out) {
  const yaml::Node* node = map.Find("threading");
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader threading, node->AsMap());
  bool enabled = false;
  std::string by_date;
  VIGIE_RETURN_IF_ERROR(threading.Read("enabled", &enabled));
  VIGIE_RETURN_IF_ERROR(threading.Read("thread_by_date", &by_date));
  VIGIE_RETURN_IF_ERROR(threading.Finish());
  if (!enabled) return absl::OkStatus();
  if (by_date != "none" && by_date != "daily") {
    return node->Error("thread_by_date must be none or daily");
  }
  for (const auto& [name, text] : out->headers) {
    if (name == "References" || name == "In-Reply-To") {
      return node->Error(fmt::format("the header \"{}\" is set as well", name));
    }
  }
  out->threading = by_date == "daily" ? Threading::kDaily : Threading::kForever;
  return absl::OkStatus();
}

absl::StatusOr<IntegrationSpec> Reader::ReadEmail(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  EmailSpec out = email_;
  VIGIE_RETURN_IF_ERROR(map.Read("send_resolved", &out.send_resolved));
  VIGIE_RETURN_IF_ERROR(ReadText(map, "to", &out.to));
  if (out.to.text.empty()) return node.Error("key \"to\" is missing");
  VIGIE_RETURN_IF_ERROR(ReadSmtp(map, "", &out));
  if (out.smarthost.empty()) {
    return node.Error("no smarthost: set it here, or smtp_smarthost in global");
  }
  if (out.from.text.empty()) {
    return node.Error("no from: set it here, or smtp_from in global");
  }
  const bool own_html = map.Find("html") != nullptr;
  VIGIE_RETURN_IF_ERROR(ReadText(map, "html", &out.html));
  // Our text beside somebody's own HTML would say something else.
  if (own_html && !out.html.text.empty()) out.text = {};
  VIGIE_RETURN_IF_ERROR(ReadText(map, "text", &out.text));
  VIGIE_RETURN_IF_ERROR(ReadHeaders(map, &out));
  VIGIE_RETURN_IF_ERROR(ReadThreading(map, &out));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return IntegrationSpec(std::move(out));
}

absl::Status Reader::ReadGlobal(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  VIGIE_RETURN_IF_ERROR(ReadSmtp(map, "smtp_", &email_));
  VIGIE_RETURN_IF_ERROR(ReadUrl(map, "slack_api_url", &slack_url_));
  VIGIE_RETURN_IF_ERROR(ReadHttp(map, &http_));
  // Read by who needs it; here it is only known and checked.
  int64_t resolve_timeout_ms = 0;
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("resolve_timeout", &resolve_timeout_ms));
  map.MarkUnsupported(kOtherGlobalKeys, unsupported_);
  return map.Finish();
}

absl::StatusOr<ReceiverSpec> Reader::ReadReceiver(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node name, map.Require("name"));
  ReceiverSpec out{.place = node.place()};
  VIGIE_ASSIGN_OR_RETURN(out.name, name.AsString());
  if (out.name.empty()) return name.Error("name is empty");
  map.MarkUnsupported(kOtherKinds, unsupported_);
  for (const char* key :
       {"slack_configs", "email_configs", "webhook_configs"}) {
    map.Find(key);
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  // Again, for the order of the file.
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader ordered, node.AsMap());
  for (const auto& [key, list] : ordered.Entries()) {
    const auto read = key == "slack_configs"     ? &Reader::ReadSlack
                      : key == "email_configs"   ? &Reader::ReadEmail
                      : key == "webhook_configs" ? &Reader::ReadWebhook
                                                 : nullptr;
    if (read == nullptr) continue;
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, list.AsSequence());
    for (const yaml::Node& one : nodes) {
      VIGIE_ASSIGN_OR_RETURN(IntegrationSpec spec, (this->*read)(one));
      out.integrations.push_back(std::move(spec));
    }
  }
  return out;
}

absl::StatusOr<ReceiverSpecs> Reader::ReadReceivers(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, node.AsSequence());
  ReceiverSpecs out;
  for (const yaml::Node& one : nodes) {
    VIGIE_ASSIGN_OR_RETURN(ReceiverSpec receiver, ReadReceiver(one));
    for (const ReceiverSpec& other : out.receivers) {
      if (other.name == receiver.name) {
        return one.Error(
            fmt::format("receiver {} is not unique", Quoted(receiver.name)));
      }
    }
    out.receivers.push_back(std::move(receiver));
  }
  return out;
}

void ForEachText(const WebhookSpec&,
                 const std::function<void(const TemplateText&)>&) {}

// An integration whose URL is missing or a template is left out: serving goes
// on without it, and `check` has named what is not supported.
bool CanBeMade(const SecretText& url) {
  return !url.file.empty() || CheckHttpUrl(url.value.Reveal()).ok();
}

}  // namespace

absl::StatusOr<ReceiverConfig> ReceiverConfig::Parse(
    const yaml::Node* global, const yaml::Node& receivers,
    std::vector<std::string>* unsupported) {
  Reader reader(unsupported);
  if (global != nullptr) VIGIE_RETURN_IF_ERROR(reader.ReadGlobal(*global));
  VIGIE_ASSIGN_OR_RETURN(ReceiverSpecs specs, reader.ReadReceivers(receivers));
  ReceiverConfig out;
  out.specs_ = std::make_shared<const ReceiverSpecs>(std::move(specs));
  return out;
}

ReceiverConfig::ReceiverConfig()
    : specs_(std::make_shared<const ReceiverSpecs>()) {}
ReceiverConfig::~ReceiverConfig() = default;
ReceiverConfig::ReceiverConfig(const ReceiverConfig&) = default;
ReceiverConfig& ReceiverConfig::operator=(const ReceiverConfig&) = default;

std::vector<std::string> ReceiverConfig::names() const {
  std::vector<std::string> out;
  for (const ReceiverSpec& receiver : specs_->receivers) {
    out.push_back(receiver.name);
  }
  return out;
}

absl::Status ReceiverConfig::CheckTemplates(
    const TemplateSet& templates) const {
  absl::Status first;
  for (const ReceiverSpec& receiver : specs_->receivers) {
    const auto check = [&](const TemplateText& text) {
      if (!first.ok()) return;
      const absl::Status status = templates.Check(text.text, {});
      if (status.ok()) return;
      first = Prefixed(text.place.empty() ? receiver.place : text.place,
                       Prefixed(fmt::format("template of receiver {}",
                                            Quoted(receiver.name)),
                                status));
    };
    for (const IntegrationSpec& spec : receiver.integrations) {
      std::visit([&](const auto& one) { ForEachText(one, check); }, spec);
    }
  }
  return first;
}

absl::StatusOr<std::vector<std::unique_ptr<Integration>>> ReceiverConfig::Make(
    const std::string& receiver, const TemplateSet& templates,
    net::HttpClient& http, net::SmtpClient& smtp) const {
  const auto found = std::find_if(
      specs_->receivers.begin(), specs_->receivers.end(),
      [&](const ReceiverSpec& spec) { return spec.name == receiver; });
  if (found == specs_->receivers.end()) {
    return absl::NotFoundError(
        fmt::format("receiver {}: not found", Quoted(receiver)));
  }
  std::vector<std::unique_ptr<Integration>> out;
  for (const IntegrationSpec& spec : found->integrations) {
    if (const auto* email = std::get_if<EmailSpec>(&spec)) {
      out.push_back(
          std::make_unique<EmailIntegration>(*email, templates, smtp));
    } else if (const auto* slack = std::get_if<SlackSpec>(&spec)) {
      if (!CanBeMade(slack->target.url)) continue;
      out.push_back(
          std::make_unique<SlackIntegration>(*slack, templates, http));
    } else if (const auto& webhook = std::get<WebhookSpec>(spec);
               CanBeMade(webhook.target.url)) {
      out.push_back(std::make_unique<WebhookIntegration>(webhook, http));
    }
  }
  return out;
}

}  // namespace vigie::alerting
