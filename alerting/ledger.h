// Ledger: the durable record of every decision and attempt, bounded in number
// and age. Entries go into the batch of the change they are about, so neither
// is there without the other.
// Thread-compatible; reading is thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/dispatcher.h"
#include "store/records.h"

namespace vigie::alerting {

class Ledger {
 public:
  // `records` outlives the ledger. kDataLoss names what cannot be read.
  static absl::StatusOr<Ledger> Open(store::Records& records,
                                     int64_t entries_max, int64_t age_max_ms);

  // Adds `entry` to `batch`. Sequence numbers of a batch that is not written
  // are left out for good; readers do not mind.
  void Add(const LedgerEntry& entry, store::RecordBatch* batch);

  // Deletes what is beyond the bounds, a batch at a time.
  absl::Status Trim(int64_t now_ms);

  // The last `limit` entries, oldest first.
  static absl::StatusOr<std::vector<LedgerEntry>> Read(
      const store::Records& records, int64_t limit, uint64_t next_sequence);

  uint64_t next_sequence() const { return next_; }

 private:
  Ledger(store::Records& records, int64_t entries_max, int64_t age_max_ms)
      : records_(&records),
        entries_max_(entries_max),
        age_max_ms_(age_max_ms) {}

  store::Records* records_;
  int64_t entries_max_;
  int64_t age_max_ms_;
  uint64_t first_ = 0;  // the oldest that may be there
  uint64_t next_ = 0;
};

}  // namespace vigie::alerting
