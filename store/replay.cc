#include "store/replay.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/batch_record.h"

namespace vigie::store {
namespace {

constexpr size_t kThreads = 2;
// Decoded at a time. A few milliseconds of work, so that meeting costs little.
constexpr size_t kGroupBytesMax = 2 << 20;

// A second thread that does its half of one piece of work after the other.
class Partner {
 public:
  Partner() : thread_([this] { Run(); }) {}
  ~Partner() {
    {
      MutexLock lock(mutex_);
      closing_ = true;
    }
    wake_.NotifyAll();
    thread_.join();
  }

  // Runs work(0) here and work(1) there, and waits for both.
  void Both(const std::function<void(size_t)>& work) {
    {
      MutexLock lock(mutex_);
      work_ = &work;
    }
    wake_.NotifyAll();
    work(0);
    MutexLock lock(mutex_);
    while (work_ != nullptr) wake_.Wait(mutex_);
  }

 private:
  void Run() {
    while (true) {
      const std::function<void(size_t)>* work = nullptr;
      {
        MutexLock lock(mutex_);
        while (work_ == nullptr && !closing_) wake_.Wait(mutex_);
        if (work_ == nullptr) return;
        work = work_;
      }
      (*work)(1);
      {
        MutexLock lock(mutex_);
        work_ = nullptr;
      }
      wake_.NotifyAll();
    }
  }

  Mutex mutex_;
  CondVar wake_;
  const std::function<void(size_t)>* work_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // the last one: it uses the others
};

}  // namespace

class Replay::Impl {
 public:
  explicit Impl(Head& head) : head_(head) {}

  absl::Status Add(LogPosition position, std::string_view payload) {
    // Strings and vectors are used again, so a group takes no new memory.
    if (read_.used == read_.entries.size()) read_.entries.emplace_back();
    Entry& entry = read_.entries[read_.used++];
    entry.position = position;
    entry.payload.assign(payload);
    read_.bytes += payload.size();
    return read_.bytes < kGroupBytesMax ? absl::OkStatus() : Turn();
  }

  absl::Status Finish() {
    VIGIE_RETURN_IF_ERROR(Turn());
    return Turn();
  }

 private:
  struct Entry {
    LogPosition position = 0;
    std::string payload;
    absl::Status status;
    BatchRecord record;
    std::vector<SeriesIdentity> identities;

    void Decode(const Head& head) {
      absl::StatusOr<BatchRecord> decoded = DecodeBatchRecord(payload);
      status = decoded.status();
      if (!status.ok()) return;
      record = *std::move(decoded);
      identities.clear();
      for (const BatchRecord::Definition& one : record.definitions) {
        identities.push_back(head.Identity(record.tenant, one.labels.bytes()));
      }
    }
  };

  struct Group {
    std::vector<Entry> entries;
    size_t used = 0;
    size_t bytes = 0;
  };

  // Applies the group that is decoded and decodes the one that was read, which
  // takes its place.
  absl::Status Turn() {
    // Definitions are one thread's work, which decodes what is left then.
    std::atomic<size_t> next = 0;
    absl::Status defined;
    partner_.Both([&](size_t index) {
      if (index == 0) defined = Define();
      for (size_t i = next++; i < read_.used; i = next++) {
        read_.entries[i].Decode(head_);
      }
    });
    VIGIE_RETURN_IF_ERROR(defined);
    VIGIE_RETURN_IF_ERROR(Apply());
    decoded_.used = decoded_.bytes = 0;
    std::swap(decoded_, read_);
    return absl::OkStatus();
  }

  absl::Status Define() {
    for (size_t i = 0; i < decoded_.used; ++i) {
      Entry& entry = decoded_.entries[i];
      if (entry.status.ok()) {
        entry.status = head_.Define(entry.record, entry.identities);
      }
      if (!entry.status.ok()) return At(entry, entry.status);
    }
    return absl::OkStatus();
  }

  absl::Status Apply() {
    const std::span<const Entry> group(decoded_.entries.data(), decoded_.used);
    std::array<absl::Status, kThreads> statuses;
    std::array<size_t, kThreads> ended{};
    partner_.Both([&](size_t index) {
      Head::Share share{static_cast<unsigned>(index), kThreads, {}, 0, 0};
      for (size_t i = 0; i < group.size() && statuses[index].ok(); ++i) {
        statuses[index] = head_.ApplySamples(group[i].record, &share);
        ended[index] = i;
      }
      shares_[index] = std::move(share);
    });
    for (size_t index = 0; index < kThreads; ++index) {
      if (!statuses[index].ok()) {
        return At(group[ended[index]], statuses[index]);
      }
      head_.Join(&shares_[index]);
    }
    for (const Entry& entry : group) {
      const absl::Status status = head_.ApplyRest(entry.position, entry.record);
      if (!status.ok()) return At(entry, status);
    }
    return absl::OkStatus();
  }

  static absl::Status At(const Entry& entry, const absl::Status& status) {
    return Prefixed(fmt::format("log position {}", entry.position), status);
  }

  Head& head_;
  Partner partner_;
  Group decoded_, read_;
  std::array<Head::Share, kThreads> shares_;
};

Replay::Replay(Head& head) : impl_(std::make_unique<Impl>(head)) {}
Replay::~Replay() = default;

absl::Status Replay::Add(LogPosition position, std::string_view payload) {
  return impl_->Add(position, payload);
}
absl::Status Replay::Finish() { return impl_->Finish(); }

}  // namespace vigie::store
