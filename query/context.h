// QueryContext: what all nodes of one running query share: who asks, how much
// it may hold, when it must stop, and what it has to say.
// Belongs to one thread: see ForThread.
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

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

// How many samples each step looks at, for queries that are explained.
// Thread-safe.
class StepSamples {
 public:
  explicit StepSamples(int64_t steps) : counts_(static_cast<size_t>(steps)) {}
  void Add(int64_t step, int64_t samples) {
    counts_[static_cast<size_t>(step)].fetch_add(samples,
                                                 std::memory_order_relaxed);
  }
  int64_t steps() const { return static_cast<int64_t>(counts_.size()); }
  int64_t At(int64_t step) const { return counts_[static_cast<size_t>(step)]; }

 private:
  std::vector<std::atomic<int64_t>> counts_;
};

struct QueryContext {
  // All outlive the context.
  QueryContext(const store::Queryable& queryable, const Clock& clock,
               const EngineOptions& options, QueryAccount* account)
      : queryable(queryable),
        clock(clock),
        options(options),
        account(*account) {}

  // For another thread of the same query, which has said nothing yet.
  QueryContext ForThread() const { return {*this, &account}; }
  // For a part of the query, with a tally of its own.
  QueryContext ForPart(QueryAccount* part) const { return {*this, part}; }

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
  // The order of series, which may depend on other steps than the one that is
  // looked at, has decided something (result_cache.h).
  bool order_decided = false;
  StepSamples* step_samples = nullptr;  // null: nobody asks
  Annotations annotations;
  QueryStats stats;

 private:
  QueryContext(const QueryContext& other, QueryAccount* account)
      : queryable(other.queryable),
        clock(other.clock),
        options(other.options),
        account(*account),
        pool(other.pool),
        helpers(other.helpers),
        tenant(other.tenant),
        query(other.query),
        lookback_ms(other.lookback_ms),
        deadline_ns(other.deadline_ns),
        stop(other.stop),
        top(other.top),
        top_end_ms(other.top_end_ms),
        top_step_ms(other.top_step_ms),
        finds_resets(other.finds_resets),
        step_samples(other.step_samples) {}

  // A turn costs something even if it looks at nothing; a check about 100 us.
  static constexpr size_t kTurnWork = 16;
  static constexpr size_t kWorkBetweenChecks = 1 << 16;
  size_t work_ = 0;
};

}  // namespace vigie::query
