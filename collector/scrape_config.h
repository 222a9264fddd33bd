// An unchanged prometheus.yml: scraping, and where the rules are. What is read
// and what is only named: docs/decisions/0041-prometheus-yml.md. Source:
// prometheus.io "Configuration", Prometheus 3.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml/secret.h"
#include "base/yaml/yaml.h"
#include "model/labels.h"
#include "model/relabel.h"

namespace vigie::collector {

struct StaticTargetGroup {
  std::vector<std::string> targets;  // host:port
  std::vector<std::pair<std::string, std::string>> labels;
};

// The Authorization header of a job's requests. Files are read again for each
// scrape; relative names are resolved already.
struct ScrapeAuthorization {
  std::string type = {};  // "Basic", "Bearer" or what `authorization` names
  std::string username = {};
  std::string username_file = {};
  Secret secret = {};
  std::string secret_file = {};
  friend bool operator==(const ScrapeAuthorization&,
                         const ScrapeAuthorization&) = default;
};

struct ScrapeJob {
  std::string name = {};
  int64_t interval_ms = 60'000;
  int64_t timeout_ms = 10'000;
  std::string metrics_path = "/metrics";
  std::string scheme = "http";
  std::vector<std::pair<std::string, std::string>> params = {};
  bool honor_labels = false;
  bool honor_timestamps = true;
  bool track_timestamps_staleness = false;
  bool enable_compression = true;
  bool follow_redirects = true;
  int64_t sample_limit = 0;     // 0: none
  int64_t body_size_limit = 0;  // bytes after decompression; 0: none
  int64_t label_limit = 0;      // of one series; 0: none
  int64_t label_name_length_limit = 0;
  int64_t label_value_length_limit = 0;
  std::optional<ScrapeAuthorization> authorization = {};
  std::vector<Relabel> relabel_configs = {};
  std::vector<Relabel> metric_relabel_configs = {};
  std::vector<StaticTargetGroup> static_configs = {};
};

struct PrometheusConfig {
  std::vector<std::pair<std::string, std::string>> external_labels;
  // How often rules run that name no interval.
  int64_t evaluation_interval_ms = 60'000;
  int64_t rule_query_offset_ms = 0;     // of groups that name none
  std::vector<std::string> rule_files;  // patterns, as written
  std::vector<ScrapeJob> jobs;
  // Keys that Prometheus knows and vigie does not do yet, one line each with
  // its place: `check` refuses them, `serve` warns and counts.
  std::vector<std::string> unsupported;
};

// kInvalidArgument `file:line:column: ...` for what Prometheus refuses too:
// unknown or duplicate keys, bad durations, timeout above interval, two jobs
// of one name.
absl::StatusOr<PrometheusConfig> ParsePrometheusConfig(const yaml::Node& root);

}  // namespace vigie::collector
