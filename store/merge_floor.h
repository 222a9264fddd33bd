// MergeFloor: the times before which merges have left samples of a tenant out.
// Nothing older is shown, whatever the clock says by then: a clock that steps
// back would bring days to light that are about to go, before the hole that a
// merge has made. Forgotten with the process.
// Why: docs/decisions/0112-no-query-looks-below-a-merge.md.
// Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "base/strings.h"

namespace vigie::store {

class MergeFloor {
 public:
  // A merge leaves out samples of `tenant`, the newest of them at `newest_ms`.
  // Before it is published: who sees the merge sees this as well.
  void LeftOut(std::string_view tenant, int64_t newest_ms) {
    MutexLock lock(mutex_);
    int64_t& floor_ms =
        floors_.try_emplace(std::string(tenant), kNoneMs).first->second;
    floor_ms = std::max(floor_ms, newest_ms + 1);
  }

  // The oldest time that may be shown; INT64_MIN if nothing was left out.
  int64_t Of(std::string_view tenant) const {
    MutexLock lock(mutex_);
    const auto it = floors_.find(tenant);
    return it == floors_.end() ? kNoneMs : it->second;
  }

 private:
  static constexpr int64_t kNoneMs = std::numeric_limits<int64_t>::min();

  mutable Mutex mutex_;
  StringMap<int64_t> floors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vigie::store
