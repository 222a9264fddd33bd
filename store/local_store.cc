#include "store/local_store.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/day_rows.h"
#include "store/file_log.h"
#include "store/replay.h"

namespace vigie::store {
namespace {

constexpr std::string_view kSecretKey = "secret";

// Bounds how long one group keeps those that come after it waiting.
constexpr int64_t kGroupBytesMax = 8 << 20;

template <class Count>
size_t BytesOf(const BasicHistogram<Count>& h) {
  return 8 * (h.positive_spans.size() + h.negative_spans.size() +
              h.positive_buckets.size() + h.negative_buckets.size() +
              h.custom_values.size());
}

int64_t BytesOf(const AppendBatch& batch) {
  size_t bytes = sizeof(batch) + batch.tenant.name.size() + batch.group.size();
  for (const BatchSeries& series : batch.series) {
    bytes += sizeof(series) + series.labels.bytes().size();
  }
  bytes += batch.floats.size() * sizeof(FloatPoint);
  bytes += batch.deltas.size() * sizeof(DeltaPoint);
  for (const IntegerHistogramPoint& point : batch.integer_histograms) {
    bytes += sizeof(point) + BytesOf(point.histogram);
  }
  for (const FloatHistogramPoint& point : batch.float_histograms) {
    bytes += sizeof(point) + BytesOf(point.histogram);
  }
  for (const ExemplarPoint& point : batch.exemplars) {
    bytes += sizeof(point) + point.exemplar.labels.bytes().size();
  }
  for (const MetadataPoint& point : batch.metadata) {
    bytes += sizeof(point) + point.metric.size() + point.metadata.help.size() +
             point.metadata.unit.size();
  }
  if (batch.label_source != nullptr) {
    bytes += static_cast<size_t>(batch.label_source->bytes());
  }
  return static_cast<int64_t>(bytes);
}

ChangedMinutes MinutesOf(const BatchRecord& record) {
  ChangedMinutes minutes;
  minutes.Add(record.floats.times_ms);
  minutes.Add(record.deltas.times_ms);
  minutes.Add(record.integer_histograms.times_ms);
  minutes.Add(record.float_histograms.times_ms);
  return minutes;
}

AppendOutcome Failed(absl::Status status) {
  AppendOutcome outcome;
  outcome.status = std::move(status);
  return outcome;
}

}  // namespace

// A batch between decision and completion.
struct LocalStore::Decided {
  Waiting waiting;
  Admission::Decision decision;
  std::string record;        // as it is logged; empty: nothing of it is
  LogPosition position = 0;  // 0: not logged
};

absl::StatusOr<std::unique_ptr<LocalStore>> LocalStore::Open(
    const std::string& directory, const LocalStoreOptions& options,
    const Clock& clock, prometheus::Registry& registry) {
  std::unique_ptr<LocalStore> store(new LocalStore(options, clock, registry));
  VIGIE_RETURN_IF_ERROR(store->Load(directory));
  LocalStore* raw = store.get();
  store->writer_ = std::jthread([raw] { raw->RunWriter(); });
  store->maintenance_ = std::jthread(
      [raw](std::stop_token stop) { raw->RunMaintenance(std::move(stop)); });
  store->merger_ = std::jthread(
      [raw](std::stop_token stop) { raw->RunMerges(std::move(stop)); });
  return store;
}

absl::Status LocalStore::Load(const std::string& directory) {
  VIGIE_ASSIGN_OR_RETURN(directory_, DataDirectory::Open(directory, files_));
  std::error_code error;
  const bool logged = std::filesystem::exists(directory_->log(), error);
  if (logged && !std::filesystem::exists(directory_->blocks(), error)) {
    return absl::DataLossError(fmt::format(
        "{}: missing, although there is a log", directory_->blocks()));
  }
  VIGIE_ASSIGN_OR_RETURN(
      blocks_, Blocks::Open(directory_->blocks(), directory_->staging(),
                            options_.blocks_env, &clock_));
  VIGIE_ASSIGN_OR_RETURN(const Watermark watermark, blocks_->ReadWatermark());
  if (!logged && options_.files == nullptr && watermark.replay_from > 1) {
    return absl::DataLossError(
        fmt::format("{}: missing, although the blocks follow a log up to "
                    "position {}",
                    directory_->log(), watermark.replay_from - 1));
  }
  std::string secret;
  if (absl::Status status = LoadSecret(&secret); !status.ok()) {
    return Prefixed(directory, status);
  }
  head_ = std::make_unique<Head>(std::move(secret));

  FileLogOptions log_options;
  log_options.durability =
      options_.store.durability == StoreOptions::Durability::kOs
          ? FileLogOptions::Durability::kOs
          : FileLogOptions::Durability::kFdatasync;
  // A record is smaller than its batch, but not in every corner.
  log_options.inflight_bytes_max =
      static_cast<uint64_t>(options_.store.inflight_bytes_max) * 2;
  log_options.room_bytes_max = options_.log_room_bytes_max;
  VIGIE_ASSIGN_OR_RETURN(log_,
                         FileLog::Open(directory_->log(), log_options, files_));
  VIGIE_RETURN_IF_ERROR(Replay(watermark));

  HeadReaderLock lock(head_lock_);
  reader_ = std::make_unique<Reader>(
      head_lock_, *head_, *blocks_, changes_, metrics_,
      [this](std::string_view tenant) {
        Horizon horizon = HorizonOf(options_.store, tenant, clock_.NowMs());
        horizon.samples_ms =
            std::max(horizon.samples_ms, merge_floor_.Of(tenant));
        return horizon;
      });
  metrics_.head_series.Set(static_cast<double>(head_->index().size()));
  metrics_.head_samples.Set(static_cast<double>(head_->samples()));
  metrics_.log_bytes.Set(static_cast<double>(log_->bytes_on_disk()));
  metrics_.block_bytes.Set(static_cast<double>(blocks_->bytes_on_disk()));
  return absl::OkStatus();
}

absl::Status LocalStore::LoadSecret(std::string* secret) {
  absl::StatusOr<std::string> stored = blocks_->GetMeta(kSecretKey);
  if (stored.ok()) {
    if (stored->size() != kIdentitySecretBytes) {
      return absl::DataLossError("blocks: secret: of another length");
    }
    *secret = *std::move(stored);
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(stored.status())) return stored.status();
  std::error_code error;
  if (std::filesystem::exists(directory_->log(), error)) {
    return absl::DataLossError(
        fmt::format("{}, although there is a log", MessageOf(stored.status())));
  }
  std::string fresh(kIdentitySecretBytes, '\0');
  // At most 256 bytes come whole, without a signal in between.
  if (::getrandom(fresh.data(), fresh.size(), 0) !=
      static_cast<ssize_t>(fresh.size())) {
    return absl::UnavailableError(
        fmt::format("random bytes: {}", std::strerror(errno)));
  }
  VIGIE_RETURN_IF_ERROR(blocks_->PutMeta(kSecretKey, fresh));
  *secret = std::move(fresh);
  return absl::OkStatus();
}

absl::Status LocalStore::Replay(const Watermark& watermark) {
  MutexLock maintenance(maintenance_mutex_);
  HeadWriterLock lock(head_lock_);
  next_seal_ = watermark.next_seal;
  head_->RaiseNextSeriesId(watermark.next_series_id);
  head_->RaiseAppliedEnd(watermark.replay_from);
  // What has left before has samples in blocks alone.
  if (const std::vector<DayState> days = blocks_->Days(); !days.empty()) {
    head_->ForgetDaysUntil(days.back().day);
  }
  VIGIE_RETURN_IF_ERROR(blocks_->LoadInto(head_.get()));
  class Replay replay(*head_);
  VIGIE_RETURN_IF_ERROR(
      log_->Replay(watermark.replay_from,
                   [&](LogPosition position, std::string_view payload) {
                     return replay.Add(position, payload);
                   }));
  VIGIE_RETURN_IF_ERROR(replay.Finish());
  ::malloc_trim(0);
  return absl::OkStatus();
}

LocalStore::~LocalStore() {
  if (absl::Status status = Close(); !status.ok()) {
    spdlog::warn("store: close: {}", MessageOf(status));
  }
}

absl::Status LocalStore::Close() {
  {
    MutexLock lock(queue_mutex_);
    closing_ = true;
  }
  queue_wake_.NotifyAll();
  if (writer_.joinable()) writer_.join();
  maintenance_.request_stop();
  merger_.request_stop();
  if (maintenance_.joinable()) maintenance_.join();
  if (merger_.joinable()) merger_.join();
  return absl::OkStatus();
}

void LocalStore::Append(AppendBatch batch, AppendCompletion done) {
  const int64_t bytes = BytesOf(batch);
  const int64_t bytes_max = options_.store.inflight_bytes_max;
  absl::Status refusal;
  bool wake = false;
  if (batch.tenant.name.empty() || batch.tenant.name.size() > kTenantBytesMax ||
      !IsValidUtf8(batch.tenant.name)) {
    refusal = absl::InvalidArgumentError(
        fmt::format("store: a tenant has 1 to {} bytes of UTF-8, not {}",
                    kTenantBytesMax, batch.tenant.name.size()));
  } else if (bytes > bytes_max) {
    refusal = absl::OutOfRangeError(fmt::format(
        "store: a batch of {} bytes, at most {}", bytes, bytes_max));
  } else {
    MutexLock lock(queue_mutex_);
    if (closing_) {
      refusal = absl::UnavailableError("store: shutting down");
    } else if (bytes > bytes_max - inflight_bytes_) {
      refusal = absl::ResourceExhaustedError(fmt::format(
          "store: {} bytes of batches are waiting, at most {}; try again later",
          inflight_bytes_, bytes_max));
    } else {
      inflight_bytes_ += bytes;
      metrics_.inflight_bytes.Set(static_cast<double>(inflight_bytes_));
      queue_.push_back({std::move(batch), std::move(done), bytes});
      wake = std::exchange(writer_sleeps_, false);
    }
  }
  if (refusal.ok()) {
    if (wake) queue_wake_.NotifyAll();
    return;
  }
  metrics_.batches_failed.Increment();
  std::move(done)(Failed(std::move(refusal)));
}

void LocalStore::Complete(Waiting* waiting, AppendOutcome outcome) {
  if (outcome.status.ok()) {
    metrics_.batches_appended.Increment();
    metrics_.samples_appended.Increment(static_cast<double>(
        outcome.floats_accepted + outcome.histograms_accepted +
        outcome.deltas_accepted));
    metrics_.exemplars_appended.Increment(
        static_cast<double>(outcome.exemplars_accepted));
  } else {
    metrics_.batches_failed.Increment();
  }
  for (const Refusal& refusal : outcome.refusals) {
    metrics_.Count(refusal);
    uint64_t suppressed = 0;
    if (refusal_log_.Pass(&suppressed)) {
      spdlog::warn(
          "store: refused {} of tenant {} as {}: {} ({} such lines held "
          "back)",
          refusal.count, waiting->batch.tenant.name,
          RefusalName(refusal.reason), refusal.example, suppressed);
    }
  }
  {
    MutexLock lock(queue_mutex_);
    inflight_bytes_ -= waiting->bytes;
    metrics_.inflight_bytes.Set(static_cast<double>(inflight_bytes_));
  }
  std::move(waiting->done)(std::move(outcome));
}

void LocalStore::RunWriter() {
  std::deque<Waiting> taken;
  while (true) {
    {
      MutexLock lock(queue_mutex_);
      while (taken.empty() && queue_.empty() && !closing_) {
        writer_sleeps_ = true;
        queue_wake_.Wait(queue_mutex_);
      }
      writer_sleeps_ = false;
      if (taken.empty() && queue_.empty()) return;
      for (Waiting& waiting : queue_) taken.push_back(std::move(waiting));
      queue_.clear();
    }
    WriteGroup(&taken);
  }
}

// Decides batches from the front of `queue` until one depends on another that
// is not applied yet, logs them all, waits, applies what is durable.
void LocalStore::WriteGroup(std::deque<Waiting>* queue) {
  Mutex mutex;
  CondVar wake;
  size_t outstanding = 0;  // guarded by `mutex`, as the statuses are
  std::deque<Decided> group;

  {
    MutexLock admission(admission_mutex_);
    {
      HeadReaderLock lock(head_lock_);
      admission_.NewGroup(head_->next_series_id());
    }
    int64_t bytes = 0;
    while (!queue->empty() && bytes < kGroupBytesMax) {
      std::optional<Admission::Decision> decision;
      bool full = false;
      {
        HeadReaderLock lock(head_lock_);
        full = head_->weight() >= 4 * HeadSamplesMax(head_->index().size());
        if (!full) {
          decision =
              admission_.Decide(&queue->front().batch, *head_, clock_.NowMs());
        }
      }
      if (full) {
        decision.emplace();
        decision->outcome = Failed(absl::ResourceExhaustedError(
            "store: too many samples wait for a block, as seals fail; try "
            "again later"));
      }
      if (!decision.has_value()) break;
      bytes += queue->front().bytes;
      Decided& decided = group.emplace_back();
      decided.waiting = std::move(queue->front());
      decided.decision = *std::move(decision);
      queue->pop_front();
      if (!decided.decision.record.empty()) {
        decided.record = EncodeBatchRecord(decided.decision.record);
      }
    }
    // All at once: the log's thread would sync the first while the others are
    // decided, and them with a sync of their own.
    for (Decided& decided : group) {
      if (decided.record.empty()) continue;
      {
        MutexLock lock(mutex);
        ++outstanding;
      }
      const absl::StatusOr<LogPosition> position =
          log_->Append(decided.record, [&](absl::Status status) {
            MutexLock lock(mutex);
            if (!status.ok()) {
              decided.decision.outcome = Failed(std::move(status));
            }
            if (--outstanding == 0) wake.NotifyAll();
          });
      MutexLock lock(mutex);
      if (position.ok()) {
        decided.position = *position;
      } else {
        decided.decision.outcome = Failed(position.status());
        --outstanding;
      }
    }
    {
      MutexLock lock(mutex);
      while (outstanding > 0) wake.Wait(mutex);
    }
    for (Decided& decided : group) {
      if (decided.position == 0 || !decided.decision.outcome.status.ok()) {
        continue;
      }
      const BatchRecord& record = decided.decision.record;
      const ChangedMinutes changed = MinutesOf(record);
      HeadWriterLock lock(head_lock_);
      const absl::Status status =
          head_->Apply(decided.position, record, decided.decision.identities);
      // It is durable, so a replay would fail alike: better stop than go on.
      if (!status.ok()) spdlog::critical("store: {}", MessageOf(status));
      VIGIE_CHECK(status.ok());
      // Whoever sees the samples, under the lock, sees this as well.
      changes_.Note(record.tenant, changed);
    }
  }
  {
    HeadReaderLock lock(head_lock_);
    metrics_.head_series.Set(static_cast<double>(head_->index().size()));
    metrics_.head_samples.Set(static_cast<double>(head_->samples()));
  }
  metrics_.log_bytes.Set(static_cast<double>(log_->bytes_on_disk()));
  for (Decided& decided : group) {
    Complete(&decided.waiting, std::move(decided.decision.outcome));
  }
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(
    const std::string& directory, const StoreOptions& options,
    const Clock& clock, prometheus::Registry& registry) {
  LocalStoreOptions local;
  local.store = options;
  VIGIE_ASSIGN_OR_RETURN(std::unique_ptr<LocalStore> store,
                         LocalStore::Open(directory, local, clock, registry));
  return store;
}

}  // namespace vigie::store
