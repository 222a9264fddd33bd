#include "store/rocks_disk.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>

#include <shared_mutex>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"

namespace vigie::store {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr size_t kProbeBytes = 64 << 10;

absl::Status Unavailable(const std::string& cause) {
  return absl::UnavailableError(fmt::format("blocks: {}", cause));
}

}  // namespace

// std::shared_mutex, as calls that change something share it, whatever the
// disk takes for them, and giving up waits for them.
class RocksDisk::State {
 public:
  // Does `change` unless given up.
  template <class Change>
  IOStatus Do(Change change) const {
    std::shared_lock lock(mutex_);
    // One that is fatal to RocksDB, whatever the cause was.
    if (given_up_) return IOStatus::IOError(cause_);
    return change();
  }

  void GiveUp(const std::string& cause) {
    std::unique_lock lock(mutex_);
    if (std::exchange(given_up_, true)) return;
    cause_ = cause;
    spdlog::error("blocks: {}; nothing is written until they are opened again",
                  cause);
  }

  absl::Status trouble() const {
    std::shared_lock lock(mutex_);
    return given_up_ ? Unavailable(cause_) : absl::OkStatus();
  }

 private:
  mutable std::shared_mutex mutex_;
  bool given_up_ = false;
  std::string cause_;
};

class RocksDisk::Lock {
 public:
  IOStatus Take(rocksdb::FileSystem& below, const std::string& path,
                const IOOptions& options, rocksdb::FileLock** lock,
                IODebugContext* debug) {
    MutexLock hold(mutex_);
    if (users_ == 0) {
      IOStatus status = below.LockFile(path, options, &real_, debug);
      if (!status.ok()) return status;
    }
    ++users_;
    *lock = real_;
    return IOStatus::OK();
  }
  IOStatus Release(rocksdb::FileSystem& below, const IOOptions& options,
                   IODebugContext* debug) {
    MutexLock hold(mutex_);
    if (--users_ > 0) return IOStatus::OK();
    return below.UnlockFile(std::exchange(real_, nullptr), options, debug);
  }

 private:
  Mutex mutex_;
  int users_ ABSL_GUARDED_BY(mutex_) = 0;
  rocksdb::FileLock* real_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class RocksDisk::WritableFile final
    : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(std::shared_ptr<const State> state,
               std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        state_(std::move(state)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    return state_->Do([&] { return target()->Append(data, options, debug); });
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info,
                  IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->Append(data, options, info, debug); });
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset,
                            const IOOptions& options,
                            IODebugContext* debug) override {
    return state_->Do([&] {
      return target()->PositionedAppend(data, offset, options, debug);
    });
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset,
                            const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info,
                            IODebugContext* debug) override {
    return state_->Do([&] {
      return target()->PositionedAppend(data, offset, options, info, debug);
    });
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    return state_->Do([&] { return target()->Truncate(size, options, debug); });
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return state_->Do([&] { return target()->Flush(options, debug); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return state_->Do([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return state_->Do([&] { return target()->Fsync(options, debug); });
  }
  IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->RangeSync(offset, bytes, options, debug); });
  }
  IOStatus Allocate(uint64_t offset, uint64_t bytes, const IOOptions& options,
                    IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->Allocate(offset, bytes, options, debug); });
  }

 private:
  const std::shared_ptr<const State> state_;
};

class RocksDisk::Directory final : public rocksdb::FSDirectory {
 public:
  Directory(std::shared_ptr<const State> state,
            std::unique_ptr<rocksdb::FSDirectory> target)
      : state_(std::move(state)), target_(std::move(target)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return state_->Do([&] { return target_->Fsync(options, debug); });
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& kind) override {
    return state_->Do(
        [&] { return target_->FsyncWithDirOptions(options, debug, kind); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return target_->Close(options, debug);
  }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    return target_->GetUniqueId(id, max_size);
  }

 private:
  const std::shared_ptr<const State> state_;
  const std::unique_ptr<rocksdb::FSDirectory> target_;
};

class RocksDisk::System final : public rocksdb::FileSystemWrapper {
 public:
  System(const std::shared_ptr<rocksdb::FileSystem>& below,
         std::shared_ptr<const State> state, std::shared_ptr<Lock> lock)
      : FileSystemWrapper(below),
        state_(std::move(state)),
        lock_(std::move(lock)) {}
  const char* Name() const override { return "RocksDisk"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* out,
                           IODebugContext* debug) override {
    return Opened(out, [&](auto* file) {
      return target()->NewWritableFile(path, options, file, debug);
    });
  }
  IOStatus ReopenWritableFile(const std::string& path,
                              const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* out,
                              IODebugContext* debug) override {
    return Opened(out, [&](auto* file) {
      return target()->ReopenWritableFile(path, options, file, debug);
    });
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* out,
                             IODebugContext* debug) override {
    return Opened(out, [&](auto* file) {
      return target()->ReuseWritableFile(path, old, options, file, debug);
    });
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>*,
                           IODebugContext*) override {
    return IOStatus::NotSupported("RocksDisk: no file is written in place");
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* out,
                        IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSDirectory> directory;
    IOStatus status = target()->NewDirectory(path, options, &directory, debug);
    if (status.ok()) {
      *out = std::make_unique<Directory>(state_, std::move(directory));
    }
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->DeleteFile(path, options, debug); });
  }
  IOStatus Truncate(const std::string& path, size_t size,
                    const IOOptions& options, IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->Truncate(path, size, options, debug); });
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->CreateDir(path, options, debug); });
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->CreateDirIfMissing(path, options, debug); });
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->DeleteDir(path, options, debug); });
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions& options,
                      IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->RenameFile(from, to, options, debug); });
  }
  IOStatus LinkFile(const std::string& from, const std::string& to,
                    const IOOptions& options, IODebugContext* debug) override {
    return state_->Do(
        [&] { return target()->LinkFile(from, to, options, debug); });
  }
  IOStatus LockFile(const std::string& path, const IOOptions& options,
                    rocksdb::FileLock** lock, IODebugContext* debug) override {
    return lock_->Take(*target(), path, options, lock, debug);
  }
  IOStatus UnlockFile(rocksdb::FileLock*, const IOOptions& options,
                      IODebugContext* debug) override {
    return lock_->Release(*target(), options, debug);
  }

 private:
  template <class Open>
  IOStatus Opened(std::unique_ptr<rocksdb::FSWritableFile>* out, Open open) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = state_->Do([&] { return open(&file); });
    if (status.ok()) {
      *out = std::make_unique<WritableFile>(state_, std::move(file));
    }
    return status;
  }

  const std::shared_ptr<const State> state_;
  const std::shared_ptr<Lock> lock_;
};

class RocksDisk::Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<State> state) : state_(std::move(state)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason,
                         rocksdb::Status* error) override {
    if (!error->ok()) state_->GiveUp(error->ToString());
  }
  // Debian's build, with assertions, aborts at the first write after it has
  // recovered from a failed write-ahead log while no table had rows in memory.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }

 private:
  const std::shared_ptr<State> state_;
};

RocksDisk::RocksDisk(rocksdb::Env* below, const RocksDisk* before)
    : lock_(before != nullptr ? before->lock_ : std::make_shared<Lock>()),
      state_(std::make_shared<State>()),
      below_(below != nullptr ? below : rocksdb::Env::Default()),
      env_(rocksdb::NewCompositeEnv(
          std::make_shared<System>(below_->GetFileSystem(), state_, lock_))) {}

RocksDisk::~RocksDisk() = default;

rocksdb::Env& RocksDisk::env() const { return *env_; }

std::shared_ptr<rocksdb::EventListener> RocksDisk::listener() const {
  return std::make_shared<Listener>(state_);
}

void RocksDisk::GiveUp(const std::string& cause) const {
  state_->GiveUp(cause);
}

absl::Status RocksDisk::trouble() const { return state_->trouble(); }

absl::Status RocksDisk::Probe(const std::string& directory) const {
  const std::string path = directory + "/probe";
  const std::string renamed = directory + "/probed";
  rocksdb::Status status = rocksdb::WriteStringToFile(
      below_, std::string(kProbeBytes, 'p'), path, /*should_sync=*/true);
  if (status.ok()) status = below_->RenameFile(path, renamed);
  if (status.ok()) {
    std::unique_ptr<rocksdb::Directory> opened;
    status = below_->NewDirectory(directory, &opened);
    if (status.ok()) status = opened->Fsync();
  }
  if (status.ok()) status = below_->DeleteFile(renamed);
  if (status.ok()) return absl::OkStatus();
  below_->DeleteFile(path).PermitUncheckedError();
  return Unavailable(status.ToString());
}

}  // namespace vigie::store
