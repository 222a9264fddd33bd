#include "alerting/dispatch_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "model/tenant.h"

namespace vigie::alerting {
namespace {

constexpr int64_t kWriteAgainMs = 1'000;
constexpr int64_t kHouseIntervalMs = 60'000;
constexpr size_t kDeletesAtOnceMax = 1'000;

std::string NewId(const AlertGroup& group, const Channel& channel, Moment now,
                  uint64_t sequence) {
  const std::string channel_key =
      ChannelKey(group.identity, channel.integration);
  return fmt::format(
      "{}-{:x}",
      Fingerprint(Labels{{"channel", channel_key},
                         {"time", fmt::format("{}", now.wall_ms)}}),
      sequence);
}

}  // namespace

absl::Status DispatchState::Write(const store::RecordBatch& batch) {
  if (batch.changes().empty()) return absl::OkStatus();
  absl::Status status = records_.Write(batch);
  if (!status.ok()) metrics_.writes_failed.Increment();
  return status;
}

LedgerEntry DispatchState::Entry(const AlertGroup& group,
                                 const Channel& channel, Moment now,
                                 std::string event, std::string detail) const {
  LedgerEntry entry;
  entry.time_ms = now.wall_ms;
  entry.receiver = group.identity.receiver;
  entry.integration = channel.integration;
  entry.group_key = group.identity.key;
  entry.event = std::move(event);
  entry.detail = std::move(detail);
  if (channel.owed) {
    entry.notification = channel.owed->id;
    entry.attempt = channel.owed->attempts;
  }
  return entry;
}

MutedAlerts DispatchState::Muted() {
  if (config_->inhibit_rules.empty()) {
    return [](const KnownAlert&) { return false; };
  }
  if (!inhibition_) {
    std::vector<const Labels*> firing;
    for (const auto& [labels, known] : alerts_) {
      if (known.alert.firing()) firing.push_back(&labels);
    }
    inhibition_.emplace(config_->inhibit_rules, firing);
  }
  return [this](const KnownAlert& known) {
    return inhibition_->Mutes(known.alert.labels);
  };
}

bool DispatchState::IsQuiet(const AlertGroup& group, Moment now) const {
  const auto holds = [&](const std::string& name) {
    const auto found = config_->time_intervals.find(name);
    return found != config_->time_intervals.end() &&
           std::any_of(found->second.begin(), found->second.end(),
                       [&](const TimeInterval& interval) {
                         return interval.Contains(now.wall_ms);
                       });
  };
  const auto& mute = group.mute_time_intervals;
  const auto& active = group.active_time_intervals;
  return std::any_of(mute.begin(), mute.end(), holds) ||
         (!active.empty() && std::none_of(active.begin(), active.end(), holds));
}

// --- what the rules say ---

absl::Status DispatchState::Take(const std::vector<Alert>& alerts, Moment now) {
  std::map<Labels, AlertRecord> changed;
  size_t added = 0;
  size_t refused = 0;
  for (const Alert& alert : alerts) {
    AlertRecord before;
    const auto known = alerts_.find(alert.labels);
    const auto earlier = changed.find(alert.labels);
    const bool is_known = known != alerts_.end() || earlier != changed.end();
    if (earlier != changed.end()) {
      before = earlier->second;
    } else if (known != alerts_.end()) {
      before = {known->second.alert, known->second.taken_at_ms};
    }
    // The first word on an end stands; one without a beginning means nothing.
    const bool was_firing = is_known && before.alert.firing();
    if (!alert.firing() && !was_firing) continue;
    if (is_known && before.alert == alert) continue;
    if (!is_known &&
        alerts_.size() + added >= static_cast<size_t>(options_.alerts_max)) {
      ++refused;
      continue;
    }
    if (!is_known) ++added;
    changed[alert.labels] = {alert,
                             was_firing ? before.taken_at_ms : now.wall_ms};
  }
  store::RecordBatch batch;
  for (const auto& [labels, record] : changed) {
    batch.Put(Tenant{}, kAlertTable, labels.bytes(), Encode(record));
  }
  if (absl::Status status = Write(batch); !status.ok()) {
    return Prefixed("alerts", status);
  }
  if (!changed.empty()) inhibition_.reset();
  std::set<std::string> entered;
  for (const auto& [labels, record] : changed) {
    KnownAlert& known = alerts_[labels];
    if (known.fingerprint.empty()) {
      known.fingerprint = Fingerprint(labels);
    } else if (known.alert.firing()) {
      --alerts_firing_;
    }
    known.alert = record.alert;
    known.taken_at_ms = record.taken_at_ms;
    if (!known.alert.firing()) continue;
    ++alerts_firing_;
    Enter(*config_, integrations_, known, now, &groups_, &entered);
  }
  for (const Alert& alert : alerts) {
    const auto known = alerts_.find(alert.labels);
    if (known != alerts_.end()) known->second.confirmed = true;
  }
  for (const std::string& id : entered) {
    AlertGroup& group = groups_.at(id);
    if (!group.flushed) SetDue(id, group, group.first_tick_ns);
  }
  UpdateGauges();
  if (refused == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("alerts: {} refused: there are {} already", refused,
                  options_.alerts_max));
}

void DispatchState::EndUnconfirmed(Moment now) {
  store::RecordBatch batch;
  std::vector<KnownAlert*> ended;
  for (auto& [labels, known] : alerts_) {
    if (known.confirmed || !known.alert.firing()) continue;
    AlertRecord record{known.alert, known.taken_at_ms};
    record.alert.ends_at_ms = now.wall_ms;
    batch.Put(Tenant{}, kAlertTable, labels.bytes(), Encode(record));
    ended.push_back(&known);
  }
  if (absl::Status status = Write(batch); !status.ok()) {
    confirm_until_ns_ = now.NsAfterMs(kWriteAgainMs);
    return;
  }
  inhibition_.reset();
  for (KnownAlert* known : ended) known->alert.ends_at_ms = now.wall_ms;
  alerts_firing_ -= static_cast<int64_t>(ended.size());
  unconfirmed_ = false;
  if (!ended.empty()) {
    spdlog::info("alerts: {} of the last run ended: no rule gives them",
                 ended.size());
  }
}

std::vector<Alert> DispatchState::Alerts() const {
  std::vector<Alert> out;
  out.reserve(alerts_.size());
  for (const auto& [labels, known] : alerts_) out.push_back(known.alert);
  return out;
}

// --- what is due ---

void DispatchState::Tick(Moment now) {
  if (unconfirmed_ && now.mono_ns >= confirm_until_ns_) EndUnconfirmed(now);
  while (!due_.empty() && FirstDueNs() <= now.mono_ns) {
    const std::string id = due_.begin()->second;
    AlertGroup& group = groups_.at(id);
    if (absl::Status status = Flush(id, group, now); !status.ok()) {
      spdlog::warn("alerts: group {}: {}", group.identity.key,
                   MessageOf(status));
      // The others would fail alike.
      flush_again_ns_ = now.NsAfterMs(kWriteAgainMs);
    }
  }
  if (now.mono_ns >= house_due_ns_) KeepHouse(now);
  UpdateGauges();
}

int64_t DispatchState::NextNs() const {
  int64_t next = house_due_ns_;
  if (unconfirmed_) next = std::min(next, confirm_until_ns_);
  if (!due_.empty()) next = std::min(next, FirstDueNs());
  for (const auto& [id, lane] : lanes_) next = std::min(next, lane.NextNs());
  return next;
}

absl::Status DispatchState::Flush(const std::string& id, AlertGroup& group,
                                  Moment now) {
  AlertGroup next = group;
  store::RecordBatch batch;
  next.tick_missed = false;
  bool busy = false;
  std::vector<int> too_old(next.channels.size());
  for (size_t i = 0; i < next.channels.size(); ++i) {
    Channel& channel = next.channels[i];
    if (channel.in_flight) {
      next.tick_missed = true;
    } else {
      too_old[i] = FlushChannel(next, channel, now, &batch);
    }
    busy = busy || channel.in_flight || channel.owed;
  }
  std::vector<KnownAlert*> leaving;
  for (KnownAlert* member : next.members) {
    if (!member->alert.firing() && !next.IsNeeded(*member)) {
      leaving.push_back(member);
    }
  }
  for (KnownAlert* member : leaving) next.members.erase(member);
  const bool gone = next.members.empty() && !busy;
  if (gone) {
    for (Channel& channel : next.channels) {
      channel.told = {};
      PutTold(next.identity, channel.integration, channel.told, &batch);
    }
  }
  VIGIE_RETURN_IF_ERROR(Write(batch));

  for (size_t i = 0; i < next.channels.size(); ++i) {
    const std::string type = KindOf(next.channels[i].integration);
    if (group.channels[i].owed && !next.channels[i].owed) {
      metrics_.Superseded(type);
    }
    for (int n = too_old[i]; n > 0; --n) metrics_.GivenUp(type, "too_old");
  }
  for (KnownAlert* member : leaving) --member->groups;
  // An even grid, unless the machine slept.
  int64_t due_ns = group.due_ns + group.group_interval_ms * 1'000'000;
  if (due_ns <= now.mono_ns) due_ns = now.NsAfterMs(group.group_interval_ms);
  next.flushed = true;
  group = std::move(next);
  UpdateLanes(id, group, now);
  if (gone) {
    due_.erase({group.due_ns, id});
    groups_.erase(id);
  } else {
    SetDue(id, group, due_ns);
  }
  return absl::OkStatus();
}

int DispatchState::FlushChannel(const AlertGroup& group, Channel& channel,
                                Moment now, store::RecordBatch* batch) {
  const Told before = channel.told;
  group.Prune(channel);
  int too_old = 0;
  for (const KnownAlert* member : group.members) {
    // Its end was refused, and tried again for a day.
    if (!channel.owed && channel.told.given_up_ms != 0 &&
        !member->alert.firing() &&
        member->alert.ends_at_ms + options_.deliver_within_ms < now.wall_ms &&
        channel.told.firing.erase(member->fingerprint) > 0) {
      ++too_old;
      LedgerEntry entry = Entry(group, channel, now, "given_up",
                                "too_old: ended more than a day ago");
      entry.resolved.push_back(member->fingerprint);
      ledger_.Add(entry, batch);
    }
  }
  const Message message = group.Decide(channel, now.wall_ms, Muted());
  if (channel.owed) {
    if (message.empty()) Supersede(group, channel, now, batch);
  } else if (!message.empty() && !IsQuiet(group, now)) {
    Owed owed;
    owed.id = NewId(group, channel, now, ledger_.next_sequence());
    owed.reason = message.reason;
    owed.since_ms = now.wall_ms;
    owed.not_before_ms = now.wall_ms;
    channel.owed = std::move(owed);
    PutOwed(group.identity, channel.integration, channel.owed, batch);
    LedgerEntry entry = Entry(group, channel, now, "owed", message.reason);
    entry.firing = Listed(FingerprintsOf(message.firing));
    entry.resolved = Listed(FingerprintsOf(message.resolved));
    ledger_.Add(entry, batch);
  }
  if (channel.told != before)
    PutTold(group.identity, channel.integration, channel.told, batch);
  return too_old;
}

void DispatchState::Supersede(const AlertGroup& group, Channel& channel,
                              Moment now, store::RecordBatch* batch) {
  ledger_.Add(
      Entry(group, channel, now, "superseded", "nothing of it is left to tell"),
      batch);
  group.DropOwed(channel);
  PutOwed(group.identity, channel.integration, channel.owed, batch);
  PutTold(group.identity, channel.integration, channel.told, batch);
}

void DispatchState::KeepHouse(Moment now) {
  house_due_ns_ = now.NsAfterMs(kHouseIntervalMs);
  store::RecordBatch batch;
  std::vector<const Labels*> leaving;
  for (const auto& [labels, known] : alerts_) {
    if (known.alert.firing() || known.groups > 0 ||
        known.alert.ends_at_ms + options_.keep_resolved_ms > now.wall_ms) {
      continue;
    }
    batch.Delete(Tenant{}, kAlertTable, labels.bytes());
    leaving.push_back(&labels);
    if (leaving.size() == kDeletesAtOnceMax) {
      house_due_ns_ = now.NsAfterMs(kWriteAgainMs);
      break;
    }
  }
  absl::Status status = Write(batch);
  if (status.ok()) {
    for (const Labels* labels : leaving) alerts_.erase(alerts_.find(*labels));
    status = ledger_.Trim(now.wall_ms);
  }
  if (!status.ok()) {
    spdlog::warn("alerts: housekeeping: {}", MessageOf(status));
  }
}

// --- what follows from the rest ---

DeliveryLane* DispatchState::LaneOf(const AlertGroup& group,
                                    const Channel& channel) {
  const auto lane =
      lanes_.find(group.identity.receiver + '\0' + channel.integration);
  return lane == lanes_.end() ? nullptr : &lane->second;
}

void DispatchState::UpdateLanes(const std::string& id, const AlertGroup& group,
                                Moment now) {
  for (const Channel& channel : group.channels) {
    DeliveryLane* lane = LaneOf(group, channel);
    if (!channel.owed) {
      lane->Remove(id);
    } else if (!channel.in_flight) {
      lane->Add(id,
                now.NsAfterMs(std::clamp<int64_t>(
                    channel.owed->not_before_ms - now.wall_ms, 0,
                    options_.retry_after_max_ms)),
                channel.owed->since_ms);
    }
  }
}

void DispatchState::SetDue(const std::string& id, AlertGroup& group,
                           int64_t due_ns) {
  due_.erase({group.due_ns, id});
  group.due_ns = due_ns;
  due_.emplace(due_ns, id);
}

void DispatchState::UpdateGauges() {
  size_t owed = 0;
  int64_t oldest_ms = 0;
  for (const auto& [id, lane] : lanes_) {
    owed += lane.size();
    if (lane.size() == 0) continue;
    oldest_ms = oldest_ms == 0 ? lane.oldest_ms()
                               : std::min(oldest_ms, lane.oldest_ms());
  }
  metrics_.owed.Set(static_cast<double>(owed));
  metrics_.oldest_owed.Set(static_cast<double>(oldest_ms) / 1000);
  metrics_.groups.Set(static_cast<double>(groups_.size()));
  metrics_.alerts_firing.Set(static_cast<double>(alerts_firing_));
  metrics_.alerts_resolved.Set(static_cast<double>(alerts_.size()) -
                               static_cast<double>(alerts_firing_));
}

}  // namespace vigie::alerting
