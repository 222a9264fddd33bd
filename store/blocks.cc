#include "store/blocks.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/block_catalog.h"
#include "store/day_rows.h"
#include "store/merge.h"
#include "store/place_writer.h"
#include "store/rocks_records.h"
#include "store/rocks_tables.h"

namespace vigie::store {
namespace {

constexpr std::string_view kWatermarkKey = "watermark";

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

}  // namespace

class Blocks::Impl {
 public:
  // In this order, as each needs the ones before.
  std::unique_ptr<RocksTables> tables;
  std::unique_ptr<RocksRecords> records;
  std::unique_ptr<BlockCatalog> catalog;

  SealFiles seal;  // by Write, for Publish

  // One change of the catalog at a time, with the step on disk that goes with
  // it. Taken after the head's lock.
  Mutex change_mutex;
  Mutex merge_mutex;  // one merge at a time; taken before the other
  // Held while rows go that an earlier step made needless, and while a copy is
  // made: it has the files of one moment and RocksDB's log of a later one, so
  // it could lack the step and the rows. Taken between the two.
  Mutex forget_mutex;
};

Blocks::Blocks(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Blocks::~Blocks() = default;

absl::StatusOr<std::shared_ptr<Blocks>> Blocks::Open(
    const std::string& directory, const std::string& staging,
    rocksdb::Env* env) {
  auto impl = std::make_unique<Impl>();
  VIGIE_ASSIGN_OR_RETURN(impl->tables,
                         RocksTables::Open(directory, staging, env));
  RocksTables& tables = *impl->tables;
  VIGIE_ASSIGN_OR_RETURN(
      impl->records,
      RocksRecords::Open(tables.db(), *tables.at(Table::kRecords)->handle()));
  VIGIE_ASSIGN_OR_RETURN(impl->catalog, BlockCatalog::Load(tables));
  return std::shared_ptr<Blocks>(new Blocks(std::move(impl)));
}

absl::StatusOr<std::string> Blocks::GetMeta(std::string_view key) const {
  return impl_->tables->Get(Table::kMeta, key);
}

absl::Status Blocks::PutMeta(std::string_view key, std::string_view value) {
  RocksTables& tables = *impl_->tables;
  return FromRocks(tables.db().Put(Synced(), tables.at(Table::kMeta)->handle(),
                                   rocksdb::Slice(key.data(), key.size()),
                                   rocksdb::Slice(value.data(), value.size())),
                   key);
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
  return impl_->tables->Scan(
      Table::kNames, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesRow row, ParseSeriesRow(value));
        return visit(id, row.tenant, row.labels);
      });
}

absl::Status Blocks::VisitStates(
    absl::FunctionRef<absl::Status(uint64_t, const SeriesState&)> visit) const {
  return impl_->tables->Scan(
      Table::kActive, nullptr, "",
      [&](std::string_view key, std::string_view value) -> absl::Status {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesState state, ParseSeenRow(value));
        return visit(id, state);
      });
}

absl::Status Blocks::LoadInto(Head* head) const {
  const RocksTables& tables = *impl_->tables;
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
  {
    // Of one that failed.
    MutexLock lock(impl_->change_mutex);
    impl_->seal.files.Discard(*impl_->tables);
    impl_->seal = {};
    impl_->catalog->EndSeal();
  }
  return WriteSeal(capture, watermark, chunk_samples_max, *impl_->tables,
                   *impl_->catalog, &impl_->seal);
}

absl::Status Blocks::Publish() {
  VIGIE_CHECK(!impl_->seal.files.empty());
  MutexLock lock(impl_->change_mutex);
  VIGIE_RETURN_IF_ERROR(impl_->seal.files.Ingest(*impl_->tables));
  impl_->catalog->Sealed(impl_->seal.windows);
  impl_->catalog->EndSeal();
  return absl::OkStatus();
}

std::shared_ptr<const BlockView> Blocks::view() const {
  return impl_->catalog->view();
}

std::vector<DayState> Blocks::Days() const { return impl_->catalog->Days(); }

absl::Status Blocks::MergeDay(int32_t day, const MergeOptions& options) {
  MutexLock merging(impl_->merge_mutex);
  RocksTables& tables = *impl_->tables;
  BlockCatalog& catalog = *impl_->catalog;
  ColdDay merged;
  merged.day = day;
  std::shared_ptr<const BlockView> view;
  std::vector<SealedWindow> rows;
  {
    // A deletion is in the view, or knows of the generation.
    MutexLock lock(impl_->change_mutex);
    merged.generation = catalog.NewGeneration();
    view = catalog.view();
    rows = catalog.RowsOf(day);
  }
  const std::unique_ptr<BlockSnapshot> snapshot =
      SnapshotOf(shared_from_this(), tables, view);
  FileSet files;
  absl::Status status =
      WriteMergedDay(tables, *view, *snapshot, options, &files, &merged);
  if (status.ok()) status = catalog.WriteMergeRows(merged, rows, &files);
  if (status.ok()) {
    if (options.after_step) options.after_step(MergeStep::kWritten);
    MutexLock lock(impl_->change_mutex);
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
  MutexLock lock(impl_->change_mutex);
  return catalog.SweepTombstones();
}

absl::Status Blocks::Delete(std::string_view tenant, std::vector<uint64_t> ids,
                            const TimeRange& range) {
  if (ids.empty() || range.empty()) return absl::OkStatus();
  Tombstone tombstone;
  tombstone.tenant = tenant;
  tombstone.range = range;
  tombstone.ids = std::move(ids);
  MutexLock lock(impl_->change_mutex);
  return impl_->catalog->AddTombstone(std::move(tombstone));
}

absl::Status Blocks::DropBefore(int64_t time_ms) {
  MutexLock forgetting(impl_->forget_mutex);
  {
    MutexLock lock(impl_->change_mutex);
    VIGIE_RETURN_IF_ERROR(impl_->catalog->DropBefore(time_ms));
    VIGIE_RETURN_IF_ERROR(impl_->catalog->SweepTombstones());
  }
  RocksTables& tables = *impl_->tables;
  const std::string first_kept = DayPrefix(NearestDayOf(time_ms));
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

absl::Status Blocks::DropDay(int32_t day) {
  MutexLock forgetting(impl_->forget_mutex);
  MutexLock lock(impl_->change_mutex);
  VIGIE_RETURN_IF_ERROR(impl_->catalog->DropDay(day));
  return impl_->catalog->SweepTombstones();
}

void Blocks::Reclaim() {
  MutexLock forgetting(impl_->forget_mutex);
  if (!impl_->catalog->Reclaim()) return;
  RocksTables& tables = *impl_->tables;
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
    VIGIE_RETURN_IF_ERROR(impl_->tables->DeleteKeys(table, keys));
  }
  return absl::OkStatus();
}

absl::Status Blocks::DropMetadata(
    const std::vector<std::pair<std::string, std::string>>& names) {
  std::vector<std::string> keys;
  for (const auto& [tenant, metric] : names) {
    keys.push_back(EncodeMetadataKey(tenant, metric));
  }
  return impl_->tables->DeleteKeys(Table::kMetadata, std::move(keys));
}

std::unique_ptr<BlockSnapshot> Blocks::TakeSnapshot() {
  return SnapshotOf(shared_from_this(), *impl_->tables, impl_->catalog->view());
}

absl::Status Blocks::LinkTo(const std::string& target) const {
  MutexLock forgetting(impl_->forget_mutex);
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status =
      rocksdb::Checkpoint::Create(&impl_->tables->db(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(target);
  return FromRocks(status, target);
}

void Blocks::Resume() {
  // Refused while RocksDB recovers by itself; the next seal tells.
  const rocksdb::Status status = impl_->tables->db().Resume();
  if (!status.ok()) spdlog::debug("blocks: resume: {}", status.ToString());
}

Records& Blocks::records() { return *impl_->records; }

rocksdb::DB& Blocks::database() const { return impl_->tables->db(); }

std::vector<std::shared_ptr<Family>> Blocks::families() const {
  std::vector<std::shared_ptr<Family>> families;
  for (size_t i = 0; i < kTables; ++i) {
    families.push_back(impl_->tables->at(static_cast<Table>(i)));
  }
  for (auto& family : impl_->catalog->HotFamilies()) {
    families.push_back(std::move(family));
  }
  return families;
}

uint64_t Blocks::bytes_on_disk() const {
  return impl_->tables->bytes_on_disk();
}

}  // namespace vigie::store
