// E-mail: text and HTML in one message, handed to a smarthost.
// Source: Alertmanager's <email_config>; RFC 3834 (Auto-Submitted).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alerting/receivers/http_post.h"
#include "alerting/receivers/integration.h"
#include "alerting/receivers/mail_message.h"
#include "alerting/receivers/message_text.h"
#include "base/net/smtp_client.h"

namespace vigie::alerting {

// Mails about one group refer to a message that never was, so that readers
// show them as one thread.
enum class Threading : uint8_t { kNone, kForever, kDaily };

struct EmailSpec {
  bool send_resolved = false;
  TemplateText to = {};
  TemplateText from = {};
  std::string smarthost = {};
  int port = 0;
  std::string hello = "localhost";
  std::string username = {};
  SecretText password = {};  // PLAIN, LOGIN, CRAM-MD5
  SecretText secret = {};    // CRAM-MD5 only; used without a password
  std::string identity = {};
  bool require_tls = true;
  // Unset: TLS from the first byte on port 465 only.
  std::optional<bool> force_implicit_tls = {};
  bool verify_certificate = true;
  std::string ca_file = {};
  // In canonical case; Subject, To and From have defaults.
  std::vector<std::pair<std::string, TemplateText>> headers = {};
  TemplateText html = {R"({{ template "email.default.html" . }})"};
  TemplateText text = {R"({{ template "email.default.text" . }})"};
  Threading threading = Threading::kNone;
};

void ForEachText(const EmailSpec& spec,
                 const std::function<void(const TemplateText&)>& visit);

struct Email {
  std::string from = {};  // envelope
  std::vector<std::string> to = {};
  std::string message = {};
};

// kInvalidArgument for addresses that are none once filled in.
absl::StatusOr<Email> ComposeEmail(const EmailSpec& spec,
                                   const TemplateSet& templates,
                                   const Notification& notification);

class EmailIntegration final : public Integration {
 public:
  EmailIntegration(EmailSpec spec, const TemplateSet& templates,
                   net::SmtpClient& smtp)
      : spec_(std::move(spec)), templates_(templates), smtp_(smtp) {}

  std::string_view type() const override { return "email"; }
  bool send_resolved() const override { return spec_.send_resolved; }
  // Replies of 4xx are temporary, and so is a refused password or missing TLS:
  // these say nothing of the message. Other replies of 5xx are final.
  DeliveryOutcome Deliver(const Notification& notification,
                          std::stop_token stop) override;

 private:
  const EmailSpec spec_;
  const TemplateSet& templates_;
  net::SmtpClient& smtp_;
};

}  // namespace vigie::alerting
