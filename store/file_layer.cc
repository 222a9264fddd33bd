#include "store/file_layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace vigie::store {
namespace {

absl::Status ErrnoError(std::string_view path, std::string_view call,
                        int error) {
  const std::string message = fmt::format(
      "{}: {}: {}", path, call, std::generic_category().message(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EEXIST) return absl::AlreadyExistsError(message);
  return absl::UnavailableError(message);
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixFile() override { ::close(fd_); }

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(path_, "write", errno);
      }
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                     uint64_t bytes_max) override {
    absl::StatusOr<uint64_t> size = Size();
    if (!size.ok()) return size.status();
    if (offset >= *size) return std::string();
    std::string out(std::min(bytes_max, *size - offset), '\0');
    size_t filled = 0;
    while (filled < out.size()) {
      const ssize_t count =
          ::pread(fd_, out.data() + filled, out.size() - filled,
                  static_cast<off_t>(offset + filled));
      if (count < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(path_, "read", errno);
      }
      if (count == 0) break;
      filled += static_cast<size_t>(count);
    }
    out.resize(filled);
    return out;
  }

  absl::Status Sync() override {
    if (::fdatasync(fd_) != 0) return ErrnoError(path_, "fdatasync", errno);
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t bytes) override {
    while (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
      if (errno != EINTR) return ErrnoError(path_, "truncate", errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat st;
    if (::fstat(fd_, &st) != 0) return ErrnoError(path_, "stat", errno);
    return static_cast<uint64_t>(st.st_size);
  }

 private:
  const std::string path_;
  const int fd_;
};

absl::StatusOr<std::unique_ptr<File>> OpenWith(const std::string& path,
                                               int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0640);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError(path, "open", errno);
  return std::make_unique<PosixFile>(path, fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<File>> PosixFileLayer::Create(
    const std::string& path) {
  return OpenWith(path, O_CREAT | O_EXCL);
}

absl::StatusOr<std::unique_ptr<File>> PosixFileLayer::Open(
    const std::string& path) {
  return OpenWith(path, 0);
}

absl::Status PosixFileLayer::Rename(const std::string& from,
                                    const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(from, "rename", errno);
  }
  return absl::OkStatus();
}

absl::Status PosixFileLayer::Remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return ErrnoError(path, "remove", errno);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PosixFileLayer::List(
    const std::string& directory) {
  DIR* dir = ::opendir(directory.c_str());
  if (dir == nullptr) return ErrnoError(directory, "list", errno);
  std::vector<std::string> names;
  int error = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    struct stat st;
    // Not d_type: some file systems leave it unknown.
    if (::fstatat(::dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode)) {
      names.emplace_back(entry->d_name);
    }
  }
  ::closedir(dir);
  if (error != 0) return ErrnoError(directory, "list", error);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status PosixFileLayer::CreateDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0750) != 0 && errno != EEXIST) {
    return ErrnoError(directory, "create", errno);
  }
  return absl::OkStatus();
}

absl::Status PosixFileLayer::SyncDirectory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(directory, "open", errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) return ErrnoError(directory, "fsync", error);
  return absl::OkStatus();
}

}  // namespace vigie::store
