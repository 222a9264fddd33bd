// Reader answers from head and blocks together: the samples of a series are
// read from the head and from the blocks that go with it, so a seal in between
// neither hides one nor shows it twice. Series that left the head are found by
// the index of the days they may have left; ids of equal labels are one series.
// Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "store/blocks.h"
#include "store/head.h"
#include "store/head_lock.h"
#include "store/queryable.h"
#include "store/retention.h"
#include "store/sample_changes.h"
#include "store/selection.h"
#include "store/store_metrics.h"

namespace vigie::store {

class ScopedCharge;

class Reader final : public Queryable, private HeadSamples {
 public:
  // All outlive the reader. `lock` guards `head`, and whoever publishes a seal
  // holds it alone.
  // `horizon` says what a tenant may see, from any thread.
  Reader(HeadLock& lock, const Head& head, Blocks& blocks,
         SampleChanges& changes, StoreMetrics& metrics,
         std::function<Horizon(std::string_view tenant)> horizon)
      : lock_(lock),
        head_(head),
        blocks_(blocks),
        changes_(changes),
        metrics_(metrics),
        horizon_(std::move(horizon)) {}

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
  // Of series in the head and of those that left it; the latter are found by
  // the days of their samples, from a day before `range` on.
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
  std::optional<uint64_t> ChangeVersion(const Tenant& tenant) const override;
  // Not below the horizon, which moves without a version.
  TimeRange UnchangedSince(const Tenant& tenant, uint64_t version,
                           const TimeRange& range) const override;

 private:
  using Selectors = std::vector<std::vector<Matcher>>;

  std::shared_ptr<const SelectionView> Read(
      const Selection& selection, const SelectedSeries& series,
      std::shared_ptr<const SelectionView> known,
      SampleRuns* runs) const override;

  // Ascending ids of what any of `selectors` matches; all if there is none.
  // They are charged.
  absl::StatusOr<SeriesIndex::IdList> MatchAny(const Tenant& tenant,
                                               const Selectors& selectors,
                                               const ReadContext& context,
                                               ScopedCharge* charge) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // The days of `range` that a series may have left the head with.
  std::vector<int32_t> DaysLeft(const BlockSnapshot& blocks,
                                const TimeRange& range) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // Those of MatchAny that may have samples in `range`. All of MatchAny are
  // added to `*known` unless that is null.
  absl::StatusOr<SeriesIndex::IdList> MatchSampled(
      const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
      const ReadContext& context, ScopedCharge* charge, IdRuns* known) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // Calls `in_head`, under the lock, or `left_head` with each series that
  // matches any of `selectors` and may have samples in `range`; labels of some
  // come more than once. A day whose index is damaged is left out, and
  // `*warnings` says so.
  absl::Status VisitSeries(
      const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
      const ReadContext& context, std::vector<std::string>* warnings,
      absl::FunctionRef<absl::Status(const SeriesIndex& index, uint64_t id)>
          in_head,
      absl::FunctionRef<absl::Status(Labels labels)> left_head) const;

  // Calls `visit` with the distinct label pairs of these series, or those of
  // `label`. Once all that come later may have come before: `repeats`.
  absl::Status VisitPairs(
      const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
      std::string_view label, const ReadContext& context,
      std::vector<std::string>* warnings, absl::FunctionRef<void()> repeats,
      absl::FunctionRef<absl::Status(LabelView pair)> visit) const;

  HeadLock& lock_;
  const Head& head_ ABSL_GUARDED_BY(lock_);
  Blocks& blocks_;
  SampleChanges& changes_;
  StoreMetrics& metrics_;
  const std::function<Horizon(std::string_view tenant)> horizon_;
};

// True if the series may have samples in `range`, by its oldest and newest.
inline bool MayHaveSamples(const MemSeries& series, const TimeRange& range) {
  return series.newest_ms != MemSeries::kNoSamples &&
         range.Overlaps({series.first_ms, series.newest_ms});
}

}  // namespace vigie::store
