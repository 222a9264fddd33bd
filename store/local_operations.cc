// LocalStore's operations: what is done to the store as a whole.
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/inspect.h"
#include "store/local_store.h"
#include "store/snapshot.h"

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

absl::Status LocalStore::Compact(const Progress&) {
  return absl::UnimplementedError("store: compact: not done yet");
}

absl::StatusOr<uint64_t> LocalStore::DeleteSeries(const DeleteRequest&,
                                                  const Progress&) {
  return absl::UnimplementedError("store: delete: not done yet");
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
