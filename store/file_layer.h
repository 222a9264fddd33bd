// FileLayer: the few things the store asks of a file system, as a seam, so
// that tests can put a file behind it that tears, fails or loses power.
// Errors are kUnavailable (disk full, EIO, no permission), kNotFound and
// kAlreadyExists, and name path and cause: `log/7.log: write: No space left
// on device`.
// A layer is thread-safe; a File is thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::store {

// An open file; destroying it closes it and syncs nothing.
class File {
 public:
  virtual ~File() = default;
  // On error an unknown part of `bytes` may have been written.
  virtual absl::Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // Fewer than `bytes_max` bytes only at the end of the file.
  virtual absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                             uint64_t bytes_max) = 0;
  // Data and size reach the disk (fdatasync). After an error the kernel may
  // hold dirty pages for clean: what was written before may never get there,
  // and a later success proves nothing about it.
  virtual absl::Status Sync() = 0;
  virtual absl::Status Truncate(uint64_t bytes) = 0;
  virtual absl::StatusOr<uint64_t> Size() = 0;
};

class FileLayer {
 public:
  virtual ~FileLayer() = default;
  // For reading and writing; kAlreadyExists if there is one.
  virtual absl::StatusOr<std::unique_ptr<File>> Create(
      const std::string& path) = 0;
  // For reading and writing; kNotFound if there is none.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(
      const std::string& path) = 0;
  // Replaces `to` if there is one.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // The names of the regular files in `directory`, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) = 0;
  // OK if it is there already. Its parent must exist.
  virtual absl::Status CreateDirectory(const std::string& directory) = 0;
  // What was created, renamed and removed in `directory` reaches the disk.
  virtual absl::Status SyncDirectory(const std::string& directory) = 0;
};

class PosixFileLayer final : public FileLayer {
 public:
  absl::StatusOr<std::unique_ptr<File>> Create(
      const std::string& path) override;
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override;
  absl::Status CreateDirectory(const std::string& directory) override;
  absl::Status SyncDirectory(const std::string& directory) override;
};

}  // namespace vigie::store
