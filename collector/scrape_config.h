// The scraping part of an unchanged prometheus.yml.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml/yaml.h"
#include "model/labels.h"

namespace vigie::collector {

struct StaticTargetGroup {
  std::vector<std::string> targets;  // host:port
  std::vector<std::pair<std::string, std::string>> labels;
};

struct ScrapeJob {
  std::string name;
  int64_t interval_ms = 60'000;
  int64_t timeout_ms = 10'000;
  std::string metrics_path = "/metrics";
  std::string scheme = "http";
  std::vector<std::pair<std::string, std::string>> params;
  bool honor_labels = false;
  bool honor_timestamps = true;
  int64_t sample_limit = 0;      // 0: none
  int64_t body_size_limit = 0;   // bytes after decompression; 0: none
  std::vector<StaticTargetGroup> static_configs;
};

struct PrometheusConfig {
  std::vector<std::pair<std::string, std::string>> external_labels;
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
