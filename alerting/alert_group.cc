#include "alerting/alert_group.h"

#include <fmt/format.h>

#include <algorithm>

namespace vigie::alerting {
namespace {

// A message goes out a moment after its tick; without this the tick one
// repeat_interval later would come a moment too early, and the repeat a whole
// group_interval too late.
constexpr int64_t kRepeatSlackMs = 1'000;

void SortByLabels(std::vector<const KnownAlert*>& alerts) {
  std::sort(alerts.begin(), alerts.end(),
            [](const KnownAlert* a, const KnownAlert* b) {
              return a->alert.labels < b->alert.labels;
            });
}

bool AllIn(const std::vector<const KnownAlert*>& alerts,
           const Fingerprints& set) {
  return std::all_of(alerts.begin(), alerts.end(),
                     [&](const KnownAlert* alert) {
                       return set.contains(alert->fingerprint);
                     });
}

}  // namespace

bool Channel::Knows(const std::string& fingerprint) const {
  return told.firing.contains(fingerprint) ||
         (owed && owed->maybe_firing.contains(fingerprint));
}

Channel* AlertGroup::Find(std::string_view integration) {
  for (Channel& channel : channels) {
    if (channel.integration == integration) return &channel;
  }
  return nullptr;
}

Message AlertGroup::Decide(const Channel& channel, int64_t now_ms,
                           const MutedAlerts& muted) const {
  Message message;
  bool any_firing = false;
  for (const KnownAlert* member : members) {
    const bool known = channel.Knows(member->fingerprint);
    if (!member->alert.firing()) {
      if (known && channel.send_resolved) message.resolved.push_back(member);
    } else if (!orphan || known) {
      const bool mute = muted(*member);
      if (!mute) message.firing.push_back(member);
      any_firing = any_firing || known || !mute;
    }
  }
  if (message.firing.empty() && message.resolved.empty()) return {};
  SortByLabels(message.firing);
  SortByLabels(message.resolved);

  const Told& told = channel.told;
  const bool nothing_new = AllIn(message.firing, told.firing);
  if (!message.resolved.empty() && !any_firing) {
    message.reason = "all_alerts_resolved";
  } else if (!nothing_new && !orphan) {
    message.reason =
        told.time_ms == 0 ? "first_notification" : "new_alerts_in_group";
  } else if (!message.resolved.empty()) {
    message.reason = "new_resolved_alerts";
  } else if (channel.owed &&
             (channel.owed->uncertain ||
              channel.owed->reason == "repeat_interval_elapsed")) {
    // It may hold what has ended before and fires again for ended.
    message.reason = channel.owed->reason == "all_alerts_resolved"
                         ? "new_alerts_in_group"
                         : channel.owed->reason;
  } else if (!orphan &&
             now_ms >= told.time_ms + repeat_interval_ms -
                           std::min(kRepeatSlackMs, repeat_interval_ms / 100)) {
    message.reason = "repeat_interval_elapsed";
  }
  const bool given_up =
      !channel.owed && told.given_up_ms != 0 &&
      now_ms < told.given_up_ms + repeat_interval_ms &&
      FingerprintsOf(message.firing) == told.given_up_firing &&
      FingerprintsOf(message.resolved) == told.given_up_resolved;
  if (message.reason.empty() || given_up) return {};
  return message;
}

void AlertGroup::Prune(Channel& channel) const {
  Fingerprints kept;
  for (const KnownAlert* member : members) {
    if (channel.told.firing.contains(member->fingerprint) &&
        (member->alert.firing() || channel.send_resolved)) {
      kept.insert(member->fingerprint);
    }
  }
  channel.told.firing = std::move(kept);
}

void AlertGroup::NoteDelivered(Channel& channel, const Fingerprints& firing,
                               const Fingerprints& resolved,
                               int64_t time_ms) const {
  Fingerprints known = firing;
  for (const KnownAlert* member : members) {
    // Those that the message left out: inhibited ones.
    if (channel.Knows(member->fingerprint) &&
        !resolved.contains(member->fingerprint)) {
      known.insert(member->fingerprint);
    }
  }
  channel.told = {};
  channel.told.time_ms = time_ms;
  channel.told.firing = std::move(known);
  channel.owed.reset();
  Prune(channel);
}

void AlertGroup::DropOwed(Channel& channel) const {
  if (!channel.owed) return;
  channel.told.firing.insert(channel.owed->maybe_firing.begin(),
                             channel.owed->maybe_firing.end());
  channel.owed.reset();
  Prune(channel);
}

bool AlertGroup::IsNeeded(const KnownAlert& alert) const {
  return std::any_of(
      channels.begin(), channels.end(),
      [&](const Channel& channel) { return channel.Knows(alert.fingerprint); });
}

Fingerprints AlertGroup::KnownToReceiver() const {
  Fingerprints out;
  for (const Channel& channel : channels) {
    out.insert(channel.told.firing.begin(), channel.told.firing.end());
    if (!channel.owed) continue;
    out.insert(channel.owed->maybe_firing.begin(),
               channel.owed->maybe_firing.end());
  }
  return out;
}

std::string LabelSetText(const Labels& labels) {
  std::string out = "{";
  for (const LabelView& label : labels) {
    if (out.size() > 1) out += ", ";
    out += fmt::format("{}={}", label.name, Quoted(label.value));
  }
  return out + "}";
}

GroupIdentity IdentityOf(const Route& route, const Labels& alert) {
  LabelsBuilder labels;
  for (const LabelView& label : alert) {
    if (route.group_by_all ||
        std::find(route.group_by.begin(), route.group_by.end(), label.name) !=
            route.group_by.end()) {
      labels.Set(label.name, label.value);
    }
  }
  GroupIdentity identity;
  identity.receiver = route.receiver;
  identity.labels = labels.Build();
  identity.key = fmt::format("{}:{}", route.key, LabelSetText(identity.labels));
  return identity;
}

Fingerprints FingerprintsOf(const std::vector<const KnownAlert*>& alerts) {
  Fingerprints out;
  for (const KnownAlert* alert : alerts) out.insert(alert->fingerprint);
  return out;
}

}  // namespace vigie::alerting
