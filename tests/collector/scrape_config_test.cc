#include "collector/scrape_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "collector/scrape_target.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

absl::StatusOr<PrometheusConfig> Parse(std::string_view text) {
  const auto root = yaml::Node::Parse(text, "/etc/prometheus/prometheus.yml");
  if (!root.ok()) return root.status();
  return ParsePrometheusConfig(*root);
}

// The error of a job that has `lines` beside its name.
absl::Status JobError(const std::string& lines) {
  return Parse("scrape_configs:\n- job_name: a\n" + lines).status();
}

TEST(ScrapeConfigTest, TakesTheConfigurationThatPrometheusShips) {
  const auto config = Parse(R"(
# my global config
global:
  scrape_interval: 15s # Set the scrape interval to every 15 seconds.
  evaluation_interval: 15s
  # scrape_timeout is set to the global default (10s).
  external_labels:
    monitor: example

rule_files:
  # - "first_rules.yml"

scrape_configs:
  - job_name: "prometheus"
    # metrics_path defaults to '/metrics'
    # scheme defaults to 'http'.
    static_configs:
      - targets: ["localhost:9090"]
        labels: {app: prometheus}
)");

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->unsupported, IsEmpty());
  EXPECT_THAT(config->external_labels, ElementsAre(Pair("monitor", "example")));
  EXPECT_EQ(config->evaluation_interval_ms, 15'000);
  ASSERT_THAT(config->jobs, SizeIs(1));
  const ScrapeJob& job = config->jobs[0];
  EXPECT_EQ(job.name, "prometheus");
  EXPECT_EQ(job.interval_ms, 15'000);
  EXPECT_EQ(job.timeout_ms, 10'000);
  EXPECT_EQ(job.metrics_path, "/metrics");
  EXPECT_EQ(job.scheme, "http");
  EXPECT_FALSE(job.honor_labels);
  EXPECT_TRUE(job.honor_timestamps);
  EXPECT_THAT(job.static_configs[0].targets, ElementsAre("localhost:9090"));
  EXPECT_THAT(job.static_configs[0].labels,
              ElementsAre(Pair("app", "prometheus")));
}

TEST(ScrapeConfigTest, ReadsEveryKeyOfAJob) {
  const auto config = Parse(R"(
global: {sample_limit: 7, body_size_limit: 1MB, scrape_timeout: 5s}
scrape_configs:
- job_name: a
  scrape_interval: 30s
  metrics_path: /probe
  scheme: https
  params: {module: [http_2xx], x: ["1", "2"]}
  honor_labels: true
  honor_timestamps: false
  track_timestamps_staleness: true
  enable_compression: false
  follow_redirects: false
  enable_http2: true
  label_limit: 10
  label_name_length_limit: 20
  label_value_length_limit: 30
  scrape_native_histograms: false
  always_scrape_classic_histograms: true
  metric_name_validation_scheme: utf8
  basic_auth: {username: u, password_file: secrets/p}
  relabel_configs:
  - {source_labels: [a, b], target_label: c, regex: '(.+);(.+)', replacement: '$2'}
  metric_relabel_configs:
  - {action: drop, source_labels: [__name__], regex: go_.*}
  - {
action:
  HashMod, source_labels : [a], target_label : m, modulus : 8
}
- job_name: b
  sample_limit: 0
  authorization: {credentials: token}
)");

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->unsupported, IsEmpty());
  const ScrapeJob& a = config->jobs[0];
  EXPECT_EQ(a.timeout_ms, 5'000);
  EXPECT_THAT(a.params, ElementsAre(Pair("module", "http_2xx"), Pair("x", "1"),
                                    Pair("x", "2")));
  EXPECT_TRUE(a.honor_labels);
  EXPECT_FALSE(a.honor_timestamps);
  EXPECT_TRUE(a.track_timestamps_staleness);
  EXPECT_FALSE(a.enable_compression);
  EXPECT_FALSE(a.follow_redirects);
  EXPECT_EQ(a.sample_limit, 7);
  EXPECT_EQ(a.body_size_limit, 1 << 20);
  EXPECT_EQ(a.label_limit, 10);
  EXPECT_EQ(a.label_name_length_limit, 20);
  EXPECT_EQ(a.label_value_length_limit, 30);
  EXPECT_EQ(a.authorization->type, "Basic");
  EXPECT_EQ(a.authorization->secret_file, "/etc/prometheus/secrets/p");
  EXPECT_THAT(a.relabel_configs, SizeIs(1));
  EXPECT_THAT(a.metric_relabel_configs, SizeIs(2));
  const ScrapeJob& b = config->jobs[1];
  EXPECT_EQ(b.sample_limit, 0);
  EXPECT_EQ(b.authorization->type, "Bearer");
  EXPECT_EQ(b.authorization->secret.Reveal(), "token");
}

TEST(ScrapeConfigTest, CutsTheDefaultTimeoutToAShorterInterval) {
  const auto config = Parse(
      "global: {scrape_interval: 5s}\n"
      "scrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 2s}]");

  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->jobs[0].timeout_ms, 5'000);
  EXPECT_EQ(config->jobs[1].timeout_ms, 2'000);
}

TEST(ScrapeConfigTest, TakesAnEmptyFile) {
  const auto config = Parse("");

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->jobs, IsEmpty());
}

TEST(ScrapeConfigTest, NamesWhatItDoesNotDoYetWithItsPlace) {
  const auto config = Parse(
      "global:\n"
      "  scrape_protocols: [PrometheusProto]\n"
      "  scrape_native_histograms: true\n"
      "  external_labels: {host: \"${HOSTNAME}\"}\n"
      "alerting:\n"
      "  alertmanagers: [{static_configs: [{targets: [\"h:9093\"]}]}]\n"
      "rule_files: [rules/*.yml, more.yml]\n"
      "remote_write: [{url: \"http://h/\"}]\n"
      "scrape_configs:\n"
      "- job_name: a\n"
      "  file_sd_configs: [{files: [x.json]}]\n"
      "  tls_config: {insecure_skip_verify: true}\n"
      "  metric_name_validation_scheme: legacy\n");

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(config->rule_files, ElementsAre("rules/*.yml", "more.yml"));
  const std::string file = "/etc/prometheus/prometheus.yml:";
  EXPECT_THAT(
      config->unsupported,
      ::testing::UnorderedElementsAre(
          file + "2:3: key \"scrape_protocols\": not supported yet",
          file + "3:29: this value of key \"scrape_native_histograms\": not "
                 "supported yet",
          file + "4:20: this value of key \"external_labels\": not supported "
                 "yet",
          file + "5:1: key \"alerting\": not supported yet",
          file + "8:1: key \"remote_write\": not supported yet",
          file + "11:3: key \"file_sd_configs\": not supported yet",
          file + "12:3: key \"tls_config\": not supported yet",
          file + "13:34: this value of key \"metric_name_validation_scheme\": "
                 "not supported yet"));
}

TEST(ScrapeConfigTest, RefusesWhatPrometheusRefusesWithItsPlace) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"globl: {}", ":1:1: unknown key \"globl\""},
      {"global: {scrape_intervall: 1s}", ":1:10: unknown key"},
      {"global: {scrape_interval: 1x}", ":1:27: not a valid duration"},
      {"global: {scrape_interval: -1s}", ":1:27: "},
      {"global: {scrape_interval: 5s, scrape_timeout: 6s}",
       ":1:47: global scrape timeout greater than scrape interval"},
      {"global: []", ":1:9: must be a map"},
      {"scrape_configs: {}", ":1:17: must be a list"},
      {"scrape_configs: [{}]", ":1:18: key \"job_name\" is missing"},
      {"scrape_configs: [{job_name: ''}]", ":1:29: job_name is empty"},
      {"scrape_configs:\n- job_name: a\n- job_name: a\n",
       ":3:13: found multiple scrape configs with job name \"a\""},
      {"scrape_configs:\n- job_name: a\n  job_name: b\n", ":3:3: key"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(Parse(one.text), HasError(absl::StatusCode::kInvalidArgument,
                                          HasSubstr(one.message)))
        << one.text;
  }
}

TEST(ScrapeConfigTest, RefusesABadJobWithItsPlace) {
  const struct {
    const char* lines;
    const char* message;
  } cases[] = {
      {"  scrape_interval: 5s\n  scrape_timeout: 6s\n",
       ":4:19: scrape timeout 6s is greater than the scrape interval 5s"},
      {"  scheme: ftp\n", ":3:11: must be http or https"},
      {"  sample_limit: -1\n", ":3:17: must not be negative"},
      {"  sample_limit: many\n", ":3:17: must be a whole number"},
      {"  body_size_limit: 1Q\n", ":3:20: must be a size"},
      {"  honor_labels: maybe\n", ":3:17: must be true or false"},
      {"  params: {a: b}\n", ":3:15: must be a list"},
      {"  static_configs: [{targets: ['http://h:1/']}]\n",
       ":3:31: \"http://h:1/\" is not a valid hostname"},
      {"  static_configs: [{targets: ['']}]\n", ":3:31: "},
      {"  static_configs: [{target: [h]}]\n", ":3:21: unknown key \"target\""},
      {"  static_configs: [{labels: {__name__: x}}]\n",
       "\"__name__\" is not a valid label name"},
      {"  relabel_configs: [{action: rename}]\n",
       ":3:30: unknown relabel action \"rename\""},
      {"  relabel_configs: [{target_label: a, regex: '('}]\n",
       ":3:21: error parsing regexp"},
      {"  relabel_configs: [{source_labels: [a]}]\n",
       ":3:21: relabel action replace: needs 'target_label'"},
      {"  relabel_configs: [{action: hashmod, target_label: a}]\n",
       "needs a 'modulus'"},
      {"  relabel_configs: [{action: labeldrop, source_labels: [a]}]\n",
       "takes 'regex' only"},
      {"  basic_auth: {username: a, username_file: b}\n",
       "at most one of username and username_file"},
      {"  basic_auth: {password: a, password_file: b}\n",
       "must not both be set"},
      {"  bearer_token: a\n  basic_auth: {username: b}\n", "at most one of"},
      {"  authorization: {type: Basic, credentials: a}\n", "use basic_auth"},
      {"  metric_name_validation_scheme: x\n", "must be \"utf8\""},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(JobError(one.lines),
                HasError(absl::StatusCode::kInvalidArgument,
                         ::testing::AllOf(HasSubstr("prometheus.yml:"),
                                          HasSubstr(one.message))))
        << one.lines;
  }
}

TEST(ScrapeConfigTest, KeepsSecretsOutOfErrors) {
  EXPECT_THAT(JobError("  basic_auth: {password: [hunter2]}\n").ToString(),
              ::testing::Not(HasSubstr("hunter2")));
}

ScrapeTarget Target(const ScrapeJob& job, StaticTargetGroup group,
                    const std::string& address) {
  auto target = MakeTarget(job, group, address);
  EXPECT_THAT(target, IsOk());
  return target.ok() && *target ? **target : ScrapeTarget();
}

TEST(ScrapeTargetTest, HasJobAndInstanceAndItsUrl) {
  const ScrapeJob job{.name = "node",
                      .params = {{"b", "x y"}, {"a", "1"}, {"b", "é"}}};

  const ScrapeTarget target = Target(job, {{}, {{"env", "dev"}}}, "h:9100");

  EXPECT_EQ(target.labels,
            (Labels{{"env", "dev"}, {"instance", "h:9100"}, {"job", "node"}}));
  EXPECT_EQ(target.url, "http://h:9100/metrics?a=1&b=x%20y&b=%C3%A9");
  EXPECT_EQ(target.discovered_labels.Get("__address__"), "h:9100");
  EXPECT_EQ(target.discovered_labels.Get("__scrape_interval__"), "1m");
  EXPECT_EQ(target.interval_ms, 60'000);
}

TEST(ScrapeTargetTest, MayBeRelabelledIntoAnother) {
  ScrapeJob job{.name = "probe", .metrics_path = "/probe"};
  job.relabel_configs = {
      *Relabel::Create(
          {.source_labels = {"__address__"}, .target_label = "__param_target"}),
      *Relabel::Create(
          {.source_labels = {"__param_target"}, .target_label = "instance"}),
      *Relabel::Create(
          {.target_label = "__address__", .replacement = "exporter:9115"}),
      *Relabel::Create(
          {.target_label = "__scrape_interval__", .replacement = "30s"})};

  const ScrapeTarget target = Target(job, {}, "https://site/?x=1");

  EXPECT_EQ(target.url,
            "http://exporter:9115/probe?target=https%3A%2F%2Fsite%2F%3Fx%3D1");
  EXPECT_EQ(target.labels.Get("instance"), "https://site/?x=1");
  EXPECT_EQ(target.interval_ms, 30'000);
}

TEST(ScrapeTargetTest, MayBeDroppedOrMadeInvalidByRelabelling) {
  ScrapeJob drop{.name = "a"}, invalid{.name = "a"}, slow{.name = "a"};
  drop.relabel_configs = {
      *Relabel::Create({.action = RelabelOptions::Action::kDrop,
                        .source_labels = {"__address__"},
                        .regex = "h:.*"})};
  invalid.relabel_configs = {
      *Relabel::Create({.target_label = "__address__", .replacement = "a/b"})};
  slow.relabel_configs = {*Relabel::Create(
      {.target_label = "__scrape_timeout__", .replacement = "2m"})};

  EXPECT_FALSE(MakeTarget(drop, {}, "h:1")->has_value());
  EXPECT_THAT(MakeTarget(invalid, {}, "h:1"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("\"a/b\" is not a valid hostname")));
  EXPECT_THAT(MakeTarget(slow, {}, "h:1"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("greater than the scrape interval")));
}

TEST(ScrapeTargetTest, SpreadsOverTheInterval) {
  const ScrapeJob job{.name = "a"};
  int first_half = 0;
  for (int i = 0; i < 1000; ++i) {
    const int64_t offset = Target(job, {}, "h" + std::to_string(i)).OffsetMs();
    ASSERT_GE(offset, 0);
    ASSERT_LT(offset, 60'000);
    first_half += offset < 30'000;
  }
  EXPECT_GT(first_half, 400);
  EXPECT_LT(first_half, 600);
}

}  // namespace
}  // namespace vigie::collector
