// What the dispatcher keeps in records.h, and its bytes:
// docs/formats/notifications.md. Reading an unknown version is kDataLoss.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/alert.h"
#include "alerting/dispatcher.h"
#include "model/labels.h"
#include "store/records.h"

namespace vigie::alerting {

inline constexpr std::string_view kAlertTable = "dispatch_alerts";
inline constexpr std::string_view kToldTable = "dispatch_told";
inline constexpr std::string_view kOwedTable = "dispatch_owed";
inline constexpr std::string_view kLedgerTable = "dispatch_ledger";

using Fingerprints = std::set<std::string>;

// The same after a restart and a reload.
struct GroupIdentity {
  std::string key;  // Alertmanager's text form
  std::string receiver;
  Labels labels;

  std::string Text() const { return key + '\0' + receiver; }
};

struct AlertRecord {
  Alert alert;
  int64_t taken_at_ms = 0;  // when it was first given, firing
};

// What one integration of a receiver knows of a group.
struct Told {
  int64_t time_ms = 0;  // of the last message it took; 0: none
  Fingerprints firing;  // what it holds to be firing
  // What a message that was given up would have said; it is not owed again
  // until that changes or the repeat interval has passed.
  int64_t given_up_ms = 0;  // 0: nothing was
  Fingerprints given_up_firing;
  Fingerprints given_up_resolved;

  friend bool operator==(const Told&, const Told&) = default;
};

// A message that one integration is owed.
struct Owed {
  std::string id;
  std::string reason;
  int64_t since_ms = 0;
  int64_t attempts = 0;       // begun
  int64_t not_before_ms = 0;  // of the next attempt
  // An attempt was begun and nobody knows how it ended: the receiver may hold
  // these to be firing.
  bool uncertain = false;
  Fingerprints maybe_firing;
};

struct ChannelRecord {
  GroupIdentity group;
  std::string integration;
};

std::string ChannelKey(const GroupIdentity& group,
                       std::string_view integration);
std::string LedgerKey(uint64_t sequence);
absl::StatusOr<uint64_t> ParseLedgerKey(std::string_view key);

std::string Encode(const AlertRecord& record);
std::string Encode(const ChannelRecord& channel, const Told& told);
std::string Encode(const ChannelRecord& channel, const Owed& owed);
std::string Encode(const LedgerEntry& entry);

absl::Status Decode(std::string_view bytes, AlertRecord* record);
absl::Status Decode(std::string_view bytes, ChannelRecord* channel, Told* told);
absl::Status Decode(std::string_view bytes, ChannelRecord* channel, Owed* owed);
absl::Status Decode(std::string_view bytes, LedgerEntry* entry);

// What is empty is deleted.
void PutTold(const GroupIdentity& group, const std::string& integration,
             const Told& told, store::RecordBatch* batch);
void PutOwed(const GroupIdentity& group, const std::string& integration,
             const std::optional<Owed>& owed, store::RecordBatch* batch);

// For the ledger, whose size a storm must not multiply: the first kListedMax,
// then how many more there are, as "+900".
inline constexpr size_t kListedMax = 100;
std::vector<std::string> Listed(const Fingerprints& set);

// "slack" of "slack[0]".
std::string KindOf(const std::string& integration);

}  // namespace vigie::alerting
