// Head: what a seal does with it.
#include <algorithm>

#include "base/check.h"
#include "store/day_rows.h"
#include "store/head.h"

namespace vigie::store {
namespace {

// Pages a step: about a millisecond under the lock.
constexpr size_t kSealStride = 128;
constexpr size_t kRestoreStride = 8;

// The days in which `chunk` and `late` have samples, each once.
void AddDays(const OpenPage& open, size_t slot,
             absl::InlinedVector<int32_t, 2>* days) {
  auto add = [&](int32_t day) {
    if (std::find(days->begin(), days->end(), day) == days->end()) {
      days->push_back(day);
    }
  };
  const OpenChunk& chunk = open.chunks[slot];
  if (!chunk.empty()) {
    const int32_t last = DayOf(chunk.last_time_ms());
    // Mostly it is one day, and the chunk's samples need not be looked at.
    const int32_t first =
        DayOf(open.oldest_ms) == last ? last : DayOf(chunk.first_time_ms());
    add(first);
    if (last > first) add(last);
    if (last - first > 1) {  // days between them may be without any
      SampleRuns runs;
      chunk.Decode(&runs);
      for (const SampleColumns& run : runs) {
        for (const int64_t time_ms : run.times_ms) add(DayOf(time_ms));
      }
    }
  }
  if (open.late.empty()) return;
  const auto late = open.late.find(static_cast<uint8_t>(slot));
  if (late == open.late.end()) return;
  for (const auto& [time_ms, sample] : late->second) add(DayOf(time_ms));
}

void AppendAll(const SampleRuns& runs, OpenChunk* chunk) {
  for (const SampleColumns& run : runs) {
    for (size_t i = 0; i < run.size(); ++i) {
      const int64_t time_ms = run.times_ms[i], start_ms = run.start_ms(i);
      switch (run.kind) {
        case SampleKind::kFloat:
          chunk->Append(time_ms, start_ms, run.values[i]);
          break;
        case SampleKind::kIntegerHistogram:
          chunk->Append(time_ms, start_ms, run.integer_histograms[i]);
          break;
        case SampleKind::kFloatHistogram:
          chunk->Append(time_ms, start_ms, run.float_histograms[i]);
          break;
      }
    }
  }
}

uint64_t SamplesOf(const OpenPage& open) {
  uint64_t samples = 0;
  for (const OpenChunk& chunk : open.chunks) samples += chunk.size();
  for (const auto& [slot, late] : open.late) samples += late.size();
  return samples;
}

}  // namespace

void SealPages::Prepare(SealCapture* capture) {
  std::sort(pages.begin(), pages.end(),
            [](const SeriesPage* a, const SeriesPage* b) {
              return a->first_id < b->first_id;
            });
  capture->series.reserve(pages.size() * kPageSeries);
  sources.reserve(pages.size() * kPageSeries);
  trash.reserve(pages.size());
}

void Head::Freeze(SeriesPage* page) {
  page->epoch = epoch_;
  if (page->dirty == 0) return;
  VIGIE_CHECK(page->frozen == nullptr);
  auto frozen = std::make_shared<FrozenPage>();
  frozen->epoch = epoch_ - 1;
  frozen->dirty = page->dirty;
  frozen->exemplars_dirty = page->exemplars_dirty;
  frozen->open = std::move(page->open);
  page->frozen = std::move(frozen);
  page->dirty = 0;
  page->exemplars_dirty = 0;
}

void Head::BeginCapture(SealPages* pages, SealCapture* capture) {
  ++epoch_;
  pages->pages.swap(dirty_pages_);
  pages->next = 0;
  capture->end = applied_end_;
  capture->next_series_id = next_series_id_;
  captured_weight_ = weight_;
  capture->gone.swap(gone_);
  std::sort(capture->gone.begin(), capture->gone.end());
  if (!metadata_dirty_) return;
  for (auto& [tenant, entries] : metadata_) {
    for (auto& [metric, entry] : entries) {
      if (!entry.dirty) continue;
      entry.dirty = false;
      capture->metadata.push_back({tenant, metric, entry});
    }
  }
  metadata_dirty_ = false;
}

void Head::CaptureSeries(const SeriesPage& page, size_t slot,
                         SealCapture* capture) const {
  const FrozenPage& frozen = *page.frozen;
  const uint64_t bit = uint64_t{1} << slot;
  const MemSeries& series = page.series[slot];
  const size_t index = capture->series.size();
  SealCapture::Series& one = capture->series.emplace_back();
  one.id = page.first_id + slot;
  one.metric_hash = index_.MetricHashOf(one.id);
  const std::string_view tenant = index_.TenantOf(one.id);
  auto& tenants = capture->tenants;
  const auto known = std::find(tenants.rbegin(), tenants.rend(), tenant);
  if (known == tenants.rend()) {
    one.tenant = static_cast<uint32_t>(tenants.size());
    tenants.emplace_back(tenant);
  } else {
    one.tenant = static_cast<uint32_t>(tenants.rend() - known - 1);
  }
  one.first_ms = series.first_ms;
  one.newest_ms = series.newest_ms;
  capture->newest_ms = std::max(capture->newest_ms, one.newest_ms);
  one.last_day_indexed = series.last_day_indexed;
  one.is_new = (page.stored & bit) == 0;
  if (frozen.open != nullptr) {
    AddDays(*frozen.open, slot, &one.index_days);
    one.index_days.erase(
        std::remove(one.index_days.begin(), one.index_days.end(),
                    series.last_day_indexed),
        one.index_days.end());
    for (const int32_t day : one.index_days) {
      one.last_day_indexed = std::max(one.last_day_indexed, day);
    }
  }
  const auto key = static_cast<uint8_t>(slot);
  if ((frozen.exemplars_dirty & bit) != 0) {
    capture->exemplars[index] = page.exemplars.at(key);
  }
  if (page.deltas.empty()) return;
  if (const auto it = page.deltas.find(key); it != page.deltas.end()) {
    capture->deltas[index] = it->second;
  }
}

bool Head::CaptureMore(SealPages* pages, SealCapture* capture) {
  const size_t end = std::min(pages->pages.size(), pages->next + kSealStride);
  for (; pages->next < end; ++pages->next) {
    SeriesPage& page = *pages->pages[pages->next];
    if (page.epoch != epoch_) Freeze(&page);
    const FrozenPage& frozen = *page.frozen;
    if (frozen.open != nullptr) capture->samples += SamplesOf(*frozen.open);
    for (uint64_t bits = frozen.dirty; bits != 0; bits &= bits - 1) {
      const auto slot = static_cast<size_t>(__builtin_ctzll(bits));
      CaptureSeries(page, slot, capture);
      pages->sources.push_back(pages->next * kPageSeries + slot);
    }
    pages->trash.push_back(page.frozen);
  }
  if (pages->next < pages->pages.size()) return true;
  // What is frozen stays as it is, so it is read without the lock.
  capture->read = [frozen = std::move(pages->trash),
                   sources = std::move(pages->sources)](size_t i,
                                                        SampleRuns* runs) {
    runs->clear();
    const FrozenPage& page = *frozen[sources[i] / kPageSeries];
    if (page.open == nullptr) return;
    page.open->Read(sources[i] % kPageSeries, TimeRange(), runs);
  };
  pages->trash = {};
  pages->sources = {};
  return false;
}

void Head::Publish(const SealCapture& capture) {
  published_epoch_ = epoch_ - 1;
  blocks_newest_ms_ = std::max(blocks_newest_ms_, capture.newest_ms);
  samples_ -= capture.samples;
  weight_ -= captured_weight_;
}

bool Head::ReleaseMore(SealPages* pages, const SealCapture& capture) {
  const size_t end = std::min(pages->pages.size(), pages->next + kSealStride);
  for (; pages->next < end; ++pages->next) {
    SeriesPage& page = *pages->pages[pages->next];
    for (uint64_t bits = page.frozen->dirty; bits != 0; bits &= bits - 1) {
      const SealCapture::Series& one = capture.series[pages->next_series++];
      page.series[SlotOf(one.id)].last_day_indexed = one.last_day_indexed;
    }
    page.stored |= page.frozen->dirty;
    pages->trash.push_back(std::move(page.frozen));
    page.frozen.reset();
  }
  return pages->next < pages->pages.size();
}

void Head::RestorePage(SeriesPage* page) {
  const std::shared_ptr<const FrozenPage> frozen = std::move(page->frozen);
  page->frozen.reset();
  MarkDirty(page, frozen->dirty);
  page->exemplars_dirty |= frozen->exemplars_dirty;
  if (frozen->open == nullptr) return;
  if (page->open == nullptr) page->open = std::make_unique<OpenPage>();
  OpenPage& open = *page->open;
  open.oldest_ms = std::min(open.oldest_ms, frozen->open->oldest_ms);
  samples_ -= SamplesOf(*frozen->open) + SamplesOf(open);
  SampleRuns runs;
  for (uint64_t bits = frozen->dirty; bits != 0; bits &= bits - 1) {
    const auto slot = static_cast<size_t>(__builtin_ctzll(bits));
    runs.clear();
    frozen->open->Read(slot, TimeRange(), &runs);
    open.Read(slot, TimeRange(), &runs);
    open.chunks[slot].Clear();
    open.late.erase(static_cast<uint8_t>(slot));
    AppendAll(runs, &open.chunks[slot]);
  }
  samples_ += SamplesOf(open);
}

bool Head::RestoreMore(SealPages* pages, const SealCapture& capture) {
  const size_t end =
      std::min(pages->pages.size(), pages->next + kRestoreStride);
  for (; pages->next < end; ++pages->next) {
    RestorePage(pages->pages[pages->next]);
  }
  if (pages->next < pages->pages.size()) return true;
  gone_.insert(gone_.end(), capture.gone.begin(), capture.gone.end());
  for (const SealCapture::Metadata& one : capture.metadata) {
    const auto entries = metadata_.find(one.tenant);
    if (entries == metadata_.end()) continue;
    const auto entry = entries->second.find(one.metric);
    if (entry == entries->second.end()) continue;
    entry->second.dirty = true;
    metadata_dirty_ = true;
  }
  return false;
}

}  // namespace vigie::store
