// The configuration of the daemon: vigie.yml, the prometheus.yml and the
// alertmanager.yml it names, and the files that these name.
// Each room parses its own section; this file only puts them together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/routing_config.h"
#include "alerting/rule_file.h"
#include "collector/otlp_grpc.h"
#include "collector/scrape_config.h"
#include "query/engine.h"
#include "server/http_frontend.h"
#include "server/self_monitoring.h"
#include "store/store.h"

namespace vigie::server {

struct Config {
  store::StoreOptions storage;
  query::EngineOptions query;
  HttpOptions http;
  collector::OtlpOptions otlp;
  collector::PrometheusConfig prometheus;
  std::vector<alerting::RuleGroupSpec> rule_groups;
  // Null: no alertmanager.yml is named, so nobody is told of alerts.
  std::shared_ptr<const alerting::RoutingConfig> routing;
  // Where people reach vigie, for links; "": the address it listens on.
  std::string external_url;
  SelfMonitoringOptions self_monitoring;
  std::string log_level = "info";
  std::string path;               // of vigie.yml, "" if there is none
  std::string prometheus_path;    // "" if none is named
  std::string alertmanager_path;  // "" if none is named
  // Keys known to the formats and not done by vigie yet, one line each with
  // its place. `check` refuses them, `serve` warns and counts.
  std::vector<std::string> unsupported;
};

// Reads `path` and what it names; relative paths are relative to the file that
// names them. "" gives the defaults. Nothing is half-read: any error, with
// file:line:column, is the whole result.
absl::StatusOr<Config> LoadConfig(const std::string& path);

// Checks a vigie.yml, or a prometheus.yml or alertmanager.yml alone (told by
// its keys), as strictly as `vigie check config` does: what is not supported
// yet is an error. Each element is one fault; empty if the file is fine.
std::vector<std::string> CheckConfig(const std::string& path);

// The settings in force as YAML, for /api/v1/status/config. Only known,
// harmless fields are written, so no secret can be among them.
std::string RenderConfig(const Config& config);

}  // namespace vigie::server
