// Head: what is in memory of series: the samples that no block holds yet, how
// far each series has come, exemplars and metadata beside them. It decides
// nothing: records that admission.h made, live or replayed, are applied as
// they stand.
// Thread-compatible: one HeadLock guards it. What a call says to take long is
// done in steps, each short enough to hold the lock for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "model/exemplar.h"
#include "store/batch_record.h"
#include "store/log.h"
#include "store/seal_capture.h"
#include "store/series_index.h"
#include "store/series_page.h"

namespace vigie::store {

// Kept a series, the newest ones.
inline constexpr size_t kExemplarsMax = 16;

// The pages that a seal is about, and how far a walk over them has come. It
// belongs to the sealing thread.
struct SealPages {
  std::vector<SeriesPage*> pages;  // by id
  size_t next = 0;
  size_t next_series = 0;         // of the capture
  std::vector<uint64_t> sources;  // of its series: index in `pages`, slot
  std::vector<std::shared_ptr<const FrozenPage>> trash;

  // Before the first CaptureMore; needs no lock. Makes room for all series of
  // these pages, so that none is moved under it.
  void Prepare(SealCapture* capture);
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
  // nothing that is read. kDataLoss if it names a series that nobody defined.
  // `identities` are those of its definitions; all of them known to be new.
  absl::Status Apply(LogPosition position, const BatchRecord& record,
                     const std::vector<SeriesIdentity>& identities);

  // The same in parts, for a replay: definitions, samples, then the rest. The
  // samples of several records may be applied between their definitions and
  // their rest, each thread its share of the pages; Join when all are done.
  struct Share {
    unsigned index = 0;  // of the pages, those with this number modulo `of`
    unsigned of = 1;
    std::vector<SeriesPage*> dirtied;
    uint64_t samples = 0;
    uint64_t weight = 0;
  };
  absl::Status Define(const BatchRecord& record,
                      const std::vector<SeriesIdentity>& identities);
  absl::Status ApplySamples(const BatchRecord& record, Share* share);
  void Join(Share* share);
  absl::Status ApplyRest(LogPosition position, const BatchRecord& record);

  // What the blocks tell at start-up: series before their exemplars.
  absl::Status LoadSeries(uint64_t id, std::string_view tenant,
                          const Labels& labels);
  absl::Status LoadState(uint64_t id, const SeriesState& state);
  absl::Status LoadExemplars(uint64_t id, std::vector<Exemplar> exemplars);
  void LoadMetadata(std::string_view tenant, std::string_view metric,
                    MetadataEntry entry);

  // A seal. BeginCapture draws the line: what is open then stands still, and
  // readers still see it, until the next one. CaptureMore moves the next pages
  // of it into `*capture` and is false once that was all; the capture is then
  // complete but for its `labels`. Afterwards, from the first page on, either
  // Publish, at the moment from which blocks hold it, and ReleaseMore until it
  // is false, or RestoreMore until it is false.
  void BeginCapture(SealPages* pages, SealCapture* capture);
  bool CaptureMore(SealPages* pages, SealCapture* capture);
  void Publish(const SealCapture& capture);
  // What is to be destroyed stays in `*pages`, best without the lock.
  bool ReleaseMore(SealPages* pages, const SealCapture& capture);
  bool RestoreMore(SealPages* pages, const SealCapture& capture);

  // Series leave the head once blocks hold all of them and nothing has come
  // for long: IsIdle. Collect, in steps of what a lock may be held for, then
  // Leave, which looks again and leaves out what is not idle any more. The
  // next capture names those that left.
  struct IdleBefore {
    int64_t newest_ms = 0;  // the newest sample is before it
    int64_t delta_ms = 0;   // and of those that increments feed, the last end
  };
  std::vector<uint64_t> Directories() const { return pages_.Directories(); }
  std::vector<const SeriesPage*> PagesOf(uint64_t directory) const {
    return pages_.PagesOf(directory);
  }
  static void CollectIdle(const SeriesPage& page, const IdleBefore& before,
                          std::vector<uint64_t>* ids);
  // How many have left.
  size_t Leave(const std::vector<uint64_t>& ids, const IdleBefore& before);
  // Whether a series with samples in `day` may have left the head.
  bool MayHaveLeft(int32_t day) const {
    return day <= unknown_until_day_ || days_left_.contains(day);
  }
  // Nothing is known of the days up to `day`: they were before this process.
  void ForgetDaysUntil(int32_t day) {
    unknown_until_day_ = std::max(unknown_until_day_, day);
  }

  // Retention: the series whose newest sample is before `time_ms`, which are
  // then for Forget once their rows are gone, or for KeepUnstored if it is not
  // known whether they are. Those that are dirty are left for the time after
  // their seal. Of the others the oldest sample is not before it either.
  std::vector<uint64_t> DropBefore(int64_t time_ms);
  void Forget(const std::vector<uint64_t>& ids);
  void KeepUnstored(const std::vector<uint64_t>& ids);
  // Forgets what was not seen since; returns tenant and metric.
  std::vector<std::pair<std::string, std::string>> SweepMetadata(
      int64_t seen_before_ms);

  const SeriesIndex& index() const { return index_; }
  SeriesPage* FindPage(uint64_t id) const { return pages_.Find(id); }
  const MemSeries* Find(uint64_t id) const {  // null if there is none
    const SeriesPage* page = pages_.Find(id);
    return page == nullptr || (page->used & BitOf(id)) == 0
               ? nullptr
               : &page->series[SlotOf(id)];
  }
  // For many of them; until the head changes.
  SeriesCursor Series() const { return SeriesCursor(pages_); }
  // Appends the samples of a series within `range`, in order; none if it left.
  void Read(uint64_t id, const TimeRange& range, SampleRuns* runs) const;
  // The newest, if it is a float without start time, lies within `range`, and
  // the head knows that nothing is newer.
  std::optional<Sample> ReadNewest(uint64_t id, const TimeRange& range) const;
  // The last seal whose samples Read leaves to the blocks.
  uint64_t published() const { return published_epoch_; }
  // Null if it has none.
  const std::vector<Exemplar>* ExemplarsOf(uint64_t id) const;
  // The number of a tenant, as in SeriesPage; one that nothing has if there
  // is no such tenant.
  uint32_t TenantNumber(std::string_view tenant) const;

  const StringMap<StringMap<MetadataEntry>>& metadata() const {
    return metadata_;
  }
  size_t metadata_entries() const { return metadata_entries_; }

  uint64_t next_series_id() const { return next_series_id_; }
  void RaiseNextSeriesId(uint64_t id) {
    next_series_id_ = std::max(next_series_id_, id);
  }
  // Blocks hold what lies before `end`. A capture never goes back behind it,
  // even if nothing is applied before.
  void RaiseAppliedEnd(LogPosition end) {
    applied_end_ = std::max(applied_end_, end);
  }
  uint64_t samples() const { return samples_; }
  // Samples, but a histogram counts as many as it takes room for.
  uint64_t weight() const { return weight_; }
  bool dirty() const {
    return !dirty_pages_.empty() || metadata_dirty_ || !gone_.empty();
  }

 private:
  SeriesPage& AddSeries(uint64_t id, const SeriesIdentity& identity,
                        std::string_view tenant, const Labels& labels);
  // Before `id` is added: what else has its labels had left before, and goes.
  // kDataLoss if it cannot have, or `id` is out of bounds.
  absl::Status MakeRoom(uint64_t id, const SeriesIdentity& identity);
  void Remove(const std::vector<uint64_t>& ids);
  // `series` goes: its samples are now found by the index of these days.
  void NoteDaysOf(const MemSeries& series);
  void MarkDirty(SeriesPage* page, uint64_t bits);
  // Moves what is open aside for the capture that waits for it.
  void Freeze(SeriesPage* page);
  // `note` is called with the page and the index of each sample.
  template <class Value, class Note>
  absl::Status ApplyColumns(const BatchRecord::Columns<Value>& samples,
                            Share* share, Note note);
  void CaptureSeries(const SeriesPage& page, size_t slot,
                     SealCapture* capture) const;
  void RestorePage(SeriesPage* page);

  const std::string secret_;
  SeriesIndex index_;
  PageTable pages_;
  StringMap<uint32_t> tenants_;
  StringMap<StringMap<MetadataEntry>> metadata_;  // by tenant, by metric
  size_t metadata_entries_ = 0;
  bool metadata_dirty_ = false;
  uint64_t samples_ = 0;          // open and frozen
  uint64_t weight_ = 0;           // of them
  uint64_t captured_weight_ = 0;  // of what the last capture began with
  uint64_t next_series_id_ = 1;
  LogPosition applied_end_ = 1;  // one after the last record applied

  uint64_t epoch_ = 1;            // of what is open
  uint64_t published_epoch_ = 0;  // up to it blocks hold what is frozen
  std::vector<SeriesPage*> dirty_pages_;

  std::vector<uint64_t> gone_;  // since the last capture
  absl::flat_hash_set<int32_t> days_left_;
  int32_t unknown_until_day_ = kNoDay;
  int64_t blocks_newest_ms_ = INT64_MIN;  // no block has a newer sample
};

}  // namespace vigie::store
