#include "store/data_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/status_macros.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "vigie data directory, version 1\n";
constexpr std::string_view kUnfinished = "UNFINISHED";
constexpr std::string_view kFormatStart = "vigie data directory, version ";

absl::Status DiskError(std::string_view path, std::string_view cause) {
  return absl::UnavailableError(fmt::format("{}: {}", path, cause));
}

absl::StatusOr<int> Lock(const std::string& path) {
  const std::string name = path + "/LOCK";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return DiskError(name, std::strerror(errno));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int cause = errno;
    char owner[32] = {};
    const ssize_t size = ::pread(fd, owner, sizeof(owner) - 1, 0);
    ::close(fd);
    if (cause != EWOULDBLOCK) return DiskError(name, std::strerror(cause));
    std::string_view process(owner, size > 0 ? static_cast<size_t>(size) : 0);
    process = process.substr(0, process.find('\n'));
    return absl::UnavailableError(fmt::format(
        "{}: in use by process {}; a data directory serves one vigie at a time",
        path, process.empty() ? "unknown" : process));
  }
  // For whoever is refused; the lock itself is the kernel's.
  const std::string process = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, process.data(), process.size(), 0) < 0) {
    const std::string cause = std::strerror(errno);
    ::close(fd);
    return DiskError(name, cause);
  }
  return fd;
}

absl::Status CheckFormat(const std::string& path, FileLayer& files) {
  const std::string name = path + "/FORMAT";
  absl::StatusOr<std::unique_ptr<File>> file = files.Open(name);
  VIGIE_RETURN_IF_ERROR(file.status());
  VIGIE_ASSIGN_OR_RETURN(const std::string text, (*file)->ReadAt(0, 256));
  if (text == kFormat) return absl::OkStatus();
  if (text.starts_with(kFormatStart)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: \"{}\"; this program knows version 1", name,
                    text.substr(0, text.find('\n'))));
  }
  return absl::DataLossError(fmt::format("{}: damaged", name));
}

absl::Status WriteFormat(const std::string& path, FileLayer& files) {
  std::error_code ignored;
  fs::remove(path + "/FORMAT.new", ignored);
  {
    VIGIE_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                           files.Create(path + "/FORMAT.new"));
    VIGIE_RETURN_IF_ERROR(file->WriteAt(0, kFormat));
    VIGIE_RETURN_IF_ERROR(file->Sync());
  }
  VIGIE_RETURN_IF_ERROR(files.Rename(path + "/FORMAT.new", path + "/FORMAT"));
  return files.SyncDirectory(path);
}

absl::Status CreateFormat(const std::string& path, FileLayer& files) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    if (name == "lost+found" || name == "LOCK" || name == "FORMAT.new") {
      continue;
    }
    return absl::FailedPreconditionError(fmt::format(
        "{}: not empty and no data directory of vigie: it holds \"{}\" and no "
        "FORMAT",
        path, name));
  }
  if (error) return DiskError(path, error.message());
  return WriteFormat(path, files);
}

absl::Status CreateDirectories(const std::string& path, FileLayer& files) {
  std::error_code error;
  const bool created = fs::create_directories(path, error);
  if (error) return DiskError(path, error.message());
  if (!created) return absl::OkStatus();
  const fs::path parent = fs::absolute(path).lexically_normal().parent_path();
  return files.SyncDirectory(parent.string());
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(
    const std::string& path, FileLayer& files) {
  VIGIE_RETURN_IF_ERROR(CreateDirectories(path, files));
  std::error_code error;
  const std::string unfinished = fmt::format("{}/{}", path, kUnfinished);
  if (fs::exists(unfinished, error)) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: a snapshot or restore that was never finished; make it anew",
        path));
  }
  VIGIE_ASSIGN_OR_RETURN(const int lock_fd, Lock(path));
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, lock_fd));
  absl::Status status = CheckFormat(path, files);
  if (absl::IsNotFound(status)) status = CreateFormat(path, files);
  VIGIE_RETURN_IF_ERROR(status);
  return directory;
}

DataDirectory::~DataDirectory() { ::close(lock_fd_); }

absl::Status CheckDataDirectory(const std::string& path) {
  std::error_code error;
  if (fs::exists(path + "/FORMAT", error)) return absl::OkStatus();
  return absl::NotFoundError(
      fmt::format("{}: no data directory of vigie", path));
}

absl::Status BeginDataDirectory(const std::string& path, FileLayer& files) {
  VIGIE_RETURN_IF_ERROR(CreateDirectories(path, files));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    if (name == "lost+found") continue;
    return absl::AlreadyExistsError(
        fmt::format("{}: must be empty, and holds \"{}\"", path, name));
  }
  if (error) return DiskError(path, error.message());
  {
    VIGIE_ASSIGN_OR_RETURN(
        std::unique_ptr<File> file,
        files.Create(fmt::format("{}/{}", path, kUnfinished)));
    VIGIE_RETURN_IF_ERROR(file->Sync());
  }
  return files.SyncDirectory(path);
}

absl::Status EndDataDirectory(const std::string& path, FileLayer& files) {
  VIGIE_RETURN_IF_ERROR(WriteFormat(path, files));
  VIGIE_RETURN_IF_ERROR(files.Remove(fmt::format("{}/{}", path, kUnfinished)));
  return files.SyncDirectory(path);
}

}  // namespace vigie::store
