// LocalStore's second thread: seals when due, keeps retention.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <limits>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/local_store.h"
#include "store/retention.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kBackoffMax = absl::Minutes(1);
constexpr int64_t kMsNs = 1'000'000;
constexpr int64_t kEverything = std::numeric_limits<int64_t>::min();

// About a millisecond under the head's lock.
constexpr size_t kLeavingAStep = 1024;

}  // namespace

absl::Status LocalStore::Seal() {
  MutexLock lock(maintenance_mutex_);
  return SealNow();
}

absl::Status LocalStore::ApplyRetention() {
  MutexLock lock(maintenance_mutex_);
  return KeepRetention();
}

// Before a seal takes what has come since the last one: who has nothing of that
// is idle, however old the samples are that it is sent.
void LocalStore::SendIdleAway() {
  if (options_.series_idle_ms == 0) return;
  const int64_t now_ms = clock_.NowMs();
  const Head::IdleBefore before{now_ms - options_.series_idle_ms,
                                now_ms - kDeltaIdleMs};
  std::vector<uint64_t> directories, idle;
  {
    HeadReaderLock lock(head_lock_);
    directories = head_->Directories();
  }
  for (const uint64_t directory : directories) {
    HeadReaderLock lock(head_lock_);
    for (const SeriesPage* page : head_->PagesOf(directory)) {
      Head::CollectIdle(*page, before, &idle);
    }
  }
  std::sort(idle.begin(), idle.end());
  for (size_t i = 0; i < idle.size();) {
    const size_t end = std::min(idle.size(), i + kLeavingAStep);
    // No batch may be resolved to a series that leaves before it is applied.
    MutexLock admission(admission_mutex_);
    HeadWriterLock lock(head_lock_);
    head_->Leave({idle.begin() + static_cast<std::ptrdiff_t>(i),
                  idle.begin() + static_cast<std::ptrdiff_t>(end)},
                 before);
    i = end;
  }
}

// What the head holds is walked in steps, so that batches and queries wait
// for a millisecond at most.
absl::Status LocalStore::SealNow() {
  if (absl::Status status = blocks_->Recover(); !status.ok()) {
    return Prefixed("seal", status);
  }
  SendIdleAway();
  SealCapture capture;
  SealPages pages;
  {
    HeadWriterLock lock(head_lock_);
    if (!head_->dirty()) return absl::OkStatus();
    head_->BeginCapture(&pages, &capture);
  }
  pages.Prepare(&capture);
  for (bool more = true; more;) {
    HeadWriterLock lock(head_lock_);
    more = head_->CaptureMore(&pages, &capture);
  }
  capture.labels = [this, &capture](size_t i) {
    HeadReaderLock lock(head_lock_);
    return head_->index().LabelsOf(capture.series[i].id);
  };
  StepDone(SealStep::kCaptured);
  // Each attempt has its own number: what a failed one may have left behind
  // is then only a copy, which readers fold.
  ++next_seal_;
  const Watermark watermark{capture.end, capture.next_series_id, next_seal_};
  absl::Status status =
      blocks_->Write(capture, watermark, options_.store.chunk_samples_max);
  if (status.ok()) {
    StepDone(SealStep::kWritten);
    // Readers take head and blocks under this lock: they see the samples in
    // one of the two, never in both or in none.
    HeadWriterLock lock(head_lock_);
    status = blocks_->Publish();
    if (status.ok()) head_->Publish(capture);
  }
  pages.next = 0;
  if (!status.ok()) {
    for (bool more = true; more;) {
      HeadWriterLock lock(head_lock_);
      more = head_->RestoreMore(&pages, capture);
    }
    metrics_.seal_failures.Increment();
    return Prefixed("seal", status);
  }
  for (bool more = true; more;) {
    {
      HeadWriterLock lock(head_lock_);
      more = head_->ReleaseMore(&pages, capture);
    }
    pages.trash.clear();
  }
  capture.read = nullptr;  // gives back what was captured
  ::malloc_trim(0);
  StepDone(SealStep::kPublished);
  metrics_.seals.Increment();
  // What stays is trimmed by the next seal.
  if (absl::Status trimmed = log_->Trim(capture.end); !trimmed.ok()) {
    spdlog::warn("store: trim: {}", MessageOf(trimmed));
  }
  StepDone(SealStep::kTrimmed);
  metrics_.log_bytes.Set(static_cast<double>(log_->bytes_on_disk()));
  metrics_.block_bytes.Set(static_cast<double>(blocks_->bytes_on_disk()));
  {
    HeadReaderLock lock(head_lock_);
    metrics_.head_samples.Set(static_cast<double>(head_->samples()));
    metrics_.head_series.Set(static_cast<double>(head_->index().size()));
  }
  return absl::OkStatus();
}

absl::Status LocalStore::KeepRetention() {
  const int64_t now_ms = clock_.NowMs();
  const OldestBySize by_size =
      OldestThatFit(options_.store, blocks_->Days(), log_->bytes_on_disk());
  // Whole windows go, so it may be a few hours more; none comes back.
  const auto later = [](int64_t kept_ms, int64_t time_ms, int64_t size_ms) {
    const int64_t oldest_ms = std::max(time_ms, size_ms);
    return oldest_ms == kEverything
               ? kept_ms
               : std::max(kept_ms, WindowStartMs(NearestWindowOf(oldest_ms)));
  };
  KeptSince kept = kept_;
  kept.samples_ms = later(kept.samples_ms, OldestKeptMs(options_.store, now_ms),
                          by_size.samples_ms);
  for (const StoreOptions::Rollup& rollup : options_.store.rollups) {
    int64_t& kept_ms =
        kept.rollups_ms.try_emplace(rollup.resolution_ms, kEverything)
            .first->second;
    kept_ms = later(
        kept_ms, OldestRollupMs(options_.store, rollup.resolution_ms, now_ms),
        by_size.rollups_ms);
  }
  return kept == kept_ ? absl::OkStatus() : KeepSince(kept);
}

absl::Status LocalStore::KeepSince(const KeptSince& kept) {
  // Names go once nothing is left of them.
  int64_t oldest_ms = kept.samples_ms;
  for (const auto& [resolution_ms, kept_ms] : kept.rollups_ms) {
    oldest_ms = std::min(oldest_ms, kept_ms);
  }
  std::vector<std::pair<std::string, std::string>> metadata;
  {
    // No batch may be resolved to a series between its row's end and its
    // own, and no other series may get its labels before that.
    MutexLock admission(admission_mutex_);
    std::vector<uint64_t> series;
    {
      HeadWriterLock lock(head_lock_);
      series = head_->DropBefore(oldest_ms);
      metadata = head_->SweepMetadata(oldest_ms);
    }
    const absl::Status dropped = blocks_->DropSeries(series);
    HeadWriterLock lock(head_lock_);
    if (!dropped.ok()) {
      head_->KeepUnstored(series);
      return dropped;
    }
    head_->Forget(series);
    metrics_.head_series.Set(static_cast<double>(head_->index().size()));
  }
  const absl::Status dropped =
      blocks_->DropBefore(kept.samples_ms, [&](int64_t resolution_ms) {
        const auto it = kept.rollups_ms.find(resolution_ms);
        return it == kept.rollups_ms.end() ? kEverything : it->second;
      });
  changes_.NoteAllBefore(kept.samples_ms);  // some may have gone in any case
  VIGIE_RETURN_IF_ERROR(dropped);
  VIGIE_RETURN_IF_ERROR(blocks_->DropMetadata(metadata));
  kept_ = kept;
  blocks_->Reclaim();
  metrics_.block_bytes.Set(static_cast<double>(blocks_->bytes_on_disk()));
  return absl::OkStatus();
}

bool LocalStore::SealIsDue(int64_t last_seal_ns) {
  HeadReaderLock lock(head_lock_);
  if (!head_->dirty()) return false;
  return head_->weight() >= HeadSamplesMax(head_->index().size()) ||
         clock_.MonotonicNs() - last_seal_ns >=
             options_.store.seal_interval_ms * kMsNs;
}

void LocalStore::RunMaintenance(std::stop_token stop) {
  int64_t last_seal_ns = clock_.MonotonicNs();
  int64_t not_before_ns = last_seal_ns;
  absl::Duration backoff = kTick;
  const absl::Duration tick =
      std::min(kTick, absl::Milliseconds(options_.store.seal_interval_ms));
  while (clock_.SleepFor(tick, stop)) {
    if (clock_.MonotonicNs() < not_before_ns) continue;
    MutexLock lock(maintenance_mutex_);
    absl::Status status = blocks_->Recover();
    if (status.ok() && SealIsDue(last_seal_ns)) {
      status = SealNow();
      if (status.ok()) last_seal_ns = clock_.MonotonicNs();
    }
    if (status.ok()) status = KeepRetention();
    if (status.ok()) {
      backoff = kTick;
      continue;
    }
    spdlog::error("store: {}; tried again in {} s", MessageOf(status),
                  absl::ToInt64Seconds(backoff));
    not_before_ns = clock_.MonotonicNs() + absl::ToInt64Nanoseconds(backoff);
    backoff = std::min(2 * backoff, kBackoffMax);
  }
}

}  // namespace vigie::store
