#include "store/rocks_tables.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/rocks_damage.h"
#include "store/rocks_log.h"

namespace vigie::store {
namespace {

constexpr const char* kTableNames[kTables] = {
    "default", "meta",   "windows", "tombstones", "cold",     "late",
    "names",   "active", "index",   "exemplars",  "metadata", "records"};
constexpr std::string_view kHotPrefix = "hot-";

// What RocksDB may hold: the cache, with index blocks inside; write buffers of
// the tables, which all but `records` hardly use; the log that feeds them.
constexpr size_t kBlockCacheBytes = 64 << 20;
constexpr size_t kWriteBufferBytes = 1 << 20;
constexpr size_t kNoWriteBufferBytes = 64 << 10;  // files are taken in only
constexpr uint64_t kWriteAheadBytesMax = 16 << 20;
constexpr uint64_t kFileBytesMax = 128 << 20;

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

// Compactions yield to batches and queries, a little: a thread of nice 5 gets a
// quarter of a core that another one keeps busy. Those of RocksDB's "low" get a
// hundredth, and fall behind.
class CompactionsYield final : public rocksdb::EventListener {
 public:
  void OnCompactionBegin(rocksdb::DB*,
                         const rocksdb::CompactionJobInfo&) override {
    constexpr int kNice = 5;
    thread_local bool yields = false;
    if (std::exchange(yields, true)) return;
    // Of this thread alone, as Linux has it.
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kNice);
  }
};

rocksdb::Options DatabaseOptions(const RocksDisk& disk) {
  rocksdb::Options options;
  options.env = &disk.env();
  options.listeners.push_back(disk.listener());
  options.listeners.push_back(std::make_shared<CompactionsYield>());
  options.max_bgerror_resume_count = 0;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.info_log = RocksLog();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_open_files = 512;
  options.max_total_wal_size = kWriteAheadBytesMax;
  options.max_background_jobs = 2;
  options.bytes_per_sync = 1 << 20;
  // A file that is gone or cut is found when it is read, and named then; the
  // rest is served.
  options.skip_checking_sst_file_sizes_on_db_open = true;
  options.skip_stats_update_on_db_open = true;
  // A synced record is never given up for a damaged one before it.
  options.wal_recovery_mode =
      rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  return options;
}

enum class Shape { kRows, kHot, kLate, kCold };

Shape ShapeOf(std::string_view family) {
  if (family.starts_with(kHotPrefix)) return Shape::kHot;
  if (family == "late") return Shape::kLate;
  return family == "cold" ? Shape::kCold : Shape::kRows;
}

rocksdb::ColumnFamilyOptions FamilyOptions(
    std::string_view family, const std::shared_ptr<rocksdb::Cache>& cache) {
  const Shape shape = ShapeOf(family);
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  options.compression = rocksdb::kZSTD;
  options.compression_opts.level = 1;
  options.write_buffer_size = shape == Shape::kHot || shape == Shape::kCold
                                  ? kNoWriteBufferBytes
                                  : kWriteBufferBytes;
  switch (shape) {
    case Shape::kRows:
      table.block_size = 16 << 10;
      break;
    case Shape::kHot:
    case Shape::kLate:
      table.block_size = 32 << 10;
      break;
    case Shape::kCold:
      table.block_size = 128 << 10;
      options.compression_opts.level = 6;
      break;
  }
  if (shape != Shape::kCold) {
    // One level. Where a level has several files, an iterator of Debian's
    // RocksDB takes a damaged first block of the next one for the end of the
    // level, and reports nothing (facebook/rocksdb#11782); so does a
    // compaction. Merged days stay in levels, as they have many files; there
    // nothing reads from one file into the next (docs/decisions/0096).
    options.compaction_style = rocksdb::kCompactionStyleUniversal;
    options.num_levels = 1;
  }
  if (shape == Shape::kHot || shape == Shape::kCold) {
    // Written once, in order, and dropped whole: nothing to compact, and no
    // number of runs is a reason to slow down.
    options.disable_auto_compactions = true;
    options.level0_slowdown_writes_trigger = 1 << 20;
    options.level0_stop_writes_trigger = 1 << 20;
    options.arena_block_size = 4 << 10;
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::optional<int32_t> WindowOfName(std::string_view family) {
  if (!family.starts_with(kHotPrefix)) return std::nullopt;
  family.remove_prefix(kHotPrefix.size());
  int32_t window = 0;
  const char* end = family.data() + family.size();
  const auto [at, error] = std::from_chars(family.data(), end, window);
  if (error != std::errc() || at != end) return std::nullopt;
  return window;
}

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string message =
      fmt::format("blocks: {}: {}", what, status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsNotFound()) return absl::NotFoundError(message);
  if (status.IsInvalidArgument() || status.IsNotSupported()) {
    return absl::InternalError(message);
  }
  return absl::UnavailableError(message);
}

Family::~Family() {
  if (const rocksdb::Status status = db_.DestroyColumnFamilyHandle(handle_);
      !status.ok()) {
    spdlog::warn("blocks: close a family: {}", status.ToString());
  }
}

const std::string& Family::name() const { return handle_->GetName(); }

uint64_t Family::bytes_on_disk() const {
  uint64_t bytes = 0;
  db_.GetIntProperty(handle_, rocksdb::DB::Properties::kTotalSstFilesSize,
                     &bytes);
  return bytes;
}

absl::StatusOr<std::unique_ptr<RocksTables>> RocksTables::Open(
    const std::string& directory, const std::string& staging,
    rocksdb::Env* below, const RocksTables* before) {
  std::unique_ptr<RocksTables> tables(new RocksTables());
  tables->disk_ = std::make_unique<RocksDisk>(
      below, before == nullptr ? nullptr : before->disk_.get());
  rocksdb::Env& env = tables->env();
  tables->directory_ = directory;
  tables->staging_ = staging;
  tables->cache_ = before == nullptr ? rocksdb::NewLRUCache(kBlockCacheBytes)
                                     : before->cache_;
  VIGIE_RETURN_IF_ERROR(FromRocks(env.CreateDirIfMissing(staging), staging));
  tables->ClearStaging();
  // A start replaces them, so what they lack is only told of at the first one.
  tables->journals_ = JournalsIn(directory, env);

  const rocksdb::Options options = DatabaseOptions(*tables->disk_);
  std::vector<std::string> names(kTableNames, kTableNames + kTables);
  std::vector<std::string> found;
  const rocksdb::Status listed =
      rocksdb::DB::ListColumnFamilies(options, directory, &found);
  if (listed.ok()) {
    for (const std::string& name : found) {
      if (WindowOfName(name).has_value()) {
        names.push_back(name);
      } else if (std::find(names.begin(), names.end(), name) == names.end()) {
        return absl::FailedPreconditionError(fmt::format(
            "{}: table {} is of a version that this vigie does not know",
            directory, name));
      }
    }
    // Created anew, a table would hide what the journals hold of it.
    for (const char* name : kTableNames) {
      if (std::find(found.begin(), found.end(), name) == found.end() &&
          HoldsAnything(directory, env)) {
        return absl::DataLossError(fmt::format(
            "blocks: table {}: missing; damaged: {}", name, tables->journals_));
      }
    }
  } else if (env.FileExists(directory + "/CURRENT").ok()) {
    return ExplainRefusal(directory, env, listed);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) {
    descriptors.emplace_back(name, FamilyOptions(name, tables->cache_));
  }
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  const rocksdb::Status status =
      rocksdb::DB::Open(options, directory, descriptors, &handles, &db);
  tables->db_.reset(db);
  if (!status.ok()) return ExplainRefusal(directory, env, status);
  for (size_t i = 0; i < handles.size(); ++i) {
    auto family = std::make_shared<Family>(*db, handles[i]);
    if (i < kTables) {
      tables->families_.push_back(std::move(family));
    } else {
      tables->hot_.emplace(*WindowOfName(names[i]), std::move(family));
    }
  }
  return tables;
}

RocksTables::~RocksTables() {
  // RocksDB aborts if a handle outlives the database.
  hot_.clear();
  families_.clear();
  if (db_ == nullptr) return;
  if (!trouble().ok()) StopBackgroundWork();
  if (const rocksdb::Status status = db_->Close(); !status.ok()) {
    spdlog::warn("blocks: close: {}", status.ToString());
  }
}

void RocksTables::StopBackgroundWork() {
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/false);
}

absl::StatusOr<std::shared_ptr<Family>> RocksTables::CreateHot(int32_t window) {
  const std::string name = fmt::format("{}{}", kHotPrefix, window);
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  VIGIE_RETURN_IF_ERROR(trouble());
  VIGIE_RETURN_IF_ERROR(Changed(
      db_->CreateColumnFamily(FamilyOptions(name, cache_), name, &handle),
      name));
  return std::make_shared<Family>(*db_, handle);
}

absl::Status RocksTables::Drop(const Family& family) {
  VIGIE_RETURN_IF_ERROR(trouble());
  return Changed(db_->DropColumnFamily(family.handle()), family.name());
}

absl::Status RocksTables::Changed(const rocksdb::Status& status,
                                  std::string_view what) {
  if (status.IsIOError()) disk_->GiveUp(status.ToString());
  return FromRocks(status, what);
}

absl::Status RocksTables::Write(rocksdb::WriteBatch* batch,
                                std::string_view what) {
  // What has failed before is not tried again: parts of RocksDB assert that.
  VIGIE_RETURN_IF_ERROR(trouble());
  rocksdb::WriteOptions options;
  options.sync = true;
  return FromRocks(db_->Write(options, batch), what);
}

absl::StatusOr<std::string> RocksTables::Get(Table table,
                                             std::string_view key) const {
  std::string value;
  VIGIE_RETURN_IF_ERROR(
      FromRocks(db_->Get(rocksdb::ReadOptions(), at(table)->handle(),
                         ToSlice(key), &value),
                fmt::format("{}: {}", at(table)->name(), key)));
  return value;
}

absl::Status RocksTables::Scan(Table table, const rocksdb::Snapshot* snapshot,
                               std::string_view prefix, Visit visit) const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.fill_cache = false;  // a start reads all of it once
  const std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, at(table)->handle()));
  for (it->Seek(ToSlice(prefix));
       it->Valid() && it->key().starts_with(ToSlice(prefix)); it->Next()) {
    if (absl::Status status = visit(ToView(it->key()), ToView(it->value()));
        !status.ok()) {
      return Prefixed(fmt::format("blocks: table {}", at(table)->name()),
                      status);
    }
  }
  return FromRocks(it->status(), at(table)->name());
}

absl::Status RocksTables::DeleteRows(
    Table table,
    absl::FunctionRef<RowFate(std::string_view key, std::string_view value)>
        fate) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, at(table)->handle()));
  FileSet files;
  FileWriter writer(*this, at(table), &files);
  absl::Status status;
  for (it->SeekToFirst(); it->Valid() && status.ok(); it->Next()) {
    const RowFate one = fate(ToView(it->key()), ToView(it->value()));
    if (one == RowFate::kStop) break;
    if (one == RowFate::kDelete) status = writer.Delete(ToView(it->key()));
  }
  if (status.ok()) status = FromRocks(it->status(), at(table)->name());
  return FinishDeletion(status, &writer, &files);
}

absl::Status RocksTables::DeleteKeys(Table table,
                                     std::vector<std::string> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  FileSet files;
  FileWriter writer(*this, at(table), &files);
  absl::Status status;
  for (const std::string& key : keys) {
    if (status.ok()) status = writer.Delete(key);
  }
  return FinishDeletion(status, &writer, &files);
}

absl::Status RocksTables::FinishDeletion(absl::Status status,
                                         FileWriter* writer, FileSet* files) {
  if (status.ok()) status = writer->Finish();
  if (status.ok() && !files->empty()) status = files->Ingest(*this);
  if (!status.ok()) files->Discard(*this);
  return status;
}

absl::Status RocksTables::DeleteFiles(const Family& family,
                                      std::string_view begin,
                                      std::string_view end) {
  VIGIE_RETURN_IF_ERROR(trouble());
  const rocksdb::Slice first = ToSlice(begin), last = ToSlice(end);
  const rocksdb::RangePtr range(&first, &last);
  return FromRocks(
      rocksdb::DeleteFilesInRanges(db_.get(), family.handle(), &range, 1,
                                   /*include_end=*/false),
      family.name());
}

void RocksTables::ClearStaging() {
  std::vector<std::string> names;  // what stays is removed at the next start
  env().GetChildren(staging_, &names).PermitUncheckedError();
  for (const std::string& name : names) {
    env()
        .DeleteFile(fmt::format("{}/{}", staging_, name))
        .PermitUncheckedError();
  }
}

std::string RocksTables::NewStagingPath() {
  return fmt::format("{}/{}.sst", staging_, next_file_++);
}

uint64_t RocksTables::bytes_on_disk() const {
  uint64_t bytes = 0;
  db_->GetAggregatedIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize,
                                &bytes);
  return bytes;
}

void FileSet::Add(std::shared_ptr<Family> family, std::string path) {
  for (OfFamily& one : files_) {
    if (one.family == family) {
      one.paths.push_back(std::move(path));
      return;
    }
  }
  files_.push_back({std::move(family), {std::move(path)}});
}

absl::Status FileSet::Ingest(RocksTables& tables) {
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = true;
  options.write_global_seqno = false;  // files are not written again
  std::vector<rocksdb::IngestExternalFileArg> args;
  for (const OfFamily& one : files_) {
    rocksdb::IngestExternalFileArg& arg = args.emplace_back();
    arg.column_family = one.family->handle();
    arg.external_files = one.paths;
    arg.options = options;
  }
  VIGIE_RETURN_IF_ERROR(tables.trouble());
  VIGIE_RETURN_IF_ERROR(
      FromRocks(tables.db().IngestExternalFiles(args), "take in files"));
  files_.clear();
  return absl::OkStatus();
}

void FileSet::Discard(RocksTables& tables) {
  for (const OfFamily& one : files_) {
    for (const std::string& path : one.paths) {
      tables.env().DeleteFile(path).PermitUncheckedError();
    }
  }
  files_.clear();
}

FileWriter::FileWriter(RocksTables& tables, std::shared_ptr<Family> family,
                       FileSet* files)
    : tables_(tables), family_(std::move(family)), files_(files) {}

FileWriter::~FileWriter() {
  if (writer_ == nullptr) return;
  writer_.reset();
  tables_.env().DeleteFile(path_).PermitUncheckedError();
}

absl::Status FileWriter::NextFile() {
  const rocksdb::Options options(
      DatabaseOptions(*tables_.disk_),
      FamilyOptions(family_->name(), tables_.cache_));
  writer_ = std::make_unique<rocksdb::SstFileWriter>(
      rocksdb::EnvOptions(options), options, family_->handle());
  path_ = tables_.NewStagingPath();
  return FromRocks(writer_->Open(path_), path_);
}

absl::Status FileWriter::MayEndFile() {
  if (writer_ == nullptr || writer_->FileSize() < kFileBytesMax) {
    return absl::OkStatus();
  }
  return Finish();
}

absl::Status FileWriter::Put(std::string_view key, std::string_view value) {
  if (writer_ == nullptr) VIGIE_RETURN_IF_ERROR(NextFile());
  return FromRocks(writer_->Put(ToSlice(key), ToSlice(value)), path_);
}

absl::Status FileWriter::Delete(std::string_view key) {
  if (writer_ == nullptr) VIGIE_RETURN_IF_ERROR(NextFile());
  return FromRocks(writer_->Delete(ToSlice(key)), path_);
}

absl::Status FileWriter::Finish() {
  if (writer_ == nullptr) return absl::OkStatus();
  rocksdb::ExternalSstFileInfo written;
  // Listed before, so that a failed one is removed as well.
  files_->Add(family_, path_);
  VIGIE_RETURN_IF_ERROR(FromRocks(writer_->Finish(&written), path_));
  finished_bytes_ += written.file_size;
  writer_.reset();
  return absl::OkStatus();
}

uint64_t FileWriter::bytes() const {
  return finished_bytes_ + (writer_ == nullptr ? 0 : writer_->FileSize());
}

}  // namespace vigie::store
