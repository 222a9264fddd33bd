// UnsyncedFile: the bytes of one file as readers see them, as the disk holds
// them for certain, and the writes in between, which a sync makes durable, a
// failed sync forgets, and a power cut keeps, loses or tears.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigie::testing {

class UnsyncedFile {
 public:
  UnsyncedFile() = default;
  explicit UnsyncedFile(std::string durable)
      : cached_(durable), durable_(std::move(durable)) {}

  void Write(uint64_t offset, std::string_view bytes) {
    pending_.push_back({offset, std::string(bytes)});
    Apply(pending_.back(), &cached_);
  }
  void Truncate(uint64_t bytes) {
    pending_.push_back({.offset = bytes, .truncate = true});
    Apply(pending_.back(), &cached_);
  }
  void Sync() {
    for (const Change& change : pending_) {
      if (!change.forgotten) Apply(change, &durable_);
    }
    std::erase_if(pending_,
                  [](const Change& change) { return !change.forgotten; });
  }
  // The kernel now holds what was dirty for clean: no later sync writes it.
  void FailSync() {
    for (Change& change : pending_) change.forgotten = true;
  }
  // Any sector may be kept or lost, as on any file system.
  void LosePower(std::mt19937_64& random) {
    for (const Change& change : pending_) LoseSome(change, random);
    pending_.clear();
    cached_ = durable_;
  }
  // What is kept is kept up to one byte, as where a file grows only once the
  // bytes have arrived (ext4 with ordered data, XFS, btrfs).
  void LosePowerInOrder(std::mt19937_64& random) {
    const size_t kept = random() % (pending_.size() + 1);
    for (size_t i = 0; i < kept; ++i) Apply(pending_[i], &durable_);
    if (kept < pending_.size() && !pending_[kept].truncate) {
      Apply(Torn(pending_[kept], random), &durable_);
    }
    pending_.clear();
    cached_ = durable_;
  }

  const std::string& cached() const { return cached_; }

 private:
  static constexpr uint64_t kSectorBytes = 512;

  struct Change {
    uint64_t offset = 0;
    std::string bytes = {};
    bool truncate = false;  // to `offset`
    bool forgotten = false;
  };

  static void Apply(const Change& change, std::string* bytes) {
    if (change.truncate) {
      bytes->resize(change.offset);
      return;
    }
    const size_t end = change.offset + change.bytes.size();
    if (bytes->size() < end) bytes->resize(end);
    bytes->replace(change.offset, change.bytes.size(), change.bytes);
  }

  static Change Torn(Change change, std::mt19937_64& random) {
    if (!change.bytes.empty()) {
      change.bytes.resize(random() % (change.bytes.size() + 1));
    }
    return change;
  }

  void LoseSome(const Change& change, std::mt19937_64& random) {
    const uint64_t fate = random() % 4;
    if (fate == 0) return;
    if (fate == 1 || change.truncate) return Apply(change, &durable_);
    if (fate == 2) return Apply(Torn(change, random), &durable_);
    // Sectors arrive in any order; the file may be long and full of zeros.
    for (uint64_t at = 0; at < change.bytes.size();) {
      const uint64_t sector_end =
          (change.offset + at) / kSectorBytes * kSectorBytes + kSectorBytes;
      const uint64_t count =
          std::min(sector_end - change.offset - at, change.bytes.size() - at);
      if (random() % 2 == 0) {
        Apply({change.offset + at, change.bytes.substr(at, count)}, &durable_);
      }
      at += count;
    }
  }

  std::string cached_;
  std::string durable_;
  std::vector<Change> pending_;
};

}  // namespace vigie::testing
