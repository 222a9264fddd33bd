#include "store/blocks.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/block_catalog.h"
#include "store/day_rows.h"
#include "store/merge.h"
#include "store/place_writer.h"
#include "store/reopen_pace.h"
#include "store/rocks_records.h"
#include "store/rocks_tables.h"

namespace vigie::store {
namespace {

constexpr std::string_view kWatermarkKey = "watermark";

// What a day has a rollup of already keeps it, whatever is asked for.
void KeepRollups(const BlockView& view, int32_t day, MergeOptions* options) {
  const auto places = view.rollups.find(day);
  if (places == view.rollups.end()) return;
  auto& rollups = options->rollups;
  for (const BlockPlace& place : places->second) {
    const int64_t resolution_ms = place.cold->resolution_ms;
    if (std::none_of(rollups.begin(), rollups.end(), [&](const auto& one) {
          return one.resolution_ms == resolution_ms;
        })) {
      rollups.push_back({resolution_ms, nullptr});
    }
  }
  std::sort(rollups.begin(), rollups.end(), [](const auto& a, const auto& b) {
    return a.resolution_ms < b.resolution_ms;
  });
}

}  // namespace

// One opened database. Whoever works with it holds it.
struct Blocks::Opened {
  // In this order, as each needs the ones before.
  std::unique_ptr<RocksTables> tables;
  std::unique_ptr<RocksRecords> records;
  std::unique_ptr<BlockCatalog> catalog;

  // One change of the catalog at a time, with the step on disk that goes with
  // it. Taken after the head's lock.
  Mutex change_mutex;
};

class Blocks::Impl final : public Records {
 public:
  Impl(std::string directory, std::string staging, rocksdb::Env* env,
       const Clock* clock)
      : directory_(std::move(directory)),
        staging_(std::move(staging)),
        env_(env),
        clock_(clock == nullptr ? system_clock_ : *clock) {}

  std::shared_ptr<Opened> opened() const {
    MutexLock lock(mutex_);
    return opened_;
  }
  absl::Status Open();
  // A change has come to its end: the next trouble is a new one.
  void NoteChange() {
    MutexLock lock(mutex_);
    pace_.Changed();
  }

  absl::Status Write(const RecordBatch& batch) override;
  absl::StatusOr<std::string> Get(const Tenant& tenant, std::string_view table,
                                  std::string_view key) const override {
    return opened()->records->Get(tenant, table, key);
  }
  absl::Status Scan(
      const Tenant& tenant, std::string_view table, std::string_view first,
      std::string_view last,
      absl::FunctionRef<bool(std::string_view key, std::string_view value)>
          visit) const override {
    return opened()->records->Scan(tenant, table, first, last, visit);
  }

  // By Write, for Publish; seals come from one thread at a time.
  std::shared_ptr<Opened> sealing;
  SealFiles seal;

  Mutex open_mutex;   // one opening at a time; nothing is taken inside
  Mutex merge_mutex;  // one merge at a time; taken before change_mutex
  // Held while rows go that an earlier step made needless, and while a copy is
  // made: it has the files of one moment and RocksDB's log of a later one, so
  // it could lack the step and the rows. Taken between the two.
  Mutex forget_mutex;

 private:
  const std::string directory_;
  const std::string staging_;
  rocksdb::Env* const env_;
  const SystemClock system_clock_;
  const Clock& clock_;
  // `before` is null or in trouble.
  absl::StatusOr<std::shared_ptr<Opened>> OpenBeside(
      const std::shared_ptr<Opened>& before) const;

  mutable Mutex mutex_;
  std::shared_ptr<Opened> opened_ ABSL_GUARDED_BY(mutex_);
  ReopenPace pace_ ABSL_GUARDED_BY(mutex_);
};

// Does nothing if what is open is in order. A disk may take a probe and then
// fail what comes after: openings without a change between them are ever
// further apart.
absl::Status Blocks::Impl::Open() {
  MutexLock opening(open_mutex);
  const std::shared_ptr<Opened> before = opened();
  absl::Status trouble;
  if (before != nullptr) {
    trouble = before->tables->trouble();
    if (trouble.ok()) return absl::OkStatus();
    {
      MutexLock lock(mutex_);
      const int64_t wait_ns = pace_.WaitNs(clock_.MonotonicNs());
      if (wait_ns > 0) {
        return absl::UnavailableError(fmt::format("{}; opened again in {} ms",
                                                  MessageOf(trouble),
                                                  wait_ns / 1'000'000));
      }
    }
    before->tables->StopBackgroundWork();
    VIGIE_RETURN_IF_ERROR(before->tables->Probe());
    MutexLock lock(mutex_);
    pace_.Began(clock_.MonotonicNs());
  }
  absl::StatusOr<std::shared_ptr<Opened>> now = OpenBeside(before);
  MutexLock lock(mutex_);
  if (before != nullptr) pace_.Ended(clock_.MonotonicNs());
  VIGIE_RETURN_IF_ERROR(now.status());
  if (before != nullptr) {
    spdlog::warn("blocks: opened again, after {}", MessageOf(trouble));
  }
  opened_ = *std::move(now);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Blocks::Opened>> Blocks::Impl::OpenBeside(
    const std::shared_ptr<Opened>& before) const {
  auto now = std::make_shared<Opened>();
  VIGIE_ASSIGN_OR_RETURN(
      now->tables,
      RocksTables::Open(directory_, staging_, env_,
                        before == nullptr ? nullptr : before->tables.get()));
  RocksTables& tables = *now->tables;
  VIGIE_ASSIGN_OR_RETURN(
      now->records,
      RocksRecords::Open(tables.db(), *tables.at(Table::kRecords)->handle()));
  VIGIE_ASSIGN_OR_RETURN(now->catalog, BlockCatalog::Load(tables));
  return now;
}

absl::Status Blocks::Impl::Write(const RecordBatch& batch) {
  absl::Status status;
  for (int tries = 0; tries < 2; ++tries) {
    const std::shared_ptr<Opened> now = opened();
    if (now->tables->trouble().ok()) {
      status = now->records->Write(batch);
      if (status.ok()) NoteChange();
      if (now->tables->trouble().ok()) return status;
      if (tries > 0) return status;
    }
    VIGIE_RETURN_IF_ERROR(Prefixed("records", Open()));
  }
  return status;
}

Blocks::Blocks(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Blocks::~Blocks() = default;

absl::StatusOr<std::shared_ptr<Blocks>> Blocks::Open(
    const std::string& directory, const std::string& staging, rocksdb::Env* env,
    const Clock* clock) {
  auto impl = std::make_unique<Impl>(directory, staging, env, clock);
  VIGIE_RETURN_IF_ERROR(impl->Open());
  return std::shared_ptr<Blocks>(new Blocks(std::move(impl)));
}

absl::StatusOr<std::string> Blocks::GetMeta(std::string_view key) const {
  const std::shared_ptr<Opened> opened = impl_->opened();
  absl::StatusOr<std::string> value = opened->tables->Get(Table::kMeta, key);
  if (!absl::IsNotFound(value.status())) return value;
  return absl::NotFoundError(fmt::format("blocks: {}: missing in {}", key,
                                         opened->tables->journals()));
}

absl::Status Blocks::PutMeta(std::string_view key, std::string_view value) {
  const std::shared_ptr<Opened> opened = impl_->opened();
  rocksdb::WriteBatch batch;
  batch.Put(opened->tables->at(Table::kMeta)->handle(),
            rocksdb::Slice(key.data(), key.size()),
            rocksdb::Slice(value.data(), value.size()));
  return opened->tables->Write(&batch, key);
}

absl::StatusOr<Watermark> Blocks::ReadWatermark() const {
  const absl::StatusOr<std::string> value = GetMeta(kWatermarkKey);
  if (absl::IsNotFound(value.status())) return Watermark();
  VIGIE_RETURN_IF_ERROR(value.status());
  return ParseWatermark(*value);
}

absl::Status Blocks::VisitNames(
    absl::FunctionRef<absl::Status(uint64_t, std::string_view, const Labels&)>
        visit) const {
  return impl_->opened()->tables->Scan(
      Table::kNames, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesRow row, ParseSeriesRow(value));
        return visit(id, row.tenant, row.labels);
      });
}

absl::Status Blocks::VisitStates(
    absl::FunctionRef<absl::Status(uint64_t, const SeriesState&)> visit) const {
  return impl_->opened()->tables->Scan(
      Table::kActive, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesState state, ParseSeenRow(value));
        return visit(id, state);
      });
}

absl::Status Blocks::LoadInto(Head* head) const {
  const std::shared_ptr<Opened> opened = impl_->opened();
  const RocksTables& tables = *opened->tables;
  VIGIE_RETURN_IF_ERROR(VisitNames(
      [&](uint64_t id, std::string_view tenant, const Labels& labels) {
        return head->LoadSeries(id, tenant, labels);
      }));
  VIGIE_RETURN_IF_ERROR(VisitStates([&](uint64_t id, const SeriesState& state) {
    return head->LoadState(id, state);
  }));
  VIGIE_RETURN_IF_ERROR(tables.Scan(
      Table::kExemplars, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        if (!head->index().Contains(id)) return absl::OkStatus();  // it left
        VIGIE_ASSIGN_OR_RETURN(auto exemplars, ParseExemplarsRow(value));
        return head->LoadExemplars(id, std::move(exemplars));
      }));
  return tables.Scan(
      Table::kMetadata, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const MetadataKey parsed, ParseMetadataKey(key));
        VIGIE_ASSIGN_OR_RETURN(MetadataEntry entry, ParseMetadataRow(value));
        head->LoadMetadata(parsed.tenant, parsed.metric, std::move(entry));
        return absl::OkStatus();
      });
}

absl::Status Blocks::Write(const SealCapture& capture,
                           const Watermark& watermark,
                           size_t chunk_samples_max) {
  if (impl_->sealing != nullptr) {
    // Of one that failed.
    MutexLock lock(impl_->sealing->change_mutex);
    impl_->seal.files.Discard(*impl_->sealing->tables);
    impl_->sealing->catalog->EndSeal();
  }
  impl_->seal = {};
  impl_->sealing = impl_->opened();
  return WriteSeal(capture, watermark, chunk_samples_max,
                   *impl_->sealing->tables, *impl_->sealing->catalog,
                   &impl_->seal);
}

absl::Status Blocks::Publish() {
  VIGIE_CHECK(!impl_->seal.files.empty());
  Opened& opened = *impl_->sealing;
  {
    MutexLock lock(opened.change_mutex);
    VIGIE_RETURN_IF_ERROR(impl_->seal.files.Ingest(*opened.tables));
    opened.catalog->Sealed(impl_->seal.windows);
    opened.catalog->EndSeal();
  }
  impl_->seal = {};
  impl_->sealing = nullptr;
  impl_->NoteChange();
  return absl::OkStatus();
}

std::shared_ptr<const BlockView> Blocks::view() const {
  // With what it lies in, which is let go of last.
  auto held = std::make_shared<std::pair<std::shared_ptr<const Opened>,
                                         std::shared_ptr<const BlockView>>>();
  held->first = impl_->opened();
  held->second = held->first->catalog->view();
  return {held, held->second.get()};
}

std::vector<DayState> Blocks::Days() const {
  return impl_->opened()->catalog->Days();
}

absl::Status Blocks::MergeDay(int32_t day, const MergeOptions& options) {
  MutexLock merging(impl_->merge_mutex);
  const std::shared_ptr<Opened> opened = impl_->opened();
  RocksTables& tables = *opened->tables;
  BlockCatalog& catalog = *opened->catalog;
  MergeOptions with_old = options;
  std::vector<ColdDay> merged;
  std::shared_ptr<const BlockView> view;
  std::vector<SealedWindow> rows;
  {
    // A deletion is in the view, or knows of the generations.
    MutexLock lock(opened->change_mutex);
    view = catalog.view();
    rows = catalog.RowsOf(day);
    KeepRollups(*view, day, &with_old);
    merged.resize(with_old.rollups.size() + 1);
    uint32_t generation =
        catalog.NewGenerations(static_cast<uint32_t>(merged.size()));
    for (size_t i = 0; i < merged.size(); ++i) {
      merged[i].day = day;
      merged[i].generation = generation++;
      if (i > 0) {
        merged[i].resolution_ms = with_old.rollups[i - 1].resolution_ms;
      }
    }
  }
  const std::unique_ptr<BlockSnapshot> snapshot =
      SnapshotOf(opened, tables, view);
  FileSet files;
  absl::Status status =
      WriteMergedDay(tables, *view, *snapshot, with_old, &files, &merged);
  if (status.ok()) status = catalog.WriteMergeRows(merged, rows, &files);
  if (status.ok()) {
    if (options.after_step) options.after_step(MergeStep::kWritten);
    MutexLock lock(opened->change_mutex);
    status = catalog.StillThere(*view, day, rows)
                 ? files.Ingest(tables)
                 : absl::AbortedError(fmt::format(
                       "merge: day {}: was dropped meanwhile", day));
    if (status.ok()) catalog.Merged(merged, rows);
  }
  if (!status.ok()) {
    files.Discard(tables);
    return Prefixed("merge", status);
  }
  if (options.after_step) options.after_step(MergeStep::kPublished);
  MutexLock forgetting(impl_->forget_mutex);
  MutexLock lock(opened->change_mutex);
  return catalog.SweepTombstones();
}

absl::Status Blocks::Delete(std::string_view tenant, std::vector<uint64_t> ids,
                            const TimeRange& range) {
  if (ids.empty() || range.empty()) return absl::OkStatus();
  Tombstone tombstone;
  tombstone.tenant = tenant;
  tombstone.range = range;
  tombstone.ids = std::move(ids);
  const std::shared_ptr<Opened> opened = impl_->opened();
  MutexLock lock(opened->change_mutex);
  return opened->catalog->AddTombstone(std::move(tombstone));
}

absl::Status Blocks::DropBefore(int64_t time_ms,
                                OldestOfRollup oldest_of_rollup) {
  const std::shared_ptr<Opened> opened = impl_->opened();
  MutexLock forgetting(impl_->forget_mutex);
  int32_t first_day = NearestDayOf(time_ms);
  {
    MutexLock lock(opened->change_mutex);
    VIGIE_RETURN_IF_ERROR(
        opened->catalog->DropBefore(time_ms, oldest_of_rollup));
    VIGIE_RETURN_IF_ERROR(opened->catalog->SweepTombstones());
    const std::shared_ptr<const BlockView> view = opened->catalog->view();
    if (!view->rollups.empty()) {
      first_day = std::min(first_day, view->rollups.begin()->first);
    }
  }
  RocksTables& tables = *opened->tables;
  const std::string first_kept = DayPrefix(first_day);
  VIGIE_RETURN_IF_ERROR(tables.DeleteRows(
      Table::kIndex, [&](std::string_view key, std::string_view) {
        return key < first_kept ? RowFate::kDelete : RowFate::kStop;
      }));
  return tables.DeleteRows(Table::kExemplars,
                           [&](std::string_view, std::string_view value) {
                             const auto exemplars = ParseExemplarsRow(value);
                             if (!exemplars.ok())
                               return RowFate::kKeep;  // named when it is read
                             for (const Exemplar& exemplar : *exemplars) {
                               if (exemplar.time_ms >= time_ms)
                                 return RowFate::kKeep;
                             }
                             return RowFate::kDelete;
                           });
}

void Blocks::Reclaim() {
  const std::shared_ptr<Opened> opened = impl_->opened();
  MutexLock forgetting(impl_->forget_mutex);
  if (!opened->tables->trouble().ok() || !opened->catalog->Reclaim()) return;
  RocksTables& tables = *opened->tables;
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  const rocksdb::Status status = tables.db().CompactRange(
      options, tables.at(Table::kLate)->handle(), nullptr, nullptr);
  if (!status.ok()) spdlog::warn("blocks: late: {}", status.ToString());
}

absl::Status Blocks::DropSeries(const std::vector<uint64_t>& series_ids) {
  std::vector<std::string> keys;
  for (const uint64_t id : series_ids) keys.push_back(SeriesKey(id));
  // What goes last is what the others hang on.
  for (const Table table : {Table::kExemplars, Table::kActive, Table::kNames}) {
    VIGIE_RETURN_IF_ERROR(impl_->opened()->tables->DeleteKeys(table, keys));
  }
  return absl::OkStatus();
}

absl::Status Blocks::DropMetadata(
    const std::vector<std::pair<std::string, std::string>>& names) {
  std::vector<std::string> keys;
  for (const auto& [tenant, metric] : names) {
    keys.push_back(EncodeMetadataKey(tenant, metric));
  }
  return impl_->opened()->tables->DeleteKeys(Table::kMetadata, std::move(keys));
}

std::unique_ptr<BlockSnapshot> Blocks::TakeSnapshot() {
  std::shared_ptr<Opened> opened = impl_->opened();
  RocksTables& tables = *opened->tables;
  std::shared_ptr<const BlockView> view = opened->catalog->view();
  return SnapshotOf(std::move(opened), tables, std::move(view));
}

absl::Status Blocks::LinkTo(const std::string& target) const {
  const std::shared_ptr<Opened> opened = impl_->opened();
  MutexLock forgetting(impl_->forget_mutex);
  VIGIE_RETURN_IF_ERROR(opened->tables->trouble());
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status =
      rocksdb::Checkpoint::Create(&opened->tables->db(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(target);
  return FromRocks(status, target);
}

absl::Status Blocks::Recover() { return impl_->Open(); }

Records& Blocks::records() { return *impl_; }

Blocks::Database Blocks::database() const {
  const std::shared_ptr<Opened> opened = impl_->opened();
  Database database;
  database.db = {opened, &opened->tables->db()};
  for (size_t i = 0; i < kTables; ++i) {
    database.families.push_back(opened->tables->at(static_cast<Table>(i)));
  }
  for (auto& family : opened->catalog->HotFamilies()) {
    database.families.push_back(std::move(family));
  }
  return database;
}

uint64_t Blocks::bytes_on_disk() const {
  return impl_->opened()->tables->bytes_on_disk();
}

}  // namespace vigie::store
