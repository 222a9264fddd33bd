// LocalStore's operations: what is done to the store as a whole.
#include <algorithm>
#include <filesystem>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/inspect.h"
#include "store/local_store.h"
#include "store/snapshot.h"
#include "store/verify.h"

namespace vigie::store {

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

std::vector<std::string> LocalStore::Tenants() {
  std::vector<std::string> tenants;
  {
    HeadReaderLock lock(head_lock_);
    for (const std::string_view tenant : head_->index().Tenants()) {
      tenants.emplace_back(tenant);
    }
  }
  std::sort(tenants.begin(), tenants.end());
  return tenants;
}

absl::StatusOr<StoreReport> LocalStore::Inspect() {
  StoreReport report;
  MutexLock lock(maintenance_mutex_);
  report.log_bytes = log_->bytes_on_disk();
  report.block_bytes = blocks_->bytes_on_disk();
  report.seals = next_seal_ - 1;
  report.tables = TablesOf(*blocks_);
  HeadReaderLock head(head_lock_);
  report.head_series = head_->index().size();
  report.head_samples = head_->samples();
  return report;
}

}  // namespace vigie::store
