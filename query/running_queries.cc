#include "query/running_queries.h"

#include <utility>

namespace vigie::query {

RunningQueries::Entry::Entry(RunningQueries* queries, RunningQuery what,
                             const ByteAccount& account,
                             const std::stop_token& stop)
    : queries_(*queries),
      what_(std::move(what)),
      begun_ns_(queries->clock_.MonotonicNs()),
      account_(account),
      of_caller_(stop, [this] { source_.request_stop(); }) {
  what_.begun_ms = queries_.clock_.NowMs();
  MutexLock lock(queries_.mutex_);
  what_.id = queries_.next_id_++;
  queries_.entries_[what_.id] = this;
}

RunningQueries::Entry::~Entry() {
  MutexLock lock(queries_.mutex_);
  queries_.entries_.erase(what_.id);
}

std::vector<RunningQuery> RunningQueries::List() const {
  const int64_t now_ns = clock_.MonotonicNs();
  std::vector<RunningQuery> queries;
  MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {  // in the order of their beginning
    RunningQuery& query = queries.emplace_back(entry->what_);
    query.duration_ns = now_ns - entry->begun_ns_;
    query.bytes = entry->account_.bytes();
  }
  return queries;
}

bool RunningQueries::Cancel(uint64_t id) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return false;
  it->second->source_.request_stop();
  return true;
}

}  // namespace vigie::query
