// SampleChanges: in which minutes of a tenant's samples something has come,
// changed or gone, and since when, for those who keep what they once computed
// from them. Versions count up; a tenant is followed from the first question
// on. What it forgets, it calls changed.
// Why: docs/decisions/0150-range-answers-are-kept.md.
// Thread-safe.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "model/time_range.h"

namespace vigie::store {

// The minutes that samples lie in, by number since the epoch; of many their
// span. A sample in the minute of the one before costs a comparison.
class ChangedMinutes {
 public:
  static constexpr int64_t kMinuteMs = 60'000;
  static constexpr size_t kMinutesMax = 64;

  void Add(int64_t time_ms) {
    if (static_cast<uint64_t>(time_ms) - static_cast<uint64_t>(start_ms_) >=
        static_cast<uint64_t>(kMinuteMs)) {
      AddAnother(time_ms);
    }
  }
  void Add(const std::vector<int64_t>& times_ms) {
    for (const int64_t time_ms : times_ms) Add(time_ms);
  }

  bool empty() const { return first_ > last_; }
  int64_t first() const { return first_; }
  int64_t last() const { return last_; }
  // Each once, in any order; all from first() to last() if there are too many
  // to tell.
  bool many() const { return many_; }
  const absl::InlinedVector<int64_t, 4>& minutes() const { return minutes_; }

 private:
  void AddAnother(int64_t time_ms);

  int64_t start_ms_ = std::numeric_limits<int64_t>::max();  // of the last one
  int64_t first_ = std::numeric_limits<int64_t>::max();
  int64_t last_ = std::numeric_limits<int64_t>::min();
  bool many_ = false;
  absl::InlinedVector<int64_t, 4> minutes_;
};

class SampleChanges {
 public:
  // What is told of a tenant, at most. Beyond, the longest unchanged minutes
  // are forgotten, half of all at once.
  static constexpr size_t kMinutesMax = 1'024;
  static constexpr size_t kTenantsMax = 1'000;

  // The last version of the tenant. None: it is not followed, as too many are.
  std::optional<uint64_t> Version(std::string_view tenant);

  // The first part of `range` that has no change later than `version`; empty
  // if its very beginning may have changed.
  TimeRange UnchangedSince(std::string_view tenant, uint64_t version,
                           const TimeRange& range) const;

  // Something has changed and is visible so. Before it is acknowledged.
  void Note(std::string_view tenant, const ChangedMinutes& minutes);
  void Note(std::string_view tenant, const TimeRange& range);
  // Of every tenant, all before `time_ms`.
  void NoteAllBefore(int64_t time_ms);

 private:
  struct Followed {
    uint64_t version = 1;
    uint64_t forgotten = 0;  // what is not told may have changed up to it
    // Minute and version of its last change, by minute.
    std::vector<std::pair<int64_t, uint64_t>> minutes;
    int64_t before_ms = std::numeric_limits<int64_t>::min();
    uint64_t before_version = 0;  // of the last change of all before that
  };
  static void Set(int64_t minute, Followed* followed);
  static void SetSpan(int64_t first, int64_t last, Followed* followed);

  mutable Mutex mutex_;  // held for moments, by the writer too
  StringMap<Followed> tenants_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vigie::store
