#include "alerting/ledger.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "alerting/dispatch_records.h"
#include "base/status_macros.h"
#include "model/tenant.h"

namespace vigie::alerting {
namespace {

constexpr size_t kTrimBatchMax = 1'000;

}  // namespace

absl::StatusOr<Ledger> Ledger::Open(store::Records& records,
                                    int64_t entries_max, int64_t age_max_ms) {
  Ledger ledger(records, entries_max, age_max_ms);
  absl::Status status = absl::OkStatus();
  bool any = false;
  VIGIE_RETURN_IF_ERROR(
      records.Scan(Tenant{}, kLedgerTable, "", "",
                   [&](std::string_view key, std::string_view) {
                     absl::StatusOr<uint64_t> sequence = ParseLedgerKey(key);
                     if (!sequence.ok()) {
                       status = sequence.status();
                       return false;
                     }
                     if (!any) ledger.first_ = *sequence;
                     any = true;
                     ledger.next_ = *sequence + 1;
                     return true;
                   }));
  VIGIE_RETURN_IF_ERROR(status);
  return ledger;
}

void Ledger::Add(const LedgerEntry& entry, store::RecordBatch* batch) {
  batch->Put(Tenant{}, kLedgerTable, LedgerKey(next_++), Encode(entry));
}

absl::Status Ledger::Trim(int64_t now_ms) {
  const auto entries_max = static_cast<uint64_t>(entries_max_);
  while (true) {
    const uint64_t keep_from =
        next_ > entries_max ? std::max(first_, next_ - entries_max) : first_;
    uint64_t first_kept = first_;
    store::RecordBatch batch;
    absl::Status status = absl::OkStatus();
    VIGIE_RETURN_IF_ERROR(records_->Scan(
        Tenant{}, kLedgerTable, LedgerKey(first_), "",
        [&](std::string_view key, std::string_view value) {
          absl::StatusOr<uint64_t> sequence = ParseLedgerKey(key);
          LedgerEntry entry;
          if (sequence.ok()) status = Decode(value, &entry);
          if (!sequence.ok() || !status.ok()) return false;
          if (*sequence >= keep_from && entry.time_ms >= now_ms - age_max_ms_) {
            return false;
          }
          batch.Delete(Tenant{}, kLedgerTable, key);
          first_kept = *sequence + 1;
          return batch.changes().size() < kTrimBatchMax;
        }));
    VIGIE_RETURN_IF_ERROR(status);
    if (batch.changes().empty()) return absl::OkStatus();
    VIGIE_RETURN_IF_ERROR(records_->Write(batch));
    first_ = first_kept;
  }
}

absl::StatusOr<std::vector<LedgerEntry>> Ledger::Read(
    const store::Records& records, int64_t limit, uint64_t next_sequence) {
  std::vector<LedgerEntry> out;
  if (limit <= 0) return out;
  absl::Status status = absl::OkStatus();
  // Numbers may be missing: what one scan leaves open, a longer one finds.
  for (auto span = static_cast<uint64_t>(limit);; span *= 2) {
    const uint64_t from = next_sequence > span ? next_sequence - span : 0;
    out.clear();
    VIGIE_RETURN_IF_ERROR(records.Scan(
        Tenant{}, kLedgerTable, LedgerKey(from), LedgerKey(next_sequence),
        [&](std::string_view, std::string_view value) {
          status = Decode(value, &out.emplace_back());
          return status.ok();
        }));
    VIGIE_RETURN_IF_ERROR(status);
    if (from == 0 || out.size() >= static_cast<size_t>(limit)) break;
  }
  if (out.size() > static_cast<size_t>(limit)) {
    out.erase(out.begin(), out.end() - limit);
  }
  return out;
}

}  // namespace vigie::alerting
