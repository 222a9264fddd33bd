#include "store/block_snapshot.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/metadata.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/block_catalog.h"
#include "store/deleted_samples.h"
#include "store/rocks_tables.h"

namespace vigie::store {
namespace {

constexpr size_t kIdleIteratorsMax = 4;  // a family
constexpr size_t kCursorPlacesMax = 40;
constexpr size_t kSpareChunksMax = 16;
constexpr size_t kColumnBytesMax = 8 << 20;

std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

std::string FormatTimeMs(int64_t time_ms) {
  return absl::FormatTime(absl::RFC3339_full, absl::FromUnixMillis(time_ms),
                          absl::UTCTimeZone());
}

// Rows of a table as a snapshot has them.
class TableCursor final : public RowCursor {
 public:
  TableCursor(std::unique_ptr<rocksdb::Iterator> it, std::string_view table)
      : it_(std::move(it)), table_(table) {}

  absl::StatusOr<bool> Seek(std::string_view key) override {
    it_->Seek(rocksdb::Slice(key.data(), key.size()));
    return Valid();
  }
  absl::StatusOr<bool> Next() override {
    it_->Next();
    return Valid();
  }
  std::string_view key() const override { return ToView(it_->key()); }
  std::string_view value() const override { return ToView(it_->value()); }

 private:
  absl::StatusOr<bool> Valid() const {
    if (it_->Valid()) return true;
    VIGIE_RETURN_IF_ERROR(FromRocks(it_->status(), table_));
    return false;
  }
  const std::unique_ptr<rocksdb::Iterator> it_;
  const std::string_view table_;
};

class TableRows final : public RowScan {
 public:
  TableRows(const RocksTables& tables, Table table,
            const rocksdb::Snapshot* snapshot)
      : tables_(tables), table_(table), snapshot_(snapshot) {}

  std::unique_ptr<RowCursor> NewCursor() const override {
    const Family& family = *tables_.at(table_);
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    return std::make_unique<TableCursor>(
        std::unique_ptr<rocksdb::Iterator>(
            tables_.db().NewIterator(options, family.handle())),
        family.name());
  }

 private:
  const RocksTables& tables_;
  const Table table_;
  const rocksdb::Snapshot* const snapshot_;
};

class Snapshot final : public BlockSnapshot {
 public:
  Snapshot(std::shared_ptr<void> keeper, RocksTables& tables,
           std::shared_ptr<const BlockView> view)
      : keeper_(std::move(keeper)),
        tables_(tables),
        view_(std::move(view)),
        snapshot_(tables_.db().GetSnapshot()),
        index_(tables_, Table::kIndex, snapshot_),
        exemplars_(tables_, Table::kExemplars, snapshot_) {}
  ~Snapshot() override {
    {
      MutexLock lock(mutex_);
      idle_.clear();  // before their families can go
    }
    tables_.db().ReleaseSnapshot(snapshot_);
  }

  std::unique_ptr<BlockCursor> NewCursor() const override {
    return std::make_unique<Cursor>(*this);
  }

  std::vector<int32_t> Days(const TimeRange& range) const override {
    std::vector<int32_t> days;
    if (range.empty()) return days;
    const int32_t last = NearestDayOf(range.max_ms);
    for (const auto* places : {&view_->days, &view_->rollups}) {
      for (auto it = places->lower_bound(NearestDayOf(range.min_ms));
           it != places->end() && it->first <= last; ++it) {
        days.push_back(it->first);
      }
    }
    std::sort(days.begin(), days.end());
    days.erase(std::unique(days.begin(), days.end()), days.end());
    return days;
  }

  absl::Status Read(int32_t day, std::string_view tenant, uint32_t metric_hash,
                    uint64_t series_id, const TimeRange& range,
                    BlockCursor* cursor, std::vector<StoredChunk>* chunks,
                    std::vector<std::string>* warnings) const override {
    const auto places = view_->days.find(day);
    if (places == view_->days.end()) return absl::OkStatus();
    for (const BlockPlace& place : places->second) {
      if (!place.range().Overlaps(range)) continue;
      const std::string prefix =
          SeriesPrefix(place.prefix, tenant, metric_hash, series_id);
      VIGIE_RETURN_IF_ERROR(ReadPlace(place, prefix, series_id, range,
                                      static_cast<Cursor*>(cursor), chunks,
                                      warnings));
    }
    return absl::OkStatus();
  }

  absl::Status Decode(std::string_view tenant, const StoredChunk& chunk,
                      SampleColumns* samples) const override {
    Columns columns(*this, *chunk.place, chunk.seal);
    if (absl::Status status = DecodeChunk(chunk.bytes, &columns, samples);
        !status.ok()) {
      return Prefixed(NameOf(chunk), status);
    }
    for (const auto& [number, tombstone] : view_->tombstones) {
      if (Covers(*tombstone, tenant, chunk.series_id, chunk.place->cold.get(),
                 chunk.seal)) {
        RemoveRange(tombstone->range, samples);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Append(std::string_view tenant, const StoredChunk& chunk,
                              const TimeRange& range,
                              SampleColumns* samples) const override {
    if (MayBeDeleted(tenant, chunk)) return false;
    Columns columns(*this, *chunk.place, chunk.seal);
    const auto appended = AppendChunk(chunk.bytes, &columns, range, samples);
    if (!appended.ok()) return Prefixed(NameOf(chunk), appended.status());
    return *appended;
  }

  absl::Status DecodeNewest(std::string_view tenant, const StoredChunk& chunk,
                            int64_t max_ms,
                            SampleColumns* samples) const override {
    if (!MayBeDeleted(tenant, chunk)) {
      Columns columns(*this, *chunk.place, chunk.seal);
      const auto newest = ReadNewestFloat(chunk.bytes, max_ms, &columns);
      if (!newest.ok()) return Prefixed(NameOf(chunk), newest.status());
      if (newest->has_value()) {
        samples->clear();
        samples->PushBack((*newest)->time_ms, (*newest)->value, 0);
        return absl::OkStatus();
      }
    }
    return Decode(tenant, chunk, samples);
  }

  std::vector<MergedTenant> Tenants(int32_t day) const override {
    std::vector<MergedTenant> tenants;
    for (const auto* days : {&view_->days, &view_->rollups}) {
      const auto places = days->find(day);
      if (places == days->end()) continue;
      for (const BlockPlace& place : places->second) {
        if (place.cold == nullptr) continue;
        Iterator it = TakeIterator(*place.family);
        // From one to the next by seeking, never over the end of a file.
        for (it->Seek(FirstChunkKey(place.prefix));
             it->Valid() && it->key().starts_with(place.prefix);) {
          const auto key =
              ParseChunkKey(ToView(it->key()).substr(place.prefix.size()));
          if (!key.ok()) break;
          tenants.push_back(
              {std::string(key->tenant), place.cold->resolution_ms});
          it->Seek(SeriesPrefix(place.prefix, tenants.back().tenant,
                                ~uint32_t{0}, ~uint64_t{0}));
        }
      }
    }
    return tenants;
  }

  std::vector<int64_t> Resolutions(int32_t day) const override {
    std::vector<int64_t> resolutions;
    const auto places = view_->rollups.find(day);
    if (places == view_->rollups.end()) return resolutions;
    for (const BlockPlace& place : places->second) {
      resolutions.push_back(place.cold->resolution_ms);
    }
    return resolutions;
  }

  bool IsAsMerged(int32_t day, std::string_view tenant,
                  uint64_t series_id) const override {
    const auto places = view_->days.find(day);
    if (places == view_->days.end() || places->second.size() != 1 ||
        places->second.front().cold == nullptr) {
      return false;
    }
    const BlockPlace& place = places->second.front();
    return std::none_of(view_->tombstones.begin(), view_->tombstones.end(),
                        [&](const auto& one) {
                          return one.second->range.Overlaps(place.range()) &&
                                 Covers(*one.second, tenant, series_id,
                                        place.cold.get(), 0);
                        });
  }

  absl::Status ReadRollup(int32_t day, int64_t resolution_ms,
                          std::string_view tenant, uint32_t metric_hash,
                          uint64_t series_id,
                          RollupColumns* buckets) const override {
    *buckets = RollupColumns();
    const auto places = view_->rollups.find(day);
    if (places == view_->rollups.end()) return absl::OkStatus();
    for (const BlockPlace& place : places->second) {
      if (place.cold->resolution_ms != resolution_ms) continue;
      const std::string prefix =
          SeriesPrefix(place.prefix, tenant, metric_hash, series_id);
      Iterator it = TakeIterator(*place.family);
      it->Seek(prefix);  // there is one, or none
      StoredChunk chunk;
      if (it->Valid() && it->key().starts_with(prefix)) {
        chunk.place = &place;
        chunk.series_id = series_id;
        chunk.bytes = ToView(it->value());
      }
      const rocksdb::Status status = it->status();
      if (IsDamage(status)) {
        return absl::DataLossError(
            fmt::format("blocks: {}: rollups {} may be missing: {}{}",
                        place.family->name(), When(place), status.ToString(),
                        FilesUnlessNamed(place, status.ToString())));
      }
      VIGIE_RETURN_IF_ERROR(FromRocks(status, place.family->name()));
      GiveBack(*place.family, std::move(it));
      if (chunk.place != nullptr) return DecodeRollup(tenant, chunk, buckets);
    }
    return absl::OkStatus();
  }

  absl::Status DecodeRollup(std::string_view tenant, const StoredChunk& chunk,
                            RollupColumns* buckets) const override {
    if (absl::Status status = DecodeRollupChunk(chunk.bytes, buckets);
        !status.ok()) {
      return Prefixed(fmt::format("blocks: {}: series {}, rollup {}",
                                  chunk.place->family->name(), chunk.series_id,
                                  When(*chunk.place)),
                      status);
    }
    for (const auto& [number, tombstone] : view_->tombstones) {
      if (Covers(*tombstone, tenant, chunk.series_id, chunk.place->cold.get(),
                 0)) {
        RemoveBuckets(tombstone->range, buckets);
      }
    }
    return absl::OkStatus();
  }

  const RowScan& index() const override { return index_; }
  const RowScan& exemplars() const override { return exemplars_; }

 private:
  using Iterator = std::unique_ptr<rocksdb::Iterator>;

  bool MayBeDeleted(std::string_view tenant, const StoredChunk& chunk) const {
    return std::any_of(view_->tombstones.begin(), view_->tombstones.end(),
                       [&](const auto& one) {
                         return Covers(*one.second, tenant, chunk.series_id,
                                       chunk.place->cold.get(), chunk.seal);
                       });
  }

  static std::string NameOf(const StoredChunk& chunk) {
    return fmt::format("blocks: {}: series {}, chunk of {} to {}",
                       chunk.place->family->name(), chunk.series_id,
                       FormatTimeMs(chunk.header.first_ms),
                       FormatTimeMs(chunk.header.last_ms));
  }

  // An iterator a place: it is left at what follows a series, which is the
  // next one more often than not.
  class Cursor final : public BlockCursor {
   public:
    struct Place {
      const BlockPlace* place = nullptr;
      Iterator it;
      bool at_next = false;  // at the first chunk of a series
    };

    explicit Cursor(const Snapshot& snapshot) : snapshot_(snapshot) {}

    Place& At(const BlockPlace& place) {
      for (Place& known : places_) {
        if (known.place == &place) return known;
      }
      if (places_.size() < kCursorPlacesMax) {
        places_.emplace_back();
      } else {
        // The one that was opened first.
        std::rotate(places_.begin(), places_.begin() + 1, places_.end());
      }
      places_.back() = {&place, snapshot_.NewIterator(*place.family), false};
      return places_.back();
    }
    // Room for a chunk, if one was given back.
    std::string TakeSpare() {
      if (spare_.empty()) return {};
      std::string bytes = std::move(spare_.back());
      spare_.pop_back();
      return bytes;
    }
    void GiveBack(std::vector<StoredChunk>* chunks) override {
      for (StoredChunk& chunk : *chunks) {
        if (spare_.size() == kSpareChunksMax) break;
        spare_.push_back(std::move(chunk.bytes));
      }
      chunks->clear();
    }
    void Forget(const BlockPlace& place) {
      std::erase_if(places_,
                    [&](const Place& one) { return one.place == &place; });
    }

   private:
    const Snapshot& snapshot_;
    std::vector<Place> places_;
    std::vector<std::string> spare_;
  };

  absl::Status ReadPlace(const BlockPlace& place, const std::string& prefix,
                         uint64_t series_id, const TimeRange& range,
                         Cursor* cursor, std::vector<StoredChunk>* chunks,
                         std::vector<std::string>* warnings) const {
    Cursor::Place& at = cursor->At(place);
    rocksdb::Iterator* const it = at.it.get();
    // What begins before it ends before the range does.
    const int64_t first_ms =
        std::max(place.start_ms,
                 range.min_ms < place.start_ms
                     ? place.start_ms
                     : range.min_ms - static_cast<int64_t>(place.longest_ms));
    const std::string first =
        ChunkKey(prefix, static_cast<uint32_t>(first_ms - place.start_ms), 0);
    // Only if it stands there already: a step from one file of cold days into
    // another may end without an error, a seek does not.
    const bool there = std::exchange(at.at_next, false) && it->Valid() &&
                       it->key().starts_with(prefix) &&
                       it->key().compare(first) >= 0;
    if (!there) it->Seek(first);
    for (; it->Valid(); it->Next()) {
      if (!it->key().starts_with(prefix)) {
        at.at_next = true;
        break;
      }
      const auto key =
          ParseChunkKey(ToView(it->key()).substr(place.prefix.size()));
      auto header = ReadChunkHeader(ToView(it->value()));
      const absl::Status status = key.ok() ? header.status() : key.status();
      if (absl::IsDataLoss(status)) {
        warnings->push_back(fmt::format(
            "blocks: {}: series {}: a chunk {} cannot be read: {}",
            place.family->name(), series_id, When(place), MessageOf(status)));
        continue;
      }
      VIGIE_RETURN_IF_ERROR(status);
      if (header->first_ms > range.max_ms) break;  // as all behind it
      if (key->seal < place.first_seal) continue;  // merged already
      if (header->last_ms < range.min_ms) continue;
      StoredChunk& chunk = chunks->emplace_back();
      chunk.place = &place;
      chunk.series_id = series_id;
      chunk.seal = key->seal;
      chunk.header = *header;
      chunk.bytes = cursor->TakeSpare();
      chunk.bytes = ToView(it->value());
    }
    const rocksdb::Status status = it->status();
    if (status.ok()) return absl::OkStatus();
    cursor->Forget(place);
    if (!IsDamage(status)) return FromRocks(status, place.family->name());
    warnings->push_back(
        fmt::format("blocks: {}: samples {} may be missing: {}{}",
                    place.family->name(), When(place), status.ToString(),
                    FilesUnlessNamed(place, status.ToString())));
    return absl::OkStatus();
  }

  // RocksDB does not always say which file is damaged: then all that may be.
  std::string FilesUnlessNamed(const BlockPlace& place,
                               const std::string& text) const {
    if (text.find(".sst") != std::string::npos) return "";
    rocksdb::ColumnFamilyMetaData metadata;
    tables_.db().GetColumnFamilyMetaData(place.family->handle(), &metadata);
    std::string names;
    for (const rocksdb::LevelMetaData& level : metadata.levels) {
      for (const rocksdb::SstFileMetaData& file : level.files) {
        if (!place.prefix.empty() &&
            (file.largestkey < place.prefix ||
             file.smallestkey >= EndOfPlace(place.prefix))) {
          continue;
        }
        names += fmt::format("{}{}", names.empty() ? ", in one of " : ", ",
                             file.relative_filename);
      }
    }
    return names;
  }

  // Bytes that are wrong, or a file that is not there or ends early: trying
  // again does not help.
  static bool IsDamage(const rocksdb::Status& status) {
    return status.IsCorruption() || status.IsPathNotFound();
  }

  static std::string When(const BlockPlace& place) {
    return fmt::format("of {} to {}", FormatTimeMs(place.start_ms),
                       FormatTimeMs(place.end_ms));
  }

  // The shared columns of times of a place, decoded once a snapshot.
  class Columns final : public TimeColumnSource {
   public:
    Columns(const Snapshot& snapshot, const BlockPlace& place, uint32_t seal)
        : snapshot_(snapshot), place_(place), seal_(seal) {}

    absl::StatusOr<std::shared_ptr<const TimeOffsets>> Column(
        uint32_t number) override {
      return snapshot_.Column(place_, seal_, number);
    }

   private:
    const Snapshot& snapshot_;
    const BlockPlace& place_;
    const uint32_t seal_;
  };

  absl::StatusOr<std::shared_ptr<const TimeOffsets>> Column(
      const BlockPlace& place, uint32_t seal, uint32_t number) const {
    const std::tuple name(&place, seal, number);
    {
      MutexLock lock(mutex_);
      if (const auto it = columns_.find(name); it != columns_.end()) {
        return it->second;
      }
    }
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    rocksdb::PinnableSlice packed;
    const std::string key = TimeColumnKey(place.prefix, seal, number);
    const rocksdb::Status status =
        tables_.db().Get(options, place.family->handle(), key, &packed);
    if (status.IsNotFound() || IsDamage(status)) {
      return absl::DataLossError(fmt::format("time column {} of seal {}: {}",
                                             number, seal, status.ToString()));
    }
    VIGIE_RETURN_IF_ERROR(FromRocks(status, place.family->name()));
    VIGIE_ASSIGN_OR_RETURN(TimeOffsets offsets,
                           UnpackTimeColumn(ToView(packed)));
    const size_t bytes = offsets.size() * sizeof(offsets[0]);
    auto column = std::make_shared<const TimeOffsets>(std::move(offsets));
    MutexLock lock(mutex_);
    if (column_bytes_ + bytes > kColumnBytesMax) {
      columns_.clear();
      column_bytes_ = 0;
    }
    if (columns_.emplace(name, column).second) column_bytes_ += bytes;
    return column;
  }

  // An iterator costs more than a seek, and a query reads series by series.
  Iterator TakeIterator(const Family& family) const {
    {
      MutexLock lock(mutex_);
      std::vector<Iterator>& idle = idle_[&family];
      if (!idle.empty()) {
        Iterator it = std::move(idle.back());
        idle.pop_back();
        return it;
      }
    }
    return NewIterator(family);
  }
  Iterator NewIterator(const Family& family) const {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    return Iterator(tables_.db().NewIterator(options, family.handle()));
  }
  void GiveBack(const Family& family, Iterator it) const {
    MutexLock lock(mutex_);
    std::vector<Iterator>& idle = idle_[&family];
    if (idle.size() < kIdleIteratorsMax) idle.push_back(std::move(it));
  }

  const std::shared_ptr<void> keeper_;
  RocksTables& tables_;
  const std::shared_ptr<const BlockView> view_;
  const rocksdb::Snapshot* const snapshot_;
  const TableRows index_;
  const TableRows exemplars_;
  mutable Mutex mutex_;
  mutable std::map<const Family*, std::vector<Iterator>> idle_
      ABSL_GUARDED_BY(mutex_);
  mutable std::map<std::tuple<const BlockPlace*, uint32_t, uint32_t>,
                   std::shared_ptr<const TimeOffsets>>
      columns_ ABSL_GUARDED_BY(mutex_);
  mutable size_t column_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::unique_ptr<BlockSnapshot> SnapshotOf(
    std::shared_ptr<void> keeper, RocksTables& tables,
    std::shared_ptr<const BlockView> view) {
  return std::make_unique<Snapshot>(std::move(keeper), tables, std::move(view));
}

}  // namespace vigie::store
