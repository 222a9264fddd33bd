// Files under one directory are really kept under another, such as the log of
// a data directory on a file system in memory. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/file_layer.h"

namespace vigie::bench {

class MovedFileLayer final : public store::FileLayer {
 public:
  MovedFileLayer(std::string from, std::string to)
      : from_(std::move(from)), to_(std::move(to)) {}

  absl::StatusOr<std::unique_ptr<store::File>> Create(
      const std::string& path) override {
    return files_.Create(Moved(path));
  }
  absl::StatusOr<std::unique_ptr<store::File>> Open(
      const std::string& path) override {
    return files_.Open(Moved(path));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return files_.Rename(Moved(from), Moved(to));
  }
  absl::Status Remove(const std::string& path) override {
    return files_.Remove(Moved(path));
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    return files_.List(Moved(directory));
  }
  absl::Status CreateDirectory(const std::string& directory) override {
    return files_.CreateDirectory(Moved(directory));
  }
  absl::Status SyncDirectory(const std::string& directory) override {
    return files_.SyncDirectory(Moved(directory));
  }

 private:
  std::string Moved(const std::string& path) const {
    return path.starts_with(from_) ? to_ + path.substr(from_.size()) : path;
  }

  const std::string from_;
  const std::string to_;
  store::PosixFileLayer files_;
};

}  // namespace vigie::bench
