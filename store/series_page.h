// SeriesPage: 64 series of the head with neighbouring ids, so that a batch in
// the order of ids walks through memory. What few series have stands aside.
// Thread-compatible: the head's lock guards it.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/exemplar.h"
#include "model/time_range.h"
#include "store/open_chunk.h"
#include "store/seal_capture.h"

namespace vigie::store {

inline constexpr size_t kPageSeries = 64;
inline uint64_t PageOf(uint64_t id) { return id / kPageSeries; }
inline size_t SlotOf(uint64_t id) { return id % kPageSeries; }
inline uint64_t BitOf(uint64_t id) { return uint64_t{1} << SlotOf(id); }

struct MemSeries {
  static constexpr int64_t kNoSamples = SeriesState::kNoSamples;
  int64_t first_ms = kNoSamples;
  int64_t newest_ms = kNoSamples;
  int32_t last_day_indexed = kNoDay;
};

// Samples that came behind newer ones of their series, by time.
struct LateSample {
  int64_t start_ms = 0;
  std::variant<double, std::unique_ptr<const IntegerHistogram>,
               std::unique_ptr<const FloatHistogram>>
      value;
};
using LateSamples = std::map<int64_t, LateSample>;

// Open samples of a page's series. Times may be in both parts: what stands in
// the chunk came first.
struct OpenPage {
  std::array<OpenChunk, kPageSeries> chunks;
  int64_t oldest_ms = std::numeric_limits<int64_t>::max();  // of all samples
  absl::flat_hash_map<uint8_t, LateSamples> late;           // by slot

  // Appends the samples of one series within `range`, in order, if their times
  // come after those in `*runs`; merges them behind those otherwise.
  void Read(size_t slot, const TimeRange& range, SampleRuns* runs) const;
};

// What a seal has taken from a page; readers see it until it is published.
struct FrozenPage {
  uint64_t epoch = 0;
  uint64_t dirty = 0;  // the series that are part of the seal
  uint64_t exemplars_dirty = 0;
  std::unique_ptr<const OpenPage> open;  // may be null
};

struct SeriesPage {
  // A bit a slot.
  uint64_t used = 0;
  uint64_t dirty = 0;            // something of it is only in the log
  uint64_t exemplars_dirty = 0;  // and its exemplars are part of that
  uint64_t stored = 0;           // its rows are in the blocks

  uint64_t first_id = 0;
  uint64_t epoch = 0;   // of the seals that it has been frozen for
  uint32_t tenant = 0;  // of all its series, or kTenantsDiffer
  std::array<MemSeries, kPageSeries> series;
  std::unique_ptr<OpenPage> open;  // null: nothing since the last seal
  std::shared_ptr<const FrozenPage> frozen;
  absl::flat_hash_map<uint8_t, std::vector<Exemplar>> exemplars;  // by slot
  absl::flat_hash_map<uint8_t, DeltaState> deltas;

  // Of the writer alone: the batch that touched it last, which series it
  // touched, and which ones earlier batches of its group did.
  uint64_t batch = 0;
  uint64_t in_batch = 0;
  uint64_t in_group = 0;

  static constexpr uint32_t kTenantsDiffer = ~uint32_t{0};
};

// Finds pages. Its size follows the ids in use, wherever they lie.
class PageTable {
 public:
  static constexpr size_t kDirectoryPages = 512;
  struct Directory {
    std::array<std::unique_ptr<SeriesPage>, kDirectoryPages> pages;
    size_t used = 0;
  };

  // Null if there is none.
  SeriesPage* Find(uint64_t id) const {
    const auto it = directories_.find(PageOf(id) / kDirectoryPages);
    return it == directories_.end()
               ? nullptr
               : it->second->pages[PageOf(id) % kDirectoryPages].get();
  }
  SeriesPage& FindOrMake(uint64_t id) {
    auto& directory = directories_[PageOf(id) / kDirectoryPages];
    if (directory == nullptr) directory = std::make_unique<Directory>();
    auto& page = directory->pages[PageOf(id) % kDirectoryPages];
    if (page == nullptr) {
      page = std::make_unique<SeriesPage>();
      page->first_id = PageOf(id) * kPageSeries;
      ++directory->used;
    }
    return *page;
  }
  void Erase(const SeriesPage& page) {
    const uint64_t number = PageOf(page.first_id);
    const auto it = directories_.find(number / kDirectoryPages);
    it->second->pages[number % kDirectoryPages].reset();
    if (--it->second->used == 0) directories_.erase(it);
  }
  // For walks in steps: a directory at a time, whatever came or went between.
  std::vector<uint64_t> Directories() const {
    std::vector<uint64_t> numbers;
    for (const auto& [number, directory] : directories_) {
      numbers.push_back(number);
    }
    return numbers;
  }
  std::vector<const SeriesPage*> PagesOf(uint64_t directory) const {
    std::vector<const SeriesPage*> pages;
    const auto it = directories_.find(directory);
    if (it == directories_.end()) return pages;
    for (const auto& page : it->second->pages) {
      if (page != nullptr) pages.push_back(page.get());
    }
    return pages;
  }
  // Null if there is none.
  const Directory* FindDirectory(uint64_t number) const {
    const auto it = directories_.find(number);
    return it == directories_.end() ? nullptr : it->second.get();
  }
  // In no order; `visit` does not change the table.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (const auto& [number, directory] : directories_) {
      for (const auto& page : directory->pages) {
        if (page != nullptr) visit(*page);
      }
    }
  }

 private:
  absl::flat_hash_map<uint64_t, std::unique_ptr<Directory>> directories_;
};

// Finds the series of many ids, best in ascending order: neighbours lie in one
// page, which is looked up once.
class SeriesCursor {
 public:
  // `pages` outlives it and does not change.
  explicit SeriesCursor(const PageTable& pages) : pages_(pages) {}
  // Null if there is none.
  const MemSeries* Find(uint64_t id) {
    const SeriesPage* page = PageAt(id);
    return page == nullptr || (page->used & BitOf(id)) == 0
               ? nullptr
               : &page->series[SlotOf(id)];
  }
  // For a Find some steps later.
  void Prefetch(uint64_t id) {
    const SeriesPage* page = PageAt(id);
    if (page == nullptr) return;
    __builtin_prefetch(page);
    __builtin_prefetch(&page->series[SlotOf(id)]);
  }

 private:
  const SeriesPage* PageAt(uint64_t id) {
    const uint64_t directory = PageOf(id) / PageTable::kDirectoryPages;
    if (directory != number_) {
      number_ = directory;
      directory_ = pages_.FindDirectory(directory);
    }
    return directory_ == nullptr
               ? nullptr
               : directory_->pages[PageOf(id) % PageTable::kDirectoryPages]
                     .get();
  }

  const PageTable& pages_;
  uint64_t number_ = ~uint64_t{0};
  const PageTable::Directory* directory_ = nullptr;
};

}  // namespace vigie::store
