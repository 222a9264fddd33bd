#include "store/verify.h"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "base/byte_account.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/batch_record.h"
#include "store/data_directory.h"
#include "store/local_store.h"
#include "store/log_format.h"
#include "store/rocks_log.h"
#include "store/verify_index.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;

// A message for each series would say the same a million times.
constexpr size_t kSameDamagesMax = 100;

class Counted {
 public:
  Counted(const DamageFound& found, VerifyOutcome* outcome)
      : found_(found), outcome_(*outcome) {}
  void Tell(const std::string& damage) {
    ++outcome_.damages;
    if (++told_ <= kSameDamagesMax) found_(damage);
    if (told_ == kSameDamagesMax + 1) found_("more of these are not told");
  }

 private:
  const DamageFound& found_;
  VerifyOutcome& outcome_;
  size_t told_ = 0;
};

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    names.push_back(entry.path().filename().string());
  }
  if (error) {
    return absl::UnavailableError(
        fmt::format("{}: {}", directory, error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What RocksDB's own books say of its files.
absl::Status VerifyBooks(const std::string& blocks, Counted* damages) {
  rocksdb::Options options;
  options.info_log = RocksLog();
  std::vector<std::string> families;
  rocksdb::Status status =
      rocksdb::DB::ListColumnFamilies(options, blocks, &families);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& family : families) {
    descriptors.emplace_back(family, rocksdb::ColumnFamilyOptions());
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  if (status.ok()) {
    status = rocksdb::DB::OpenForReadOnly(options, blocks, descriptors,
                                          &handles, &opened);
  }
  const std::unique_ptr<rocksdb::DB> db(opened);
  if (!status.ok()) {
    damages->Tell(fmt::format("{}: {}", blocks, status.ToString()));
    return absl::OkStatus();
  }
  std::vector<rocksdb::LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    const std::string path =
        fmt::format("{}/{}", blocks, fs::path(file.name).filename().string());
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error) {
      damages->Tell(fmt::format("{}: {}; it holds {} rows of table {}", path,
                                error.message(), file.num_entries,
                                file.column_family_name));
    } else if (bytes != file.size) {
      damages->Tell(fmt::format("{}: bytes {}-{} are missing: table {}", path,
                                bytes, file.size, file.column_family_name));
    }
  }
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    db->DestroyColumnFamilyHandle(handle);
  }
  return absl::OkStatus();
}

// Reads everything of a tenant as a query would.
absl::Status ReadTenant(const Queryable& queryable, const Tenant& tenant,
                        const Progress& progress,
                        const std::function<void(const absl::Status&)>& fail,
                        VerifyOutcome* outcome) {
  ByteAccount account("verify", int64_t{1} << 30);
  const ReadContext context{&account, progress.stop};
  const absl::StatusOr<NameList> metrics =
      queryable.LabelValues(tenant, kMetricName, {}, {}, 0, context);
  if (!metrics.ok()) {
    fail(Prefixed(fmt::format("tenant {}: names", tenant.name),
                  metrics.status()));
    return absl::OkStatus();
  }
  for (const std::string& metric : metrics->names) {
    const auto snapshot = queryable.Select(
        {tenant, {}, {Matcher::Equal(kMetricName, metric)}}, context);
    if (!snapshot.ok()) {
      fail(Prefixed(metric, snapshot.status()));
      continue;
    }
    for (const std::string& warning : (*snapshot)->warnings()) {
      fail(absl::DataLossError(fmt::format("{}: {}", metric, warning)));
    }
    SampleBatch batch;
    for (size_t i = 0; i < (*snapshot)->size(); ++i) {
      VIGIE_RETURN_IF_ERROR(progress.Stopped());
      const auto samples = (*snapshot)->Samples(i);
      absl::StatusOr<bool> more = true;
      while (more.ok() && *more) {
        more = samples->Next(&batch);
        if (more.ok() && *more) outcome->samples += batch.times_ms.size();
      }
      if (!more.ok()) {
        fail(Prefixed((*snapshot)->labels(i).ToString(), more.status()));
      }
      ++outcome->series;
      progress.Report("reading series", outcome->series, 0, "series");
    }
  }
  return absl::OkStatus();
}

std::string Replaced(std::string text, const std::string& from,
                     const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

absl::Status CopyFile(const std::string& from, const std::string& to,
                      bool link) {
  std::error_code error;
  if (link) {
    fs::create_hard_link(from, to, error);
    if (!error) return absl::OkStatus();
    error.clear();
  }
  fs::copy_file(from, to, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("{}: copy to {}: {}", from, to, error.message()));
}

// What a data directory holds into another, which was begun. Table files never
// change, so a link will do where they are only read.
absl::Status CopyContents(const std::string& from, const std::string& to,
                          bool link, const Progress& progress) {
  PosixFileLayer files;
  uint64_t total = 0, done = 0;
  struct One {
    std::string name;
    uint64_t bytes;
  };
  std::vector<One> all;
  for (const char* folder : {"blocks", "log"}) {
    VIGIE_RETURN_IF_ERROR(
        files.CreateDirectory(fmt::format("{}/{}", to, folder)));
    VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           files.List(fmt::format("{}/{}", from, folder)));
    for (const std::string& name : names) {
      // RocksDB's lock and its own diary.
      if (name == "LOCK" || name.starts_with("LOG")) continue;
      std::error_code ignored;
      const std::string path = fmt::format("{}/{}", folder, name);
      const uint64_t bytes = fs::file_size(from + "/" + path, ignored);
      total += bytes;
      all.push_back({path, bytes});
    }
  }
  for (const One& one : all) {
    VIGIE_RETURN_IF_ERROR(progress.Stopped());
    const std::string target = fmt::format("{}/{}", to, one.name);
    VIGIE_RETURN_IF_ERROR(CopyFile(fmt::format("{}/{}", from, one.name), target,
                                   link && one.name.ends_with(".sst")));
    if (!link) {
      VIGIE_ASSIGN_OR_RETURN(const auto file, files.Open(target));
      VIGIE_RETURN_IF_ERROR(file->Sync());
    }
    done += one.bytes;
    progress.Report("copying", done, total, "bytes");
  }
  VIGIE_RETURN_IF_ERROR(files.SyncDirectory(to + "/blocks"));
  return files.SyncDirectory(to + "/log");
}

}  // namespace

absl::Status VerifyBlockFiles(const std::string& directory,
                              const Progress& progress,
                              const DamageFound& found,
                              VerifyOutcome* outcome) {
  const std::string blocks = directory + "/blocks";
  Counted damages(found, outcome);
  VIGIE_RETURN_IF_ERROR(VerifyBooks(blocks, &damages));
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(blocks));
  uint64_t total = 0, done = 0;
  std::error_code ignored;
  for (const std::string& name : names) {
    if (name.ends_with(".sst")) {
      total += fs::file_size(blocks + "/" + name, ignored);
    }
  }
  rocksdb::ReadOptions read;
  read.readahead_size = 2 << 20;
  for (const std::string& name : names) {
    if (!name.ends_with(".sst")) continue;
    VIGIE_RETURN_IF_ERROR(progress.Stopped());
    const std::string path = blocks + "/" + name;
    rocksdb::SstFileReader reader((rocksdb::Options()));
    rocksdb::Status status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum(read);
    if (!status.ok()) {
      damages.Tell(fmt::format("{}: {}", path, status.ToString()));
    }
    const uint64_t bytes = fs::file_size(path, ignored);
    done += bytes;
    ++outcome->files;
    outcome->bytes += bytes;
    progress.Report("comparing checksums", done, total, "bytes");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LogDamage>> VerifyLog(const std::string& directory,
                                                 FileLayer& files,
                                                 VerifyOutcome* outcome) {
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         files.List(directory));
  std::vector<LogDamage> damages;
  struct Segment {
    std::string name;
    std::string bytes;
    SegmentHeader header;
  };
  std::optional<Segment> before;
  // A segment is read whole, once the next one or the end record tells where
  // it ends.
  const auto check = [&](const Segment& segment,
                         uint64_t end_bytes) -> absl::Status {
    LogPosition last = segment.header.first_position - 1;
    const absl::StatusOr<SegmentScan> scan =
        ScanSegment(segment.header, segment.bytes, end_bytes,
                    [&](LogPosition position, std::string_view payload) {
                      last = position;
                      return DecodeBatchRecord(payload).status();
                    });
    const std::string path = fmt::format("{}/{}", directory, segment.name);
    if (!scan.ok()) {
      damages.push_back({segment.name, segment.header.generation, last,
                         fmt::format("{}: position {}: {}", path, last,
                                     MessageOf(scan.status()))});
    } else if (scan->damage) {
      damages.push_back(
          {segment.name, segment.header.generation, scan->end_position,
           fmt::format("{}: bytes {}-{} are damaged; they were synced, and "
                       "hold frames from position {} on",
                       path, scan->damage->begin, scan->damage->end,
                       scan->end_position)});
    }
    ++outcome->files;
    outcome->bytes += segment.bytes.size();
    return absl::OkStatus();
  };
  EndRecord end;
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", directory, name);
    VIGIE_ASSIGN_OR_RETURN(const auto file, files.Open(path));
    VIGIE_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    VIGIE_ASSIGN_OR_RETURN(std::string bytes, file->ReadAt(0, size));
    if (!name.ends_with(".log")) {
      // Overwritten in place: a torn one is passed over by the next start.
      const auto record = DecodeEndRecord(bytes);
      if (record.ok()) end = *record;
      continue;
    }
    const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes);
    if (!header.ok()) {
      uint64_t generation = 0;
      for (const char digit : name.substr(0, name.size() - 4)) {
        generation = generation * 10 + static_cast<uint64_t>(digit - '0');
      }
      damages.push_back(
          {name, generation, 0,
           fmt::format("{}: bytes 0-{}: {}", path, kSegmentHeaderBytes,
                       MessageOf(header.status()))});
      before.reset();
      continue;
    }
    if (before) {
      if (header->previous_generation != before->header.generation) {
        damages.push_back({name, header->generation, header->first_position,
                           fmt::format("{}: the segment before it, {}, is "
                                       "missing",
                                       path, header->previous_generation)});
      } else {
        VIGIE_RETURN_IF_ERROR(check(*before, header->previous_end_bytes));
      }
    }
    before = Segment{name, std::move(bytes), *header};
  }
  if (before) {
    const bool recorded = end.generation == before->header.generation;
    VIGIE_RETURN_IF_ERROR(check(*before, recorded ? end.end_bytes : 0));
  }
  return damages;
}

absl::Status VerifyContents(const std::string& directory,
                            const std::string& name, const Clock& clock,
                            const Progress& progress, const DamageFound& found,
                            VerifyOutcome* outcome) {
  Counted damages(found, outcome);
  const auto fail = [&](const absl::Status& status) {
    damages.Tell(Replaced(std::string(MessageOf(status)), directory, name));
  };
  // Where it does not open, the store says so below.
  if (const auto blocks =
          Blocks::Open(directory + "/blocks", directory + "/staging");
      blocks.ok()) {
    const auto snapshot = (*blocks)->TakeSnapshot();
    VIGIE_RETURN_IF_ERROR(VerifyIndex(**blocks, *snapshot, progress, fail));
  }
  prometheus::Registry registry;
  LocalStoreOptions options;
  options.store.retention_ms = 0;
  options.store.seal_interval_ms = int64_t{24} * 3'600'000;
  const auto store = LocalStore::Open(directory, options, clock, registry);
  if (!store.ok()) {
    fail(store.status());
    return absl::OkStatus();
  }
  const auto tenants = (*store)->Tenants();
  if (!tenants.ok()) {
    fail(tenants.status());
    return absl::OkStatus();
  }
  for (const std::string& tenant : *tenants) {
    VIGIE_RETURN_IF_ERROR(
        ReadTenant((*store)->queryable(), {tenant}, progress, fail, outcome));
  }
  return absl::OkStatus();
}

absl::StatusOr<VerifyOutcome> VerifyDirectory(const std::string& directory,
                                              const Clock& clock,
                                              const Progress& progress,
                                              const DamageFound& found) {
  PosixFileLayer files;
  VerifyOutcome outcome;
  std::error_code error;
  VIGIE_RETURN_IF_ERROR(CheckDataDirectory(directory));
  VIGIE_ASSIGN_OR_RETURN(const auto lock,
                         DataDirectory::Open(directory, files));
  VIGIE_RETURN_IF_ERROR(VerifyBlockFiles(directory, progress, found, &outcome));
  VIGIE_ASSIGN_OR_RETURN(const std::vector<LogDamage> log,
                         VerifyLog(directory + "/log", files, &outcome));
  for (const LogDamage& damage : log) found(damage.message);
  outcome.damages += log.size();

  const std::string copy = directory + "/verify";
  fs::remove_all(copy, error);
  absl::Status status = BeginDataDirectory(copy, files);
  if (status.ok()) status = CopyContents(directory, copy, true, progress);
  if (status.ok()) status = EndDataDirectory(copy, files);
  if (status.ok()) {
    // Over a damaged log it does not open, which is told already.
    if (log.empty()) {
      status =
          VerifyContents(copy, directory, clock, progress, found, &outcome);
    }
  }
  fs::remove_all(copy, error);
  VIGIE_RETURN_IF_ERROR(status);
  return outcome;
}

absl::Status RestoreDirectory(const std::string& source,
                              const std::string& target, const Clock& clock,
                              const Progress& progress) {
  std::string first;
  VIGIE_ASSIGN_OR_RETURN(
      const VerifyOutcome verified,
      VerifyDirectory(source, clock, progress, [&](const std::string& damage) {
        if (first.empty()) first = damage;
      }));
  if (verified.damages > 0) {
    return absl::DataLossError(fmt::format("{}: {}", source, first));
  }
  PosixFileLayer files;
  std::error_code error;
  const bool existed = fs::exists(target, error);
  VIGIE_RETURN_IF_ERROR(BeginDataDirectory(target, files));
  absl::Status status = CopyContents(source, target, false, progress);
  if (status.ok()) return EndDataDirectory(target, files);
  for (const char* name : {"/blocks", "/log", "/UNFINISHED"}) {
    fs::remove_all(target + name, error);
  }
  if (!existed) fs::remove(target, error);
  return status;
}

absl::StatusOr<std::vector<std::string>> RepairDirectory(
    const std::string& directory, bool move, const Progress& progress) {
  PosixFileLayer files;
  VIGIE_RETURN_IF_ERROR(CheckDataDirectory(directory));
  VIGIE_ASSIGN_OR_RETURN(const auto lock,
                         DataDirectory::Open(directory, files));
  VerifyOutcome outcome;
  std::string first;
  VIGIE_RETURN_IF_ERROR(VerifyBlockFiles(
      directory, progress,
      [&](const std::string& damage) {
        if (first.empty()) first = damage;
      },
      &outcome));
  if (!first.empty()) {
    return absl::DataLossError(fmt::format(
        "{}; blocks cannot be mended: restore a snapshot, or export what can "
        "be read",
        first));
  }
  const std::string log = directory + "/log";
  VIGIE_ASSIGN_OR_RETURN(const std::vector<LogDamage> damages,
                         VerifyLog(log, files, &outcome));
  std::vector<std::string> lost;
  if (damages.empty()) return lost;
  uint64_t from = damages.front().generation;
  for (const LogDamage& damage : damages) {
    from = std::min(from, damage.generation);
    lost.push_back(damage.message);
  }
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(log));
  std::error_code error;
  std::string aside;
  for (int n = 1; aside.empty() || fs::exists(aside, error); ++n) {
    aside = fmt::format("{}/damaged-{}", directory, n);
  }
  if (move) VIGIE_RETURN_IF_ERROR(files.CreateDirectory(aside));
  const std::string from_name = fmt::format("{:020}.log", from);
  for (const std::string& name : names) {
    if (!name.ends_with(".log") || name < from_name) continue;
    lost.push_back(fmt::format("{}/{}: {} to {}", log, name,
                               move ? "moved" : "would be moved", aside));
  }
  if (!move) return lost;
  // The newest first: no crash in between leaves a hole.
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!name->ends_with(".log") || *name < from_name) continue;
    VIGIE_RETURN_IF_ERROR(files.Rename(log + "/" + *name, aside + "/" + *name));
  }
  VIGIE_RETURN_IF_ERROR(files.SyncDirectory(log));
  VIGIE_RETURN_IF_ERROR(files.SyncDirectory(aside));
  VIGIE_RETURN_IF_ERROR(files.SyncDirectory(directory));
  return lost;
}

}  // namespace vigie::store
