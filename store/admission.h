// Admission decides what of a batch is taken, before anything of it is
// written: against the samples that the head has applied, never against what
// is still on its way. So a record depends on no other record that may yet
// fail. Rules and limits: docs/decisions/0017-admission-before-the-log.md,
// of increments and histograms 0085-increments-are-added-up-once.md.
// Thread-compatible: it belongs to the writer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "store/appender.h"
#include "store/batch_record.h"
#include "store/head.h"
#include "store/label_rules.h"
#include "store/store.h"

namespace vigie::store {

inline constexpr size_t kSeriesMax = 10'000'000;  // a store
inline constexpr size_t kMetadataMax = 100'000;   // metrics with metadata
// Metadata that has not changed is logged again once it is this old, so that
// retention sees what is still in use.
inline constexpr int64_t kMetadataRefreshMs = 86'400'000;
// A series that increments feed is remembered for this long after the last
// one. Increments that are older need a series that is remembered.
inline constexpr int64_t kDeltaIdleMs = 86'400'000;

class Admission {
 public:
  explicit Admission(const StoreOptions& options);
  ~Admission();

  // Batches of one group may be on their way to the log together. NewGroup
  // when all of them are applied or have failed.
  void NewGroup(uint64_t next_series_id);

  struct Decision {
    BatchRecord record;                      // may be empty
    std::vector<SeriesIdentity> identities;  // of its definitions
    AppendOutcome outcome;
  };
  // Null if the batch touches a series that an earlier one of this group does:
  // decide it in the next group. Otherwise histograms, and labels of series
  // that are new, may be moved out of it. The head may be read by others
  // meanwhile.
  std::optional<Decision> Decide(AppendBatch* batch, const Head& head,
                                 int64_t now_ms);

 private:
  struct Scratch;
  class Deciding;

  const StoreOptions options_;
  uint64_t group_first_batch_ = 1;
  uint64_t batch_ = 0;
  uint64_t next_series_id_ = 1;
  // Defined by earlier batches of this group.
  absl::flat_hash_set<SeriesIdentity> group_new_;
  const std::unique_ptr<Scratch> scratch_;  // emptied before each batch
};

}  // namespace vigie::store
