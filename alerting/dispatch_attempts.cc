// The part of DispatchState that begins attempts and learns how they ended.
#include <algorithm>
#include <utility>

#include "alerting/dispatch_state.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr int64_t kWriteAgainMs = 1'000;

}  // namespace

std::optional<Attempt> DispatchState::NextAttempt(Moment now) {
  if (lanes_.empty()) return std::nullopt;
  auto start = lanes_.upper_bound(last_lane_);
  if (start == lanes_.end()) start = lanes_.begin();
  auto at = start;
  do {
    while (auto group = at->second.Next(now.mono_ns)) {
      std::optional<Attempt> attempt =
          Begin(at->first, at->second, *group, now);
      if (!attempt) continue;
      last_lane_ = at->first;
      return attempt;
    }
    if (++at == lanes_.end()) at = lanes_.begin();
  } while (at != start);
  return std::nullopt;
}

int DispatchState::ReadyLanes(Moment now) const {
  return static_cast<int>(std::count_if(
      lanes_.begin(), lanes_.end(),
      [&](const auto& lane) { return lane.second.NextNs() <= now.mono_ns; }));
}

// Either there is an attempt, or the group does not wait at `now` any more.
std::optional<Attempt> DispatchState::Begin(const std::string& lane_id,
                                            DeliveryLane& lane,
                                            const std::string& group_id,
                                            Moment now) {
  AlertGroup& group = groups_.at(group_id);
  Channel& channel = *group.Find(lane.name);
  const Message message = group.Decide(channel, now.wall_ms, Muted());
  Channel next = channel;
  store::RecordBatch batch;
  Attempt attempt;
  if (message.empty()) {
    Supersede(group, next, now, &batch);
  } else {
    attempt.was_uncertain = next.owed->uncertain;
    attempt.was_maybe_firing = next.owed->maybe_firing;
    attempt.firing = FingerprintsOf(message.firing);
    attempt.resolved = FingerprintsOf(message.resolved);
    next.in_flight = true;
    next.owed->attempts += 1;
    next.owed->reason = message.reason;
    next.owed->uncertain = true;
    next.owed->maybe_firing.insert(attempt.firing.begin(),
                                   attempt.firing.end());
    PutOwed(group.identity, next.integration, next.owed, &batch);
  }
  if (absl::Status status = Write(batch); !status.ok()) {
    lane.Add(group_id, now.NsAfterMs(kWriteAgainMs), channel.owed->since_ms);
    return std::nullopt;
  }
  channel = std::move(next);
  if (message.empty()) {
    metrics_.Superseded(KindOf(channel.integration));
    lane.Remove(group_id);
    UpdateGauges();
    return std::nullopt;
  }
  lane.in_flight = channel.owed->id;
  attempt.config = config_;
  attempt.integration = lane.integration;
  attempt.lane = lane_id;
  attempt.group = group_id;
  attempt.channel = channel.integration;
  attempt.number = channel.owed->attempts;
  Notification& notification = attempt.notification;
  notification.id = channel.owed->id;
  notification.group_key = group.identity.key;
  notification.receiver = group.identity.receiver;
  notification.group_labels = group.identity.labels;
  notification.reason = message.reason;
  notification.external_url = external_url_;
  notification.now_ms = now.wall_ms;
  for (const KnownAlert* alert : message.firing) {
    notification.alerts.push_back(alert->alert);
  }
  for (const KnownAlert* alert : message.resolved) {
    notification.alerts.push_back(alert->alert);
  }
  return attempt;
}

absl::Status DispatchState::Finish(const Attempt& attempt,
                                   const DeliveryOutcome& outcome, Moment now) {
  const auto lane = lanes_.find(attempt.lane);
  const auto group = groups_.find(attempt.group);
  Channel* channel =
      group == groups_.end() ? nullptr : group->second.Find(attempt.channel);
  if (lane != lanes_.end() && channel != nullptr && channel->in_flight &&
      channel->owed && channel->owed->id == attempt.notification.id) {
    return Settle(group->second, *channel, lane->second, attempt, outcome, now);
  }
  // A new configuration has given it up meanwhile.
  AlertGroup gone;
  gone.identity = {
      attempt.notification.group_key, attempt.notification.receiver, {}};
  Channel given_up;
  given_up.integration = attempt.channel;
  LedgerEntry entry =
      Entry(gone, given_up, now, outcome.status.ok() ? "delivered" : "failed",
            outcome.status.ok() ? outcome.answer
                                : std::string(MessageOf(outcome.status)));
  entry.notification = attempt.notification.id;
  entry.attempt = attempt.number;
  entry.firing = Listed(attempt.firing);
  entry.resolved = Listed(attempt.resolved);
  store::RecordBatch batch;
  ledger_.Add(entry, &batch);
  VIGIE_RETURN_IF_ERROR(Write(batch));
  if (lane != lanes_.end() &&
      lane->second.in_flight == attempt.notification.id) {
    lane->second.in_flight.clear();
  }
  return absl::OkStatus();
}

absl::Status DispatchState::Settle(AlertGroup& group, Channel& channel,
                                   DeliveryLane& lane, const Attempt& attempt,
                                   const DeliveryOutcome& outcome, Moment now) {
  const bool ok = outcome.status.ok();
  // The receiver may have it although we did not see it say so.
  const bool uncertain = absl::IsDeadlineExceeded(outcome.status) ||
                         absl::IsCancelled(outcome.status);
  const bool temporary = outcome.temporary || uncertain;
  const int64_t since_ms = channel.owed->since_ms;
  const bool late = now.wall_ms - since_ms >= options_.deliver_within_ms;
  const bool again = !ok && temporary && !late;
  const int64_t rest_ms = uncertain
                              ? std::min(kBackoffMinMs << std::clamp<int64_t>(
                                             attempt.number - 1, 0, 20),
                                         kUncertainRestMaxMs)
                              : 0;
  const int64_t wait_ms =
      std::max({BackoffMs(lane.failures() + 1, random_), rest_ms,
                std::min(absl::ToInt64Milliseconds(outcome.retry_after),
                         options_.retry_after_max_ms)});
  const std::string detail =
      ok ? outcome.answer : std::string(MessageOf(outcome.status));

  Channel next = channel;
  next.in_flight = false;
  LedgerEntry entry = Entry(
      group, channel, now, ok ? "delivered" : (again ? "failed" : "given_up"),
      !ok && !again && late && temporary ? "deadline: " + detail : detail);
  entry.firing = Listed(attempt.firing);
  entry.resolved = Listed(attempt.resolved);
  if (!ok && !uncertain) {
    next.owed->uncertain = attempt.was_uncertain;
    next.owed->maybe_firing = attempt.was_maybe_firing;
  }
  if (ok) {
    group.NoteDelivered(next, attempt.firing, attempt.resolved,
                        attempt.notification.now_ms);
  } else if (again) {
    next.owed->not_before_ms = now.wall_ms + wait_ms;
  } else {
    group.DropOwed(next);
    next.told.given_up_ms = now.wall_ms;
    next.told.given_up_firing = attempt.firing;
    next.told.given_up_resolved = attempt.resolved;
  }
  store::RecordBatch batch;
  PutOwed(group.identity, next.integration, next.owed, &batch);
  if (!again) PutTold(group.identity, next.integration, next.told, &batch);
  ledger_.Add(entry, &batch);
  VIGIE_RETURN_IF_ERROR(Write(batch));

  channel = std::move(next);
  lane.in_flight.clear();
  const std::string type = KindOf(channel.integration);
  if (again) {
    lane.Add(attempt.group, now.NsAfterMs(wait_ms), since_ms);
  } else {
    lane.Remove(attempt.group);
  }
  if (ok) {
    metrics_.Delivered(type,
                       static_cast<double>(now.wall_ms - since_ms) / 1000);
  } else if (!again) {
    metrics_.GivenUp(type, temporary ? "deadline" : "refused");
    spdlog::warn("alerts: {} {}: given up for group {}: {}",
                 group.identity.receiver, channel.integration,
                 group.identity.key, detail);
  }
  metrics_.Attempted(type, ok          ? ""
                           : uncertain ? "unknown"
                           : temporary ? "temporary"
                                       : "refused");
  // What refuses a message answers, and may take the next one.
  if (ok || !temporary) {
    lane.Awake(now.mono_ns);
  } else {
    lane.RestUntil(now.NsAfterMs(wait_ms));
  }
  if (group.tick_missed) {
    group.tick_missed = false;
    SetDue(attempt.group, group, now.mono_ns);
  }
  UpdateGauges();
  return absl::OkStatus();
}

}  // namespace vigie::alerting
