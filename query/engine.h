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
#include "query/parser/parser.h"
#include "query/running_queries.h"
#include "query/value.h"
#include "store/queryable.h"

namespace prometheus {
class Registry;
}
namespace vigie {
class TaskPool;
}

namespace vigie::query {

class CacheMetrics;
class QueryMetrics;
class ResultCache;

// What is set apart for rules, so that dashboards cannot starve them, nor they
// the dashboards. Unset: as for queries.
struct RuleBudget {
  int64_t process_bytes_max = 2LL << 30;  // all rules together
  int64_t concurrent_max = 2;             // groups evaluated at once
  std::optional<int64_t> query_bytes_max;
  std::optional<int64_t> query_samples_max;
  std::optional<int64_t> timeout_ms;
};

// Limits: docs/decisions/0140-every-limit-has-a-name.md.
struct EngineOptions {
  int64_t lookback_ms = 5 * 60'000;
  int64_t timeout_ms = 2 * 60'000;
  int64_t default_subquery_step_ms = 60'000;
  int64_t query_bytes_max = 1LL << 30;
  int64_t process_bytes_max = 4LL << 30;
  // Cells of series and samples of windows that one query holds at once.
  int64_t query_samples_max = 50'000'000;
  int64_t points_per_series_max = 11'000;
  int64_t query_text_bytes_max = kQueryTextBytesMax;
  int64_t regex_bytes_max = static_cast<int64_t>(kRegexBytesMax);
  int64_t nesting_max = kNestingMax;
  // A query that takes this long is logged with what it read; 0: none is.
  int64_t slow_query_ms = 10'000;
  // Answers of range queries that are kept (0150), all together; 0: none is.
  int64_t cache_bytes_max = 64 << 20;
  // One query's, its own and those that help it; helpers are shared by all.
  int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  // Functions and modifiers that Prometheus has behind feature flags.
  bool experimental = false;
  RuleBudget rules;
  std::string_view budget = "queries";  // in metrics; static

  EngineOptions ForRules() const;
  // What an expression may be, whoever parses it.
  ParserOptions ForParser() const;
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
  bool explain = false;  // with the plan and what each node of it took
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
  bool explain = false;
  bool nocache = false;  // evaluates every step
};

class Engine {
 public:
  // All of them outlive the engine. Without a registry nothing is counted.
  Engine(const store::Queryable& queryable, const Clock& clock,
         const EngineOptions& options,
         prometheus::Registry* registry = nullptr);
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

  const EngineOptions& options() const { return options_; }

 private:
  struct Request;
  absl::StatusOr<QueryResult> RunLogged(const Request& request) const;
  // Counts what was refused by a limit.
  absl::Status Counted(absl::Status error) const;
  absl::StatusOr<QueryResult> RunRequest(const Request& request) const;

  const store::Queryable& queryable_;
  const Clock& clock_;
  const EngineOptions options_;
  const std::string account_name_;  // of a query's bytes, in errors
  const std::unique_ptr<ByteAccount> process_account_;
  mutable RunningQueries running_;
  const std::unique_ptr<TaskPool> pool_;         // null: each query runs alone
  const std::unique_ptr<QueryMetrics> metrics_;  // null: none
  const std::unique_ptr<CacheMetrics> cache_metrics_;  // null: none
  const std::unique_ptr<ResultCache> cache_;           // null: none
};

}  // namespace vigie::query
