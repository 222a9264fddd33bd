// Head: what is in memory of every series: the samples that no block holds
// yet, its labels and where else it has samples; exemplars and metadata beside
// them. It decides nothing: records that admission.h made, live or replayed,
// are applied as they stand.
// Thread-compatible: one HeadLock guards it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "model/exemplar.h"
#include "store/batch_record.h"
#include "store/log.h"
#include "store/sample_columns.h"
#include "store/series_index.h"
#include "store/windows.h"

namespace vigie::store {

// Kept a series, the newest ones.
inline constexpr size_t kExemplarsMax = 16;

// The samples of one series in memory; its names are the index's.
struct MemSeries {
  static constexpr int64_t kNoSamples = std::numeric_limits<int64_t>::min();

  uint64_t id = 0;
  int64_t newest_ms = kNoSamples;
  WindowSet windows;   // where it has samples, in memory or in blocks
  SampleColumns open;  // not sealed yet
  std::shared_ptr<const SampleColumns> sealing;  // on their way into a block
  std::vector<Exemplar> exemplars;  // the newest ones, as they came
  bool stored = false;              // its row is in the blocks
  bool dirty = false;               // something of it is only in the log
  bool exemplars_dirty = false;     // and its exemplars are part of that

  // Of the writer alone: the batch that touched it last, and its slot there.
  uint64_t batch = 0;
  uint32_t slot = 0;
};

struct MetadataEntry {
  Metadata metadata;
  int64_t seen_ms = 0;  // when it was logged last
  bool dirty = false;   // only in the log
};

// What a seal takes from the head, and what it then finds there again. Whoever
// writes it into blocks knows nothing of the head.
struct SealCapture {
  struct Series {
    uint64_t id = 0;
    std::string tenant;
    uint32_t metric_hash = 0;
    bool write_row = false;
    Labels labels;  // if write_row
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
  // Replaces `*runs` by the samples of series[i]; may be none. Thread-safe, as
  // what was captured does not change.
  std::function<void(size_t i, SampleRuns* runs)> read;

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
  MemSeries* Find(uint64_t id) const {  // null if there is none
    const auto it = series_.find(id);
    return it == series_.end() ? nullptr : it->second.get();
  }
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
  MemSeries& AddSeries(uint64_t id, std::string_view tenant,
                       const Labels& labels);
  void MarkDirty(MemSeries* series);
  void ApplyRun(const BatchRecord& record, const BatchRecord::Run& run,
                MemSeries* series);

  const std::string secret_;
  SeriesIndex index_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<MemSeries>> series_;
  StringMap<StringMap<MetadataEntry>> metadata_;  // by tenant, by metric
  size_t metadata_entries_ = 0;
  bool metadata_dirty_ = false;
  std::vector<MemSeries*> dirty_;
  uint64_t samples_ = 0;  // open and sealing
  uint64_t next_series_id_ = 1;
  LogPosition applied_end_ = 1;  // one after the last record applied
};

}  // namespace vigie::store
