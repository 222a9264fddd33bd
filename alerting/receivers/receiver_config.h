// The sections `global` and `receivers` of an alertmanager.yml, and the
// integrations made from them.
// Source: prometheus.io "Alertmanager configuration", 0.34.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/receivers/integration.h"
#include "alerting/template/template.h"
#include "base/net/http_client.h"
#include "base/net/smtp_client.h"
#include "base/yaml/yaml.h"

namespace vigie::alerting {

struct ReceiverSpecs;  // parsed, in receiver_config.cc; holds no open file

// Parsed `global` and `receivers`. Relative `*_file` names are relative to the
// file they stand in; they are read again for each message.
class ReceiverConfig {
 public:
  // kInvalidArgument `file:line:column: ...`. Kinds of receiver and keys that
  // Alertmanager knows and vigie does not do yet go to `*unsupported`.
  static absl::StatusOr<ReceiverConfig> Parse(
      const yaml::Node* global, const yaml::Node& receivers,
      std::vector<std::string>* unsupported);
  ReceiverConfig();
  ~ReceiverConfig();
  ReceiverConfig(const ReceiverConfig&);
  ReceiverConfig& operator=(const ReceiverConfig&);

  // In the order of the file.
  std::vector<std::string> names() const;

  // Checks every template text of the receivers against `templates`.
  absl::Status CheckTemplates(const TemplateSet& templates) const;

  // The integrations of one receiver, in the order of the file. All
  // references outlive them. kNotFound for an unknown name.
  absl::StatusOr<std::vector<std::unique_ptr<Integration>>> Make(
      const std::string& receiver, const TemplateSet& templates,
      net::HttpClient& http, net::SmtpClient& smtp) const;

 private:
  std::shared_ptr<const ReceiverSpecs> specs_;
};

// The templates every alertmanager.yml may use without a file of its own:
// slack.default.title, slack.default.text, email.default.html, ...
absl::Status AddDefaultTemplates(TemplateSet& templates);

}  // namespace vigie::alerting
