// HttpFrontend: everything that vigie answers over HTTP: Prometheus's API v1,
// remote write, health and /metrics. Boost.Beast stays in the sources.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"
#include "canary/judge.h"
#include "collector/remote_write.h"
#include "collector/scraper.h"
#include "query/engine.h"
#include "store/queryable.h"
#include "store/store.h"

namespace vigie::alerting {
class Dispatcher;
class RuleRunner;
}  // namespace vigie::alerting

namespace vigie::server {

struct HttpOptions {
  int64_t body_bytes_max = 32 << 20;  // of a request, as sent
  int64_t connections_max = 2'000;
  int64_t concurrent_queries_max = 20;  // more wait in a queue
  int64_t queued_queries_max = 200;     // more are answered 503
  absl::Duration header_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Minutes(5);
  // For a whole body; and for a client to take 256 KiB of an answer.
  absl::Duration body_timeout = absl::Minutes(1);
  int64_t bodies_bytes_max = 512 << 20;  // of all requests in work
  // Prometheus's admin API: whoever reaches the port may delete everything.
  bool admin_api = false;
  // Remote read, and what one answer may hold: it is compressed as a whole.
  bool remote_read = false;
  int64_t remote_read_samples_max = 50'000'000;
  int64_t remote_read_bytes_max = 256 << 20;
  // The origins whose scripts may read answers, as Prometheus's
  // --web.cors.origin: a regular expression, anchored at both ends.
  std::string cors_origin = ".*";
};

// The section `http:` of vigie.yml; errors carry file:line:column.
absl::StatusOr<HttpOptions> ParseHttpOptions(const yaml::Node& section);

// How the last reading of the configuration ended.
struct ReloadState {
  bool successful = true;
  int64_t time_ms = 0;
};

// What the frontend answers from. All references outlive it.
struct HttpDependencies {
  const query::Engine& engine;
  const store::Queryable& queryable;
  collector::RemoteWriteDoor& remote_write;
  const collector::Scraper& scraper;
  prometheus::Registry& registry;
  const Clock& clock;
  // The configuration in force as YAML, secrets left out; for status/config.
  std::function<std::string()> config_text;
  std::string version;  // vigie's own, "0.1.0"
  // Reads the configuration again, for /-/reload; null: there is none.
  std::function<absl::Status()> reload = nullptr;
  // Judges canaries; null: there is none. Outlives the frontend.
  const canary::Judge* judge = nullptr;
  // Called before the registry is collected, to bring gauges up to date.
  std::function<void()> before_collect = nullptr;
  // Null: no rules, no alerts.
  const alerting::RuleRunner* rules = nullptr;
  // Null: no notifications.
  const alerting::Dispatcher* dispatcher = nullptr;
  // For the admin API, if HttpOptions switches it on; null: there is none.
  store::Store* operations = nullptr;
  std::string data_directory = {};
  // Of queries that name none.
  int64_t lookback_ms = 5 * 60'000;
  // Whether expressions may hold what Prometheus has behind feature flags.
  bool experimental = false;
  // Null: the configuration never changes.
  std::function<ReloadState()> reload_state = nullptr;
  int64_t retention_ms = 0;  // 0: for ever
  // What leaves for other servers carries these; null: none.
  std::function<std::vector<std::pair<std::string, std::string>>()>
      external_labels = nullptr;
};

class HttpFrontend {
 public:
  // `address` is "host:port", port 0 picks one. kUnavailable, naming the
  // address, if it cannot be had.
  static absl::StatusOr<std::unique_ptr<HttpFrontend>> Start(
      const std::string& address, const HttpOptions& options,
      const HttpDependencies& dependencies);
  virtual ~HttpFrontend() = default;

  // "host:port" with the real port.
  virtual const std::string& address() const = 0;

  // Until it is ready, everything but /-/healthy and /metrics is 503.
  virtual void SetReady(bool ready) = 0;

  // Accepts nothing new, answers what is in flight, at most for `timeout`;
  // then cancels queries and closes the connections.
  virtual void Shutdown(absl::Duration timeout) = 0;
};

}  // namespace vigie::server
