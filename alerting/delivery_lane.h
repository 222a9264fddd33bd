// DeliveryLane: one integration of one receiver, which takes one message at a
// time. After a failure it rests, so that a receiver that is down costs one
// attempt every half minute, whatever it is owed.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "alerting/receivers/integration.h"

namespace vigie::alerting {

inline constexpr int64_t kBackoffMinMs = 1'000;
// A receiver that comes back is told within half a minute.
inline constexpr int64_t kBackoffMaxMs = 30'000;

// A message that the receiver may have, as it did not answer in time, rests
// longer and longer: each attempt may tell it again.
inline constexpr int64_t kUncertainRestMaxMs = 5 * 60'000;

// Before the attempt after `failures` in a row, at least 1: doubles from
// kBackoffMinMs to kBackoffMaxMs, then between half of that and all.
int64_t BackoffMs(int64_t failures, std::mt19937_64& random);

class DeliveryLane {
 public:
  std::shared_ptr<Integration> integration;
  std::string receiver;
  std::string name;       // "slack[0]"
  std::string in_flight;  // id of the message under way; empty: none

  // The group is owed a message since `since_ms`, to be tried from `due_ns` on.
  void Add(const std::string& group, int64_t due_ns, int64_t since_ms);
  void Remove(const std::string& group);
  void Clear();

  // The group that waits longest, if one may be tried at `now_ns`.
  std::optional<std::string> Next(int64_t now_ns) const;
  // When Next will give one; int64 max: never, as things are.
  int64_t NextNs() const;

  // Nothing is tried before; a failure in a row counts.
  void RestUntil(int64_t ns) {
    rests_until_ns_ = ns;
    ++failures_;
  }
  // The receiver answers: whoever waited for it need not any longer.
  void Awake(int64_t now_ns);
  int64_t failures() const { return failures_; }

  // Messages that are owed, the one under way among them.
  size_t size() const { return entries_.size(); }
  // Since when the oldest is owed; 0: there is none.
  int64_t oldest_ms() const { return since_.empty() ? 0 : *since_.begin(); }

 private:
  struct Entry {
    int64_t due_ns;
    int64_t since_ms;
  };
  std::map<std::string, Entry> entries_;               // by group
  std::set<std::pair<int64_t, std::string>> waiting_;  // by due time
  std::multiset<int64_t> since_;
  int64_t rests_until_ns_ = 0;
  int64_t failures_ = 0;
};

}  // namespace vigie::alerting
