// Daemon: everything that `vigie serve` runs, wired together. Rooms start in
// the order of the data (store, doors, queries, then what produces samples)
// and stop in reverse.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "alerting/dispatcher.h"
#include "alerting/rule_runner.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/net/http_client.h"
#include "base/net/smtp_client.h"
#include "canary/judge.h"
#include "collector/otlp_grpc.h"
#include "collector/remote_write.h"
#include "collector/scraper.h"
#include "query/engine.h"
#include "server/admin_socket.h"
#include "server/config.h"
#include "server/http_frontend.h"
#include "server/self_monitoring.h"
#include "store/store.h"

namespace vigie::server {

struct DaemonOptions {
  std::string data_directory;
  std::string http_address = "127.0.0.1:9090";  // port 0 picks one
  std::string grpc_address = "127.0.0.1:4317";
  std::string config_path;  // "": defaults
};

class Daemon {
 public:
  // Ready when it returns. Errors name the file, address or directory.
  // `clock` outlives the daemon.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(
      const DaemonOptions& options, const Clock& clock);
  ~Daemon();  // as Shutdown

  // "host:port" with the real ports.
  const std::string& http_address() const { return http_->address(); }
  const std::string& grpc_address() const { return otlp_->address(); }

  // Reads the configuration again. What is wrong leaves the old one in force.
  // Thread-safe: one at a time.
  // Scraping, rules and routes follow at once; other sections follow at the
  // next start, which the log says.
  absl::Status Reload();

  // Answers what is in flight and closes the store, within `timeout` and what
  // the disk takes.
  absl::Status Shutdown(absl::Duration timeout);

 private:
  Daemon(const DaemonOptions& options, const Clock& clock);
  absl::Status StartRooms();
  // What a reload may change: scraping, rules, routes.
  absl::Status Apply(const Config& config);
  std::string ExternalUrl(const Config& config) const;
  void ReportUnsupported(const Config& config);

  const DaemonOptions options_;
  const Clock& clock_;
  prometheus::Registry registry_;
  prometheus::Gauge& unsupported_keys_;
  prometheus::Gauge& reload_successful_;
  ProcessMetrics process_;

  Mutex reload_mutex_;  // held for a whole reload
  Mutex mutex_;         // guards what a reload replaces
  Config config_ ABSL_GUARDED_BY(mutex_);
  ReloadState reload_state_ ABSL_GUARDED_BY(mutex_);

  // In the order of the data.
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<query::Engine> engine_;
  // Rules have a byte account of their own: dashboards cannot starve them.
  std::unique_ptr<query::Engine> rules_engine_;
  std::unique_ptr<canary::Judge> judge_;
  std::unique_ptr<collector::RemoteWriteDoor> remote_write_;
  net::HttpClient http_client_;
  net::SmtpClient smtp_client_;
  std::unique_ptr<collector::Scraper> scraper_;
  std::unique_ptr<alerting::Dispatcher> dispatcher_;
  std::unique_ptr<alerting::RuleRunner> rules_;
  std::unique_ptr<HttpFrontend> http_;
  std::unique_ptr<collector::OtlpGrpcServer> otlp_;
  std::unique_ptr<AdminSocket> admin_;
  std::unique_ptr<SelfMonitoring> self_monitoring_;
};

}  // namespace vigie::server
