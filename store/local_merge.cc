// LocalStore's third thread: merges days that are over, oldest first, at low
// priority; and the operations that go through merges.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/label_order.h"
#include "store/left_series.h"
#include "store/local_store.h"
#include "store/read_charge.h"
#include "store/retention.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr absl::Duration kTick = absl::Seconds(10);
constexpr int64_t kBackoffNs = 10LL * 60 * 1'000'000'000;
constexpr int kNice = 10;
constexpr int64_t kDeleteBytesMax = 1 << 30;
// What LabelOrder and a list of ids take, about.
constexpr size_t kBytesASeries = 64;

}  // namespace

MergeOptions LocalStore::MergeOptionsOf(std::stop_token stop) {
  MergeOptions options;
  options.oldest_ms = [this](std::string_view tenant) {
    return OldestKeptMs(options_.store, tenant, clock_.NowMs());
  };
  for (const StoreOptions::Rollup& rollup : options_.store.rollups) {
    const int64_t resolution_ms = rollup.resolution_ms;
    options.rollups.push_back(
        {resolution_ms, [this, resolution_ms](std::string_view tenant) {
           return OldestRollupMs(options_.store, resolution_ms, tenant,
                                 clock_.NowMs());
         }});
  }
  options.left_out = [this](std::string_view tenant, int64_t newest_ms) {
    merge_floor_.LeftOut(tenant, newest_ms);
  };
  options.stop = std::move(stop);
  options.after_step = options_.after_merge_step;
  return options;
}

absl::Status LocalStore::MergeOne(int32_t day, const MergeOptions& options) {
  const absl::Status status = blocks_->MergeDay(day, options);
  if (absl::IsAborted(status)) return absl::OkStatus();  // retention took it
  if (!status.ok()) {
    if (!absl::IsCancelled(status)) metrics_.merge_failures.Increment();
    return status;
  }
  metrics_.merges.Increment();
  blocks_->Reclaim();
  metrics_.block_bytes.Set(static_cast<double>(blocks_->bytes_on_disk()));
  return absl::OkStatus();
}

void LocalStore::RunMerges(std::stop_token stop) {
  // Of this thread alone, as Linux has it. Batches and queries go first.
  ::setpriority(PRIO_PROCESS, 0, kNice);
  int64_t not_before_ns = 0;
  Expiries expiries;
  while (clock_.SleepFor(kTick, stop)) {
    // Of what was replaced while queries still needed it.
    blocks_->Reclaim();
    if (clock_.MonotonicNs() < not_before_ns) continue;
    const std::vector<DayState> days = blocks_->Days();
    std::optional<int32_t> day =
        DayToMerge(options_.store, days, clock_.NowMs());
    if (!day.has_value()) day = DayWithExpired(days, &expiries);
    if (!day.has_value()) continue;
    const absl::Status status = MergeOne(*day, MergeOptionsOf(stop));
    if (status.ok() || absl::IsCancelled(status)) continue;
    // What cannot be merged is served as it is.
    spdlog::error("store: {}; tried again in 10 min", MessageOf(status));
    not_before_ns = clock_.MonotonicNs() + kBackoffNs;
  }
}

// A merged day of which a tenant's retention has taken something: the merge
// that gives its space back. What goes with its whole day needs none.
std::optional<int32_t> LocalStore::DayWithExpired(
    const std::vector<DayState>& days, Expiries* expiries) const {
  const StoreOptions& options = options_.store;
  const int64_t now_ms = clock_.NowMs();
  Expiries known;
  std::optional<int32_t> found;
  std::unique_ptr<BlockSnapshot> snapshot;
  for (const DayState& day : days) {
    uint32_t generation = day.generation;
    for (const ColdDay& rollup : day.rollups) {
      generation = std::max(generation, rollup.generation);
    }
    if (generation == 0) continue;
    const std::pair at(day.day, generation);
    const auto it = expiries->find(at);
    if (it == expiries->end() && snapshot == nullptr) {
      snapshot = blocks_->TakeSnapshot();
    }
    const int64_t expiry_ms =
        it != expiries->end()
            ? it->second
            : FirstExpiryMs(options, day.day, snapshot->Tenants(day.day),
                            now_ms);
    known.emplace(at, expiry_ms);
    if (!found.has_value() && expiry_ms < now_ms) found = day.day;
  }
  *expiries = std::move(known);
  return found;
}

absl::Status LocalStore::Compact(const Progress& progress) {
  progress.Report("sealing", 0, 0, "");
  VIGIE_RETURN_IF_ERROR(Seal());
  std::vector<DayState> days = blocks_->Days();
  Expiries expiries;
  std::set<int32_t> with_expired;
  for (const DayState& day : days) {
    if (DayWithExpired({day}, &expiries)) with_expired.insert(day.day);
  }
  std::erase_if(days, [&](const DayState& day) {
    return !CanBeMerged(options_.store, day) && !with_expired.contains(day.day);
  });
  uint64_t total = 0, done = 0;
  for (const DayState& day : days) total += day.hot_samples + day.cold_samples;
  for (const DayState& day : days) {
    progress.Report("merging", done, total, "samples");
    MergeOptions options = MergeOptionsOf(progress.stop);
    options.progress = [&](uint64_t samples) {
      progress.Report("merging", std::min(done + samples, total), total,
                      "samples");
    };
    VIGIE_RETURN_IF_ERROR(MergeOne(day.day, options));
    done += day.hot_samples + day.cold_samples;
  }
  progress.Report("merging", total, total, "samples");
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> LocalStore::DeleteSeries(const DeleteRequest& request,
                                                  const Progress& progress) {
  if (request.selectors.empty() || request.range.empty()) {
    return absl::InvalidArgumentError("delete: nothing is selected");
  }
  // No seal in between: what it would bring is acknowledged later than this.
  MutexLock lock(maintenance_mutex_);
  progress.Report("sealing", 0, 0, "");
  VIGIE_RETURN_IF_ERROR(SealNow());
  VIGIE_RETURN_IF_ERROR(progress.Stopped());
  // All is sealed, so the index of the days knows every series, in the head or
  // not.
  LabelOrder order;
  VIGIE_ASSIGN_OR_RETURN(std::vector<uint64_t> ids,
                         IdsOf(request, progress.stop, &order));
  const absl::Status deleted =
      blocks_->Delete(request.tenant.name, std::move(ids), request.range);
  changes_.Note(request.tenant.name, request.range);  // whatever became of it
  VIGIE_RETURN_IF_ERROR(deleted);
  return order.SortAndCount();
}

absl::StatusOr<std::vector<uint64_t>> LocalStore::IdsOf(
    const DeleteRequest& request, std::stop_token stop, LabelOrder* order) {
  ByteAccount account("delete", kDeleteBytesMax);
  const ReadContext context{&account, stop};
  ScopedCharge charge(&account);
  const std::unique_ptr<BlockSnapshot> snapshot = blocks_->TakeSnapshot();
  LeftSeries series(snapshot->index(), request.tenant.name, request.selectors,
                    /*known=*/{}, context);
  std::vector<uint64_t> ids;
  for (const int32_t day : snapshot->Days(request.range)) {
    VIGIE_RETURN_IF_ERROR(series.Visit(
        day,
        [&](uint64_t id, Labels labels) -> absl::Status {
          VIGIE_RETURN_IF_ERROR(charge.Add(kBytesASeries));
          order->Add(labels);
          ids.push_back(id);
          return absl::OkStatus();
        },
        [](const IdRuns&) {}));
  }
  // A row that two seals wrote is visited twice.
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace vigie::store
