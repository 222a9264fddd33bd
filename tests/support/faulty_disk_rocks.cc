// What RocksDB sees of a FaultyDisk.
#include <fmt/format.h>
#include <rocksdb/file_system.h>

#include <cerrno>

#include "tests/support/faulty_disk.h"

namespace vigie::testing {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// As RocksDB's own file system tells them apart.
IOStatus ToRocks(const std::string& path, std::string_view call, int error) {
  if (error == 0) return IOStatus::OK();
  const std::string what = fmt::format("While {}: {}", call, path);
  if (error != ENOSPC) {
    return IOStatus::IOError(what, FaultyDisk::CauseOf(error));
  }
  IOStatus status = IOStatus::NoSpace(what, FaultyDisk::CauseOf(error));
  status.SetRetryable(true);
  return status;
}

}  // namespace

// The target's syncs are left out throughout: the model knows what they do.
class FaultyDisk::WritableFile final
    : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(FaultyDisk& disk, std::string path, InodePtr inode,
               std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        disk_(disk),
        path_(std::move(path)),
        inode_(std::move(inode)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    size_t written = 0;
    const int error = disk_.Write(path_, *inode_, inode_->file.cached().size(),
                                  {data.data(), data.size()}, &written);
    if (written > 0) {
      IOStatus status =
          target()->Append({data.data(), written}, options, debug);
      if (!status.ok()) return status;
    }
    return ToRocks(path_, "appending", error);
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset,
                            const IOOptions& options,
                            IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    size_t written = 0;
    const int error = disk_.Write(path_, *inode_, offset,
                                  {data.data(), data.size()}, &written);
    // Direct writes come in whole sectors or not at all.
    if (error != 0) return ToRocks(path_, "appending", error);
    return target()->PositionedAppend(data, offset, options, debug);
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset,
                            const IOOptions& options,
                            const rocksdb::DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    const int error = disk_.Truncate(path_, *inode_, size);
    if (error != 0) return ToRocks(path_, "truncating", error);
    return target()->Truncate(size, options, debug);
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    std::lock_guard lock(disk_.mutex_);
    return ToRocks(path_, "fdatasync", disk_.Sync(path_, *inode_));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&,
                     IODebugContext*) override {
    return IOStatus::OK();  // a hint, which promises nothing
  }
  // Space is not set aside: the model has none.
  void PrepareWrite(size_t, size_t, const IOOptions&,
                    IODebugContext*) override {}
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&,
                    IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FaultyDisk& disk_;
  const std::string path_;
  const InodePtr inode_;
};

class FaultyDisk::ReadableFile final
    : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  ReadableFile(FaultyDisk& disk, std::string path,
               std::unique_ptr<rocksdb::FSRandomAccessFile> target)
      : FSRandomAccessFileOwnerWrapper(std::move(target)),
        disk_(disk),
        path_(std::move(path)) {}

  IOStatus Read(uint64_t offset, size_t bytes, const IOOptions& options,
                rocksdb::Slice* result, char* scratch,
                IODebugContext* debug) const override {
    if (const int error = Strike()) return ToRocks(path_, "reading", error);
    return target()->Read(offset, bytes, options, result, scratch, debug);
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count,
                     const IOOptions& options, IODebugContext* debug) override {
    if (const int error = Strike()) return ToRocks(path_, "reading", error);
    return target()->MultiRead(requests, count, options, debug);
  }

 private:
  int Strike() const {
    std::lock_guard lock(disk_.mutex_);
    return disk_.Strikes(Op::kRead, path_);
  }

  FaultyDisk& disk_;
  const std::string path_;
};

class FaultyDisk::SequentialFile final
    : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  SequentialFile(FaultyDisk& disk, std::string path,
                 std::unique_ptr<rocksdb::FSSequentialFile> target)
      : FSSequentialFileOwnerWrapper(std::move(target)),
        disk_(disk),
        path_(std::move(path)) {}

  IOStatus Read(size_t bytes, const IOOptions& options, rocksdb::Slice* result,
                char* scratch, IODebugContext* debug) override {
    {
      std::lock_guard lock(disk_.mutex_);
      const int error = disk_.Strikes(Op::kRead, path_);
      if (error != 0) return ToRocks(path_, "reading", error);
    }
    return target()->Read(bytes, options, result, scratch, debug);
  }

 private:
  FaultyDisk& disk_;
  const std::string path_;
};

class FaultyDisk::Directory final : public rocksdb::FSDirectory {
 public:
  Directory(FaultyDisk& disk, std::string path)
      : disk_(disk), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    std::lock_guard lock(disk_.mutex_);
    return ToRocks(path_, "fsync", disk_.SyncDirectory(path_));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FaultyDisk& disk_;
  const std::string path_;
};

class FaultyDisk::System final : public rocksdb::FileSystemWrapper {
 public:
  explicit System(FaultyDisk& disk)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
  const char* Name() const override { return "FaultyDisk"; }

  IOStatus NewSequentialFile(const std::string& path,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* out,
                             IODebugContext* debug) override {
    if (const int error = Strike(Op::kOpen, path)) {
      return ToRocks(path, "opening", error);
    }
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    IOStatus status = target()->NewSequentialFile(path, options, &file, debug);
    if (status.ok()) {
      *out = std::make_unique<SequentialFile>(disk_, path, std::move(file));
    }
    return status;
  }
  IOStatus NewRandomAccessFile(
      const std::string& path, const FileOptions& options,
      std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
      IODebugContext* debug) override {
    if (const int error = Strike(Op::kOpen, path)) {
      return ToRocks(path, "opening", error);
    }
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    IOStatus status =
        target()->NewRandomAccessFile(path, options, &file, debug);
    if (status.ok()) {
      *out = std::make_unique<ReadableFile>(disk_, path, std::move(file));
    }
    return status;
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* out,
                           IODebugContext* debug) override {
    if (LeftAlone(path)) {
      return target()->NewWritableFile(path, options, out, debug);
    }
    std::lock_guard lock(disk_.mutex_);
    InodePtr inode;
    const int error = disk_.Create(path, &inode);
    if (error != 0) return ToRocks(path, "creating", error);
    inode->in_order = true;
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = target()->NewWritableFile(path, options, &file, debug);
    if (status.ok()) {
      *out =
          std::make_unique<WritableFile>(disk_, path, inode, std::move(file));
    }
    return status;
  }
  IOStatus ReopenWritableFile(const std::string& path,
                              const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* out,
                              IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    InodePtr inode = disk_.Find(path);
    const int error = inode == nullptr ? disk_.Create(path, &inode)
                                       : disk_.Strikes(Op::kOpen, path);
    if (error != 0) return ToRocks(path, "opening", error);
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = target()->ReopenWritableFile(path, options, &file, debug);
    if (status.ok()) {
      *out =
          std::make_unique<WritableFile>(disk_, path, inode, std::move(file));
    }
    return status;
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* out,
                             IODebugContext* debug) override {
    IOStatus status = RenameFile(old, path, IOOptions(), debug);
    if (!status.ok()) return status;
    return NewWritableFile(path, options, out, debug);
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>*,
                           IODebugContext*) override {
    return IOStatus::NotSupported("a FaultyDisk writes at the end only");
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* out,
                        IODebugContext*) override {
    if (const int error = Strike(Op::kOpen, path)) {
      return ToRocks(path, "opening", error);
    }
    *out = std::make_unique<Directory>(
        disk_, path.ends_with('/') ? path.substr(0, path.size() - 1) : path);
    return IOStatus::OK();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    return Remove(path,
                  [&] { return target()->DeleteFile(path, options, debug); });
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    return Remove(path,
                  [&] { return target()->DeleteDir(path, options, debug); });
  }
  IOStatus Truncate(const std::string& path, size_t size,
                    const IOOptions& options, IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    if (const InodePtr inode = disk_.Find(path)) {
      const int error = disk_.Truncate(path, *inode, size);
      if (error != 0) return ToRocks(path, "truncating", error);
    }
    return target()->Truncate(path, size, options, debug);
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    return MakeDirectory(
        path, [&] { return target()->CreateDir(path, options, debug); });
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              IODebugContext* debug) override {
    return MakeDirectory(path, [&] {
      return target()->CreateDirIfMissing(path, options, debug);
    });
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions& options,
                      IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    const InodePtr inode = disk_.Find(from);
    if (inode == nullptr) return target()->RenameFile(from, to, options, debug);
    const int error = disk_.Change(Op::kRename, from);
    if (error != 0) return ToRocks(from, "renaming", error);
    IOStatus status = target()->RenameFile(from, to, options, debug);
    if (!status.ok()) return status;
    disk_.pending_names_.push_back({from, to, inode});
    Apply(disk_.pending_names_.back(), &disk_.names_);
    return status;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to,
                    const IOOptions& options, IODebugContext* debug) override {
    std::lock_guard lock(disk_.mutex_);
    const InodePtr inode = disk_.Find(from);
    if (inode == nullptr) return target()->LinkFile(from, to, options, debug);
    const int error = disk_.Change(Op::kLink, from);
    if (error != 0) return ToRocks(from, "linking", error);
    IOStatus status = target()->LinkFile(from, to, options, debug);
    if (!status.ok()) return status;
    disk_.pending_names_.push_back({.to = to, .inode = inode});
    Apply(disk_.pending_names_.back(), &disk_.names_);
    return status;
  }

 private:
  int Strike(Op op, const std::string& path) {
    std::lock_guard lock(disk_.mutex_);
    return disk_.Strikes(op, path);
  }
  template <class Call>
  IOStatus Remove(const std::string& path, Call call) {
    std::lock_guard lock(disk_.mutex_);
    const InodePtr inode = disk_.Find(path);
    if (inode == nullptr) return call();
    const int error = disk_.Change(Op::kRemove, path);
    if (error != 0) return ToRocks(path, "removing", error);
    IOStatus status = call();
    if (!status.ok()) return status;
    disk_.pending_names_.push_back({.from = path});
    Apply(disk_.pending_names_.back(), &disk_.names_);
    return status;
  }
  template <class Call>
  IOStatus MakeDirectory(const std::string& path, Call call) {
    std::lock_guard lock(disk_.mutex_);
    if (disk_.Find(path) != nullptr) return call();
    const int error = disk_.Change(Op::kCreateDirectory, path);
    if (error != 0) return ToRocks(path, "creating", error);
    IOStatus status = call();
    if (status.ok()) disk_.AddName(path, true);
    return status;
  }

  FaultyDisk& disk_;
};

rocksdb::Env* FaultyDisk::env() {
  std::lock_guard lock(mutex_);
  if (env_ == nullptr) {
    env_ = rocksdb::NewCompositeEnv(std::make_shared<System>(*this));
  }
  return env_.get();
}

}  // namespace vigie::testing
