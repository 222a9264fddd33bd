#include "alerting/delivery_lane.h"

#include <algorithm>
#include <limits>

namespace vigie::alerting {

int64_t BackoffMs(int64_t failures, std::mt19937_64& random) {
  const int64_t doublings = std::clamp<int64_t>(failures - 1, 0, 20);
  const int64_t full = std::min(kBackoffMinMs << doublings, kBackoffMaxMs);
  // Not std::uniform_int_distribution: its numbers differ between libraries,
  // and a seed should mean the same everywhere.
  return full / 2 + static_cast<int64_t>(
                        random() % static_cast<uint64_t>(full - full / 2 + 1));
}

void DeliveryLane::Add(const std::string& group, int64_t due_ns,
                       int64_t since_ms) {
  Remove(group);
  entries_[group] = {due_ns, since_ms};
  waiting_.emplace(due_ns, group);
  since_.insert(since_ms);
}

void DeliveryLane::Remove(const std::string& group) {
  auto found = entries_.find(group);
  if (found == entries_.end()) return;
  waiting_.erase({found->second.due_ns, group});
  since_.erase(since_.find(found->second.since_ms));
  entries_.erase(found);
}

void DeliveryLane::Clear() {
  entries_.clear();
  waiting_.clear();
  since_.clear();
}

std::optional<std::string> DeliveryLane::Next(int64_t now_ns) const {
  if (NextNs() > now_ns) return std::nullopt;
  return waiting_.begin()->second;
}

int64_t DeliveryLane::NextNs() const {
  if (!in_flight.empty() || waiting_.empty()) {
    return std::numeric_limits<int64_t>::max();
  }
  return std::max(rests_until_ns_, waiting_.begin()->first);
}

void DeliveryLane::Awake(int64_t now_ns) {
  rests_until_ns_ = 0;
  // A single failure was that message's own; more were the receiver's.
  if (failures_ > 1) {
    waiting_.clear();
    for (auto& [group, entry] : entries_) {
      entry.due_ns = std::min(entry.due_ns, now_ns);
      waiting_.emplace(entry.due_ns, group);
    }
  }
  failures_ = 0;
}

}  // namespace vigie::alerting
