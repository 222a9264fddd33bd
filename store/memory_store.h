// MemoryStore: an Appender and a Queryable in memory, for rule tests and for
// tests of the rooms around the store. Synchronous: a completion runs within
// Append, unless held. It keeps floats, both kinds of histogram, what deltas
// add up to, exemplars (all of them) and metadata; it has no retention, no
// out-of-order window and no index.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/appender.h"
#include "store/queryable.h"

namespace vigie::store {

class MemoryStore final : public Appender, public Queryable {
 public:
  MemoryStore();
  ~MemoryStore() override;

  // From now on every batch is refused whole with `status`, as a full disk
  // would; OK ends it.
  void RefuseWith(absl::Status status);

  // Completions wait until Release, as if the disk were slow to sync. What
  // they are for becomes visible at Release too.
  void Hold();
  void Release();

  // References given out so far mean nothing from now on, as if their series
  // had left the head.
  void ForgetReferences();

  // Batches that were given to Append, held ones included.
  uint64_t batches() const;
  // Blocks until as many batches were given.
  void AwaitBatches(uint64_t count) const;

  void Append(AppendBatch batch, AppendCompletion done) override;

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
  std::optional<uint64_t> ChangeVersion(const Tenant& tenant) const override;
  TimeRange UnchangedSince(const Tenant& tenant, uint64_t version,
                           const TimeRange& range) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::store
