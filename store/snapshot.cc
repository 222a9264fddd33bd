#include "store/snapshot.h"

#include <filesystem>

#include "base/log.h"
#include "base/status_macros.h"
#include "store/data_directory.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;

uint64_t BytesBelow(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(directory, error)) {
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  }
  return bytes;
}

absl::Status Fill(const Blocks& blocks, const std::string& directory,
                  FileLayer& files, const Progress& progress) {
  VIGIE_RETURN_IF_ERROR(progress.Stopped());
  const uint64_t total = blocks.bytes_on_disk();
  progress.Report("linking", 0, total, "bytes");
  VIGIE_RETURN_IF_ERROR(blocks.LinkTo(directory + "/blocks"));
  VIGIE_RETURN_IF_ERROR(progress.Stopped());
  // Its absence would be damage, as the watermark speaks of one.
  VIGIE_RETURN_IF_ERROR(files.CreateDirectory(directory + "/log"));
  VIGIE_RETURN_IF_ERROR(files.SyncDirectory(directory));
  VIGIE_RETURN_IF_ERROR(EndDataDirectory(directory, files));
  const uint64_t bytes = BytesBelow(directory);
  progress.Report("linking", bytes, bytes, "bytes");
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSnapshot(const Blocks& blocks, const std::string& directory,
                           FileLayer& files, const Progress& progress) {
  std::error_code error;
  const bool existed = fs::exists(directory, error);
  VIGIE_RETURN_IF_ERROR(BeginDataDirectory(directory, files));
  absl::Status status = Fill(blocks, directory, files, progress);
  if (status.ok()) return status;
  // The mark goes last: what cannot be removed stays refused.
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name == "lost+found" || name == "UNFINISHED") continue;
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    if (failed) {
      spdlog::warn("{}: {}", entry.path().string(), failed.message());
      return status;
    }
  }
  fs::remove(directory + "/UNFINISHED", error);
  if (!existed) fs::remove(directory, error);
  return status;
}

}  // namespace vigie::store
