// Reader answers from head and blocks together: what a Select sees of the two
// is captured in one step, so a seal in between neither hides a sample nor
// shows it twice.
// Thread-safe.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "store/blocks.h"
#include "store/head.h"
#include "store/head_lock.h"
#include "store/queryable.h"
#include "store/store_metrics.h"

namespace vigie::store {

class Reader final : public Queryable {
 public:
  // All outlive the reader. `lock` guards `head`, and whoever publishes a seal
  // holds it alone.
  Reader(HeadLock& lock, const Head& head, Blocks& blocks,
         StoreMetrics& metrics)
      : lock_(lock), head_(head), blocks_(blocks), metrics_(metrics) {}

  absl::StatusOr<std::unique_ptr<SeriesSnapshot>> Select(
      const SelectRequest& request, const ReadContext& context) const override;
  absl::StatusOr<NameList> LabelNames(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context) const override;
  absl::StatusOr<NameList> LabelValues(
      const Tenant& tenant, std::string_view label, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context) const override;
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context, bool* truncated) const override;
  absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors,
      const ReadContext& context) const override;
  absl::StatusOr<std::vector<MetricMetadata>> ListMetadata(
      const Tenant& tenant, std::string_view metric,
      const ReadContext& context) const override;
  absl::StatusOr<Cardinality> CountCardinality(
      const Tenant& tenant, uint64_t limit,
      const ReadContext& context) const override;

 private:
  // Ascending ids of what any of `selectors` matches; all if there is none.
  absl::StatusOr<SeriesIndex::IdList> MatchAny(
      const Tenant& tenant, const std::vector<std::vector<Matcher>>& selectors,
      const ReadContext& context) const ABSL_SHARED_LOCKS_REQUIRED(lock_);

  HeadLock& lock_;
  const Head& head_ ABSL_GUARDED_BY(lock_);
  Blocks& blocks_;
  StoreMetrics& metrics_;
};

// True if the series may have samples in `range`, by its windows.
bool MayHaveSamples(const MemSeries& series, const TimeRange& range);

}  // namespace vigie::store
