// DispatchState: everything the dispatcher knows and decides, without threads:
// each call is one step at a given moment, and a step is in memory only once
// it is in records.h. Dispatcher runs it; tests crash it between any two steps.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "alerting/alert_group.h"
#include "alerting/delivery_lane.h"
#include "alerting/dispatch_metrics.h"
#include "alerting/dispatcher.h"
#include "alerting/inhibition.h"
#include "alerting/ledger.h"

namespace vigie::alerting {

// Records carry wall time, timers run on the monotonic one.
struct Moment {
  int64_t wall_ms = 0;
  int64_t mono_ns = 0;

  int64_t NsAfterMs(int64_t ms) const { return mono_ns + ms * 1'000'000; }
};

// One attempt, to be made without any lock.
struct Attempt {
  std::shared_ptr<const RoutingConfig> config;  // the integration refers to it
  std::shared_ptr<Integration> integration;
  Notification notification;
  std::string lane;
  std::string group;
  std::string channel;
  int64_t number = 0;
  Fingerprints firing;
  Fingerprints resolved;
  // As they were before: what to go back to if it certainly failed.
  bool was_uncertain = false;
  Fingerprints was_maybe_firing;
};

class DispatchState {
 public:
  // References outlive the state. kDataLoss names what cannot be read.
  static absl::StatusOr<std::unique_ptr<DispatchState>> Restore(
      store::Records& records, DispatchMetrics& metrics,
      const DispatcherOptions& options, std::string external_url,
      std::shared_ptr<const RoutingConfig> config, Integrations integrations,
      Moment now);

  // As those of Dispatcher.
  absl::Status Take(const std::vector<Alert>& alerts, Moment now);
  absl::Status Apply(std::shared_ptr<const RoutingConfig> config,
                     Integrations integrations, Moment now);
  std::vector<Alert> Alerts() const;

  // Does what is due: groups, alerts nobody confirms, housekeeping.
  void Tick(Moment now);
  // When there is something to do for Tick or NextAttempt, monotonic.
  int64_t NextNs() const;

  // The next attempt that may begin; that it does is written down. Its end
  // must be told to Finish until that is OK: so long the integration gets
  // nothing else.
  std::optional<Attempt> NextAttempt(Moment now);
  absl::Status Finish(const Attempt& attempt, const DeliveryOutcome& outcome,
                      Moment now);
  // How many attempts could begin.
  int ReadyLanes(Moment now) const;

  void set_external_url(std::string url) { external_url_ = std::move(url); }

  uint64_t next_sequence() const { return ledger_.next_sequence(); }

 private:
  using Groups = std::map<std::string, AlertGroup>;  // by identity
  struct Regrouping;

  DispatchState(store::Records& records, DispatchMetrics& metrics,
                const DispatcherOptions& options, std::string external_url,
                Ledger ledger, Moment now);
  absl::Status ReadRecords();

  // Puts the alert where its routes lead; groups that it enters, new ones
  // among them, go to `*entered`.
  void Enter(const RoutingConfig& config, const Integrations& integrations,
             KnownAlert& alert, Moment now, Groups* groups,
             std::set<std::string>* entered) const;
  void SyncChannels(Moment now, AlertGroup* group, Regrouping* change);
  void Commit(Regrouping change, Moment now);
  void RebuildLanes(Moment now);

  absl::Status Flush(const std::string& id, AlertGroup& group, Moment now);
  // Returns how many ends are too old to be told.
  int FlushChannel(const AlertGroup& group, Channel& channel, Moment now,
                   store::RecordBatch* batch);
  void Supersede(const AlertGroup& group, Channel& channel, Moment now,
                 store::RecordBatch* batch);
  void EndUnconfirmed(Moment now);
  void KeepHouse(Moment now);

  std::optional<Attempt> Begin(const std::string& lane_id, DeliveryLane& lane,
                               const std::string& group_id, Moment now);
  absl::Status Settle(AlertGroup& group, Channel& channel, DeliveryLane& lane,
                      const Attempt& attempt, const DeliveryOutcome& outcome,
                      Moment now);

  LedgerEntry Entry(const AlertGroup& group, const Channel& channel, Moment now,
                    std::string event, std::string detail) const;
  DeliveryLane* LaneOf(const AlertGroup& group, const Channel& channel);
  // Lets the lane of each channel know whether it is owed something.
  void UpdateLanes(const std::string& id, const AlertGroup& group, Moment now);
  void SetDue(const std::string& id, AlertGroup& group, int64_t due_ns);
  // Of the groups, of which there is one.
  int64_t FirstDueNs() const {
    return std::max(due_.begin()->first, flush_again_ns_);
  }
  absl::Status Write(const store::RecordBatch& batch);
  void UpdateGauges();
  MutedAlerts Muted();
  // Whether nobody is to be told anything new by this group.
  bool IsQuiet(const AlertGroup& group, Moment now) const;

  store::Records& records_;
  DispatchMetrics& metrics_;
  const DispatcherOptions options_;
  std::string external_url_;
  Ledger ledger_;
  std::mt19937_64 random_;
  std::shared_ptr<const RoutingConfig> config_;
  Integrations integrations_;
  std::map<Labels, KnownAlert> alerts_;
  int64_t alerts_firing_ = 0;
  // Of the alerts that fire now; made when it is asked for.
  std::optional<Inhibition> inhibition_;
  Groups groups_;
  std::set<std::pair<int64_t, std::string>> due_;  // groups by their next tick
  std::map<std::string, DeliveryLane> lanes_;      // by receiver and name
  std::string last_lane_;  // where the search for an attempt goes on
  bool unconfirmed_ = false;
  int64_t confirm_until_ns_ = 0;
  int64_t house_due_ns_ = 0;
  int64_t flush_again_ns_ = 0;  // after a write that failed
};

}  // namespace vigie::alerting
