// AlertGroup: the alerts that a route puts together, what each integration of
// the receiver knows of them, and what it must be told next.
// Source: Alertmanager's dispatch and notification log, whose rules it keeps;
// unlike there nobody is told of an end whose beginning he never heard of.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "alerting/alert.h"
#include "alerting/dispatch_records.h"
#include "alerting/routing_config.h"

namespace vigie::alerting {

struct KnownAlert {
  Alert alert;
  std::string fingerprint;
  int64_t taken_at_ms = 0;
  bool confirmed = true;  // a rule of this process has given it
  int groups = 0;         // that have it as a member
};

// Whether nobody shall be told of an alert that fires: inhibition.
using MutedAlerts = std::function<bool(const KnownAlert&)>;

// One integration's side of a group.
struct Channel {
  std::string integration;  // "slack[0]"
  bool send_resolved = true;
  Told told;
  std::optional<Owed> owed;
  bool in_flight = false;

  // Whether the receiver holds, or may hold, it to be firing.
  bool Knows(const std::string& fingerprint) const;
};

// What there is to say. No reason: nothing.
struct Message {
  std::string reason;
  std::vector<const KnownAlert*> firing;  // by labels, as is `resolved`
  std::vector<const KnownAlert*> resolved;

  bool empty() const { return reason.empty(); }
};

struct AlertGroup {
  GroupIdentity identity;
  int64_t group_wait_ms = Route().group_wait_ms;
  int64_t group_interval_ms = Route().group_interval_ms;
  int64_t repeat_interval_ms = Route().repeat_interval_ms;
  std::vector<std::string> mute_time_intervals;
  std::vector<std::string> active_time_intervals;
  // No route leads here any more: it only says which of its alerts have ended.
  bool orphan = false;
  bool flushed = false;      // its group_wait is over
  bool tick_missed = false;  // a message was in flight at the last tick
  int64_t first_tick_ns = std::numeric_limits<int64_t>::max();  // monotonic
  int64_t due_ns = 0;  // of the next tick
  std::set<KnownAlert*> members;
  std::vector<Channel> channels;  // in the order of the file

  Channel* Find(std::string_view integration);

  // What `channel` is to be told at `now_ms`, given what it is owed already.
  Message Decide(const Channel& channel, int64_t now_ms,
                 const MutedAlerts& muted) const;

  // Forgets what a channel was told of alerts that are not here any more, and
  // of ends it does not want to hear of.
  void Prune(Channel& channel) const;

  // The receiver has taken `message`, as Decide gave it, begun at `time_ms`.
  void NoteDelivered(Channel& channel, const Fingerprints& firing,
                     const Fingerprints& resolved, int64_t time_ms) const;

  // What is owed ends without the receiver having taken it.
  void DropOwed(Channel& channel) const;

  // Whether a channel has yet to hear that this alert has ended.
  bool IsNeeded(const KnownAlert& alert) const;

  // What some channel holds, or may hold, to be firing.
  Fingerprints KnownToReceiver() const;
};

// {a="b", c="d"}, as in a group key.
std::string LabelSetText(const Labels& labels);

// The group of a route that an alert belongs to.
GroupIdentity IdentityOf(const Route& route, const Labels& alert);

Fingerprints FingerprintsOf(const std::vector<const KnownAlert*>& alerts);

}  // namespace vigie::alerting
