// Head: what is in memory of every series: the samples that no block holds
// yet, its labels and where else it has samples; exemplars and metadata beside
// them. It decides nothing: records that admission.h made, live or replayed,
// are applied as they stand.
// Thread-compatible: one HeadLock guards it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "model/exemplar.h"
#include "store/batch_record.h"
#include "store/log.h"
#include "store/series_index.h"

namespace vigie::store {

// Kept a series, the newest ones.
inline constexpr size_t kExemplarsMax = 16;

struct MetadataEntry {
  Metadata metadata;
  int64_t seen_ms = 0;  // when it was logged last
  bool dirty = false;   // only in the log
};

// What a seal takes from the head, and what it then finds there again.
struct SealCapture {
  struct Series {
    MemSeries* series = nullptr;                   // outlives the seal
    std::shared_ptr<const SampleColumns> samples;  // null: none
    bool write_row = false;
    bool write_exemplars = false;
    int64_t newest_ms = 0;
    WindowSet windows;
    std::vector<Exemplar> exemplars;  // if write_exemplars
  };
  struct Metadata {
    std::string tenant;
    std::string metric;
    MetadataEntry entry;
  };
  // The first position whose record is not part of it.
  LogPosition end = 0;
  uint64_t next_series_id = 0;
  uint64_t samples = 0;
  std::vector<Series> series;
  std::vector<Metadata> metadata;

  bool empty() const { return series.empty() && metadata.empty(); }
};

class Head {
 public:
  // `secret` as in IdentityOf.
  explicit Head(std::string secret) : secret_(std::move(secret)) {}

  SeriesIdentity Identity(std::string_view tenant,
                          std::string_view labels) const {
    return IdentityOf(tenant, labels, secret_);
  }

  // All of `record`, which lies at `position`. Applying it again changes
  // nothing. kDataLoss if it names a series that nobody defined.
  absl::Status Apply(LogPosition position, const BatchRecord& record);

  // What the blocks tell at start-up: series before anything else of them.
  absl::Status LoadSeries(uint64_t id, std::string_view tenant, Labels labels);
  absl::Status LoadWindows(uint64_t id, int64_t newest_ms, WindowSet windows);
  absl::Status LoadExemplars(uint64_t id, std::vector<Exemplar> exemplars);
  void LoadMetadata(std::string_view tenant, std::string_view metric,
                    MetadataEntry entry);

  // A seal: Capture moves the open samples aside, where readers still see
  // them; then Release once a block holds them, or Restore if none does.
  SealCapture Capture();
  void Release(const SealCapture& capture);
  void Restore(const SealCapture& capture);

  // Retention: forgets the windows before `window`; returns the series left
  // without any, which are then for Forget once their rows are gone, or for
  // KeepUnstored if it is not known whether they are. Series that are dirty
  // are left for the time after their seal.
  std::vector<uint64_t> DropWindowsBefore(int32_t window);
  void Forget(const std::vector<uint64_t>& ids);
  void KeepUnstored(const std::vector<uint64_t>& ids);
  // Forgets what was not seen since; returns tenant and metric.
  std::vector<std::pair<std::string, std::string>> SweepMetadata(
      int64_t seen_before_ms);

  const SeriesIndex& index() const { return index_; }
  const StringMap<StringMap<MetadataEntry>>& metadata() const {
    return metadata_;
  }
  size_t metadata_entries() const { return metadata_entries_; }

  uint64_t next_series_id() const { return next_series_id_; }
  void RaiseNextSeriesId(uint64_t id) {
    next_series_id_ = std::max(next_series_id_, id);
  }
  uint64_t samples() const { return samples_; }
  bool dirty() const { return !dirty_.empty() || metadata_dirty_; }

 private:
  MemSeries& AddSeries(uint64_t id, std::string_view tenant, Labels labels);
  void MarkDirty(MemSeries* series);
  void ApplyRun(const BatchRecord& record, const BatchRecord::Run& run,
                MemSeries* series);

  const std::string secret_;
  SeriesIndex index_;
  StringMap<StringMap<MetadataEntry>> metadata_;  // by tenant, by metric
  size_t metadata_entries_ = 0;
  bool metadata_dirty_ = false;
  std::vector<MemSeries*> dirty_;
  uint64_t samples_ = 0;  // open and sealing
  uint64_t next_series_id_ = 1;
  LogPosition applied_end_ = 1;  // one after the last record applied
};

}  // namespace vigie::store
