// DataDirectory: the directory that holds everything of a store: who has it
// (a lock file) and what lies in it (a format file).
// Layout: docs/formats/data-directory.md.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/file_layer.h"

namespace vigie::store {

class DataDirectory {
 public:
  // Creates it, its parents too, if it is absent or empty. kUnavailable,
  // naming the other process, if that has it; or the disk's refusal.
  // kFailedPrecondition if it is of another version, or holds other things
  // than vigie's.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(
      const std::string& path, FileLayer& files);
  ~DataDirectory();  // gives the lock back

  const std::string& path() const { return path_; }
  std::string log() const { return path_ + "/log"; }
  std::string blocks() const { return path_ + "/blocks"; }
  std::string staging() const { return path_ + "/staging"; }

 private:
  DataDirectory(std::string path, int lock_fd)
      : path_(std::move(path)), lock_fd_(lock_fd) {}

  const std::string path_;
  const int lock_fd_;
};

// kNotFound unless there is a store in `path`.
absl::Status CheckDataDirectory(const std::string& path);

// Makes a data directory that is not to be opened before it is whole: Begin
// creates `path` (absent or empty, or kAlreadyExists) and marks it unfinished,
// End makes it a data directory. One that is marked is refused by name.
absl::Status BeginDataDirectory(const std::string& path, FileLayer& files);
absl::Status EndDataDirectory(const std::string& path, FileLayer& files);

}  // namespace vigie::store
