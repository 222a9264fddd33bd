#include "server/daemon.h"

#include <prometheus/gauge.h>

#include <algorithm>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::server {
namespace {

prometheus::Gauge& MakeGauge(prometheus::Registry& registry,
                             const std::string& name, const std::string& help,
                             const prometheus::Labels& labels = {}) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(
      labels);
}

// Without an alertmanager.yml alerts are known, and nobody is told.
std::shared_ptr<const alerting::RoutingConfig> RoutingOf(const Config& config) {
  return config.routing != nullptr
             ? config.routing
             : std::make_shared<const alerting::RoutingConfig>();
}

alerting::DispatcherOptions DispatcherOptionsOf(const Config& config) {
  alerting::DispatcherOptions options;
  int64_t interval_ms = config.prometheus.evaluation_interval_ms;
  for (const alerting::RuleGroupSpec& group : config.rule_groups) {
    interval_ms = std::max(interval_ms, group.interval_ms);
  }
  // Every rule has had its say by then.
  options.confirm_within_ms =
      std::max(options.confirm_within_ms, 2 * interval_ms);
  return options;
}

}  // namespace

Daemon::Daemon(const DaemonOptions& options, const Clock& clock)
    : options_(options),
      clock_(clock),
      unsupported_keys_(MakeGauge(
          registry_, "vigie_config_unsupported_keys",
          "Keys of the configuration that vigie does not act on yet.")),
      reload_successful_(
          MakeGauge(registry_, "vigie_config_last_reload_successful",
                    "Whether the last attempt to read the configuration "
                    "succeeded.")),
      process_(clock, registry_) {
  MakeGauge(registry_, "vigie_build_info", "1, labelled with the version.",
            {{"version", VIGIE_VERSION}})
      .Set(1);
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(
    const DaemonOptions& options, const Clock& clock) {
  VIGIE_ASSIGN_OR_RETURN(Config config, LoadConfig(options.config_path));
  VIGIE_RETURN_IF_ERROR(SetUpLog(config.log_level));
  std::unique_ptr<Daemon> daemon(new Daemon(options, clock));
  daemon->ReportUnsupported(config);
  daemon->reload_successful_.Set(1);
  {
    MutexLock lock(daemon->mutex_);
    daemon->config_ = std::move(config);
    daemon->reload_state_ = {.successful = true, .time_ms = clock.NowMs()};
  }
  VIGIE_RETURN_IF_ERROR(daemon->StartRooms());
  return daemon;
}

absl::Status Daemon::StartRooms() {
  Config config;
  {
    MutexLock lock(mutex_);
    config = config_;
  }
  VIGIE_ASSIGN_OR_RETURN(
      store_, store::Store::Open(options_.data_directory, config.storage,
                                 clock_, registry_));
  engine_ = std::make_unique<query::Engine>(store_->queryable(), clock_,
                                            config.query, &registry_);
  judge_ = std::make_unique<canary::Judge>(store_->queryable(), clock_);
  remote_write_ = std::make_unique<collector::RemoteWriteDoor>(
      store_->appender(), clock_, registry_, collector::RemoteWriteOptions{});
  scraper_ = std::make_unique<collector::Scraper>(
      store_->appender(), http_client_, clock_, registry_);
  VIGIE_ASSIGN_OR_RETURN(
      dispatcher_,
      alerting::Dispatcher::Start(
          store_->records(),
          alerting::ConfiguredIntegrations(http_client_, smtp_client_), clock_,
          registry_, ExternalUrl(config), RoutingOf(config),
          DispatcherOptionsOf(config)));
  rules_engine_ = std::make_unique<query::Engine>(
      store_->queryable(), clock_, config.query.ForRules(), &registry_);
  rules_ = std::make_unique<alerting::RuleRunner>(
      alerting::RuleContext{.engine = *rules_engine_,
                            .appender = store_->appender(),
                            .records = &store_->records(),
                            .sink = dispatcher_.get(),
                            .clock = &clock_},
      clock_, registry_);
  VIGIE_ASSIGN_OR_RETURN(
      http_,
      HttpFrontend::Start(options_.http_address, config.http,
                          HttpDependencies{
                              .engine = *engine_,
                              .queryable = store_->queryable(),
                              .remote_write = *remote_write_,
                              .scraper = *scraper_,
                              .registry = registry_,
                              .clock = clock_,
                              .config_text =
                                  [this] {
                                    MutexLock lock(mutex_);
                                    return RenderConfig(config_);
                                  },
                              .version = VIGIE_VERSION,
                              .reload = [this] { return Reload(); },
                              .judge = judge_.get(),
                              .before_collect = [this] { process_.Update(); },
                              .rules = rules_.get(),
                              .dispatcher = dispatcher_.get(),
                              .operations = store_.get(),
                              .data_directory = options_.data_directory,
                              .lookback_ms = config.query.lookback_ms,
                              .experimental = config.query.experimental,
                              .reload_state =
                                  [this] {
                                    MutexLock lock(mutex_);
                                    return reload_state_;
                                  },
                              .retention_ms = config.storage.retention_ms,
                              .external_labels =
                                  [this] {
                                    MutexLock lock(mutex_);
                                    return config_.prometheus.external_labels;
                                  },
                          }));
  VIGIE_ASSIGN_OR_RETURN(otlp_, collector::OtlpGrpcServer::Start(
                                    options_.grpc_address, config.otlp,
                                    store_->appender(), clock_, registry_));
  VIGIE_ASSIGN_OR_RETURN(
      admin_,
      AdminSocket::Start(AdminSocketPath(options_.data_directory), *store_));
  http_->SetReady(true);
  VIGIE_RETURN_IF_ERROR(Apply(config));
  if (config.self_monitoring.enabled) {
    self_monitoring_ = std::make_unique<SelfMonitoring>(
        config.self_monitoring, http_->address(), process_, store_->appender(),
        clock_, registry_);
  }
  return absl::OkStatus();
}

std::string Daemon::ExternalUrl(const Config& config) const {
  if (!config.external_url.empty()) return config.external_url;
  return "http://" +
         (http_ == nullptr ? options_.http_address : http_->address());
}

absl::Status Daemon::Apply(const Config& config) {
  const std::string external_url = ExternalUrl(config);
  // Routes before rules: the first alert finds its receiver.
  dispatcher_->SetExternalUrl(external_url);
  VIGIE_RETURN_IF_ERROR(dispatcher_->Apply(RoutingOf(config)));
  VIGIE_RETURN_IF_ERROR(rules_->Apply(
      config.rule_groups,
      {.threads = static_cast<int>(config.query.rules.concurrent_max),
       .evaluation_interval_ms = config.prometheus.evaluation_interval_ms},
      config.prometheus.external_labels, external_url));
  scraper_->Apply(config.prometheus);
  return absl::OkStatus();
}

void Daemon::ReportUnsupported(const Config& config) {
  unsupported_keys_.Set(static_cast<double>(config.unsupported.size()));
  for (const std::string& key : config.unsupported) spdlog::warn("{}", key);
}

absl::Status Daemon::Reload() {
  MutexLock one_at_a_time(reload_mutex_);
  absl::StatusOr<Config> next = LoadConfig(options_.config_path);
  reload_successful_.Set(next.ok() ? 1 : 0);
  {
    MutexLock lock(mutex_);
    reload_state_ = {.successful = next.ok(), .time_ms = clock_.NowMs()};
  }
  if (!next.ok()) return next.status();
  ReportUnsupported(*next);
  VIGIE_RETURN_IF_ERROR(SetUpLog(next->log_level));
  VIGIE_RETURN_IF_ERROR(Apply(*next));
  MutexLock lock(mutex_);
  // What is in force is what /api/v1/status/config shows: only these have
  // changed.
  config_.prometheus = next->prometheus;
  config_.rule_groups = next->rule_groups;
  config_.alertmanager_path = next->alertmanager_path;
  config_.routing = next->routing;
  config_.external_url = next->external_url;
  config_.log_level = next->log_level;
  if (RenderConfig(config_) != RenderConfig(*next)) {
    spdlog::warn(
        "{}: sections other than prometheus, alertmanager, external_url "
        "and log are read at the next start",
        options_.config_path);
  }
  return absl::OkStatus();
}

absl::Status Daemon::Shutdown(absl::Duration timeout) {
  const int64_t end_ns =
      clock_.MonotonicNs() + absl::ToInt64Nanoseconds(timeout);
  const auto left = [&] {
    return absl::Nanoseconds(
        std::max<int64_t>(end_ns - clock_.MonotonicNs(), 0));
  };
  if (self_monitoring_ != nullptr) self_monitoring_->Stop();
  admin_.reset();  // stops what runs
  if (scraper_ != nullptr) scraper_->Stop();
  if (rules_ != nullptr) rules_->Stop();
  if (dispatcher_ != nullptr) dispatcher_->Stop();
  if (otlp_ != nullptr) otlp_->Shutdown(left());
  if (http_ != nullptr) http_->Shutdown(left());
  return store_ == nullptr ? absl::OkStatus() : store_->Close();
}

Daemon::~Daemon() {
  if (absl::Status status = Shutdown(absl::Seconds(30)); !status.ok()) {
    spdlog::error("shutdown: {}", MessageOf(status));
  }
  // The doors hold completions of the store, and the store answers them while
  // it is there: it goes last, as the order of the members says.
}

}  // namespace vigie::server
