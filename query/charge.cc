#include "query/charge.h"

#include <fmt/format.h>

#include <utility>

#include "query/parser/limit.h"

namespace vigie::query {

void QueryAccount::Tally::Add(int64_t count) {
  const int64_t next = now.fetch_add(count, std::memory_order_relaxed) + count;
  int64_t before = peak.load(std::memory_order_relaxed);
  while (before < next &&
         !peak.compare_exchange_weak(before, next, std::memory_order_relaxed)) {
  }
}

bool QueryAccount::Tally::TryAdd(int64_t count, int64_t max) {
  if (count > max - now.load(std::memory_order_relaxed)) return false;
  Add(count);  // threads that add at once may go beyond by a series each
  return true;
}

absl::Status QueryAccount::Charge(int64_t bytes, int64_t samples) {
  if (whole_ != nullptr) {
    if (absl::Status status = whole_->Charge(bytes, samples); !status.ok()) {
      return status;
    }
    tally_.Add(bytes);
    if (samples != 0) samples_.Add(samples);
    return absl::OkStatus();
  }
  if (samples != 0) {
    if (!samples_.TryAdd(samples, samples_max_)) {
      // Prometheus's words, then ours.
      return WithLimit(
          Limit::kSamples,
          absl::FailedPreconditionError(fmt::format(
              "query processing would load too many samples into memory in "
              "query execution (setting query.query_samples_max: {})",
              samples_max_)));
    }
  }
  absl::Status status = bytes_.Charge(bytes);
  if (status.ok()) return status;
  samples_.Subtract(samples);
  const bool process = status.code() == absl::StatusCode::kResourceExhausted;
  return WithLimit(process ? Limit::kProcessBytes : Limit::kQueryBytes,
                   std::move(status));
}

void QueryAccount::Release(int64_t bytes, int64_t samples) {
  if (samples != 0) samples_.Subtract(samples);
  if (whole_ == nullptr) return bytes_.Release(bytes);
  tally_.Subtract(bytes);
  whole_->Release(bytes, samples);
}

void QueryAccount::TallyStore(int64_t bytes) {
  if (whole_ != nullptr) tally_.Add(bytes);
}

}  // namespace vigie::query
