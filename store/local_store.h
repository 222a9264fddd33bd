// LocalStore: the store on one machine. One writer thread decides, logs and
// applies batch by batch; one maintenance thread seals and keeps retention,
// one merges days.
// How the two and the readers meet: docs/decisions/0015-one-writer.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "store/admission.h"
#include "store/blocks.h"
#include "store/data_directory.h"
#include "store/file_layer.h"
#include "store/head.h"
#include "store/head_lock.h"
#include "store/log.h"
#include "store/merge_floor.h"
#include "store/reader.h"
#include "store/sample_changes.h"
#include "store/store.h"
#include "store/store_metrics.h"

namespace rocksdb {
class Env;
}

namespace vigie::store {

class LabelOrder;

// A seal is due before its time once the head holds this many samples, by their
// weight; at four times as many batches are refused, as seals then keep
// failing. Many series may have more, so that what a seal costs a series is
// shared by enough samples (0115).
constexpr uint64_t HeadSamplesMax(uint64_t series) {
  return std::max<uint64_t>(16 << 20, 32 * series);
}

enum class SealStep { kCaptured, kWritten, kPublished, kTrimmed };

struct LocalStoreOptions {
  StoreOptions store;
  uint64_t log_room_bytes_max = 1 << 20;  // see FileLogOptions
  // For tests: the disk below all files but RocksDB's, the one below those,
  // and a call after each step of a seal. They outlive the store.
  FileLayer* files = nullptr;
  rocksdb::Env* blocks_env = nullptr;
  std::function<void(SealStep)> after_step;
  std::function<void(MergeStep)> after_merge_step;
  // A series without a newer sample leaves the head at a seal; 0: never.
  int64_t series_idle_ms = 3'600'000;
};

class LocalStore final : public Store, private Appender {
 public:
  // As Store::Open.
  static absl::StatusOr<std::unique_ptr<LocalStore>> Open(
      const std::string& directory, const LocalStoreOptions& options,
      const Clock& clock, prometheus::Registry& registry);
  ~LocalStore() override;

  Appender& appender() override { return *this; }
  const Queryable& queryable() const override { return *reader_; }
  Records& records() override { return blocks_->records(); }
  absl::Status Seal() override;
  // local_operations.cc
  absl::Status Snapshot(const std::string& directory,
                        const Progress& progress) override;
  // local_merge.cc
  absl::Status Compact(const Progress& progress) override;
  absl::StatusOr<uint64_t> DeleteSeries(const DeleteRequest& request,
                                        const Progress& progress) override;
  // local_import.cc
  absl::StatusOr<ImportOutcome> Import(ImportSource& source,
                                       const Progress& progress) override;
  // local_operations.cc
  absl::StatusOr<VerifyOutcome> Verify(
      const Progress& progress,
      const std::function<void(const std::string&)>& found) override;
  absl::StatusOr<StoreReport> Inspect() override;
  // Whose series there are, in the head or in blocks, sorted.
  absl::StatusOr<std::vector<std::string>> Tenants();
  absl::Status Close() override;
  // Drops what retention no longer keeps now, rather than when due.
  absl::Status ApplyRetention();

 private:
  struct Waiting {
    AppendBatch batch;
    AppendCompletion done;
    int64_t bytes = 0;
  };
  struct Decided;

  LocalStore(const LocalStoreOptions& options, const Clock& clock,
             prometheus::Registry& registry)
      : options_(options),
        clock_(clock),
        metrics_(registry),
        files_(options.files != nullptr ? *options.files : posix_files_),
        admission_(options.store),
        refusal_log_(clock, absl::Seconds(10)) {}

  absl::Status Load(const std::string& directory);
  absl::Status LoadSecret(std::string* secret);
  absl::Status Replay(const Watermark& watermark);

  void Append(AppendBatch batch, AppendCompletion done) override;
  void RunWriter();
  void WriteGroup(std::deque<Waiting>* queue);
  void Complete(Waiting* waiting, AppendOutcome outcome);

  absl::Status VerifyCopy(const Progress& progress,
                          const std::function<void(const std::string&)>& found,
                          VerifyOutcome* outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(verify_mutex_);
  // local_import.cc
  struct Imported;
  absl::Status TakeIn(const std::string& tenant, std::vector<Imported>* series)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintenance_mutex_);
  SealCapture CaptureOf(const std::string& tenant,
                        const std::vector<Imported>& series);

  void RunMaintenance(std::stop_token stop);
  void SendIdleAway() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintenance_mutex_);
  absl::Status SealNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintenance_mutex_);
  absl::Status KeepRetention()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintenance_mutex_);
  // What the index of the days has within the request; `*order` gets the
  // labels of each.
  absl::StatusOr<std::vector<uint64_t>> IdsOf(const DeleteRequest& request,
                                              std::stop_token stop,
                                              LabelOrder* order);
  // Samples since the first, rollups each since its own.
  struct KeptSince {
    int64_t samples_ms = 0;
    std::map<int64_t, int64_t> rollups_ms;  // by resolution
    friend bool operator==(const KeptSince&, const KeptSince&) = default;
  };
  absl::Status KeepSince(const KeptSince& kept)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintenance_mutex_);
  bool SealIsDue(int64_t last_seal_ns);
  void RunMerges(std::stop_token stop);
  // When the first of what a merged day holds is past its retention, by day
  // and generation.
  using Expiries = std::map<std::pair<int32_t, uint32_t>, int64_t>;
  std::optional<int32_t> DayWithExpired(const std::vector<DayState>& days,
                                        Expiries* expiries) const;
  MergeOptions MergeOptionsOf(std::stop_token stop);
  absl::Status MergeOne(int32_t day, const MergeOptions& options);
  void StepDone(SealStep step) {
    if (options_.after_step) options_.after_step(step);
  }

  const LocalStoreOptions options_;
  const Clock& clock_;
  StoreMetrics metrics_;
  PosixFileLayer posix_files_;
  FileLayer& files_;
  std::unique_ptr<DataDirectory> directory_;
  std::shared_ptr<Blocks> blocks_;
  std::unique_ptr<Log> log_;

  HeadLock head_lock_;
  std::unique_ptr<Head> head_ ABSL_PT_GUARDED_BY(head_lock_);
  MergeFloor merge_floor_;
  SampleChanges changes_;
  std::unique_ptr<Reader> reader_;

  // Held by the writer from deciding to applying, so that no series that a
  // batch was resolved to is swept in between. Taken before head_lock_.
  Mutex admission_mutex_;
  Admission admission_ ABSL_GUARDED_BY(admission_mutex_);

  Mutex queue_mutex_;  // never held across the log, the head or a callback
  CondVar queue_wake_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(queue_mutex_);
  int64_t inflight_bytes_ ABSL_GUARDED_BY(queue_mutex_) = 0;
  bool writer_sleeps_ ABSL_GUARDED_BY(queue_mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(queue_mutex_) = false;

  Mutex verify_mutex_;  // one verification at a time; before all others

  // One seal or sweep at a time; taken before the others.
  Mutex maintenance_mutex_;
  uint32_t next_seal_ ABSL_GUARDED_BY(maintenance_mutex_) = 1;
  // In whole windows.
  KeptSince kept_ ABSL_GUARDED_BY(maintenance_mutex_) = {INT64_MIN, {}};

  LogRateLimiter refusal_log_;
  std::jthread writer_;
  std::jthread maintenance_;
  std::jthread merger_;
};

}  // namespace vigie::store
