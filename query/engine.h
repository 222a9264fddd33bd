// Engine evaluates PromQL over a Queryable as Prometheus 3 does. Every batch
// of samples and every result comes from the query's byte account.
// Thread-safe: each call runs on the calling thread, and others help it. What
// it answers does not depend on how many.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "base/byte_account.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"
#include "model/tenant.h"
#include "query/running_queries.h"
#include "query/value.h"
#include "store/queryable.h"

namespace vigie {
class TaskPool;
}

namespace vigie::query {

struct EngineOptions {
  int64_t lookback_ms = 5 * 60'000;
  int64_t timeout_ms = 2 * 60'000;
  int64_t default_subquery_step_ms = 60'000;
  int64_t query_bytes_max = 1LL << 30;
  int64_t process_bytes_max = 4LL << 30;
  int64_t points_per_series_max = 11'000;
  // A query that takes this long is logged with what it read; 0: none is.
  int64_t slow_query_ms = 10'000;
  // One query's, its own and those that help it; helpers are shared by all.
  int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  // Functions and modifiers that Prometheus has behind feature flags.
  bool experimental = false;
};

// The section `query:` of vigie.yml; errors carry file:line:column.
absl::StatusOr<EngineOptions> ParseEngineOptions(const yaml::Node& section);

struct InstantQuery {
  Tenant tenant;
  std::string query;
  int64_t time_ms = 0;
  std::optional<int64_t> lookback_ms;
  std::optional<int64_t> timeout_ms;  // capped by the options'
  std::stop_token stop;
};

// Evaluated at start, start + step, ... up to and including end.
struct RangeQuery {
  Tenant tenant;
  std::string query;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ms = 0;
  std::optional<int64_t> lookback_ms;
  std::optional<int64_t> timeout_ms;
  std::stop_token stop;
};

class Engine {
 public:
  // All three outlive the engine.
  Engine(const store::Queryable& queryable, const Clock& clock,
         const EngineOptions& options);
  ~Engine();

  // kInvalidArgument: the text does not parse, or step or range are wrong.
  // kFailedPrecondition: it cannot be executed; the message is Prometheus's
  //   where it has one, and names the function or limit otherwise.
  // kUnimplemented: names what vigie does not evaluate yet.
  // kDeadlineExceeded, kCancelled, kResourceExhausted, kDataLoss.
  absl::StatusOr<QueryResult> Run(const InstantQuery& query) const;
  absl::StatusOr<QueryResult> Run(const RangeQuery& query) const;

  // What running queries hold together.
  const ByteAccount& process_account() const { return *process_account_; }

  RunningQueries& running() const { return running_; }

 private:
  struct Request;
  absl::StatusOr<QueryResult> RunLogged(const Request& request) const;
  absl::StatusOr<QueryResult> RunRequest(const Request& request) const;

  const store::Queryable& queryable_;
  const Clock& clock_;
  const EngineOptions options_;
  const std::unique_ptr<ByteAccount> process_account_;
  mutable RunningQueries running_;
  const std::unique_ptr<TaskPool> pool_;  // null: each query runs alone
};

}  // namespace vigie::query
