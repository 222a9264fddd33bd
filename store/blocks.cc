#include "store/blocks.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/rocks_damage.h"
#include "store/rocks_records.h"

namespace vigie::store {
namespace {

// The column families, in the order of their handles.
enum Table : size_t {
  kDefault,  // RocksDB's own; empty
  kMeta,
  kChunks,
  kSeries,
  kSeen,
  kExemplars,
  kMetadata,
  kRecords,
  kTables,
};
constexpr const char* kTableNames[kTables] = {"default",  "meta",   "chunks",
                                              "series",   "seen",   "exemplars",
                                              "metadata", "records"};

constexpr std::string_view kWatermarkKey = "watermark";
constexpr size_t kBlockCacheBytes = 64 << 20;
constexpr size_t kWriteBufferBytes = 4 << 20;  // of each table
constexpr uint64_t kWriteAheadBytesMax = 64 << 20;
// A file ends at the end of a window, so that it can be dropped with it, but
// not before this size: samples spread thinly over years would otherwise make
// a file each.
constexpr uint64_t kChunkFileBytesMin = 1 << 20;
constexpr uint64_t kChunkFileBytesMax = 64 << 20;
constexpr size_t kIdleIteratorsMax = 4;  // a snapshot

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

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

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

rocksdb::Options DatabaseOptions(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.keep_log_file_num = 4;
  options.max_log_file_size = 4 << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_open_files = 512;
  options.max_total_wal_size = kWriteAheadBytesMax;
  // A synced record is never given up for a damaged one before it.
  options.wal_recovery_mode =
      rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  return options;
}

rocksdb::ColumnFamilyOptions FamilyOptions(
    Table table, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table_options;
  table_options.block_cache = cache;
  table_options.checksum = rocksdb::kXXH3;
  table_options.format_version = 5;
  table_options.block_size = table == kChunks ? 32 << 10 : 16 << 10;
  options.table_factory.reset(
      rocksdb::NewBlockBasedTableFactory(table_options));
  options.write_buffer_size = kWriteBufferBytes;
  options.compression = rocksdb::kZSTD;
  options.compression_opts.level = 1;
  return options;
}

}  // namespace

class Blocks::Impl {
 public:
  ~Impl() {
    // RocksDB aborts if a handle outlives the database.
    records.reset();
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (handle != nullptr) db->DestroyColumnFamilyHandle(handle);
    }
    if (db != nullptr) {
      if (const rocksdb::Status status = db->Close(); !status.ok()) {
        spdlog::warn("blocks: close: {}", status.ToString());
      }
    }
  }

  rocksdb::ColumnFamilyHandle* at(Table table) const { return handles[table]; }

  rocksdb::Options SstOptions(Table table) const {
    return rocksdb::Options(DatabaseOptions(env), FamilyOptions(table, cache));
  }

  // Writes sorted keys into files of one table.
  class FileWriter {
   public:
    FileWriter(Impl& impl, Table table)
        : impl_(impl), table_(table), options_(impl.SstOptions(table)) {}

    absl::Status Put(std::string_view key, std::string_view value) {
      if (writer_ == nullptr) {
        writer_ = std::make_unique<rocksdb::SstFileWriter>(
            rocksdb::EnvOptions(), options_, impl_.at(table_));
        path_ = fmt::format("{}/{}-{}.sst", impl_.staging, kTableNames[table_],
                            impl_.next_file++);
        VIGIE_RETURN_IF_ERROR(FromRocks(writer_->Open(path_), path_));
      }
      return FromRocks(writer_->Put(ToSlice(key), ToSlice(value)), path_);
    }
    uint64_t file_bytes() const {
      return writer_ == nullptr ? 0 : writer_->FileSize();
    }
    // Syncs the file.
    absl::Status EndFile() {
      if (writer_ == nullptr) return absl::OkStatus();
      VIGIE_RETURN_IF_ERROR(FromRocks(writer_->Finish(), path_));
      impl_.written[table_].push_back(path_);
      writer_.reset();
      return absl::OkStatus();
    }

   private:
    Impl& impl_;
    const Table table_;
    const rocksdb::Options options_;
    std::unique_ptr<rocksdb::SstFileWriter> writer_;
    std::string path_;
  };

  absl::Status WriteChunks(const SealCapture& capture, uint32_t seal,
                           size_t samples_max);
  absl::Status WriteRows(const SealCapture& capture);
  absl::Status WriteMetadata(const SealCapture& capture);

  void DiscardWritten() {
    for (auto& files : written) files.clear();
    std::vector<std::string> names;  // what stays is removed at the next start
    env->GetChildren(staging, &names).PermitUncheckedError();
    for (const std::string& name : names) {
      env->DeleteFile(fmt::format("{}/{}", staging, name))
          .PermitUncheckedError();
    }
  }

  // Calls `visit` with each row of a table, in order of keys.
  absl::Status Scan(Table table,
                    absl::FunctionRef<absl::Status(std::string_view key,
                                                   std::string_view value)>
                        visit) const {
    const std::unique_ptr<rocksdb::Iterator> it(
        db->NewIterator(rocksdb::ReadOptions(), at(table)));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      if (absl::Status status = visit(ToView(it->key()), ToView(it->value()));
          !status.ok()) {
        return Prefixed(fmt::format("blocks: table {}", kTableNames[table]),
                        status);
      }
    }
    return FromRocks(it->status(), kTableNames[table]);
  }

  rocksdb::Env* env = rocksdb::Env::Default();
  std::string directory;
  std::string staging;
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  std::unique_ptr<RocksRecords> records;

  uint64_t next_file = 1;
  std::vector<std::string> written[kTables];  // by Write, for Publish

  Mutex snapshot_mutex;  // held across DeleteFilesInRanges
  int64_t snapshots ABSL_GUARDED_BY(snapshot_mutex) = 0;
};

absl::Status Blocks::Impl::WriteChunks(const SealCapture& capture,
                                       uint32_t seal, size_t samples_max) {
  struct Piece {
    std::string key;
    int32_t window;
    const SampleColumns* samples;
    size_t begin, end;
  };
  std::vector<Piece> pieces;
  std::deque<SampleRuns> held;
  for (size_t i = 0; i < capture.series.size(); ++i) {
    const SealCapture::Series& one = capture.series[i];
    const std::string& tenant = capture.tenants[one.tenant];
    capture.read(i, &held.emplace_back());
    for (const SampleColumns& samples : held.back()) {
      for (size_t begin = 0; begin < samples.size();) {
        const int32_t window = WindowOf(samples.times_ms[begin]);
        const std::string prefix =
            ChunkPrefix(window, tenant, one.metric_hash, one.id);
        const size_t window_end = std::max(
            begin + 1, window == INT32_MAX
                           ? samples.size()
                           : samples.LowerBound(WindowStartMs(window + 1)));
        while (begin < window_end) {
          const size_t end =
              std::min(window_end, ChunkEnd(samples, begin, samples_max));
          pieces.push_back(
              {ChunkKey(prefix, samples.times_ms[begin], window, seal), window,
               &samples, begin, end});
          begin = end;
        }
      }
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.key < b.key; });
  FileWriter writer(*this, kChunks);
  int32_t window = 0;
  for (const Piece& piece : pieces) {
    const uint64_t bytes = writer.file_bytes();
    if (bytes >= kChunkFileBytesMax ||
        (piece.window != window && bytes >= kChunkFileBytesMin)) {
      VIGIE_RETURN_IF_ERROR(writer.EndFile());
    }
    window = piece.window;
    VIGIE_RETURN_IF_ERROR(writer.Put(
        piece.key, EncodeChunk(*piece.samples, piece.begin, piece.end)));
  }
  return writer.EndFile();
}

absl::Status Blocks::Impl::WriteRows(const SealCapture& capture) {
  FileWriter rows(*this, kSeries), seen(*this, kSeen);
  FileWriter exemplars(*this, kExemplars);
  for (size_t i = 0; i < capture.series.size(); ++i) {  // by id
    const SealCapture::Series& one = capture.series[i];
    const std::string key = SeriesKey(one.id);
    if (one.is_new) {
      VIGIE_RETURN_IF_ERROR(rows.Put(
          key,
          EncodeSeriesRow(capture.tenants[one.tenant], capture.labels(i))));
    }
    SeriesState state{one.first_ms, one.newest_ms, one.last_day_indexed, {}};
    if (const auto it = capture.deltas.find(i); it != capture.deltas.end()) {
      state.delta = it->second;
    }
    VIGIE_RETURN_IF_ERROR(seen.Put(key, EncodeSeenRow(state)));
    if (const auto it = capture.exemplars.find(i);
        it != capture.exemplars.end()) {
      VIGIE_RETURN_IF_ERROR(exemplars.Put(key, EncodeExemplarsRow(it->second)));
    }
  }
  VIGIE_RETURN_IF_ERROR(rows.EndFile());
  VIGIE_RETURN_IF_ERROR(seen.EndFile());
  return exemplars.EndFile();
}

absl::Status Blocks::Impl::WriteMetadata(const SealCapture& capture) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const SealCapture::Metadata& one : capture.metadata) {
    rows.emplace_back(EncodeMetadataKey(one.tenant, one.metric),
                      EncodeMetadataRow(one.entry));
  }
  std::sort(rows.begin(), rows.end());
  FileWriter writer(*this, kMetadata);
  for (const auto& [key, value] : rows) {
    VIGIE_RETURN_IF_ERROR(writer.Put(key, value));
  }
  return writer.EndFile();
}

class Blocks::Snapshot final : public BlockSnapshot {
 public:
  explicit Snapshot(std::shared_ptr<Blocks> blocks)
      : blocks_(std::move(blocks)) {
    Impl& impl = *blocks_->impl_;
    MutexLock lock(impl.snapshot_mutex);
    ++impl.snapshots;
    snapshot_ = impl.db->GetSnapshot();
  }
  ~Snapshot() override {
    Impl& impl = *blocks_->impl_;
    {
      MutexLock lock(mutex_);
      idle_.clear();  // before the database can go
    }
    MutexLock lock(impl.snapshot_mutex);
    impl.db->ReleaseSnapshot(snapshot_);
    --impl.snapshots;
  }

  absl::StatusOr<std::vector<StoredChunk>> Read(
      int32_t window, std::string_view tenant, uint32_t metric_hash,
      uint64_t series_id, const TimeRange& range) const override {
    const std::string prefix =
        ChunkPrefix(window, tenant, metric_hash, series_id);
    std::unique_ptr<rocksdb::Iterator> it = TakeIterator();
    std::vector<StoredChunk> chunks;
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix);
         it->Next()) {
      StoredChunk chunk;
      VIGIE_ASSIGN_OR_RETURN(chunk.seal,
                             SealOfChunkKey(ToView(it->key()), prefix));
      VIGIE_ASSIGN_OR_RETURN(chunk.header,
                             ReadChunkHeader(ToView(it->value())));
      if (chunk.header.first_ms > range.max_ms) break;
      if (chunk.header.last_ms < range.min_ms) continue;
      chunk.bytes = ToView(it->value());
      chunks.push_back(std::move(chunk));
    }
    VIGIE_RETURN_IF_ERROR(FromRocks(it->status(), "chunks"));
    GiveBack(std::move(it));
    return chunks;
  }

 private:
  // An iterator costs more than a seek, and a query reads series by series.
  std::unique_ptr<rocksdb::Iterator> TakeIterator() const {
    {
      MutexLock lock(mutex_);
      if (!idle_.empty()) {
        auto it = std::move(idle_.back());
        idle_.pop_back();
        return it;
      }
    }
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    const Impl& impl = *blocks_->impl_;
    return std::unique_ptr<rocksdb::Iterator>(
        impl.db->NewIterator(options, impl.at(kChunks)));
  }
  void GiveBack(std::unique_ptr<rocksdb::Iterator> it) const {
    MutexLock lock(mutex_);
    if (idle_.size() < kIdleIteratorsMax) idle_.push_back(std::move(it));
  }

  const std::shared_ptr<Blocks> blocks_;
  const rocksdb::Snapshot* snapshot_ = nullptr;
  mutable Mutex mutex_;
  mutable std::vector<std::unique_ptr<rocksdb::Iterator>> idle_
      ABSL_GUARDED_BY(mutex_);
};

Blocks::Blocks(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Blocks::~Blocks() = default;

absl::StatusOr<std::shared_ptr<Blocks>> Blocks::Open(
    const std::string& directory, const std::string& staging,
    rocksdb::Env* env) {
  auto impl = std::make_unique<Impl>();
  if (env != nullptr) impl->env = env;
  impl->directory = directory;
  impl->staging = staging;
  impl->cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  VIGIE_RETURN_IF_ERROR(
      FromRocks(impl->env->CreateDirIfMissing(staging), staging));
  impl->DiscardWritten();
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kTables; ++i) {
    families.emplace_back(kTableNames[i],
                          FamilyOptions(static_cast<Table>(i), impl->cache));
  }
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(
      DatabaseOptions(impl->env), directory, families, &impl->handles, &db);
  impl->db.reset(db);
  if (!status.ok()) return ExplainRefusal(directory, *impl->env, status);
  VIGIE_ASSIGN_OR_RETURN(impl->records,
                         RocksRecords::Open(*impl->db, *impl->at(kRecords)));
  return std::shared_ptr<Blocks>(new Blocks(std::move(impl)));
}

absl::StatusOr<std::string> Blocks::GetMeta(std::string_view key) const {
  std::string value;
  VIGIE_RETURN_IF_ERROR(
      FromRocks(impl_->db->Get(rocksdb::ReadOptions(), impl_->at(kMeta),
                               ToSlice(key), &value),
                key));
  return value;
}

absl::Status Blocks::PutMeta(std::string_view key, std::string_view value) {
  return FromRocks(
      impl_->db->Put(Synced(), impl_->at(kMeta), ToSlice(key), ToSlice(value)),
      key);
}

absl::StatusOr<Watermark> Blocks::ReadWatermark() const {
  const absl::StatusOr<std::string> value = GetMeta(kWatermarkKey);
  if (absl::IsNotFound(value.status())) return Watermark();
  VIGIE_RETURN_IF_ERROR(value.status());
  return ParseWatermark(*value);
}

absl::Status Blocks::LoadInto(Head* head) const {
  VIGIE_RETURN_IF_ERROR(
      impl_->Scan(kSeries, [&](std::string_view key, std::string_view value) {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesRow row, ParseSeriesRow(value));
        return head->LoadSeries(id, row.tenant, row.labels);
      }));
  VIGIE_RETURN_IF_ERROR(
      impl_->Scan(kSeen, [&](std::string_view key, std::string_view value) {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(const SeriesState state, ParseSeenRow(value));
        return head->LoadState(id, state);
      }));
  VIGIE_RETURN_IF_ERROR(impl_->Scan(
      kExemplars, [&](std::string_view key, std::string_view value) {
        VIGIE_ASSIGN_OR_RETURN(const uint64_t id, ParseSeriesKey(key));
        VIGIE_ASSIGN_OR_RETURN(auto exemplars, ParseExemplarsRow(value));
        return head->LoadExemplars(id, std::move(exemplars));
      }));
  return impl_->Scan(
      kMetadata,
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
  impl_->DiscardWritten();
  const uint32_t seal = watermark.next_seal - 1;
  VIGIE_RETURN_IF_ERROR(impl_->WriteChunks(capture, seal, chunk_samples_max));
  VIGIE_RETURN_IF_ERROR(impl_->WriteRows(capture));
  VIGIE_RETURN_IF_ERROR(impl_->WriteMetadata(capture));
  Impl::FileWriter meta(*impl_, kMeta);
  VIGIE_RETURN_IF_ERROR(meta.Put(kWatermarkKey, EncodeWatermark(watermark)));
  return meta.EndFile();
}

absl::Status Blocks::Publish() {
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = true;
  options.write_global_seqno = false;  // files are not written again
  std::vector<rocksdb::IngestExternalFileArg> args;
  for (size_t i = 0; i < kTables; ++i) {
    if (impl_->written[i].empty()) continue;
    rocksdb::IngestExternalFileArg& arg = args.emplace_back();
    arg.column_family = impl_->handles[i];
    arg.external_files = impl_->written[i];
    arg.options = options;
  }
  VIGIE_CHECK(!args.empty());
  const rocksdb::Status status = impl_->db->IngestExternalFiles(args);
  for (auto& files : impl_->written) files.clear();
  return FromRocks(status, "seal");
}

absl::Status Blocks::DropWindowsBefore(int32_t window) {
  const std::string end = WindowPrefix(window);
  return FromRocks(impl_->db->DeleteRange(Synced(), impl_->at(kChunks),
                                          rocksdb::Slice(), ToSlice(end)),
                   "drop windows");
}

bool Blocks::ReclaimWindowsBefore(int32_t window) {
  const std::string first, end = WindowPrefix(window);
  const rocksdb::Slice begin_slice = ToSlice(first), end_slice = ToSlice(end);
  {
    MutexLock lock(impl_->snapshot_mutex);
    // It takes files away from under snapshots, so there must be none.
    if (impl_->snapshots > 0) return false;
    const rocksdb::RangePtr range(&begin_slice, &end_slice);
    const rocksdb::Status status = rocksdb::DeleteFilesInRanges(
        impl_->db.get(), impl_->at(kChunks), &range, 1,
        /*include_end=*/false);
    if (!status.ok()) spdlog::warn("blocks: reclaim: {}", status.ToString());
  }
  // Level 0, and files that reach into kept windows, stay for compaction.
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  const rocksdb::Status status = impl_->db->CompactRange(
      options, impl_->at(kChunks), &begin_slice, &end_slice);
  if (!status.ok()) spdlog::warn("blocks: compact: {}", status.ToString());
  return true;
}

absl::Status Blocks::DropSeries(const std::vector<uint64_t>& series_ids) {
  constexpr size_t kRowsABatch = 4096;
  rocksdb::WriteBatch batch;
  size_t rows = 0;
  for (const uint64_t id : series_ids) {
    const std::string key = SeriesKey(id);
    // What goes last is what the others hang on.
    for (const Table table : {kExemplars, kSeen, kSeries}) {
      batch.Delete(impl_->at(table), ToSlice(key));
    }
    if (++rows % kRowsABatch == 0) {
      VIGIE_RETURN_IF_ERROR(
          FromRocks(impl_->db->Write(Synced(), &batch), "drop series"));
      batch.Clear();
    }
  }
  return FromRocks(impl_->db->Write(Synced(), &batch), "drop series");
}

absl::Status Blocks::DropMetadata(
    const std::vector<std::pair<std::string, std::string>>& names) {
  rocksdb::WriteBatch batch;
  for (const auto& [tenant, metric] : names) {
    const std::string key = EncodeMetadataKey(tenant, metric);
    batch.Delete(impl_->at(kMetadata), ToSlice(key));
  }
  return FromRocks(impl_->db->Write(Synced(), &batch), "drop metadata");
}

std::unique_ptr<BlockSnapshot> Blocks::TakeSnapshot() {
  return std::make_unique<Snapshot>(shared_from_this());
}

void Blocks::Resume() {
  // Refused while RocksDB recovers by itself; the next seal tells.
  const rocksdb::Status status = impl_->db->Resume();
  if (!status.ok()) spdlog::debug("blocks: resume: {}", status.ToString());
}

Records& Blocks::records() { return *impl_->records; }

rocksdb::DB& Blocks::database() const { return *impl_->db; }

std::vector<rocksdb::ColumnFamilyHandle*> Blocks::families() const {
  return impl_->handles;
}

uint64_t Blocks::bytes_on_disk() const {
  uint64_t bytes = 0;
  for (const rocksdb::ColumnFamilyHandle* handle : impl_->handles) {
    uint64_t one = 0;
    impl_->db->GetIntProperty(const_cast<rocksdb::ColumnFamilyHandle*>(handle),
                              rocksdb::DB::Properties::kTotalSstFilesSize,
                              &one);
    bytes += one;
  }
  return bytes;
}

}  // namespace vigie::store
