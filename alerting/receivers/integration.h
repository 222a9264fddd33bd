// Integration: one way to tell somebody: a Slack channel, a mailbox, a
// webhook. It is given what is owed and tries once; when to try again is the
// dispatcher's business.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "alerting/alert.h"
#include "model/labels.h"

namespace vigie::alerting {

// One message that is owed to one integration of a receiver.
struct Notification {
  std::string id = {};         // the same for every attempt at it
  std::string group_key = {};  // Alertmanager's text form: {}/{a="b"}:{c="d"}
  std::string receiver = {};
  Labels group_labels = {};
  std::vector<Alert> alerts = {};  // firing ones first, then by labels
  // first_notification, new_alerts_in_group, new_resolved_alerts,
  // all_alerts_resolved, repeat_interval_elapsed
  std::string reason = {};
  std::string external_url = {};  // of vigie, for links
  int64_t now_ms = 0;
};

struct DeliveryOutcome {
  absl::Status status = {};  // OK: the receiver has taken it (2xx, 250)
  bool temporary = false;    // worth another attempt
  absl::Duration retry_after =
      {};                   // what the receiver asked for; zero: nothing
  std::string answer = {};  // "200", "451 4.7.1 try later", for the ledger
};

class Integration {
 public:
  virtual ~Integration() = default;
  virtual std::string_view type() const = 0;  // "slack", "email", "webhook"
  virtual bool send_resolved() const = 0;
  // Alerts beyond this many are cut from a message; 0: none are.
  virtual int64_t alerts_max() const { return 0; }

  // One attempt. Never throws, ends soon after `stop`, holds no lock of ours.
  // Thread-safe. No secret is in the outcome.
  virtual DeliveryOutcome Deliver(const Notification& notification,
                                  std::stop_token stop) = 0;
};

}  // namespace vigie::alerting
