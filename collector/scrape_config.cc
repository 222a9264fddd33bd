#include "collector/scrape_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::collector {
namespace {

using LabelPairs = std::vector<std::pair<std::string, std::string>>;

// What a job may say of service discovery; all ask other systems for targets.
const std::vector<std::string_view> kDiscoveryKeys = {
    "aws_sd_configs",          "azure_sd_configs",     "consul_sd_configs",
    "digitalocean_sd_configs", "dns_sd_configs",       "docker_sd_configs",
    "dockerswarm_sd_configs",  "ec2_sd_configs",       "eureka_sd_configs",
    "file_sd_configs",         "gce_sd_configs",       "hetzner_sd_configs",
    "http_sd_configs",         "ionos_sd_configs",     "kubernetes_sd_configs",
    "kuma_sd_configs",         "lightsail_sd_configs", "linode_sd_configs",
    "marathon_sd_configs",     "nerve_sd_configs",     "nomad_sd_configs",
    "openstack_sd_configs",    "outscale_sd_configs",  "ovhcloud_sd_configs",
    "puppetdb_sd_configs",     "scaleway_sd_configs",  "serverset_sd_configs",
    "stackit_sd_configs",      "triton_sd_configs",    "uyuni_sd_configs",
    "vultr_sd_configs"};

const std::vector<std::string_view> kUnsupportedTopKeys = {
    "alerting",     "otlp",    "remote_read",
    "remote_write", "runtime", "scrape_config_files",
    "storage",      "tracing"};

const std::vector<std::string_view> kUnsupportedGlobalKeys = {
    "keep_dropped_targets", "metric_name_escaping_scheme",
    "query_log_file",       "scrape_failure_log_file",
    "scrape_protocols",     "target_limit"};

const std::vector<std::string_view> kUnsupportedJobKeys = {
    "fallback_scrape_protocol",
    "http_headers",
    "keep_dropped_targets",
    "metric_name_escaping_scheme",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "no_proxy",
    "oauth2",
    "proxy_connect_header",
    "proxy_url",
    "scrape_failure_log_file",
    "scrape_protocols",
    "target_limit",
    "tls_config"};

struct Defaults {
  int64_t interval_ms = 60'000;
  int64_t timeout_ms = 10'000;
  int64_t sample_limit = 0;
  int64_t body_size_limit = 0;
  int64_t label_limit = 0;
  int64_t label_name_length_limit = 0;
  int64_t label_value_length_limit = 0;
};

class Reader {
 public:
  absl::StatusOr<PrometheusConfig> Read(const yaml::Node& root);

 private:
  absl::Status ReadGlobal(const yaml::Node& node);
  absl::Status ReadJobs(const yaml::Node& node);
  absl::StatusOr<ScrapeJob> ReadJob(const yaml::Node& node);
  absl::Status ReadTimes(yaml::MapReader& map, ScrapeJob* job);
  absl::Status ReadTargets(yaml::MapReader& map, ScrapeJob* job);
  absl::Status ReadAuthorization(yaml::MapReader& map, ScrapeJob* job);
  absl::Status ReadFlags(yaml::MapReader& map);
  absl::Status ReadValidationScheme(yaml::MapReader& map);

  // A value that vigie does not do, where the key's other values are fine.
  void Unsupported(const yaml::Node& value, std::string_view key) {
    config_.unsupported.push_back(fmt::format(
        "{}: this value of key \"{}\": not supported yet", value.place(), key));
  }

  PrometheusConfig config_;
  Defaults defaults_;
};

absl::Status ReadLimit(yaml::MapReader& map, std::string_view key,
                       int64_t* out) {
  VIGIE_RETURN_IF_ERROR(map.Read(key, out));
  if (*out < 0) return map.Find(key)->Error("must not be negative");
  return absl::OkStatus();
}

absl::Status ReadLimits(yaml::MapReader& map, Defaults* out) {
  VIGIE_RETURN_IF_ERROR(ReadLimit(map, "sample_limit", &out->sample_limit));
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("body_size_limit", &out->body_size_limit));
  VIGIE_RETURN_IF_ERROR(ReadLimit(map, "label_limit", &out->label_limit));
  VIGIE_RETURN_IF_ERROR(
      ReadLimit(map, "label_name_length_limit", &out->label_name_length_limit));
  return ReadLimit(map, "label_value_length_limit",
                   &out->label_value_length_limit);
}

absl::StatusOr<LabelPairs> ReadLabels(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  LabelPairs out;
  for (const auto& [name, value] : map.Entries()) {
    if (name.empty() || name == kMetricName || !IsValidUtf8(name)) {
      return value.Error(
          fmt::format("{} is not a valid label name", Quoted(name)));
    }
    VIGIE_ASSIGN_OR_RETURN(std::string text, value.AsString());
    if (!IsValidUtf8(text)) {
      return value.Error("the label value is not valid UTF-8");
    }
    out.emplace_back(name, std::move(text));
  }
  return out;
}

absl::StatusOr<std::vector<Relabel>> ReadRelabels(yaml::MapReader& job,
                                                  std::string_view key) {
  std::vector<Relabel> out;
  const yaml::Node* list = job.Find(key);
  if (list == nullptr) return out;
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
    RelabelOptions options;
    if (const yaml::Node* action = map.Find("action")) {
      VIGIE_ASSIGN_OR_RETURN(const std::string name, action->AsString());
      auto parsed = ParseRelabelAction(name);
      if (!parsed.ok()) return action->Error(MessageOf(parsed.status()));
      options.action = *parsed;
    }
    if (const yaml::Node* sources = map.Find("source_labels")) {
      VIGIE_ASSIGN_OR_RETURN(options.source_labels, sources->AsStrings());
    }
    int64_t modulus = 0;
    VIGIE_RETURN_IF_ERROR(map.Read("separator", &options.separator));
    VIGIE_RETURN_IF_ERROR(map.Read("target_label", &options.target_label));
    VIGIE_RETURN_IF_ERROR(map.Read("regex", &options.regex));
    VIGIE_RETURN_IF_ERROR(ReadLimit(map, "modulus", &modulus));
    VIGIE_RETURN_IF_ERROR(map.Read("replacement", &options.replacement));
    VIGIE_RETURN_IF_ERROR(map.Finish());
    options.modulus = static_cast<uint64_t>(modulus);
    auto relabel = Relabel::Create(std::move(options));
    if (!relabel.ok()) return node.Error(MessageOf(relabel.status()));
    out.push_back(*std::move(relabel));
  }
  return out;
}

// A file that `node` names, from the directory of the file that says so.
std::string Resolved(const yaml::Node& node, const std::string& name) {
  if (name.empty()) return name;
  return (std::filesystem::path(node.file_name()).parent_path() / name)
      .string();
}

absl::Status ReadPath(yaml::MapReader& map, std::string_view key,
                      std::string* out) {
  VIGIE_RETURN_IF_ERROR(map.Read(key, out));
  *out = Resolved(map.node(), *out);
  return absl::OkStatus();
}

absl::Status ReadSecret(yaml::MapReader& map, std::string_view key,
                        Secret* out) {
  std::string text;
  VIGIE_RETURN_IF_ERROR(map.Read(key, &text));
  *out = Secret(std::move(text));
  return absl::OkStatus();
}

absl::Status Reader::ReadFlags(yaml::MapReader& map) {
  // What these ask for when false is what vigie does.
  for (const std::string_view key :
       {"scrape_native_histograms", "convert_classic_histograms_to_nhcb",
        "extra_scrape_metrics"}) {
    bool wanted = false;
    VIGIE_RETURN_IF_ERROR(map.Read(key, &wanted));
    if (wanted) Unsupported(*map.Find(key), key);
  }
  // Classic histograms are always taken.
  bool ignored = false;
  VIGIE_RETURN_IF_ERROR(map.Read("always_scrape_classic_histograms", &ignored));
  return ReadValidationScheme(map);
}

absl::Status Reader::ReadValidationScheme(yaml::MapReader& map) {
  constexpr std::string_view kKey = "metric_name_validation_scheme";
  std::string scheme;
  VIGIE_RETURN_IF_ERROR(map.Read(kKey, &scheme));
  if (scheme.empty() || scheme == "utf8") return absl::OkStatus();
  const yaml::Node& node = *map.Find(kKey);
  if (scheme != "legacy") {
    return node.Error("must be \"utf8\" or \"legacy\"");
  }
  Unsupported(node, kKey);
  return absl::OkStatus();
}

absl::Status Reader::ReadGlobal(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  int64_t interval_ms = 0, timeout_ms = 0, evaluation_ms = 0;
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("scrape_interval", &interval_ms));
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("scrape_timeout", &timeout_ms));
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("evaluation_interval", &evaluation_ms));
  if (interval_ms > 0) defaults_.interval_ms = interval_ms;
  if (evaluation_ms > 0) config_.evaluation_interval_ms = evaluation_ms;
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("rule_query_offset", &config_.rule_query_offset_ms));
  if (timeout_ms > defaults_.interval_ms) {
    return map.Find("scrape_timeout")
        ->Error("global scrape timeout greater than scrape interval");
  }
  defaults_.timeout_ms =
      timeout_ms > 0 ? timeout_ms
                     : std::min(defaults_.timeout_ms, defaults_.interval_ms);
  VIGIE_RETURN_IF_ERROR(ReadLimits(map, &defaults_));
  if (const yaml::Node* labels = map.Find("external_labels")) {
    VIGIE_ASSIGN_OR_RETURN(config_.external_labels, ReadLabels(*labels));
    for (const auto& [name, value] : config_.external_labels) {
      // Prometheus puts environment variables in.
      if (value.find('$') != std::string::npos) {
        Unsupported(*labels, "external_labels");
        break;
      }
    }
  }
  VIGIE_RETURN_IF_ERROR(ReadFlags(map));
  map.MarkUnsupported(kUnsupportedGlobalKeys, &config_.unsupported);
  return map.Finish();
}

absl::Status Reader::ReadTimes(yaml::MapReader& map, ScrapeJob* job) {
  int64_t interval_ms = 0, timeout_ms = 0;
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("scrape_interval", &interval_ms));
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("scrape_timeout", &timeout_ms));
  job->interval_ms = interval_ms > 0 ? interval_ms : defaults_.interval_ms;
  if (timeout_ms > job->interval_ms) {
    return map.Find("scrape_timeout")
        ->Error(fmt::format(
            "scrape timeout {} is greater than the scrape interval {} of job "
            "{}",
            FormatDurationMs(timeout_ms), FormatDurationMs(job->interval_ms),
            Quoted(job->name)));
  }
  job->timeout_ms = timeout_ms > 0
                        ? timeout_ms
                        : std::min(defaults_.timeout_ms, job->interval_ms);
  return absl::OkStatus();
}

absl::Status Reader::ReadTargets(yaml::MapReader& map, ScrapeJob* job) {
  const yaml::Node* list = map.Find("static_configs");
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto groups, list->AsSequence());
  for (const yaml::Node& node : groups) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader group_map, node.AsMap());
    StaticTargetGroup group;
    if (const yaml::Node* targets = group_map.Find("targets")) {
      VIGIE_ASSIGN_OR_RETURN(const auto nodes, targets->AsSequence());
      for (const yaml::Node& target : nodes) {
        VIGIE_ASSIGN_OR_RETURN(std::string address, target.AsString());
        // With relabelling an address may become anything yet.
        if (job->relabel_configs.empty() &&
            (address.empty() || !IsValidUtf8(address) ||
             address.find_first_of("/@?# \t\r\n") != std::string::npos)) {
          return target.Error(
              fmt::format("{} is not a valid hostname: a target is host:port",
                          Quoted(address)));
        }
        group.targets.push_back(std::move(address));
      }
    }
    if (const yaml::Node* labels = group_map.Find("labels")) {
      VIGIE_ASSIGN_OR_RETURN(group.labels, ReadLabels(*labels));
    }
    VIGIE_RETURN_IF_ERROR(group_map.Finish());
    job->static_configs.push_back(std::move(group));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadAuthorization(yaml::MapReader& map, ScrapeJob* job) {
  int ways = 0;
  ScrapeAuthorization found;
  if (const yaml::Node* node = map.Find("basic_auth")) {
    ++ways;
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader basic, node->AsMap());
    found.type = "Basic";
    VIGIE_RETURN_IF_ERROR(basic.Read("username", &found.username));
    VIGIE_RETURN_IF_ERROR(
        ReadPath(basic, "username_file", &found.username_file));
    VIGIE_RETURN_IF_ERROR(ReadSecret(basic, "password", &found.secret));
    VIGIE_RETURN_IF_ERROR(ReadPath(basic, "password_file", &found.secret_file));
    if (!found.username.empty() && !found.username_file.empty()) {
      return node->Error(
          "at most one of username and username_file may be set");
    }
    basic.MarkUnsupported({"username_ref", "password_ref"},
                          &config_.unsupported);
    VIGIE_RETURN_IF_ERROR(basic.Finish());
  }
  if (const yaml::Node* node = map.Find("authorization")) {
    ++ways;
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader header, node->AsMap());
    found.type = "Bearer";
    VIGIE_RETURN_IF_ERROR(header.Read("type", &found.type));
    VIGIE_RETURN_IF_ERROR(ReadSecret(header, "credentials", &found.secret));
    VIGIE_RETURN_IF_ERROR(
        ReadPath(header, "credentials_file", &found.secret_file));
    if (found.type == "Basic" || found.type == "basic") {
      return node->Error("authorization: for type Basic use basic_auth");
    }
    header.MarkUnsupported({"credentials_ref"}, &config_.unsupported);
    VIGIE_RETURN_IF_ERROR(header.Finish());
  }
  if (map.Find("bearer_token") != nullptr ||
      map.Find("bearer_token_file") != nullptr) {
    ++ways;
    found.type = "Bearer";
    VIGIE_RETURN_IF_ERROR(ReadSecret(map, "bearer_token", &found.secret));
    VIGIE_RETURN_IF_ERROR(
        ReadPath(map, "bearer_token_file", &found.secret_file));
  }
  if (ways > 1) {
    return map.node().Error(
        "at most one of basic_auth, authorization and bearer_token(_file) may "
        "be set");
  }
  if (!found.secret.empty() && !found.secret_file.empty()) {
    return map.node().Error(
        "a secret and the file that holds it must not both be set");
  }
  if (ways == 1) job->authorization = std::move(found);
  return absl::OkStatus();
}

absl::StatusOr<ScrapeJob> Reader::ReadJob(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  ScrapeJob job;
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node name, map.Require("job_name"));
  VIGIE_ASSIGN_OR_RETURN(job.name, name.AsString());
  if (job.name.empty()) return name.Error("job_name is empty");
  for (const ScrapeJob& other : config_.jobs) {
    if (other.name == job.name) {
      return name.Error(fmt::format(
          "found multiple scrape configs with job name {}", Quoted(job.name)));
    }
  }
  VIGIE_RETURN_IF_ERROR(ReadTimes(map, &job));
  VIGIE_RETURN_IF_ERROR(map.Read("metrics_path", &job.metrics_path));
  VIGIE_RETURN_IF_ERROR(map.Read("scheme", &job.scheme));
  if (job.scheme != "http" && job.scheme != "https") {
    return map.Find("scheme")->Error("must be http or https");
  }
  if (const yaml::Node* params = map.Find("params")) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader values, params->AsMap());
    for (const auto& [key, list] : values.Entries()) {
      VIGIE_ASSIGN_OR_RETURN(const auto texts, list.AsStrings());
      for (const std::string& text : texts) job.params.emplace_back(key, text);
    }
  }
  VIGIE_RETURN_IF_ERROR(map.Read("honor_labels", &job.honor_labels));
  VIGIE_RETURN_IF_ERROR(map.Read("honor_timestamps", &job.honor_timestamps));
  VIGIE_RETURN_IF_ERROR(
      map.Read("track_timestamps_staleness", &job.track_timestamps_staleness));
  VIGIE_RETURN_IF_ERROR(
      map.Read("enable_compression", &job.enable_compression));
  VIGIE_RETURN_IF_ERROR(map.Read("follow_redirects", &job.follow_redirects));
  Defaults limits = defaults_;
  VIGIE_RETURN_IF_ERROR(ReadLimits(map, &limits));
  job.sample_limit = limits.sample_limit;
  job.body_size_limit = limits.body_size_limit;
  job.label_limit = limits.label_limit;
  job.label_name_length_limit = limits.label_name_length_limit;
  job.label_value_length_limit = limits.label_value_length_limit;
  VIGIE_RETURN_IF_ERROR(ReadAuthorization(map, &job));
  VIGIE_ASSIGN_OR_RETURN(job.relabel_configs,
                         ReadRelabels(map, "relabel_configs"));
  VIGIE_ASSIGN_OR_RETURN(job.metric_relabel_configs,
                         ReadRelabels(map, "metric_relabel_configs"));
  VIGIE_RETURN_IF_ERROR(ReadTargets(map, &job));
  VIGIE_RETURN_IF_ERROR(ReadFlags(map));
  // How the transport works is ours to choose; false forbids nothing we need.
  bool ignored = false;
  VIGIE_RETURN_IF_ERROR(map.Read("enable_http2", &ignored));
  bool proxy = false;
  VIGIE_RETURN_IF_ERROR(map.Read("proxy_from_environment", &proxy));
  if (proxy) {
    Unsupported(*map.Find("proxy_from_environment"), "proxy_from_environment");
  }
  map.MarkUnsupported(kUnsupportedJobKeys, &config_.unsupported);
  map.MarkUnsupported(kDiscoveryKeys, &config_.unsupported);
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return job;
}

absl::Status Reader::ReadJobs(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(const auto jobs, node.AsSequence());
  for (const yaml::Node& one : jobs) {
    VIGIE_ASSIGN_OR_RETURN(ScrapeJob job, ReadJob(one));
    config_.jobs.push_back(std::move(job));
  }
  return absl::OkStatus();
}

absl::StatusOr<PrometheusConfig> Reader::Read(const yaml::Node& root) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, root.AsMap());
  if (const yaml::Node* global = map.Find("global")) {
    VIGIE_RETURN_IF_ERROR(ReadGlobal(*global));
  }
  if (const yaml::Node* jobs = map.Find("scrape_configs")) {
    VIGIE_RETURN_IF_ERROR(ReadJobs(*jobs));
  }
  if (const yaml::Node* files = map.Find("rule_files")) {
    VIGIE_ASSIGN_OR_RETURN(config_.rule_files, files->AsStrings());
  }
  map.MarkUnsupported(kUnsupportedTopKeys, &config_.unsupported);
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return std::move(config_);
}

}  // namespace

absl::StatusOr<PrometheusConfig> ParsePrometheusConfig(const yaml::Node& root) {
  return Reader().Read(root);
}

}  // namespace vigie::collector
