// QueryContext: what all nodes of one running query share: who asks, how much
// it may hold, when it must stop, and what it has to say.
// Belongs to one thread: see ForThread.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "model/tenant.h"
#include "query/annotations.h"
#include "query/charge.h"
#include "query/engine.h"
#include "query/steps.h"
#include "query/value.h"
#include "store/queryable.h"

namespace vigie {
class TaskPool;
}

namespace vigie::query {

struct QueryContext {
  // All outlive the context.
  QueryContext(const store::Queryable& queryable, const Clock& clock,
               const EngineOptions& options, QueryAccount* account)
      : queryable(queryable),
        clock(clock),
        options(options),
        account(*account) {}

  // For another thread of the same query, which has said nothing yet.
  QueryContext ForThread() const {
    QueryContext other = *this;
    other.annotations = {};
    other.stats = {};
    return other;
  }

  // kCancelled once the caller has gone, kDeadlineExceeded once the time is
  // up. Reads the clock: call it once a series or a thousand steps.
  absl::Status Check() const;
  // For inner loops: checks once in a while. `work` is how many samples or
  // series the turn of the loop looks at.
  absl::Status CheckNowAndThen(size_t work = 1) {
    work_ += work + kTurnWork;
    if (work_ < kWorkBetweenChecks) return absl::OkStatus();
    work_ = 0;
    return Check();
  }

  const store::Queryable& queryable;
  const Clock& clock;
  const EngineOptions& options;
  QueryAccount& account;     // the query's
  TaskPool* pool = nullptr;  // threads that help; null: none do
  size_t helpers = 0;        // how many of them at once
  Tenant tenant;
  std::string_view query;  // its text, for places
  int64_t lookback_ms = 0;
  int64_t deadline_ns = 0;  // of the monotonic clock
  std::stop_token stop;
  Steps top;  // of the whole query, for start(), end(), step()
  int64_t top_end_ms = 0;
  int64_t top_step_ms = 0;  // 0 for an instant query
  // What is selected goes into histogram_count and the like, for which resets
  // are found between the samples where no hint tells of them.
  bool finds_resets = false;
  Annotations annotations;
  QueryStats stats;

 private:
  // A turn costs something even if it looks at nothing; a check about 100 us.
  static constexpr size_t kTurnWork = 16;
  static constexpr size_t kWorkBetweenChecks = 1 << 16;
  size_t work_ = 0;
};

}  // namespace vigie::query
