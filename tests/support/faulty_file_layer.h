// A disk in memory that behaves as badly as real ones may: writes fail in the
// middle, syncs fail and forget what was dirty, and when the power goes, what
// was not synced is kept, lost or torn, as the seed has it.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "store/file_layer.h"
#include "tests/support/unsynced_file.h"

namespace vigie::testing {

class FaultyFileLayer final : public store::FileLayer {
 public:
  explicit FaultyFileLayer(uint64_t seed) : random_(seed) {}

  // Skips `skip` calls on segments ("*.log*") and fails the next `count`.
  void FailWrites(int skip, int count, std::string cause) {
    std::lock_guard lock(mutex_);
    write_fault_ = {skip, count, std::move(cause)};
  }
  void FailSyncs(int skip, int count, std::string cause) {
    std::lock_guard lock(mutex_);
    sync_fault_ = {skip, count, std::move(cause)};
  }
  // While full, files neither appear nor grow; writing in place works.
  void SetFull(bool full) {
    std::lock_guard lock(mutex_);
    full_ = full;
  }

  // The disk is full once a sync has failed.
  void SetFullAfterFailedSync() {
    std::lock_guard lock(mutex_);
    full_after_failed_sync_ = true;
  }

  // From the `calls`-th changing call on, every call fails: the process is
  // dead. What it wrote stays, as after kill -9.
  void KillAfter(int calls) {
    std::lock_guard lock(mutex_);
    calls_left_ = calls;
    power_cut_ = false;
  }
  // The same, and what was not synced is at the seed's mercy.
  void CutPowerAfter(int calls) {
    std::lock_guard lock(mutex_);
    calls_left_ = calls;
    power_cut_ = true;
  }
  bool dead() const {
    std::lock_guard lock(mutex_);
    return calls_left_ == 0;
  }
  // Faults are over, whoever was killed may start again.
  void Revive() {
    std::lock_guard lock(mutex_);
    calls_left_ = -1;
    write_fault_ = sync_fault_ = {};
    full_ = full_after_failed_sync_ = false;
  }

  // Bytes as a reader sees them now, to look at and to damage.
  std::string Contents(const std::string& path) {
    std::lock_guard lock(mutex_);
    return names_.at(path)->cached();
  }
  void SetContents(const std::string& path, std::string bytes) {
    std::lock_guard lock(mutex_);
    auto& inode = names_[path];
    if (inode == nullptr) inode = std::make_shared<UnsyncedFile>();
    *inode = UnsyncedFile(std::move(bytes));
    durable_names_ = names_;
    pending_names_.clear();
  }

  absl::StatusOr<std::unique_ptr<store::File>> Create(
      const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (names_.contains(path)) return absl::AlreadyExistsError(path);
    if (auto status = Change(); !status.ok()) return status;
    if (full_) return Fault(path, kFull);
    auto inode = std::make_shared<UnsyncedFile>();
    names_[path] = inode;
    pending_names_.push_back({.to = path, .inode = inode});
    return std::make_unique<FaultyFile>(*this, path, inode);
  }
  absl::StatusOr<std::unique_ptr<store::File>> Open(
      const std::string& path) override {
    std::lock_guard lock(mutex_);
    const auto it = names_.find(path);
    if (it == names_.end()) return absl::NotFoundError(path);
    return std::make_unique<FaultyFile>(*this, path, it->second);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    std::lock_guard lock(mutex_);
    if (!names_.contains(from)) return absl::NotFoundError(from);
    if (auto status = Change(); !status.ok()) return status;
    pending_names_.push_back({from, to, names_[from]});
    Apply(pending_names_.back(), &names_);
    return absl::OkStatus();
  }
  absl::Status Remove(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (!names_.contains(path)) return absl::NotFoundError(path);
    if (auto status = Change(); !status.ok()) return status;
    pending_names_.push_back({.from = path});
    Apply(pending_names_.back(), &names_);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [path, inode] : names_) {
      if (path.starts_with(directory + "/")) {
        names.push_back(path.substr(directory.size() + 1));
      }
    }
    return names;
  }
  absl::Status CreateDirectory(const std::string&) override {
    return absl::OkStatus();
  }
  absl::Status SyncDirectory(const std::string& directory) override {
    std::lock_guard lock(mutex_);
    if (auto status = Change(); !status.ok()) return status;
    if (sync_fault_.Strikes(".log")) {
      return Fault(directory, sync_fault_.cause);
    }
    durable_names_ = names_;
    pending_names_.clear();
    return absl::OkStatus();
  }

 private:
  static constexpr std::string_view kFull = "No space left on device";

  struct FaultPlan {
    int skip = 0;
    int count = 0;
    std::string cause;
    bool Strikes(std::string_view path) {
      if (count == 0 || path.find(".log") == path.npos) return false;
      if (skip > 0) return --skip, false;
      return --count, true;
    }
  };
  using Names = std::map<std::string, std::shared_ptr<UnsyncedFile>>;
  struct NameChange {  // no `from`: created; no `to`: removed
    std::string from = {};
    std::string to = {};
    std::shared_ptr<UnsyncedFile> inode = {};
  };

  class FaultyFile final : public store::File {
   public:
    FaultyFile(FaultyFileLayer& layer, std::string path,
               std::shared_ptr<UnsyncedFile> inode)
        : layer_(layer), path_(std::move(path)), inode_(std::move(inode)) {}

    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      std::lock_guard lock(layer_.mutex_);
      const bool dies = layer_.calls_left_ == 1;
      const bool faulty = layer_.write_fault_.Strikes(path_);
      const bool full =
          layer_.full_ && offset + bytes.size() > inode_->cached().size();
      if (layer_.calls_left_ == 0) return layer_.Change();
      if (faulty || full || dies) bytes = bytes.substr(0, layer_.UpTo(bytes));
      inode_->Write(offset, bytes);
      if (auto status = layer_.Change(); !status.ok()) return status;
      if (full) return layer_.Fault(path_, kFull);
      if (faulty) return layer_.Fault(path_, layer_.write_fault_.cause);
      return absl::OkStatus();
    }
    absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                       uint64_t bytes_max) override {
      std::lock_guard lock(layer_.mutex_);
      if (offset >= inode_->cached().size()) return std::string();
      return inode_->cached().substr(offset, bytes_max);
    }
    absl::Status Sync() override {
      std::lock_guard lock(layer_.mutex_);
      if (auto status = layer_.Change(); !status.ok()) return status;
      if (layer_.sync_fault_.Strikes(path_)) {
        inode_->FailSync();
        layer_.full_ |= layer_.full_after_failed_sync_;
        return layer_.Fault(path_, layer_.sync_fault_.cause);
      }
      inode_->Sync();
      return absl::OkStatus();
    }
    absl::Status Truncate(uint64_t bytes) override {
      std::lock_guard lock(layer_.mutex_);
      if (auto status = layer_.Change(); !status.ok()) return status;
      inode_->Truncate(bytes);
      return absl::OkStatus();
    }
    absl::StatusOr<uint64_t> Size() override {
      std::lock_guard lock(layer_.mutex_);
      return inode_->cached().size();
    }

   private:
    FaultyFileLayer& layer_;
    const std::string path_;
    const std::shared_ptr<UnsyncedFile> inode_;
  };

  static absl::Status Fault(std::string_view path, std::string_view cause) {
    return absl::UnavailableError(std::string(path) + ": " +
                                  std::string(cause));
  }
  static void Apply(const NameChange& change, Names* names) {
    if (!change.from.empty()) names->erase(change.from);
    if (!change.to.empty()) (*names)[change.to] = change.inode;
  }

  // Counts a call that changes the disk; the last one lets the process die.
  absl::Status Change() {
    if (calls_left_ > 0 && --calls_left_ == 0 && power_cut_) LosePower();
    if (calls_left_ == 0) return absl::UnavailableError("the process is dead");
    return absl::OkStatus();
  }

  void LosePower() {
    // A journalling file system keeps a prefix of what it was told of names.
    const size_t kept = random_() % (pending_names_.size() + 1);
    for (size_t i = 0; i < kept; ++i) {
      Apply(pending_names_[i], &durable_names_);
    }
    pending_names_.clear();
    names_ = durable_names_;
    for (auto& [path, inode] : names_) inode->LosePower(random_);
  }

  size_t UpTo(std::string_view bytes) {
    return bytes.empty() ? 0 : random_() % (bytes.size() + 1);
  }

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  FaultPlan write_fault_;
  FaultPlan sync_fault_;
  bool full_ = false;
  bool full_after_failed_sync_ = false;
  int calls_left_ = -1;  // 0: dead; -1: not counted
  bool power_cut_ = false;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> pending_names_;
};

}  // namespace vigie::testing
