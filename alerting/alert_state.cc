#include "alerting/alert_state.h"

#include <fmt/format.h>

#include <bit>

#include "base/status_macros.h"

namespace vigie::alerting {
namespace {

constexpr char kRecordVersion = 1;

void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}
void PutTime(int64_t ms, std::string* out) {
  PutVarint((static_cast<uint64_t>(ms) << 1) ^ static_cast<uint64_t>(ms >> 63),
            out);
}
void PutString(std::string_view text, std::string* out) {
  PutVarint(text.size(), out);
  out->append(text);
}

// Past the end it fails for good, and everything reads as zero or empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(Byte());
      if (!ok_ || (shift == 63 && byte > 1)) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }
  int64_t Time() {
    const uint64_t value = Varint();
    return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  std::string_view Bytes(uint64_t count) {
    if (count > rest_.size()) {
      Fail();
      return {};
    }
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  std::string_view String() { return Bytes(Varint()); }
  char Byte() {
    const std::string_view byte = Bytes(1);
    return byte.empty() ? '\0' : byte[0];
  }

 private:
  void Fail() {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string_view AlertStateName(AlertState state) {
  switch (state) {
    case AlertState::kInactive:
      return "inactive";
    case AlertState::kPending:
      return "pending";
    case AlertState::kFiring:
      return "firing";
  }
  return "unknown";
}

bool TrackedAlert::unheard() const {
  if (gone || !times.has_word()) return false;
  // How long it has been active is nothing a sink is told.
  return !told.has_value() || told->fired_at_ms != times.fired_at_ms ||
         told->resolved_at_ms != times.resolved_at_ms;
}

void Begin(int64_t time_ms, TrackedAlert* alert) {
  AlertTimes& times = alert->times;
  if (!alert->gone && times.state != AlertState::kInactive) return;
  const bool owes = alert->unheard();
  times = {.state = AlertState::kPending,
           .active_at_ms = time_ms,
           .fired_at_ms = owes ? times.fired_at_ms : 0,
           .resolved_at_ms = owes ? times.resolved_at_ms : 0};
  alert->gone = false;
}

void End(int64_t time_ms, bool heard, TrackedAlert* alert) {
  AlertTimes& times = alert->times;
  if (times.state == AlertState::kFiring) times.resolved_at_ms = time_ms;
  if (times.state == AlertState::kPending && !(heard && alert->unheard())) {
    alert->gone = true;
  }
  times.state = AlertState::kInactive;
  times.keep_firing_since_ms = 0;
}

bool Advance(bool holds, int64_t time_ms, const RuleSpec& rule, bool heard,
             TrackedAlert* alert) {
  AlertTimes& times = alert->times;
  if (!holds) {
    if (times.state == AlertState::kInactive) {
      if (time_ms - times.resolved_at_ms > kResolvedRetentionMs &&
          !(heard && alert->unheard())) {
        alert->gone = true;
      }
      return false;
    }
    bool keeps = false;
    if (times.state == AlertState::kFiring && rule.keep_firing_for_ms > 0) {
      if (times.keep_firing_since_ms == 0) times.keep_firing_since_ms = time_ms;
      keeps = time_ms - times.keep_firing_since_ms < rule.keep_firing_for_ms;
    }
    if (!keeps) {
      End(time_ms, heard, alert);
      return false;
    }
  } else {
    times.keep_firing_since_ms = 0;
  }
  const bool long_enough = time_ms - times.active_at_ms >= rule.for_ms;
  if (times.state == AlertState::kPending && long_enough) {
    times.state = AlertState::kFiring;
    times.fired_at_ms = time_ms;
    times.resolved_at_ms = 0;
  } else if (times.state == AlertState::kFiring && !long_enough) {
    // A reload has raised `for`. Whoever was told that it fires learns that it
    // does no more.
    times.state = AlertState::kPending;
    times.keep_firing_since_ms = 0;
    times.resolved_at_ms = time_ms;
  }
  return true;
}

std::string RuleId(const RuleSpec& rule, uint64_t ordinal) {
  std::string labels;
  for (const auto& [name, value] : rule.labels) {
    PutString(name, &labels);
    PutString(value, &labels);
  }
  std::string id;
  PutString(rule.name, &id);
  PutString(labels, &id);
  PutVarint(ordinal, &id);
  return id;
}

std::string NoRuleId() { return std::string(3, '\0'); }

std::string GroupKeyPrefix(std::string_view file, std::string_view group) {
  std::string prefix;
  PutString(file, &prefix);
  PutString(group, &prefix);
  return prefix;
}

std::string AfterPrefix(std::string_view prefix) {
  std::string after(prefix);
  while (!after.empty() && after.back() == '\xFF') after.pop_back();
  if (!after.empty()) ++after.back();
  return after;
}

std::string EncodeAlertKey(const AlertKey& key) {
  std::string out = GroupKeyPrefix(key.file, key.group);
  out += key.rule_id;
  out += key.labels.bytes();
  return out;
}

absl::StatusOr<AlertKey> DecodeAlertKey(std::string_view bytes) {
  Reader reader(bytes);
  AlertKey key;
  key.file = reader.String();
  key.group = reader.String();
  const std::string_view id = reader.rest();
  reader.String();
  reader.String();
  reader.Varint();
  if (!reader.ok()) {
    return absl::DataLossError("alert state: a key that cannot be read");
  }
  key.rule_id = id.substr(0, id.size() - reader.rest().size());
  VIGIE_ASSIGN_OR_RETURN(key.labels, Labels::FromBytes(reader.rest()));
  return key;
}

std::string EncodeAlertRecord(const TrackedAlert& alert) {
  const AlertTimes& times = alert.times;
  std::string out(1, kRecordVersion);
  out.push_back(static_cast<char>(times.state));
  for (const int64_t time_ms :
       {times.active_at_ms, times.fired_at_ms, times.keep_firing_since_ms,
        times.resolved_at_ms}) {
    PutTime(time_ms, &out);
  }
  const auto bits = std::bit_cast<uint64_t>(alert.value);
  for (int shift = 0; shift < 64; shift += 8) {
    out.push_back(static_cast<char>(bits >> shift));
  }
  PutString(alert.told_labels.bytes(), &out);
  PutString(alert.generator_url, &out);
  PutVarint(alert.annotations.size(), &out);
  for (const auto& [name, value] : alert.annotations) {
    PutString(name, &out);
    PutString(value, &out);
  }
  return out;
}

absl::StatusOr<TrackedAlert> DecodeAlertRecord(std::string_view record) {
  Reader reader(record);
  const char version = reader.Byte();
  if (reader.ok() && version != kRecordVersion) {
    return absl::DataLossError(fmt::format(
        "version {}; this vigie reads and writes version {}",
        static_cast<int>(version), static_cast<int>(kRecordVersion)));
  }
  TrackedAlert alert;
  AlertTimes& times = alert.times;
  const char state = reader.Byte();
  for (int64_t* time_ms :
       {&times.active_at_ms, &times.fired_at_ms, &times.keep_firing_since_ms,
        &times.resolved_at_ms}) {
    *time_ms = reader.Time();
  }
  uint64_t bits = 0;
  for (int shift = 0; shift < 64; shift += 8) {
    bits |= static_cast<uint64_t>(static_cast<unsigned char>(reader.Byte()))
            << shift;
  }
  const std::string_view told_labels = reader.String();
  alert.generator_url = reader.String();
  const uint64_t annotations = reader.Varint();
  for (uint64_t i = 0; i < annotations && reader.ok(); ++i) {
    std::string name(reader.String());
    alert.annotations.emplace_back(std::move(name), reader.String());
  }
  if (!reader.ok() || !reader.rest().empty() ||
      state > static_cast<char>(AlertState::kFiring) || state < 0) {
    return absl::DataLossError("cannot be read");
  }
  VIGIE_ASSIGN_OR_RETURN(alert.told_labels, Labels::FromBytes(told_labels));
  times.state = static_cast<AlertState>(state);
  alert.value = std::bit_cast<double>(bits);
  alert.stored = times;
  return alert;
}

}  // namespace vigie::alerting
