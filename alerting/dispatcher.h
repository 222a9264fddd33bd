// Dispatcher groups alerts by route and sees to it that each receiver learns
// what it is owed. Alerts, what receivers were told, what is owed and every
// attempt are records: a message is owed on disk before it is tried, and
// cleared in the same write that notes the receiver's 2xx or 250. A crash
// between any two steps loses nothing; the message in flight may come twice.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/alert.h"
#include "alerting/routing_config.h"
#include "base/clock.h"
#include "base/net/http_client.h"
#include "base/net/smtp_client.h"
#include "store/records.h"

namespace vigie::alerting {

// One decision or attempt, newest last.
struct LedgerEntry {
  int64_t time_ms = 0;
  std::string notification;  // Notification::id
  std::string receiver;
  std::string integration;  // "slack[0]"
  std::string group_key;
  std::string event;   // owed, delivered, failed, given_up, superseded
  std::string detail;  // reason, answer, or error; no secret
  int64_t attempt = 0;
  std::vector<std::string> firing;  // fingerprints
  std::vector<std::string> resolved;
};

class Dispatcher final : public AlertSink {
 public:
  // Restores what an earlier process knew and goes on with what it owed. All
  // references outlive the dispatcher.
  static absl::StatusOr<std::unique_ptr<Dispatcher>> Start(
      store::Records& records, net::HttpClient& http, net::SmtpClient& smtp,
      const Clock& clock, prometheus::Registry& registry,
      std::string external_url, std::shared_ptr<const RoutingConfig> config);
  ~Dispatcher() override;  // as Stop

  absl::Status Take(const std::vector<Alert>& alerts) override;

  // Alerts are grouped anew; what is owed to a receiver that is gone is given
  // up, and the ledger says so.
  absl::Status Apply(std::shared_ptr<const RoutingConfig> config);

  // Ends attempts under way; what is owed stays owed.
  void Stop();

  // Alerts known, firing and lately resolved, by labels.
  std::vector<Alert> Alerts() const;
  // The last `limit` entries, oldest first.
  absl::StatusOr<std::vector<LedgerEntry>> Ledger(int64_t limit) const;

 private:
  struct Impl;
  explicit Dispatcher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::alerting
