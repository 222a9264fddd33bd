// An alert as it travels from the rules to the receivers.
// Source: Prometheus "Alerting rules"; Alertmanager's API, version 2.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "model/labels.h"

namespace vigie::alerting {

struct Alert {
  Labels labels;  // `alertname` among them; the identity of the alert
  std::vector<std::pair<std::string, std::string>> annotations;  // by name
  int64_t starts_at_ms = 0;  // when it began to fire
  int64_t ends_at_ms = 0;    // when it ended; 0: it still fires
  std::string generator_url;

  bool firing() const { return ends_at_ms == 0; }
  friend bool operator==(const Alert&, const Alert&) = default;
};

// 16 hexadecimal digits, equal for equal labels, over restarts too.
std::string Fingerprint(const Labels& labels);

// Where alerts go: the dispatcher, or a list in tests. Thread-safe.
class AlertSink {
 public:
  virtual ~AlertSink() = default;

  // Taking an alert again, unchanged or not, is harmless: the newest word on
  // a label set counts. OK: what was given is durable; otherwise the caller
  // gives it again at its next evaluation.
  virtual absl::Status Take(const std::vector<Alert>& alerts) = 0;
};

}  // namespace vigie::alerting
