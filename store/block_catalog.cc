#include "store/block_catalog.h"

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace vigie::store {
namespace {

// How far behind the newest window one may be to get a family of its own.
constexpr int32_t kHotWindowsBehind = 12;

}  // namespace

absl::StatusOr<std::unique_ptr<BlockCatalog>> BlockCatalog::Load(
    RocksTables& tables) {
  std::unique_ptr<BlockCatalog> catalog(new BlockCatalog(tables));
  MutexLock lock(catalog->mutex_);
  VIGIE_RETURN_IF_ERROR(catalog->LoadRows());
  VIGIE_RETURN_IF_ERROR(catalog->DropUnnamed());
  catalog->late_is_dirty_ = true;  // perhaps
  catalog->Rebuild();
  return catalog;
}

absl::Status BlockCatalog::LoadRows() {
  VIGIE_RETURN_IF_ERROR(tables_.Scan(
      Table::kWindows, nullptr, "",
      [&](std::string_view key, std::string_view value)
          ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
            VIGIE_ASSIGN_OR_RETURN(const WindowsRow row,
                                   ParseWindowsRow(key, value));
            switch (row.kind) {
              case WindowsRow::Kind::kColdDay:
                cold_[{row.day.day, row.day.resolution_ms}] =
                    std::make_shared<const ColdDay>(row.day);
                break;
              case WindowsRow::Kind::kSealedWindow:
                rows_[{row.window.window, row.window.seal}] = row.window;
                last_seal_ = std::max(last_seal_, row.window.seal);
                break;
              case WindowsRow::Kind::kNextGeneration:
                next_generation_ =
                    std::max(next_generation_, row.next_generation);
            }
            return absl::OkStatus();
          }));
  return tables_.Scan(
      Table::kTombstones, nullptr, "",
      [&](std::string_view key, std::string_view value)
          ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
            VIGIE_ASSIGN_OR_RETURN(const uint32_t number,
                                   ParseTombstoneKey(key));
            VIGIE_ASSIGN_OR_RETURN(Tombstone tombstone, ParseTombstone(value));
            next_tombstone_ = number + 1;
            // A number may not be given again to a merge that comes later.
            next_generation_ =
                std::max(next_generation_, tombstone.generation + 1);
            last_seal_ = std::max(last_seal_, tombstone.seal);
            tombstones_[number] =
                std::make_shared<const Tombstone>(std::move(tombstone));
            return absl::OkStatus();
          });
}

std::shared_ptr<const BlockView> BlockCatalog::view() const {
  MutexLock lock(mutex_);
  return view_;
}

std::vector<std::shared_ptr<Family>> BlockCatalog::HotFamilies() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Family>> families;
  for (const auto& [window, family] : hot_) families.push_back(family);
  return families;
}

int32_t BlockCatalog::newest_window() const {
  MutexLock lock(mutex_);
  return rows_.empty() ? INT32_MIN : rows_.rbegin()->first.first;
}

absl::StatusOr<std::shared_ptr<Family>> BlockCatalog::FamilyFor(
    int32_t window, int32_t newest) {
  {
    MutexLock lock(mutex_);
    if (const auto it = hot_.find(window); it != hot_.end()) {
      in_seal_.insert(window);
      return it->second;
    }
    if (int64_t{newest} - window >= kHotWindowsBehind ||
        hot_.size() >= kHotWindowsMax) {
      return tables_.at(Table::kLate);
    }
  }
  VIGIE_ASSIGN_OR_RETURN(std::shared_ptr<Family> family,
                         tables_.CreateHot(window));
  MutexLock lock(mutex_);
  in_seal_.insert(window);
  return hot_[window] = std::move(family);
}

void BlockCatalog::Sealed(const std::vector<SealedWindow>& rows) {
  MutexLock lock(mutex_);
  for (const SealedWindow& row : rows) {
    rows_[{row.window, row.seal}] = row;
    last_seal_ = std::max(last_seal_, row.seal);
  }
  Rebuild();
}

std::vector<SealedWindow> BlockCatalog::RowsOf(int32_t day) const {
  MutexLock lock(mutex_);
  std::vector<SealedWindow> found;
  for (auto it = rows_.lower_bound({FirstWindowOf(day), 0});
       it != rows_.end() && DayOfWindow(it->first.first) == day; ++it) {
    found.push_back(it->second);
  }
  return found;
}

std::vector<DayState> BlockCatalog::Days() const {
  MutexLock lock(mutex_);
  std::map<int32_t, DayState> days;
  for (const auto& [at, cold] : cold_) {
    DayState& state = days[cold->day];
    if (cold->resolution_ms != 0) {
      state.rollups.push_back(*cold);
      continue;
    }
    state.generation = cold->generation;
    state.cold_samples = cold->samples;
    state.cold_bytes = cold->bytes;
  }
  for (const auto& [at, row] : rows_) {
    DayState& state = days[DayOfWindow(row.window)];
    state.hot_samples += row.samples;
    state.hot_bytes += row.bytes;
    ++state.hot_rows;
  }
  std::vector<DayState> found;
  for (auto& [day, state] : days) {
    state.day = day;
    for (const auto& [number, tombstone] : tombstones_) {
      state.has_tombstones =
          state.has_tombstones || Applies(*tombstone, day, day);
    }
    found.push_back(state);
  }
  return found;
}

absl::Status BlockCatalog::WriteMergeRows(const std::vector<ColdDay>& merged,
                                          const std::vector<SealedWindow>& rows,
                                          FileSet* files) const {
  FileWriter writer(tables_, tables_.at(Table::kWindows), files);
  const auto put = [&](const ColdDay& one) {
    const std::string key = ColdDayKey(one.day, one.resolution_ms);
    return one.samples == 0 ? writer.Delete(key)
                            : writer.Put(key, EncodeColdDay(one));
  };
  // In order of keys: the samples, the number, the seals, the rollups.
  VIGIE_RETURN_IF_ERROR(put(merged.front()));
  VIGIE_RETURN_IF_ERROR(writer.Put(
      kNextGenerationKey, EncodeNextGeneration(merged.back().generation + 1)));
  for (const SealedWindow& row : rows) {
    VIGIE_RETURN_IF_ERROR(writer.Delete(SealedWindowKey(row.window, row.seal)));
  }
  for (size_t i = 1; i < merged.size(); ++i) {
    VIGIE_RETURN_IF_ERROR(put(merged[i]));
  }
  return writer.Finish();
}

bool BlockCatalog::StillThere(const BlockView& view, int32_t day,
                              const std::vector<SealedWindow>& rows) const {
  std::vector<std::shared_ptr<const ColdDay>> before, now;
  for (const auto* days : {&view.days, &view.rollups}) {
    const auto places = days->find(day);
    if (places == days->end()) continue;
    for (const BlockPlace& place : places->second) {
      if (place.cold != nullptr) before.push_back(place.cold);
    }
  }
  MutexLock lock(mutex_);
  for (const SealedWindow& row : rows) {
    if (!rows_.contains({row.window, row.seal})) return false;
  }
  for (auto it = cold_.lower_bound({day, 0});
       it != cold_.end() && it->first.first == day; ++it) {
    now.push_back(it->second);
  }
  return now == before;
}

void BlockCatalog::Merged(const std::vector<ColdDay>& merged,
                          const std::vector<SealedWindow>& rows) {
  MutexLock lock(mutex_);
  for (const ColdDay& one : merged) {
    const Merging at(one.day, one.resolution_ms);
    if (const auto old = cold_.find(at); old != cold_.end()) {
      replaced_.emplace_back(ColdPlace(one.day, old->second->generation),
                             old->second);
      cold_.erase(old);
    }
    if (one.samples > 0) cold_[at] = std::make_shared<const ColdDay>(one);
  }
  Forget(rows);
  Rebuild();
}

uint32_t BlockCatalog::NewGenerations(uint32_t count) {
  MutexLock lock(mutex_);
  return std::exchange(next_generation_, next_generation_ + count);
}

void BlockCatalog::EndSeal() {
  MutexLock lock(mutex_);
  in_seal_.clear();
  DropUnused();
}

absl::Status BlockCatalog::AddTombstone(Tombstone tombstone) {
  uint32_t number = 0;
  {
    MutexLock lock(mutex_);
    number = next_tombstone_++;
    tombstone.seal = last_seal_;
    // A merge under way may have read the samples already, so it counts as
    // one that does not know of this.
    tombstone.generation = next_generation_ - 1;
  }
  rocksdb::WriteBatch batch;
  batch.Put(tables_.at(Table::kTombstones)->handle(), TombstoneKey(number),
            EncodeTombstone(tombstone));
  VIGIE_RETURN_IF_ERROR(tables_.Write(&batch, "tombstones"));
  MutexLock lock(mutex_);
  tombstones_[number] = std::make_shared<const Tombstone>(std::move(tombstone));
  Rebuild();
  return absl::OkStatus();
}

bool BlockCatalog::Applies(const Tombstone& tombstone, int32_t first_day,
                           int32_t last_day) const {
  for (const auto& [at, row] : rows_) {
    const TimeRange range{WindowStartMs(row.window), WindowEndMs(row.window)};
    const int32_t day = DayOfWindow(row.window);
    if (day >= first_day && day <= last_day && row.seal <= tombstone.seal &&
        range.Overlaps(tombstone.range)) {
      return true;
    }
  }
  for (const auto& [at, cold] : cold_) {
    const int32_t day = at.first;
    const TimeRange range{DayStartMs(day), DayEndMs(day)};
    if (day >= first_day && day <= last_day &&
        cold->generation <= tombstone.generation &&
        range.Overlaps(tombstone.range)) {
      return true;
    }
  }
  return false;
}

void BlockCatalog::Rebuild() {
  auto view = std::make_shared<BlockView>();
  view->last_seal = last_seal_;
  view->tombstones = tombstones_;
  for (const auto& [at, cold] : cold_) {
    const int32_t day = at.first;
    BlockPlace& place =
        (at.second == 0 ? view->days : view->rollups)[day].emplace_back();
    place.family = tables_.at(Table::kCold);
    place.prefix = ColdPlace(day, cold->generation);
    place.start_ms = DayStartMs(day);
    place.end_ms = DayEndMs(day);
    place.cold = cold;
    place.samples = cold->samples;
    place.chunks = cold->chunks;
    place.bytes = cold->bytes;
    place.longest_ms = cold->longest_ms;
  }
  std::map<std::pair<int32_t, bool>, BlockPlace> places;
  for (const auto& [at, row] : rows_) {  // by window, then seal
    BlockPlace& place = places[{row.window, row.late}];
    if (place.family == nullptr) {
      place.family =
          row.late ? tables_.at(Table::kLate) : hot_.find(row.window)->second;
      if (row.late) place.prefix = LatePlace(row.window);
      place.start_ms = WindowStartMs(row.window);
      place.end_ms = WindowEndMs(row.window);
      place.first_seal = row.seal;
    }
    place.samples += row.samples;
    place.chunks += row.chunks;
    place.bytes += row.bytes;
    place.longest_ms = std::max(place.longest_ms, row.longest_ms);
  }
  for (auto& [at, place] : places) {
    view->days[DayOfWindow(at.first)].push_back(std::move(place));
  }
  view_ = std::move(view);
}

}  // namespace vigie::store
