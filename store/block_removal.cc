// How what does not count any more goes: rows, families of windows, files of
// days, keys in `late`, tombstones. Rows go first; what a crash leaves then is
// found by the next start.
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
#include "store/block_catalog.h"

namespace vigie::store {

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
