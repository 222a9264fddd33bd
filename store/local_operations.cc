// LocalStore's operations: what is done to the store as a whole.
#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/day_index.h"
#include "store/inspect.h"
#include "store/local_store.h"
#include "store/snapshot.h"
#include "store/verify.h"

namespace vigie::store {
namespace {

// As cardinality holds every label pair of a tenant for a moment.
constexpr int64_t kInspectBytesMax = 1 << 30;

}  // namespace

absl::Status LocalStore::Snapshot(const std::string& directory,
                                  const Progress& progress) {
  // Keeps seals and drops away until all files are linked.
  MutexLock lock(maintenance_mutex_);
  progress.Report("sealing", 0, 0, "");
  if (absl::Status status = SealNow(); !status.ok()) {
    return Prefixed("snapshot", status);
  }
  return WriteSnapshot(*blocks_, directory, files_, progress);
}

absl::StatusOr<VerifyOutcome> LocalStore::Verify(
    const Progress& progress,
    const std::function<void(const std::string&)>& found) {
  if (!verify_mutex_.TryLock()) {
    return absl::UnavailableError("verify: another one is running");
  }
  VerifyOutcome outcome;
  const absl::Status status = VerifyCopy(progress, found, &outcome);
  verify_mutex_.Unlock();
  VIGIE_RETURN_IF_ERROR(status);
  return outcome;
}

absl::Status LocalStore::VerifyCopy(
    const Progress& progress,
    const std::function<void(const std::string&)>& found,
    VerifyOutcome* outcome) {
  // The newest segment grows meanwhile: what is read of it early may be older
  // than what is read late. What is damage stays damage.
  VIGIE_ASSIGN_OR_RETURN(std::vector<LogDamage> damages,
                         VerifyLog(directory_->log(), files_, outcome));
  for (int again = 0; again < 3 && !damages.empty(); ++again) {
    VerifyOutcome ignored;
    VIGIE_ASSIGN_OR_RETURN(damages,
                           VerifyLog(directory_->log(), files_, &ignored));
  }
  for (const LogDamage& damage : damages) found(damage.message);
  outcome->damages += damages.size();

  const std::string copy = directory_->path() + "/verify";
  std::error_code ignored;
  std::filesystem::remove_all(copy, ignored);  // of one that was killed
  absl::Status status = Snapshot(copy, progress);
  if (status.ok()) {
    status = VerifyBlockFiles(copy, progress, found, outcome);
  }
  if (status.ok() && damages.empty()) {
    status = VerifyContents(copy, directory_->path(), clock_, progress, found,
                            outcome);
  }
  std::filesystem::remove_all(copy, ignored);
  return status;
}

absl::StatusOr<std::vector<std::string>> LocalStore::Tenants() {
  std::unique_ptr<BlockSnapshot> blocks;
  std::vector<std::string> tenants;
  {
    HeadReaderLock lock(head_lock_);
    blocks = blocks_->TakeSnapshot();
    for (const std::string_view tenant : head_->index().Tenants()) {
      tenants.emplace_back(tenant);
    }
  }
  const DayIndex index(blocks->index());
  for (const int32_t day : blocks->Days({})) {
    VIGIE_ASSIGN_OR_RETURN(std::vector<std::string> of_day, index.Tenants(day));
    tenants.insert(tenants.end(), std::make_move_iterator(of_day.begin()),
                   std::make_move_iterator(of_day.end()));
  }
  std::sort(tenants.begin(), tenants.end());
  tenants.erase(std::unique(tenants.begin(), tenants.end()), tenants.end());
  return tenants;
}

absl::StatusOr<StoreReport> LocalStore::Inspect() {
  StoreReport report;
  {
    MutexLock lock(maintenance_mutex_);
    report.log_bytes = log_->bytes_on_disk();
    report.block_bytes = blocks_->bytes_on_disk();
    report.cache_bytes = CacheBytesOf(*blocks_);
    report.seals = next_seal_ - 1;
    report.rollups = RollupsOf(*blocks_);
    report.tables = TablesOf(*blocks_);
    HeadReaderLock head(head_lock_);
    report.head_series = head_->index().size();
    report.head_samples = head_->samples();
  }
  ByteAccount account("inspect", kInspectBytesMax);
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, Tenants());
  for (const std::string& tenant : tenants) {
    VIGIE_ASSIGN_OR_RETURN(
        Cardinality counts,
        reader_->CountCardinality({tenant}, kReportedCounts, {&account, {}}));
    report.tenants.push_back({tenant, std::move(counts)});
  }
  std::stable_sort(report.tenants.begin(), report.tenants.end(),
                   [](const TenantReport& a, const TenantReport& b) {
                     return a.counts.series > b.counts.series;
                   });
  return report;
}

}  // namespace vigie::store
