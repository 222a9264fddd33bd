// RocksTables: the RocksDB database below the blocks: its column families,
// their settings and the bound on what it takes in memory; files written
// aside and taken in together. Families: docs/formats/keys.md.
// Thread-safe, except that the families of windows are created and dropped by
// one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/rocks_disk.h"

namespace rocksdb {
class Cache;
class ColumnFamilyHandle;
class DB;
class Env;
class Iterator;
class Slice;
class Snapshot;
class SstFileWriter;
class Status;
class WriteBatch;
}  // namespace rocksdb

namespace vigie::store {

// The families that are always there.
enum class Table : uint8_t {
  kDefault,  // RocksDB's own; empty
  kMeta,
  kWindows,
  kTombstones,
  kCold,
  kLate,
  kNames,
  kActive,
  kIndex,
  kExemplars,
  kMetadata,
  kRecords,
};
inline constexpr size_t kTables = 12;

// `what` goes first. kDataLoss, kNotFound, kInternal or kUnavailable.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

// A column family; once dropped its files go with the last owner.
class Family {
 public:
  Family(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* handle)
      : db_(db), handle_(handle) {}
  ~Family();
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  rocksdb::ColumnFamilyHandle* handle() const { return handle_; }
  const std::string& name() const;
  uint64_t bytes_on_disk() const;

 private:
  rocksdb::DB& db_;
  rocksdb::ColumnFamilyHandle* const handle_;
};

enum class RowFate { kKeep, kDelete, kStop };

class FileSet;
class FileWriter;

class RocksTables {
 public:
  using Visit = absl::FunctionRef<absl::Status(std::string_view key,
                                               std::string_view value)>;

  // Creates or opens. kUnavailable, kDataLoss, naming the cause. `before` is
  // null, or has opened the same directory before and is in trouble.
  static absl::StatusOr<std::unique_ptr<RocksTables>> Open(
      const std::string& directory, const std::string& staging,
      rocksdb::Env* env, const RocksTables* before = nullptr);
  ~RocksTables();  // all families that were given out are gone by then

  rocksdb::DB& db() const { return *db_; }
  const std::string& staging() const { return staging_; }
  rocksdb::Env& env() const { return disk_->env(); }
  // Not OK, naming the cause, once a failed write has put an end to all others:
  // it is read, and opened anew when Probe is OK.
  absl::Status trouble() const { return disk_->trouble(); }
  absl::Status Probe() const { return disk_->Probe(staging_); }
  // For one in trouble: what RocksDB tries in the background can only fail.
  void StopBackgroundWork();
  const std::shared_ptr<Family>& at(Table table) const {
    return families_[static_cast<size_t>(table)];
  }

  // The families of windows that were there at Open; once.
  std::map<int32_t, std::shared_ptr<Family>> TakeHotFamilies() {
    return std::move(hot_);
  }
  absl::StatusOr<std::shared_ptr<Family>> CreateHot(int32_t window);
  absl::Status Drop(const Family& family);

  // Synced. For all tables but `records`, which takes in no files.
  absl::Status Write(rocksdb::WriteBatch* batch, std::string_view what);

  // kNotFound if absent.
  absl::StatusOr<std::string> Get(Table table, std::string_view key) const;
  // Rows whose keys begin with `prefix`, in order; of now if `snapshot` is
  // null.
  absl::Status Scan(Table table, const rocksdb::Snapshot* snapshot,
                    std::string_view prefix, Visit visit) const;

  // Deletes rows one by one, never as a range: a file of nothing but a deleted
  // range would make RocksDB, as Debian builds it, abort if the disk fails at
  // the wrong moment. By a file of deletions, all or nothing: what stays in
  // RocksDB's memory while later files come in is flushed behind them, and in
  // a family of one level that breaks what compactions rely on.
  absl::Status DeleteRows(
      Table table,
      absl::FunctionRef<RowFate(std::string_view key, std::string_view value)>
          fate);
  absl::Status DeleteKeys(Table table, std::vector<std::string> keys);

  // Takes files away that nothing reads any more. Never those in level 0.
  absl::Status DeleteFiles(const Family& family, std::string_view begin,
                           std::string_view end);

  std::string NewStagingPath();
  uint64_t bytes_on_disk() const;
  // The files that a row may have been cut off from before Open, with "or" in
  // between.
  const std::string& journals() const { return journals_; }

 private:
  RocksTables() = default;
  void ClearStaging();
  absl::Status FinishDeletion(absl::Status status, FileWriter* writer,
                              FileSet* files);

  // `status` is of a change of families, whose failure RocksDB does not hold
  // for fatal, though its manifest may have ended with it.
  absl::Status Changed(const rocksdb::Status& status, std::string_view what);

  std::unique_ptr<RocksDisk> disk_;
  std::string directory_;
  std::string staging_;
  std::string journals_;
  std::shared_ptr<rocksdb::Cache> cache_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<std::shared_ptr<Family>> families_;
  std::map<int32_t, std::shared_ptr<Family>> hot_;
  std::atomic<uint64_t> next_file_{1};

  friend class FileSet;
  friend class FileWriter;
};

// Files of several families that become part of them in one step.
class FileSet {
 public:
  void Add(std::shared_ptr<Family> family, std::string path);
  bool empty() const { return files_.empty(); }
  // All or nothing, on disk when it returns.
  absl::Status Ingest(RocksTables& tables);
  // Removes those not ingested.
  void Discard(RocksTables& tables);

 private:
  struct OfFamily {
    std::shared_ptr<Family> family;
    std::vector<std::string> paths;
  };
  std::vector<OfFamily> files_;
};

// Writes keys, which ascend, into files of one family.
class FileWriter {
 public:
  FileWriter(RocksTables& tables, std::shared_ptr<Family> family,
             FileSet* files);
  ~FileWriter();

  // Between rows that are read apart: begins another file if this one has
  // grown large.
  absl::Status MayEndFile();
  absl::Status Put(std::string_view key, std::string_view value);
  absl::Status Delete(std::string_view key);
  // Syncs the last file.
  absl::Status Finish();
  uint64_t bytes() const;  // so far

 private:
  absl::Status NextFile();

  RocksTables& tables_;
  const std::shared_ptr<Family> family_;
  FileSet* const files_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::string path_;
  uint64_t finished_bytes_ = 0;
};

}  // namespace vigie::store
