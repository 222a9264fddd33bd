#include "alerting/receivers/email.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

// A subject beyond this is cut, in characters.
constexpr size_t kSubjectMax = 500;

std::string Digest(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string ThreadOf(const EmailSpec& spec, const Notification& notification) {
  std::string key = notification.group_key;
  if (spec.threading == Threading::kDaily) {
    key +=
        absl::FormatTime("|%Y-%m-%d", absl::FromUnixMillis(notification.now_ms),
                         absl::UTCTimeZone());
  }
  return Digest(key);
}

bool HasHeader(const EmailSpec& spec, std::string_view name) {
  return std::any_of(spec.headers.begin(), spec.headers.end(),
                     [name](const auto& h) { return h.first == name; });
}

bool HoldsAddresses(std::string_view name) {
  for (const std::string_view one :
       {"From", "To", "Cc", "Bcc", "Reply-To", "Sender"}) {
    if (name == one) return true;
  }
  return false;
}

absl::StatusOr<std::vector<MailAddress>> Addresses(const Renderer& renderer,
                                                   std::string_view what,
                                                   const TemplateText& text) {
  VIGIE_ASSIGN_OR_RETURN(const std::string filled, renderer.Text(text));
  auto addresses = ParseAddressList(filled);
  if (!addresses.ok()) return Prefixed(what, addresses.status());
  return addresses;
}

// Those of the configuration; values are templates.
absl::StatusOr<std::string> OwnHeaders(const EmailSpec& spec,
                                       const Renderer& renderer) {
  std::string out;
  for (const auto& [name, text] : spec.headers) {
    if (HoldsAddresses(name)) {
      VIGIE_ASSIGN_OR_RETURN(const auto addresses,
                             Addresses(renderer, name, text));
      out += MailHeader(name, addresses);
      continue;
    }
    VIGIE_ASSIGN_OR_RETURN(const std::string value, renderer.Text(text));
    out += MailHeader(name,
                      name == "Subject" ? CutText(value, kSubjectMax) : value);
  }
  return out;
}

bool IsLocalHost(std::string_view host) {
  return host == "localhost" || host == "127.0.0.1" || host == "::1";
}

absl::StatusOr<net::SmtpRequest> RequestOf(const EmailSpec& spec, Email email) {
  using Tls = net::SmtpRequest::Tls;
  net::SmtpRequest out{
      .host = spec.smarthost,
      .port = spec.port,
      .tls = spec.require_tls ? Tls::kStartTlsRequired : Tls::kNone,
      .verify_certificate = spec.verify_certificate,
      .ca_file = spec.ca_file,
      .hello = spec.hello,
      .username = spec.username,
      .identity = spec.identity,
      .from = std::move(email.from),
      .to = std::move(email.to),
      .message = std::move(email.message)};
  if (spec.force_implicit_tls.value_or(spec.port == 465)) {
    out.tls = Tls::kImplicit;
  }
  if (out.username.empty()) return out;
  // No password travels in clear: what Go's SMTP refuses, we refuse.
  out.challenge_only = spec.password.empty() ||
                       (out.tls == Tls::kNone && !IsLocalHost(out.host));
  VIGIE_ASSIGN_OR_RETURN(
      out.password,
      (spec.password.empty() ? spec.secret : spec.password).Read());
  return out;
}

// Replies that speak of who we are, not of the message: RFC 4954, section 6.
bool IsAboutAuthentication(int code) {
  return code == 530 || code == 534 || code == 535 || code == 538;
}

// What a server was sent and may repeat.
std::vector<std::string> SecretsOf(const net::SmtpRequest& request) {
  if (request.password.empty()) return {};
  std::string plain = request.identity;  // AUTH PLAIN: RFC 4616
  for (const std::string& part : {request.username, request.password}) {
    plain += '\0';
    plain += part;
  }
  return {request.password, absl::Base64Escape(request.password),
          absl::Base64Escape(plain)};
}

DeliveryOutcome OutcomeOf(const net::SmtpReply& reply,
                          const net::SmtpRequest& request) {
  DeliveryOutcome out;
  out.answer = fmt::format("{} {}", reply.code,
                           SafeAnswer(reply.text, SecretsOf(request)));
  if (reply.code == 250) return out;
  out.temporary = reply.code < 500 || IsAboutAuthentication(reply.code);
  const std::string text = "answered " + out.answer;
  out.status = out.temporary ? absl::UnavailableError(text)
                             : absl::FailedPreconditionError(text);
  return out;
}

}  // namespace

void ForEachText(const EmailSpec& spec,
                 const std::function<void(const TemplateText&)>& visit) {
  visit(spec.to);
  visit(spec.from);
  for (const auto& [name, text] : spec.headers) visit(text);
  visit(spec.html);
  visit(spec.text);
}

absl::StatusOr<Email> ComposeEmail(const EmailSpec& spec,
                                   const TemplateSet& templates,
                                   const Notification& notification) {
  const Renderer renderer(templates, notification, Markup::kNone);
  VIGIE_ASSIGN_OR_RETURN(const auto from,
                         Addresses(renderer, "from", spec.from));
  VIGIE_ASSIGN_OR_RETURN(const auto to, Addresses(renderer, "to", spec.to));
  if (from.size() != 1) {
    return absl::InvalidArgumentError("from: must be exactly one address");
  }
  Email out{.from = from[0].address};
  for (const MailAddress& one : to) out.to.push_back(one.address);

  VIGIE_ASSIGN_OR_RETURN(std::string headers, OwnHeaders(spec, renderer));
  if (!HasHeader(spec, "From")) headers += MailHeader("From", from);
  if (!HasHeader(spec, "To")) headers += MailHeader("To", to);
  if (!HasHeader(spec, "Subject")) {
    VIGIE_ASSIGN_OR_RETURN(
        const std::string subject,
        renderer.Text({R"({{ template "email.default.subject" . }})"}));
    headers += MailHeader("Subject", CutText(subject, kSubjectMax));
  }
  if (!HasHeader(spec, "Date")) {
    headers += MailHeader("Date", MailDate(notification.now_ms));
  }
  const std::string domain = out.from.substr(out.from.find('@') + 1);
  if (!HasHeader(spec, "Message-Id")) {
    // Every attempt at a notification has the same, so that a repeat can be
    // told from news.
    headers += MailHeader(
        "Message-Id", fmt::format("<{}@{}>", Digest(notification.id), domain));
  }
  if (spec.threading != Threading::kNone) {
    const std::string thread =
        fmt::format("<{}@{}>", ThreadOf(spec, notification), domain);
    headers += MailHeader("In-Reply-To", thread);
    headers += MailHeader("References", thread);
  }
  if (!HasHeader(spec, "Auto-Submitted")) {
    headers += MailHeader("Auto-Submitted", "auto-generated");
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string text, renderer.Text(spec.text));
  VIGIE_ASSIGN_OR_RETURN(const std::string html, renderer.Html(spec.html));
  out.message = MailMessage(headers, text, html);
  return out;
}

DeliveryOutcome EmailIntegration::Deliver(const Notification& notification,
                                          std::stop_token stop) {
  auto email = ComposeEmail(spec_, templates_, notification);
  if (!email.ok()) return {.status = email.status()};
  auto request = RequestOf(spec_, *std::move(email));
  // A file may be put right before the next attempt.
  if (!request.ok()) return {.status = request.status(), .temporary = true};
  auto reply = smtp_.Send(*request, std::move(stop));
  if (reply.ok()) return OutcomeOf(*reply, *request);
  return {
      .status = reply.status(),
      .temporary = reply.status().code() != absl::StatusCode::kInvalidArgument};
}

}  // namespace vigie::alerting
