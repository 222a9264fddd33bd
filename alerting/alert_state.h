// The life of one alert: pending, firing, resolved, as times alone, and the
// record that carries it over a restart. Bytes: docs/formats/alerting.md.
// Source: Prometheus 3, rules (AlertingRule.Eval).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/rule_file.h"
#include "alerting/rule_group.h"
#include "model/labels.h"

namespace vigie::alerting {

inline constexpr std::string_view kAlertStateTable = "alert_states";

// How long an alert that ended is kept, as in Prometheus.
inline constexpr int64_t kResolvedRetentionMs = 15 * 60'000;

// What is durable. A pending alert may still carry the end of the time before
// (fired_at, resolved_at), until the sink knows it.
struct AlertTimes {
  AlertState state = AlertState::kInactive;
  int64_t active_at_ms = 0;
  int64_t fired_at_ms = 0;
  int64_t keep_firing_since_ms = 0;  // 0: its expression holds
  int64_t resolved_at_ms = 0;        // 0: has not ended
  friend bool operator==(const AlertTimes&, const AlertTimes&) = default;

  // Whether there is anything to tell a sink: it fires, or did.
  bool has_word() const {
    return state == AlertState::kFiring || resolved_at_ms != 0;
  }
};

struct TrackedAlert {
  AlertTimes times = {};
  bool gone = false;  // nothing is left of it but, maybe, its record
  double value = 0;
  std::vector<std::pair<std::string, std::string>> annotations = {};
  Labels told_labels = {};  // its own and the external ones
  std::string generator_url = {};

  std::optional<AlertTimes> stored = std::nullopt;  // what its record says
  std::optional<AlertTimes> told = std::nullopt;    // what the sink has taken
  int64_t told_at_ms = 0;

  bool durable() const { return gone ? !stored.has_value() : stored == times; }
  // Whether the sink has yet to learn how it fired or ended.
  bool unheard() const;
};

// The expression holds at `time_ms`: begins anew unless it is active already.
void Begin(int64_t time_ms, TrackedAlert* alert);

// The step of one evaluation, after Begin for those that hold. True if it is
// pending or firing then. `heard`: somebody listens to its end.
bool Advance(bool holds, int64_t time_ms, const RuleSpec& rule, bool heard,
             TrackedAlert* alert);

// It is active no more, whatever its expression says.
void End(int64_t time_ms, bool heard, TrackedAlert* alert);

// Names a rule inside its group by name, labels and, for rules equal in both,
// order.
std::string RuleId(const RuleSpec& rule, uint64_t ordinal);
// For alerts whose rule has gone from the configuration.
std::string NoRuleId();

// Keys: group, rule, labels.
std::string GroupKeyPrefix(std::string_view file, std::string_view group);
// The first key after all that begin with `prefix`; "" if there is none.
std::string AfterPrefix(std::string_view prefix);

struct AlertKey {
  std::string file;
  std::string group;
  std::string rule_id;
  Labels labels;
};
std::string EncodeAlertKey(const AlertKey& key);
std::string EncodeAlertRecord(const TrackedAlert& alert);

// kDataLoss: not what the functions above wrote, or of another version.
absl::StatusOr<AlertKey> DecodeAlertKey(std::string_view key);
// `stored` is what the record says.
absl::StatusOr<TrackedAlert> DecodeAlertRecord(std::string_view record);

}  // namespace vigie::alerting
