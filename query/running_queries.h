// RunningQueries: what an engine evaluates at this moment, so that a query that
// costs too much can be seen and stopped.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/byte_account.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "model/tenant.h"

namespace vigie::query {

struct RunningQuery {
  uint64_t id = 0;  // never given twice by one engine
  Tenant tenant;
  std::string query;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ms = 0;   // 0: an instant query
  int64_t begun_ms = 0;  // wall clock
  int64_t duration_ns = 0;
  int64_t bytes = 0;  // held now
};

class RunningQueries {
 public:
  explicit RunningQueries(const Clock& clock) : clock_(clock) {}

  // A query is listed as long as its entry lives.
  class Entry {
   public:
    // `what` without what the list knows by itself. `account` outlives the
    // entry; `stop` stops the query too.
    Entry(RunningQueries* queries, RunningQuery what,
          const ByteAccount& account, const std::stop_token& stop);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    std::stop_token stop() const { return source_.get_token(); }

   private:
    friend RunningQueries;

    RunningQueries& queries_;
    RunningQuery what_;
    const int64_t begun_ns_;
    const ByteAccount& account_;
    std::stop_source source_;
    std::stop_callback<std::function<void()>> of_caller_;
  };

  // The one that runs longest first.
  std::vector<RunningQuery> List() const;

  // It ends with kCancelled soon. False if none has this id.
  bool Cancel(uint64_t id);

 private:
  const Clock& clock_;
  mutable Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Entry*> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vigie::query
