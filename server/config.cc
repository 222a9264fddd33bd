#include "server/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "model/labels.h"

namespace vigie::server {
namespace {

absl::StatusOr<yaml::MapReader> ReadFile(const std::string& path) {
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node root, yaml::Node::LoadFile(path));
  return root.AsMap();
}

// Parses one section by its room, if it is there.
template <class Options>
absl::Status ReadSection(yaml::MapReader& map, std::string_view key,
                         absl::StatusOr<Options> (*parse)(const yaml::Node&),
                         Options* out) {
  if (const yaml::Node* node = map.Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, parse(*node));
  }
  return absl::OkStatus();
}

absl::Status ReadLog(yaml::MapReader& map, std::string* level) {
  const yaml::Node* node = map.Find("log");
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader log, node->AsMap());
  VIGIE_RETURN_IF_ERROR(log.Read("level", level));
  if (const yaml::Node* value = log.Find("level")) {
    if (absl::Status known = CheckLogLevel(*level); !known.ok()) {
      return value->Error(MessageOf(known));
    }
  }
  return log.Finish();
}

// The path that `key` names, relative to vigie.yml; "" if it is absent.
absl::StatusOr<std::string> ReadPath(const yaml::Node* node,
                                     const std::string& config_path) {
  if (node == nullptr) return "";
  VIGIE_ASSIGN_OR_RETURN(const std::string named, node->AsString());
  if (named.empty()) return node->Error("must name a file");
  return (std::filesystem::path(config_path).parent_path() / named).string();
}

absl::Status ReadRules(const std::string& prometheus_path,
                       const collector::PrometheusConfig& prometheus,
                       std::vector<alerting::RuleGroupSpec>* groups) {
  VIGIE_ASSIGN_OR_RETURN(
      *groups,
      alerting::LoadRuleFiles(
          prometheus.rule_files,
          std::filesystem::path(prometheus_path).parent_path().string()));
  for (alerting::RuleGroupSpec& group : *groups) {
    if (!group.query_offset_ms && prometheus.rule_query_offset_ms > 0) {
      group.query_offset_ms = prometheus.rule_query_offset_ms;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadPrometheus(yaml::MapReader& map, Config* config) {
  const yaml::Node* node = map.Find("prometheus");
  VIGIE_ASSIGN_OR_RETURN(config->prometheus_path, ReadPath(node, config->path));
  if (node == nullptr) return absl::OkStatus();
  absl::StatusOr<yaml::Node> root =
      yaml::Node::LoadFile(config->prometheus_path);
  if (absl::IsNotFound(root.status())) {
    return node->Error(MessageOf(root.status()));
  }
  VIGIE_RETURN_IF_ERROR(root.status());
  VIGIE_ASSIGN_OR_RETURN(config->prometheus,
                         collector::ParsePrometheusConfig(*root));
  config->unsupported.insert(config->unsupported.end(),
                             config->prometheus.unsupported.begin(),
                             config->prometheus.unsupported.end());
  return ReadRules(config->prometheus_path, config->prometheus,
                   &config->rule_groups);
}

absl::Status ReadAlertmanager(yaml::MapReader& map, Config* config) {
  const yaml::Node* node = map.Find("alertmanager");
  VIGIE_ASSIGN_OR_RETURN(config->alertmanager_path,
                         ReadPath(node, config->path));
  if (node == nullptr) return absl::OkStatus();
  absl::StatusOr<alerting::RoutingConfig> routing =
      alerting::LoadRoutingConfig(config->alertmanager_path);
  if (absl::IsNotFound(routing.status())) {
    return node->Error(MessageOf(routing.status()));
  }
  VIGIE_RETURN_IF_ERROR(routing.status());
  config->unsupported.insert(config->unsupported.end(),
                             routing->unsupported.begin(),
                             routing->unsupported.end());
  config->routing =
      std::make_shared<const alerting::RoutingConfig>(*std::move(routing));
  return absl::OkStatus();
}

absl::Status ReadExternalUrl(yaml::MapReader& map, std::string* url) {
  VIGIE_RETURN_IF_ERROR(map.Read("external_url", url));
  const yaml::Node* node = map.Find("external_url");
  if (node == nullptr) return absl::OkStatus();
  if (!url->starts_with("http://") && !url->starts_with("https://")) {
    return node->Error("must begin with http:// or https://");
  }
  while (url->ends_with('/')) url->pop_back();
  return absl::OkStatus();
}

bool LooksLikeAlertmanagerConfig(yaml::MapReader map) {
  return map.Find("route") != nullptr || map.Find("receivers") != nullptr;
}

// `global` alone may be either's.
bool LooksLikePrometheusConfig(yaml::MapReader map) {
  return !LooksLikeAlertmanagerConfig(map) &&
         (map.Find("scrape_configs") != nullptr ||
          map.Find("global") != nullptr || map.Find("rule_files") != nullptr);
}

}  // namespace

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  Config config;
  if (path.empty()) return config;
  config.path = path;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, ReadFile(path));
  if (LooksLikePrometheusConfig(map)) {
    return map.node().Error(
        "this is a prometheus.yml; name it in a vigie.yml: `prometheus: "
        "prometheus.yml`");
  }
  if (LooksLikeAlertmanagerConfig(map)) {
    return map.node().Error(
        "this is an alertmanager.yml; name it in a vigie.yml: `alertmanager: "
        "alertmanager.yml`");
  }
  VIGIE_RETURN_IF_ERROR(
      ReadSection(map, "storage", store::ParseStoreOptions, &config.storage));
  VIGIE_RETURN_IF_ERROR(
      ReadSection(map, "query", query::ParseEngineOptions, &config.query));
  VIGIE_RETURN_IF_ERROR(
      ReadSection(map, "http", ParseHttpOptions, &config.http));
  VIGIE_RETURN_IF_ERROR(
      ReadSection(map, "otlp", collector::ParseOtlpOptions, &config.otlp));
  VIGIE_RETURN_IF_ERROR(ReadSection(map, "self_monitoring",
                                    ParseSelfMonitoringOptions,
                                    &config.self_monitoring));
  VIGIE_RETURN_IF_ERROR(ReadLog(map, &config.log_level));
  VIGIE_RETURN_IF_ERROR(ReadExternalUrl(map, &config.external_url));
  map.MarkUnsupported({"tenants"}, &config.unsupported);
  VIGIE_RETURN_IF_ERROR(ReadPrometheus(map, &config));
  VIGIE_RETURN_IF_ERROR(ReadAlertmanager(map, &config));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return config;
}

std::vector<std::string> CheckConfig(const std::string& path) {
  const auto fault = [](const absl::Status& status) {
    return std::vector<std::string>{std::string(MessageOf(status))};
  };
  absl::StatusOr<yaml::MapReader> map = ReadFile(path);
  if (!map.ok()) return fault(map.status());
  if (LooksLikePrometheusConfig(*map)) {
    absl::StatusOr<collector::PrometheusConfig> config =
        collector::ParsePrometheusConfig(map->node());
    if (!config.ok()) return fault(config.status());
    std::vector<alerting::RuleGroupSpec> groups;
    absl::Status rules = ReadRules(path, *config, &groups);
    if (!rules.ok()) return fault(rules);
    return config->unsupported;
  }
  if (LooksLikeAlertmanagerConfig(*map)) {
    absl::StatusOr<alerting::RoutingConfig> config =
        alerting::LoadRoutingConfig(path);
    if (!config.ok()) return fault(config.status());
    return config->unsupported;
  }
  absl::StatusOr<Config> config = LoadConfig(path);
  if (!config.ok()) return fault(config.status());
  return config->unsupported;
}

namespace {

// YAML; any name can be written as JSON.
std::string RenderTenants(std::string_view indent, const auto& tenants) {
  if (tenants.empty()) return "";
  std::string out = fmt::format("{}tenant_retention:\n", indent);
  for (const auto& [tenant, retention_ms] : tenants) {
    out += fmt::format("{}  {}: {}\n", indent, nlohmann::json(tenant).dump(),
                       FormatDurationMs(retention_ms));
  }
  return out;
}

// What of the retention is not the same for all.
std::string RenderRetention(const store::StoreOptions& storage) {
  std::string out = RenderTenants("  ", storage.tenant_retention_ms);
  if (storage.retention_bytes > 0) {
    out += fmt::format("  retention_bytes: {}\n", storage.retention_bytes);
  }
  if (!storage.rollups.empty()) out += "  rollups:\n";
  for (const store::StoreOptions::Rollup& rollup : storage.rollups) {
    out += fmt::format("    - resolution: {}\n      retention: {}\n",
                       FormatDurationMs(rollup.resolution_ms),
                       FormatDurationMs(rollup.retention_ms));
    out += RenderTenants("      ", rollup.tenant_retention_ms);
  }
  return out;
}

}  // namespace

std::string RenderConfig(const Config& config) {
  std::string out = fmt::format(
      "storage:\n"
      "  retention: {}\n"
      "  out_of_order_window: {}\n"
      "  future_window: {}\n"
      "  seal_interval: {}\n"
      "  chunk_samples_max: {}\n"
      "  inflight_bytes_max: {}\n"
      "  durability: {}\n"
      "{}",
      FormatDurationMs(config.storage.retention_ms),
      FormatDurationMs(config.storage.out_of_order_window_ms),
      FormatDurationMs(config.storage.future_window_ms),
      FormatDurationMs(config.storage.seal_interval_ms),
      config.storage.chunk_samples_max, config.storage.inflight_bytes_max,
      config.storage.durability == store::StoreOptions::Durability::kFdatasync
          ? "fdatasync"
          : "os",
      RenderRetention(config.storage));
  const query::EngineOptions rules = config.query.ForRules();
  out += fmt::format(
      "query:\n"
      "  lookback: {}\n"
      "  timeout: {}\n"
      "  default_subquery_step: {}\n"
      "  query_bytes_max: {}\n"
      "  process_bytes_max: {}\n"
      "  query_samples_max: {}\n"
      "  points_per_series_max: {}\n"
      "  query_text_bytes_max: {}\n"
      "  regex_bytes_max: {}\n"
      "  nesting_max: {}\n"
      "  cache_bytes_max: {}\n"
      "  experimental: {}\n"
      "  rules:\n"
      "    process_bytes_max: {}\n"
      "    query_bytes_max: {}\n"
      "    query_samples_max: {}\n"
      "    timeout: {}\n"
      "    concurrent_max: {}\n",
      FormatDurationMs(config.query.lookback_ms),
      FormatDurationMs(config.query.timeout_ms),
      FormatDurationMs(config.query.default_subquery_step_ms),
      config.query.query_bytes_max, config.query.process_bytes_max,
      config.query.query_samples_max, config.query.points_per_series_max,
      config.query.query_text_bytes_max, config.query.regex_bytes_max,
      config.query.nesting_max, config.query.cache_bytes_max,
      config.query.experimental, rules.process_bytes_max, rules.query_bytes_max,
      rules.query_samples_max, FormatDurationMs(rules.timeout_ms),
      config.query.rules.concurrent_max);
  out += fmt::format(
      "http:\n"
      "  body_bytes_max: {}\n"
      "  connections_max: {}\n"
      "  concurrent_queries_max: {}\n"
      "  queued_queries_max: {}\n"
      "  bodies_bytes_max: {}\n"
      "  header_timeout: {}\n"
      "  body_timeout: {}\n"
      "  idle_timeout: {}\n"
      "  admin_api: {}\n"
      "  remote_read: {}\n"
      "  remote_read_samples_max: {}\n"
      "  remote_read_bytes_max: {}\n"
      "  cors_origin: {}\n"
      "otlp:\n"
      "  message_bytes_max: {}\n"
      "  batch_bytes_max: {}\n"
      "  inflight_bytes_max: {}\n"
      "self_monitoring:\n"
      "  enabled: {}\n"
      "  interval: {}\n"
      "log:\n"
      "  level: {}\n",
      config.http.body_bytes_max, config.http.connections_max,
      config.http.concurrent_queries_max, config.http.queued_queries_max,
      config.http.bodies_bytes_max,
      FormatDurationMs(absl::ToInt64Milliseconds(config.http.header_timeout)),
      FormatDurationMs(absl::ToInt64Milliseconds(config.http.body_timeout)),
      FormatDurationMs(absl::ToInt64Milliseconds(config.http.idle_timeout)),
      config.http.admin_api, config.http.remote_read,
      config.http.remote_read_samples_max, config.http.remote_read_bytes_max,
      nlohmann::json(config.http.cors_origin).dump(),
      config.otlp.message_bytes_max, config.otlp.batch_bytes_max,
      config.otlp.inflight_bytes_max, config.self_monitoring.enabled,
      FormatDurationMs(config.self_monitoring.interval_ms), config.log_level);
  if (!config.external_url.empty()) {
    out += fmt::format("external_url: {}\n", Quoted(config.external_url));
  }
  if (!config.alertmanager_path.empty()) {
    out += fmt::format("alertmanager: {}\n", Quoted(config.alertmanager_path));
  }
  if (!config.prometheus.rule_files.empty()) {
    std::vector<std::string> files;
    for (const std::string& file : config.prometheus.rule_files) {
      files.push_back(Quoted(file));
    }
    out += fmt::format("rule_files: [{}]\n", fmt::join(files, ", "));
  }
  if (config.prometheus.jobs.empty()) return out;
  out += "scrape_configs:\n";
  for (const collector::ScrapeJob& job : config.prometheus.jobs) {
    out += fmt::format(
        "  - job_name: {}\n"
        "    scrape_interval: {}\n"
        "    scrape_timeout: {}\n"
        "    metrics_path: {}\n"
        "    scheme: {}\n"
        "    static_configs:\n",
        Quoted(job.name), FormatDurationMs(job.interval_ms),
        FormatDurationMs(job.timeout_ms), Quoted(job.metrics_path), job.scheme);
    for (const collector::StaticTargetGroup& group : job.static_configs) {
      std::vector<std::string> targets;
      for (const std::string& target : group.targets) {
        targets.push_back(Quoted(target));
      }
      out += fmt::format("      - targets: [{}]\n", fmt::join(targets, ", "));
    }
  }
  return out;
}

}  // namespace vigie::server
