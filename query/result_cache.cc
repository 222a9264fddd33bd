#include "query/result_cache.h"

#include <vector>

namespace vigie::query {
namespace {

// Of an entry beside its key and its matrix.
constexpr int64_t kEntryBytes = 256;

}  // namespace

int64_t BytesOf(const Matrix& matrix) {
  int64_t bytes = 0;
  for (const MatrixSeries& series : matrix) {
    bytes +=
        static_cast<int64_t>(sizeof(series) + series.labels.bytes().size() +
                             series.floats.capacity() * sizeof(Sample));
  }
  return bytes;
}

std::optional<KeptAnswer> ResultCache::Find(std::string_view key) {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
}

void ResultCache::Keep(const std::string& key, KeptAnswer answer) {
  const int64_t bytes = BytesOf(*answer.matrix) + kEntryBytes +
                        2 * static_cast<int64_t>(key.size());
  std::vector<std::shared_ptr<const Matrix>> gone;  // destroyed without a lock
  int64_t evicted = 0;
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    if (found->second->answer.version > answer.version) return;
    gone.push_back(found->second->answer.matrix);
    Remove(found->second);
  }
  if (bytes <= answer_bytes_max()) {
    entries_.push_front({key, std::move(answer), bytes});
    by_key_.emplace(key, entries_.begin());
    bytes_ += bytes;
  }
  while (bytes_ > bytes_max_) {
    gone.push_back(entries_.back().answer.matrix);
    Remove(std::prev(entries_.end()));
    ++evicted;
  }
  if (metrics_ != nullptr) {
    metrics_->SetBytes(bytes_);
    metrics_->Evicted(evicted);
  }
}

void ResultCache::Forget(std::string_view key) {
  std::shared_ptr<const Matrix> gone;
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  gone = found->second->answer.matrix;
  Remove(found->second);
  if (metrics_ != nullptr) metrics_->SetBytes(bytes_);
}

int64_t ResultCache::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

void ResultCache::Remove(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace vigie::query
