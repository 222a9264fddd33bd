// RuleGroup evaluates the rules of one group, in order, at a time it is given:
// no thread, no clock. The state of its alerts is durable before anything
// rests on it, so `for` and `keep_firing_for` are exact over kill -9.
// Thread-safe: one evaluation at a time, readers beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "alerting/alert.h"
#include "alerting/rule_file.h"
#include "base/clock.h"
#include "model/labels.h"
#include "model/sample.h"
#include "query/engine.h"
#include "store/appender.h"
#include "store/records.h"

namespace vigie::alerting {

// What the rules of a process share. All references outlive the groups.
struct RuleContext {
  const query::Engine& engine;
  store::Appender& appender;
  store::Records* records = nullptr;  // null: no state is kept (rule tests)
  AlertSink* sink = nullptr;          // null: alerts go nowhere
  std::vector<std::pair<std::string, std::string>> external_labels = {};
  std::string external_url = {};  // of links and of $externalURL
  const Clock* clock = nullptr;   // how long rules take; null: unmeasured
};

enum class AlertState : uint8_t { kInactive, kPending, kFiring };
std::string_view AlertStateName(AlertState state);  // "pending"

// One active element of an alerting rule.
struct ActiveAlert {
  AlertState state = AlertState::kPending;
  Labels labels;  // with `alertname`
  std::vector<std::pair<std::string, std::string>> annotations;
  double value = 0;
  int64_t active_at_ms = 0;
  int64_t fired_at_ms = 0;           // 0: not yet
  int64_t keep_firing_since_ms = 0;  // 0: its expression holds
};

// What /api/v1/rules says of a rule.
struct RuleStatus {
  RuleSpec spec;
  std::string health = "unknown";  // ok, err, unknown
  std::string last_error;
  int64_t last_evaluation_ms = 0;  // 0: never
  int64_t evaluation_ns = 0;
  AlertState state = AlertState::kInactive;  // the worst of its alerts
  std::vector<ActiveAlert> alerts;           // pending and firing, by labels
};

struct RuleGroupStatus {
  RuleGroupSpec spec;
  int64_t interval_ms = 0;  // in force
  int64_t last_evaluation_ms = 0;
  int64_t evaluation_ns = 0;
  std::vector<RuleStatus> rules;
};

// Since the group was made.
struct RuleGroupTotals {
  int64_t evaluations = 0;  // of rules
  int64_t failures = 0;
};

class RuleGroup {
 public:
  // `interval_ms` is the one in force. The spec has been checked by
  // ParseRuleFile.
  RuleGroup(RuleGroupSpec spec, int64_t interval_ms,
            const RuleContext& context);
  ~RuleGroup();

  // Takes the state of an earlier process, or of `from`, the same group before
  // a reload. Rules are matched by name and labels, equal ones by order. What
  // fired by a rule that is gone, or under other external labels, ends at the
  // next evaluation. Alerts that were pending when an outage of more than an
  // hour began do so anew. kDataLoss names a record that cannot be read; the
  // others are taken.
  absl::Status Restore(int64_t now_ms);
  void TakeOver(RuleGroup& from);

  // Evaluates all rules at `time_ms`; of each: the state of its alerts, then
  // its samples, visible before the next rule. Then the sink is told. A
  // failing rule is reported in its status and does not stop the next one. The
  // first failure is returned; kCancelled once stopped.
  absl::Status Evaluate(int64_t time_ms, std::stop_token stop);

  // The group has gone from the configuration: its alerts end, its series are
  // marked as stale, its records go. To be repeated if it fails.
  absl::Status Retire(int64_t time_ms);

  RuleGroupStatus Status() const;
  RuleGroupTotals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::alerting
