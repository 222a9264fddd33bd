// Dispatcher groups alerts by route and sees to it that each receiver learns
// what it is owed. Alerts, what receivers were told, what is owed and every
// attempt are records (docs/formats/notifications.md): a message is owed on
// disk before it is tried, and cleared in the same write that notes the
// receiver's 2xx or 250. A crash between any two steps loses nothing; the
// message in flight may come twice.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <map>
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

// One decision or attempt.
struct LedgerEntry {
  int64_t time_ms = 0;
  std::string notification;  // Notification::id
  std::string receiver;
  std::string integration;  // "slack[0]"
  std::string group_key;
  std::string event;   // owed, delivered, failed, given_up, superseded
  std::string detail;  // reason, answer, or error; no secret
  int64_t attempt = 0;
  std::vector<std::string> firing;  // fingerprints, 100 and "+900" at most
  std::vector<std::string> resolved;
};

// Integrations by receiver, in the order of the file.
using Integrations =
    std::map<std::string, std::vector<std::shared_ptr<Integration>>>;
using IntegrationFactory =
    std::function<absl::StatusOr<Integrations>(const RoutingConfig& config)>;

// Those that the file names. The clients outlive them.
IntegrationFactory ConfiguredIntegrations(net::HttpClient& http,
                                          net::SmtpClient& smtp);

struct DispatcherOptions {
  int64_t alerts_max = 100'000;
  int64_t deliver_within_ms = 24 * 3600'000;  // then a message is given up
  int64_t retry_after_max_ms = 3600'000;      // of what a receiver may ask for
  // After a start, an alert that no rule gives again within this time is
  // ended: longer than the longest evaluation interval.
  int64_t confirm_within_ms = 15 * 60'000;
  int64_t keep_resolved_ms = 15 * 60'000;
  int64_t ledger_entries_max = 100'000;
  int64_t ledger_age_max_ms = 90LL * 86'400'000;
  int threads_max = 64;  // attempts at once, one an integration
  uint64_t seed = 0;     // of the jitter; 0: from the clock
};

class Dispatcher final : public AlertSink {
 public:
  // Restores what an earlier process knew and goes on with what it owed. All
  // references outlive the dispatcher. kDataLoss names a record that cannot be
  // read.
  static absl::StatusOr<std::unique_ptr<Dispatcher>> Start(
      store::Records& records, IntegrationFactory factory, const Clock& clock,
      prometheus::Registry& registry, std::string external_url,
      std::shared_ptr<const RoutingConfig> config,
      const DispatcherOptions& options = {});
  ~Dispatcher() override;  // as Stop

  // kResourceExhausted if there were more than alerts_max.
  absl::Status Take(const std::vector<Alert>& alerts) override;

  // Alerts are grouped anew; what is owed to a receiver that is gone is given
  // up, and the ledger says so. On error the old configuration stays in force.
  absl::Status Apply(std::shared_ptr<const RoutingConfig> config);

  // Of messages from now on.
  void SetExternalUrl(std::string external_url);

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
