#include "tests/support/faulty_disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace vigie::testing {
namespace {

namespace fs = std::filesystem;

absl::Status ToStatus(const std::string& path, std::string_view call,
                      int error) {
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("{}: {}: {}", path, call, FaultyDisk::CauseOf(error)));
}

bool Contains(std::string_view path, std::string_view part) {
  while (true) {
    const size_t star = part.find('*');
    const std::string_view piece = part.substr(0, star);
    const size_t at = path.find(piece);
    if (at == path.npos) return false;
    if (star == part.npos) return true;
    path.remove_prefix(at + piece.size());
    part.remove_prefix(star + 1);
  }
}

std::string ContentsOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// --- the model ---

std::string FaultyDisk::CauseOf(int error) {
  return error < 0 ? "the process is dead" : std::strerror(error);
}

FaultyDisk::FaultyDisk(const std::string& root, uint64_t seed)
    : root_(root), random_(seed) {
  std::error_code none;
  for (const auto& entry : fs::recursive_directory_iterator(root, none)) {
    Find(entry.path().string());
  }
}

bool FaultyDisk::LeftAlone(const std::string& path) {
  const std::string name = fs::path(path).filename();
  return name == "LOG" || name.starts_with("LOG.old") || name == "LOCK";
}

std::string FaultyDisk::ParentOf(const std::string& path) {
  return fs::path(path).parent_path().string();
}

void FaultyDisk::Apply(const NameChange& change, Names* names) {
  if (!change.from.empty()) names->erase(change.from);
  if (!change.to.empty()) (*names)[change.to] = change.inode;
}

int FaultyDisk::Strikes(Op op, const std::string& path) {
  ++counts_[static_cast<size_t>(op)];
  if (calls_left_ == 0) return op == Op::kRead || op == Op::kOpen ? 0 : kDead;
  if (out_of_descriptors_ && (op == Op::kCreate || op == Op::kOpen)) {
    return EMFILE;
  }
  if (full_ &&
      (op == Op::kCreate || op == Op::kCreateDirectory || op == Op::kLink)) {
    return ENOSPC;
  }
  if (read_only_ && op != Op::kRead && op != Op::kOpen && op != Op::kSync &&
      op != Op::kSyncDirectory) {
    return EROFS;
  }
  for (Fault& fault : faults_) {
    if (fault.op != op || fault.count == 0 || !Contains(path, fault.part)) {
      continue;
    }
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.count != kForGood) --fault.count;
    ++failed_;
    return fault.error;
  }
  return 0;
}

// Counts a call that changes the disk; the last one lets the process die.
int FaultyDisk::Change(Op op, const std::string& path) {
  if (const int error = Strikes(op, path)) return error;
  ++changes_;
  if (calls_left_ != std::numeric_limits<uint64_t>::max() &&
      --calls_left_ == 0) {
    return kDead;
  }
  return 0;
}

FaultyDisk::InodePtr FaultyDisk::Find(const std::string& path) {
  if (LeftAlone(path)) return nullptr;
  std::error_code none;
  const fs::file_status status = fs::status(path, none);
  if (const auto it = names_.find(path); it != names_.end()) {
    if (fs::exists(status)) return it->second;
    // Removed behind our back: durably.
    names_.erase(it);
    durable_names_.erase(path);
    return nullptr;
  }
  auto inode = std::make_shared<Inode>();
  if (fs::is_directory(status)) {
    inode->directory = true;
  } else if (fs::is_regular_file(status)) {
    inode->file = UnsyncedFile(ContentsOfFile(path));
  } else {
    return nullptr;
  }
  names_[path] = durable_names_[path] = inode;
  return inode;
}

FaultyDisk::InodePtr FaultyDisk::AddName(const std::string& path,
                                         bool directory) {
  auto inode = std::make_shared<Inode>();
  inode->directory = directory;
  names_[path] = inode;
  pending_names_.push_back({.to = path, .inode = inode});
  return inode;
}

int FaultyDisk::Create(const std::string& path, InodePtr* inode) {
  if (const int error = Change(Op::kCreate, path)) return error;
  *inode = Find(path);
  if (*inode == nullptr) {
    *inode = AddName(path, false);
  } else {
    (*inode)->file.Truncate(0);
  }
  return 0;
}

int FaultyDisk::Write(const std::string& path, Inode& inode, uint64_t offset,
                      std::string_view bytes, size_t* written) {
  *written = 0;
  const bool dead = calls_left_ == 0;
  int error = Change(Op::kWrite, path);
  if (error == 0 && full_ &&
      offset + bytes.size() > inode.file.cached().size()) {
    error = ENOSPC;
  }
  if (dead || error == EROFS) return error;
  if (error != 0) bytes = bytes.substr(0, random_() % (bytes.size() + 1));
  if (!bytes.empty()) inode.file.Write(offset, bytes);
  *written = bytes.size();
  return error;
}

int FaultyDisk::Truncate(const std::string& path, Inode& inode,
                         uint64_t bytes) {
  if (const int error = Change(Op::kWrite, path)) return error;
  if (bytes != inode.file.cached().size()) inode.file.Truncate(bytes);
  return 0;
}

int FaultyDisk::Sync(const std::string& path, Inode& inode) {
  const int error = Change(Op::kSync, path);
  if (error == kDead) return error;
  error == 0 ? inode.file.Sync() : inode.file.FailSync();
  return error;
}

int FaultyDisk::SyncDirectory(const std::string& directory) {
  if (const int error = Change(Op::kSyncDirectory, directory)) return error;
  std::erase_if(pending_names_, [&](const NameChange& change) {
    if (ParentOf(change.to) != directory &&
        ParentOf(change.from) != directory) {
      return false;
    }
    Apply(change, &durable_names_);
    return true;
  });
  return 0;
}

void FaultyDisk::LosePower() {
  // A directory keeps the first few of what it was told: no later change of it
  // without the ones before.
  std::map<std::string, std::vector<const NameChange*>> by_directory;
  for (const NameChange& change : pending_names_) {
    by_directory[ParentOf(change.to.empty() ? change.from : change.to)]
        .push_back(&change);
  }
  for (const auto& [directory, changes] : by_directory) {
    const size_t kept = random_() % (changes.size() + 1);
    for (size_t i = 0; i < kept; ++i) Apply(*changes[i], &durable_names_);
  }
  pending_names_.clear();
  // What lies in a directory without a name is lost with it.
  std::set<std::string> lost;
  for (const auto& [path, inode] : names_) {
    if (inode->directory && !durable_names_.contains(path)) lost.insert(path);
  }
  std::erase_if(durable_names_, [&](const auto& name) {
    return std::any_of(lost.begin(), lost.end(), [&](const auto& directory) {
      return name.first.starts_with(directory + "/");
    });
  });
  names_ = durable_names_;
  for (auto& [path, inode] : names_) {
    inode->in_order ? inode->file.LosePowerInOrder(random_)
                    : inode->file.LosePower(random_);
  }
}

void FaultyDisk::Rewrite() {
  std::vector<fs::path> gone;
  std::error_code none;
  for (const auto& entry : fs::recursive_directory_iterator(root_, none)) {
    const std::string path = entry.path().string();
    if (!names_.contains(path) && !LeftAlone(path)) {
      gone.push_back(entry.path());
    }
  }
  for (const fs::path& path : gone) fs::remove_all(path, none);
  std::map<const Inode*, std::string> first_names;
  for (const auto& [path, inode] : names_) {
    if (inode->directory) {
      fs::create_directories(path);
      continue;
    }
    const auto [first, added] = first_names.try_emplace(inode.get(), path);
    fs::remove(path);
    if (!added) {
      fs::create_hard_link(first->second, path);
      continue;
    }
    std::ofstream(path, std::ios::binary) << inode->file.cached();
  }
}

// --- faults ---

void FaultyDisk::Fail(Op op, std::string part, int skip, int count, int error) {
  std::lock_guard lock(mutex_);
  faults_.push_back({op, std::move(part), skip, count, error});
}
void FaultyDisk::SetFull(bool full) {
  std::lock_guard lock(mutex_);
  full_ = full;
}
void FaultyDisk::SetReadOnly(bool read_only) {
  std::lock_guard lock(mutex_);
  read_only_ = read_only;
}
void FaultyDisk::SetOutOfDescriptors(bool out) {
  std::lock_guard lock(mutex_);
  out_of_descriptors_ = out;
}
void FaultyDisk::Mend() {
  std::lock_guard lock(mutex_);
  faults_.clear();
  full_ = read_only_ = out_of_descriptors_ = false;
}
void FaultyDisk::KillAfter(uint64_t calls) {
  std::lock_guard lock(mutex_);
  calls_left_ = calls;
  power_cut_ = false;
}
void FaultyDisk::CutPowerAfter(uint64_t calls) {
  std::lock_guard lock(mutex_);
  calls_left_ = calls;
  power_cut_ = true;
}
bool FaultyDisk::dead() const {
  std::lock_guard lock(mutex_);
  return calls_left_ == 0;
}
void FaultyDisk::Revive() {
  std::lock_guard lock(mutex_);
  // What was removed behind the model's back does not come again.
  for (auto it = names_.begin(); it != names_.end();) {
    std::error_code none;
    if (fs::exists(it->first, none)) {
      ++it;
      continue;
    }
    durable_names_.erase(it->first);
    it = names_.erase(it);
  }
  // And what was made there is of whoever made it: durable.
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    Find(entry.path().string());
  }
  if (power_cut_) {
    LosePower();
    Rewrite();
  }
  faults_.clear();
  full_ = read_only_ = out_of_descriptors_ = power_cut_ = false;
  calls_left_ = std::numeric_limits<uint64_t>::max();
}
uint64_t FaultyDisk::count(Op op) const {
  std::lock_guard lock(mutex_);
  return counts_[static_cast<size_t>(op)];
}
uint64_t FaultyDisk::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}
uint64_t FaultyDisk::changes() const {
  std::lock_guard lock(mutex_);
  return changes_;
}

// --- the store's own files ---

class FaultyDisk::FileOfOurs final : public store::File {
 public:
  FileOfOurs(FaultyDisk& disk, std::string path, InodePtr inode,
             std::unique_ptr<store::File> target)
      : disk_(disk),
        path_(std::move(path)),
        inode_(std::move(inode)),
        target_(std::move(target)) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(disk_.mutex_);
    size_t written = 0;
    const int error = disk_.Write(path_, *inode_, offset, bytes, &written);
    if (written > 0) {
      absl::Status status = target_->WriteAt(offset, bytes.substr(0, written));
      if (!status.ok()) return status;
    }
    return ToStatus(path_, "write", error);
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                     uint64_t bytes_max) override {
    std::lock_guard lock(disk_.mutex_);
    const int error = disk_.Strikes(Op::kRead, path_);
    if (error != 0) return ToStatus(path_, "read", error);
    return target_->ReadAt(offset, bytes_max);
  }
  absl::Status Sync() override {
    std::lock_guard lock(disk_.mutex_);
    return ToStatus(path_, "fdatasync", disk_.Sync(path_, *inode_));
  }
  absl::Status Truncate(uint64_t bytes) override {
    std::lock_guard lock(disk_.mutex_);
    const int error = disk_.Truncate(path_, *inode_, bytes);
    if (error != 0) return ToStatus(path_, "truncate", error);
    return target_->Truncate(bytes);
  }
  absl::StatusOr<uint64_t> Size() override { return target_->Size(); }

 private:
  FaultyDisk& disk_;
  const std::string path_;
  const InodePtr inode_;
  const std::unique_ptr<store::File> target_;
};

class FaultyDisk::Layer final : public store::FileLayer {
 public:
  explicit Layer(FaultyDisk& disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<store::File>> Create(
      const std::string& path) override {
    std::lock_guard lock(disk_.mutex_);
    if (disk_.Find(path) != nullptr) return target_.Create(path);
    InodePtr inode;
    const int error = disk_.Create(path, &inode);
    if (error != 0) return ToStatus(path, "open", error);
    auto file = target_.Create(path);
    if (!file.ok()) return file.status();
    return std::make_unique<FileOfOurs>(disk_, path, inode, *std::move(file));
  }
  absl::StatusOr<std::unique_ptr<store::File>> Open(
      const std::string& path) override {
    std::lock_guard lock(disk_.mutex_);
    InodePtr inode = disk_.Find(path);
    if (inode == nullptr) return target_.Open(path);
    const int error = disk_.Strikes(Op::kOpen, path);
    if (error != 0) return ToStatus(path, "open", error);
    auto file = target_.Open(path);
    if (!file.ok()) return file.status();
    return std::make_unique<FileOfOurs>(disk_, path, inode, *std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    std::lock_guard lock(disk_.mutex_);
    InodePtr inode = disk_.Find(from);
    const int error = disk_.Change(Op::kRename, from);
    if (error != 0) return ToStatus(from, "rename", error);
    absl::Status status = target_.Rename(from, to);
    if (!status.ok() || inode == nullptr) return status;
    disk_.Find(to);
    disk_.pending_names_.push_back({from, to, inode});
    Apply(disk_.pending_names_.back(), &disk_.names_);
    return status;
  }
  absl::Status Remove(const std::string& path) override {
    std::lock_guard lock(disk_.mutex_);
    const InodePtr inode = disk_.Find(path);
    const int error = disk_.Change(Op::kRemove, path);
    if (error != 0) return ToStatus(path, "remove", error);
    absl::Status status = target_.Remove(path);
    if (!status.ok() || inode == nullptr) return status;
    disk_.pending_names_.push_back({.from = path});
    Apply(disk_.pending_names_.back(), &disk_.names_);
    return status;
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    std::lock_guard lock(disk_.mutex_);
    const int error = disk_.Strikes(Op::kOpen, directory);
    if (error != 0) return ToStatus(directory, "list", error);
    return target_.List(directory);
  }
  absl::Status CreateDirectory(const std::string& directory) override {
    std::lock_guard lock(disk_.mutex_);
    if (disk_.Find(directory) != nullptr) return absl::OkStatus();
    const int error = disk_.Change(Op::kCreateDirectory, directory);
    if (error != 0) return ToStatus(directory, "create", error);
    absl::Status status = target_.CreateDirectory(directory);
    if (status.ok()) disk_.AddName(directory, true);
    return status;
  }
  absl::Status SyncDirectory(const std::string& directory) override {
    std::lock_guard lock(disk_.mutex_);
    return ToStatus(directory, "fsync", disk_.SyncDirectory(directory));
  }

 private:
  FaultyDisk& disk_;
  store::PosixFileLayer target_;
};

FaultyDisk::~FaultyDisk() = default;

store::FileLayer& FaultyDisk::files() {
  std::lock_guard lock(mutex_);
  if (files_ == nullptr) files_ = std::make_unique<Layer>(*this);
  return *files_;
}

}  // namespace vigie::testing
