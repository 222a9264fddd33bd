#include "store/block_catalog.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"

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

absl::Status BlockCatalog::DropUnnamed() {
  // What a crash left: families of windows that have no row of their own.
  hot_ = tables_.TakeHotFamilies();
  std::set<int32_t> owners;
  for (const auto& [at, row] : rows_) {
    if (!row.late) owners.insert(row.window);
  }
  for (auto it = hot_.begin(); it != hot_.end();) {
    if (owners.erase(it->first) > 0) {
      ++it;
      continue;
    }
    VIGIE_RETURN_IF_ERROR(tables_.Drop(*it->second));
    it = hot_.erase(it);
  }
  if (!owners.empty()) {
    return absl::DataLossError(
        fmt::format("blocks: table hot-{}: missing, although table windows "
                    "names it",
                    *owners.begin()));
  }
  // And files of merged days that are no longer served.
  std::vector<rocksdb::LiveFileMetaData> files;
  tables_.db().GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (file.column_family_name != tables_.at(Table::kCold)->name()) continue;
    const std::string place = file.smallestkey.substr(0, 8);
    bool served = false;
    for (const auto& [day, cold] : cold_) {
      served = served || place == ColdPlace(cold->day, cold->generation);
    }
    if (served) continue;
    const absl::Status status = tables_.DeleteFiles(*tables_.at(Table::kCold),
                                                    place, EndOfPlace(place));
    if (!status.ok()) spdlog::warn("store: {}", MessageOf(status));
  }
  return absl::OkStatus();
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

// Takes rows away, and the families that no row names any more.
void BlockCatalog::Forget(const std::vector<SealedWindow>& rows) {
  for (const SealedWindow& row : rows) {
    rows_.erase({row.window, row.seal});
    late_is_dirty_ = late_is_dirty_ || row.late;
  }
  DropUnused();
}

void BlockCatalog::DropUnused() {
  for (auto family = hot_.begin(); family != hot_.end();) {
    bool used = in_seal_.contains(family->first);
    for (auto it = rows_.lower_bound({family->first, 0});
         !used && it != rows_.end() && it->first.first == family->first; ++it) {
      used = !it->second.late;
    }
    if (used) {
      ++family;
      continue;
    }
    if (const absl::Status status = tables_.Drop(*family->second);
        !status.ok()) {
      // It stays, unread, for the next seal of that window or the next start.
      spdlog::warn("store: {}", MessageOf(status));
      ++family;
      continue;
    }
    family = hot_.erase(family);
  }
}

void BlockCatalog::EndSeal() {
  MutexLock lock(mutex_);
  in_seal_.clear();
  DropUnused();
}

absl::Status BlockCatalog::DropRows(const std::vector<SealedWindow>& rows,
                                    const std::vector<Merging>& days) {
  if (rows.empty() && days.empty()) return absl::OkStatus();
  std::vector<std::string> keys;
  for (const SealedWindow& row : rows) {
    keys.push_back(SealedWindowKey(row.window, row.seal));
  }
  for (const auto& [day, resolution_ms] : days) {
    keys.push_back(ColdDayKey(day, resolution_ms));
  }
  VIGIE_RETURN_IF_ERROR(tables_.DeleteKeys(Table::kWindows, std::move(keys)));
  MutexLock lock(mutex_);
  for (const Merging& day : days) {
    const auto it = cold_.find(day);
    if (it == cold_.end()) continue;
    replaced_.emplace_back(ColdPlace(day.first, it->second->generation),
                           it->second);
    cold_.erase(it);
  }
  Forget(rows);
  Rebuild();
  return absl::OkStatus();
}

absl::Status BlockCatalog::DropBefore(int64_t time_ms,
                                      OldestOfRollup oldest_of_rollup) {
  std::vector<SealedWindow> rows;
  std::vector<Merging> days;
  {
    MutexLock lock(mutex_);
    for (const auto& [at, row] : rows_) {
      if (WindowEndMs(row.window) < time_ms) rows.push_back(row);
    }
    for (const auto& [at, cold] : cold_) {
      const int64_t oldest_ms =
          at.second == 0 ? time_ms : oldest_of_rollup(at.second);
      if (DayEndMs(at.first) < oldest_ms) days.push_back(at);
    }
  }
  return DropRows(rows, days);
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

absl::Status BlockCatalog::SweepTombstones() {
  rocksdb::WriteBatch batch;
  std::vector<uint32_t> done;
  {
    MutexLock lock(mutex_);
    for (const auto& [number, tombstone] : tombstones_) {
      if (Applies(*tombstone, INT32_MIN, INT32_MAX)) continue;
      batch.Delete(tables_.at(Table::kTombstones)->handle(),
                   TombstoneKey(number));
      done.push_back(number);
    }
  }
  if (done.empty()) return absl::OkStatus();
  VIGIE_RETURN_IF_ERROR(tables_.Write(&batch, "tombstones"));
  MutexLock lock(mutex_);
  for (const uint32_t number : done) tombstones_.erase(number);
  Rebuild();
  return absl::OkStatus();
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
  }
  for (auto& [at, place] : places) {
    view->days[DayOfWindow(at.first)].push_back(std::move(place));
  }
  view_ = std::move(view);
}

bool BlockCatalog::Reclaim() {
  std::vector<std::string> done;
  std::vector<std::pair<std::string, std::string>> dead;
  uint32_t last_seal = 0;
  {
    MutexLock lock(mutex_);
    std::erase_if(replaced_, [&](const auto& one) {
      if (!one.second.expired()) return false;
      done.push_back(one.first);
      return true;
    });
    if (late_is_dirty_) {
      // Everything between the windows that count, up to the seal of now.
      std::string from;
      for (const auto& [at, row] : rows_) {
        if (!row.late) continue;
        const std::string place = LatePlace(row.window);
        if (from < place) dead.emplace_back(from, place);
        from = EndOfPlace(place);
      }
      dead.emplace_back(from, std::string());
      last_seal = last_seal_;
      late_is_dirty_ = false;
    }
  }
  for (const std::string& place : done) {
    const absl::Status status = tables_.DeleteFiles(*tables_.at(Table::kCold),
                                                    place, EndOfPlace(place));
    if (!status.ok()) spdlog::warn("store: {}", MessageOf(status));
  }
  uint64_t deleted = 0;
  for (const auto& [begin, end] : dead) {
    const absl::Status status = DeleteLate(begin, end, last_seal, &deleted);
    if (status.ok()) continue;
    spdlog::warn("store: {}", MessageOf(status));
    MutexLock lock(mutex_);
    late_is_dirty_ = true;  // tried again
  }
  return deleted > 0;
}

absl::Status BlockCatalog::DeleteLate(const std::string& begin,
                                      const std::string& end,
                                      uint32_t last_seal, uint64_t* deleted) {
  constexpr size_t kWindowBytes = 4;
  absl::Status status;
  VIGIE_RETURN_IF_ERROR(tables_.DeleteRows(
      Table::kLate, [&](std::string_view key, std::string_view) {
        if (key < begin) return RowFate::kKeep;
        if (!end.empty() && key >= end) return RowFate::kStop;
        const auto parts =
            ParseChunkKey(key.substr(std::min(key.size(), kWindowBytes)));
        if (!parts.ok()) {
          status = parts.status();
          return RowFate::kStop;
        }
        if (parts->seal > last_seal) return RowFate::kKeep;
        ++*deleted;
        return RowFate::kDelete;
      }));
  return status;
}

}  // namespace vigie::store
