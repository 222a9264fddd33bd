// ResultCache: answers of range queries, for questions to come. It knows
// neither queries nor samples; range_answer.h decides what of an answer counts.
// Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "query/query_metrics.h"
#include "query/steps.h"
#include "query/value.h"

namespace vigie::query {

// Floats alone. The matrix may hold more than the steps: what is no longer
// true, or not yet known to be.
struct KeptAnswer {
  Steps steps;
  uint64_t version = 0;     // of the store: steps are what they were then
  int64_t asked_steps = 0;  // by the longest question so far
  std::shared_ptr<const Matrix> matrix;
};

// What a matrix of floats takes in memory.
int64_t BytesOf(const Matrix& matrix);

class ResultCache {
 public:
  // `metrics`, if there are any, outlive the cache.
  ResultCache(int64_t bytes_max, CacheMetrics* metrics)
      : bytes_max_(bytes_max), metrics_(metrics) {}

  // One key has one answer.
  std::optional<KeptAnswer> Find(std::string_view key);
  // Replaces what is there, unless that is of a later version; those that were
  // not asked for longest make room. What is larger than answer_bytes_max() is
  // not kept, and neither is what was there before.
  void Keep(const std::string& key, KeptAnswer answer);
  void Forget(std::string_view key);

  int64_t answer_bytes_max() const { return bytes_max_ / 8; }
  int64_t bytes() const;

  void Count(CacheResult result) {
    if (metrics_ != nullptr) metrics_->Count(result);
  }

 private:
  struct Entry {
    std::string key;
    KeptAnswer answer;
    int64_t bytes = 0;
  };
  using Entries = std::list<Entry>;
  void Remove(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t bytes_max_;
  CacheMetrics* const metrics_;
  mutable Mutex mutex_;  // never held while a matrix is copied or destroyed
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // asked for last come first
  StringMap<Entries::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vigie::query
