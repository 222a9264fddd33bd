// The part of DispatchState that puts alerts into groups anew: at a start,
// from records, and when a configuration is applied.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "alerting/dispatch_state.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "model/tenant.h"

namespace vigie::alerting {
namespace {

// By kind, in the order of the file: slack[0], email[0], slack[1].
std::vector<std::string> NamesOf(
    const std::vector<std::shared_ptr<Integration>>& integrations) {
  std::map<std::string, int> counts;
  std::vector<std::string> names;
  for (const auto& integration : integrations) {
    const std::string type(integration->type());
    names.push_back(fmt::format("{}[{}]", type, counts[type]++));
  }
  return names;
}

// What `scan` gives to `read`, until it fails.
template <class Read>
absl::Status ReadTable(const store::Records& records, std::string_view table,
                       Read read) {
  absl::Status status = absl::OkStatus();
  VIGIE_RETURN_IF_ERROR(records.Scan(
      Tenant{}, table, "", "", [&](std::string_view, std::string_view value) {
        status = read(value);
        return status.ok();
      }));
  return Prefixed(table, status);
}

}  // namespace

struct DispatchState::Regrouping {
  std::shared_ptr<const RoutingConfig> config;
  Integrations integrations;
  Groups groups;
  store::RecordBatch batch;
  std::vector<std::string> given_up;  // kinds of integration
};

DispatchState::DispatchState(store::Records& records, DispatchMetrics& metrics,
                             const DispatcherOptions& options,
                             std::string external_url, Ledger ledger,
                             Moment now)
    : records_(records),
      metrics_(metrics),
      options_(options),
      external_url_(std::move(external_url)),
      ledger_(std::move(ledger)),
      random_(options.seed != 0 ? options.seed
                                : static_cast<uint64_t>(now.wall_ms)),
      confirm_until_ns_(now.NsAfterMs(options.confirm_within_ms)),
      house_due_ns_(now.mono_ns) {}

absl::StatusOr<std::unique_ptr<DispatchState>> DispatchState::Restore(
    store::Records& records, DispatchMetrics& metrics,
    const DispatcherOptions& options, std::string external_url,
    std::shared_ptr<const RoutingConfig> config, Integrations integrations,
    Moment now) {
  VIGIE_ASSIGN_OR_RETURN(Ledger ledger,
                         Ledger::Open(records, options.ledger_entries_max,
                                      options.ledger_age_max_ms));
  std::unique_ptr<DispatchState> state(
      new DispatchState(records, metrics, options, std::move(external_url),
                        std::move(ledger), now));
  VIGIE_RETURN_IF_ERROR(state->ReadRecords());
  VIGIE_RETURN_IF_ERROR(
      state->Apply(std::move(config), std::move(integrations), now));
  return state;
}

absl::Status DispatchState::ReadRecords() {
  VIGIE_RETURN_IF_ERROR(
      ReadTable(records_, kAlertTable, [&](std::string_view value) {
        AlertRecord record;
        VIGIE_RETURN_IF_ERROR(Decode(value, &record));
        KnownAlert& known = alerts_[record.alert.labels];
        known.fingerprint = Fingerprint(record.alert.labels);
        known.taken_at_ms = record.taken_at_ms;
        known.alert = std::move(record.alert);
        known.confirmed = false;
        if (known.alert.firing()) {
          ++alerts_firing_;
          unconfirmed_ = true;
        }
        return absl::OkStatus();
      }));
  const auto channel = [&](const ChannelRecord& record) -> Channel& {
    AlertGroup& group = groups_[record.group.Text()];
    group.identity = record.group;
    group.flushed = true;
    if (Channel* found = group.Find(record.integration)) return *found;
    group.channels.emplace_back().integration = record.integration;
    return group.channels.back();
  };
  VIGIE_RETURN_IF_ERROR(
      ReadTable(records_, kToldTable, [&](std::string_view value) {
        ChannelRecord record;
        Told told;
        VIGIE_RETURN_IF_ERROR(Decode(value, &record, &told));
        channel(record).told = std::move(told);
        return absl::OkStatus();
      }));
  return ReadTable(records_, kOwedTable, [&](std::string_view value) {
    ChannelRecord record;
    Owed owed;
    VIGIE_RETURN_IF_ERROR(Decode(value, &record, &owed));
    channel(record).owed = std::move(owed);
    return absl::OkStatus();
  });
}

void DispatchState::Enter(const RoutingConfig& config,
                          const Integrations& integrations, KnownAlert& alert,
                          Moment now, Groups* groups,
                          std::set<std::string>* entered) const {
  for (const Route* route : MatchRoutes(config.root, alert.alert.labels)) {
    GroupIdentity identity = IdentityOf(*route, alert.alert.labels);
    const std::string id = identity.Text();
    // One that has ended begins no group; it may have one that must say so.
    const bool firing = alert.alert.firing();
    if (!firing && !groups->contains(id)) continue;
    auto [at, added] = groups->try_emplace(id);
    AlertGroup& group = at->second;
    if (added) {
      group.identity = std::move(identity);
      if (auto found = integrations.find(route->receiver);
          found != integrations.end()) {
        const std::vector<std::string> names = NamesOf(found->second);
        for (size_t i = 0; i < names.size(); ++i) {
          Channel& channel = group.channels.emplace_back();
          channel.integration = names[i];
          channel.send_resolved = found->second[i]->send_resolved();
        }
      }
    }
    // Of two routes with one identity the first says when.
    if (entered->insert(id).second) {
      group.orphan = false;
      group.group_wait_ms = route->group_wait_ms;
      group.group_interval_ms = route->group_interval_ms;
      group.repeat_interval_ms = route->repeat_interval_ms;
      group.mute_time_intervals = route->mute_time_intervals;
      group.active_time_intervals = route->active_time_intervals;
    }
    if (!firing) continue;
    if (group.members.insert(&alert).second) ++alert.groups;
    // From when the alert was first known, over restarts too; at once if it
    // has been firing for longer already.
    int64_t wait_ms = std::clamp<int64_t>(
        alert.taken_at_ms + group.group_wait_ms - now.wall_ms, 0,
        group.group_wait_ms);
    if (alert.alert.starts_at_ms + group.group_wait_ms < now.wall_ms) {
      wait_ms = 0;
    }
    group.first_tick_ns = std::min(group.first_tick_ns, now.NsAfterMs(wait_ms));
  }
}

absl::Status DispatchState::Apply(std::shared_ptr<const RoutingConfig> config,
                                  Integrations integrations, Moment now) {
  Regrouping change;
  change.config = std::move(config);
  change.integrations = std::move(integrations);
  change.groups = groups_;
  for (auto& [id, group] : change.groups) {
    group.members.clear();
    group.orphan = true;
  }
  std::map<std::string, KnownAlert*> by_fingerprint;
  std::map<KnownAlert*, int> groups_before;
  for (auto& [labels, known] : alerts_) {
    by_fingerprint[known.fingerprint] = &known;
    groups_before[&known] = std::exchange(known.groups, 0);
  }
  std::set<std::string> entered;
  for (auto& [labels, known] : alerts_) {
    Enter(*change.config, change.integrations, known, now, &change.groups,
          &entered);
  }
  for (auto at = change.groups.begin(); at != change.groups.end();) {
    AlertGroup& group = at->second;
    SyncChannels(now, &group, &change);
    for (const std::string& fingerprint : group.KnownToReceiver()) {
      const auto found = by_fingerprint.find(fingerprint);
      if (found != by_fingerprint.end() &&
          group.members.insert(found->second).second) {
        ++found->second->groups;
      }
    }
    const bool owed =
        std::any_of(group.channels.begin(), group.channels.end(),
                    [](const Channel& channel) { return channel.owed; });
    if (!group.members.empty() || owed) {
      ++at;
      continue;
    }
    for (const Channel& channel : group.channels) {
      change.batch.Delete(Tenant{}, kToldTable,
                          ChannelKey(group.identity, channel.integration));
    }
    at = change.groups.erase(at);
  }
  if (absl::Status status = Write(change.batch); !status.ok()) {
    for (const auto& [known, groups] : groups_before) known->groups = groups;
    return Prefixed("alerts: configuration not applied", status);
  }
  Commit(std::move(change), now);
  return absl::OkStatus();
}

// The channels that the receiver has now, with what those of the same name
// know; what the others are owed is given up.
void DispatchState::SyncChannels(Moment now, AlertGroup* group,
                                 Regrouping* change) {
  std::vector<Channel> old = std::move(group->channels);
  group->channels.clear();
  if (const auto found = change->integrations.find(group->identity.receiver);
      found != change->integrations.end()) {
    const std::vector<std::string> names = NamesOf(found->second);
    for (size_t i = 0; i < names.size(); ++i) {
      Channel channel;
      const auto before = std::find_if(
          old.begin(), old.end(),
          [&](const Channel& one) { return one.integration == names[i]; });
      if (before != old.end()) {
        channel = std::move(*before);
        old.erase(before);
      }
      channel.integration = names[i];
      channel.send_resolved = found->second[i]->send_resolved();
      group->channels.push_back(std::move(channel));
    }
  }
  for (const Channel& channel : old) {
    const std::string key = ChannelKey(group->identity, channel.integration);
    change->batch.Delete(Tenant{}, kToldTable, key);
    if (!channel.owed) continue;
    change->batch.Delete(Tenant{}, kOwedTable, key);
    ledger_.Add(Entry(*group, channel, now, "given_up",
                      "receiver_gone: the configuration has it no longer"),
                &change->batch);
    change->given_up.push_back(KindOf(channel.integration));
  }
}

void DispatchState::Commit(Regrouping change, Moment now) {
  inhibition_.reset();
  config_ = std::move(change.config);
  integrations_ = std::move(change.integrations);
  groups_ = std::move(change.groups);
  for (const std::string& type : change.given_up) {
    metrics_.GivenUp(type, "receiver_gone");
  }
  due_.clear();
  for (auto& [id, group] : groups_) {
    if (!group.flushed) {
      SetDue(id, group, group.first_tick_ns);
    } else if (group.due_ns == 0) {
      // Restored: one group_interval after the last it was told.
      int64_t last_ms = 0;
      for (const Channel& channel : group.channels) {
        last_ms = std::max(last_ms, channel.told.time_ms);
        if (channel.owed) last_ms = std::max(last_ms, channel.owed->since_ms);
      }
      SetDue(id, group,
             now.NsAfterMs(std::clamp<int64_t>(
                 last_ms + group.group_interval_ms - now.wall_ms, 0,
                 group.group_interval_ms)));
    } else {
      SetDue(id, group, group.due_ns);
    }
  }
  RebuildLanes(now);
  UpdateGauges();
}

void DispatchState::RebuildLanes(Moment now) {
  std::map<std::string, DeliveryLane> lanes;
  for (const auto& [receiver, integrations] : integrations_) {
    const std::vector<std::string> names = NamesOf(integrations);
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string id = receiver + '\0' + names[i];
      DeliveryLane lane;
      if (const auto before = lanes_.find(id); before != lanes_.end()) {
        lane = std::move(before->second);
      }
      lane.Clear();
      lane.integration = integrations[i];
      lane.receiver = receiver;
      lane.name = names[i];
      metrics_.Announce(std::string(integrations[i]->type()));
      lanes.emplace(id, std::move(lane));
    }
  }
  lanes_ = std::move(lanes);
  for (const auto& [id, group] : groups_) UpdateLanes(id, group, now);
}

}  // namespace vigie::alerting
