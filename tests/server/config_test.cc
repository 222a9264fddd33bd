#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest()
      : directory_(
            std::filesystem::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, std::string_view text) {
    const std::string path = directory_ / name;
    std::ofstream(path) << text;
    return path;
  }

  const std::filesystem::path directory_;
};

TEST_F(ConfigTest, WithoutAFileEverythingHasItsDefault) {
  const auto config = LoadConfig("");

  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->storage.retention_ms, 30LL * 86'400'000);
  EXPECT_TRUE(config->self_monitoring.enabled);
}

TEST_F(ConfigTest, ReadsTheSectionsAndThePrometheusFileBesideIt) {
  Write("prometheus.yml",
        "scrape_configs:\n"
        "  - job_name: node\n"
        "    static_configs: [{targets: ['localhost:9100']}]\n");
  const std::string path = Write("vigie.yml",
                                 "storage: {retention: 2d}\n"
                                 "query: {lookback: 1m}\n"
                                 "self_monitoring: {interval: 5s}\n"
                                 "prometheus: prometheus.yml\n");

  const auto config = LoadConfig(path);

  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->storage.retention_ms, 2 * 86'400'000);
  EXPECT_EQ(config->query.lookback_ms, 60'000);
  EXPECT_EQ(config->self_monitoring.interval_ms, 5'000);
  ASSERT_EQ(config->prometheus.jobs.size(), 1u);
  EXPECT_EQ(config->prometheus.jobs[0].name, "node");
}

TEST_F(ConfigTest, NamesTheLineAndColumnOfAnUnknownKey) {
  const std::string path =
      Write("vigie.yml", "log: {level: info}\nstorrage: {retention: 2d}\n");

  EXPECT_THAT(LoadConfig(path),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vigie.yml:2:1: unknown key \"storrage\"")));
}

TEST_F(ConfigTest, NamesThePlaceOfAWrongValueInTheNamedPrometheusFile) {
  Write("prometheus.yml", "global:\n  scrape_interval: 15\n");
  const std::string path = Write("vigie.yml", "prometheus: prometheus.yml\n");

  EXPECT_THAT(LoadConfig(path), HasError(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("prometheus.yml:2:20: ")));
}

TEST_F(ConfigTest, NamesTheKeyThatNamesAMissingPrometheusFile) {
  const std::string path = Write("vigie.yml", "prometheus: absent.yml\n");

  EXPECT_THAT(LoadConfig(path), HasError(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("vigie.yml:1:13: ")));
}

TEST_F(ConfigTest, RefusesAnUnknownLogLevelWithItsPlace) {
  const std::string path = Write("vigie.yml", "log: {level: loud}\n");

  EXPECT_THAT(LoadConfig(path),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vigie.yml:1:14: log level \"loud\"")));
}

TEST_F(ConfigTest, TakesAPrometheusFileForAVigieFileOnlyToSayWhatToDo) {
  const std::string path = Write("prometheus.yml", "scrape_configs: []\n");

  EXPECT_THAT(LoadConfig(path), HasError(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("name it in a vigie.yml")));
  EXPECT_THAT(CheckConfig(path), IsEmpty());
}

TEST_F(ConfigTest, CheckRefusesWhatServeOnlyWarnsOf) {
  const std::string path = Write("vigie.yml", "tenants: {a: {}}\n");

  EXPECT_THAT(LoadConfig(path), IsOk());
  EXPECT_THAT(CheckConfig(path),
              ElementsAre(HasSubstr("vigie.yml:1:1: key \"tenants\": not "
                                    "supported yet")));
}

constexpr std::string_view kRules =
    "groups:\n"
    "  - name: g\n"
    "    rules: [{alert: Down, expr: up == 0}]\n";
constexpr std::string_view kRoutes =
    "global: {resolve_timeout: 5m}\n"
    "route: {receiver: team}\n"
    "receivers: [{name: team}]\n";

TEST_F(ConfigTest, ReadsTheRulesAndRoutesThatAreNamed) {
  Write("rules.yml", kRules);
  Write("prometheus.yml",
        "global: {rule_query_offset: 30s}\n"
        "rule_files: ['*les.yml']\n");
  Write("alertmanager.yml", kRoutes);
  const std::string path = Write("vigie.yml",
                                 "prometheus: prometheus.yml\n"
                                 "alertmanager: alertmanager.yml\n"
                                 "external_url: https://vigie.example.org/\n");

  const auto config = LoadConfig(path);

  ASSERT_THAT(config, IsOk());
  ASSERT_EQ(config->rule_groups.size(), 1u);
  EXPECT_EQ(config->rule_groups[0].name, "g");
  EXPECT_EQ(config->rule_groups[0].query_offset_ms, 30'000);
  ASSERT_NE(config->routing, nullptr);
  EXPECT_EQ(config->routing->root.receiver, "team");
  EXPECT_EQ(config->external_url, "https://vigie.example.org");
  EXPECT_THAT(CheckConfig(path), IsEmpty());
  EXPECT_THAT(CheckConfig(directory_ / "prometheus.yml"), IsEmpty());
  EXPECT_THAT(CheckConfig(directory_ / "alertmanager.yml"), IsEmpty());
}

TEST_F(ConfigTest, NamesThePlaceInAWrongRuleOrRoutesFile) {
  Write("prometheus.yml", "rule_files: [rules.yml]\n");
  Write("rules.yml",
        "groups:\n"
        "  - name: g\n"
        "    rules: [{alert: Down, expr: 'up =='}]\n");
  EXPECT_THAT(LoadConfig(Write("vigie.yml", "prometheus: prometheus.yml\n")),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rules.yml:3:33: ")));

  Write("alertmanager.yml", "route: {receiver: nobody}\nreceivers: []\n");
  EXPECT_THAT(
      LoadConfig(Write("vigie.yml", "alertmanager: alertmanager.yml\n")),
      HasError(absl::StatusCode::kInvalidArgument,
               HasSubstr("alertmanager.yml:1:19: ")));
  EXPECT_THAT(
      LoadConfig(Write("vigie.yml", "log: {}\nalertmanager: none.yml\n")),
      HasError(absl::StatusCode::kInvalidArgument,
               HasSubstr("vigie.yml:2:15: ")));
  EXPECT_THAT(LoadConfig(Write("vigie.yml", "external_url: vigie:9090\n")),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vigie.yml:1:15: must begin with http")));
}

TEST_F(ConfigTest, WhatItRendersReadsBackTheSame) {
  const std::string path =
      Write("vigie.yml",
            "storage: {retention: 90d, durability: os, retention_bytes: 1GiB, "
            "tenant_retention: {\"a: b\": 7d}, rollups: [{resolution: 5m, "
            "retention: 1y, tenant_retention: {c: 2y}}]}\nlog: {level: "
            "warn}\nquery: {experimental: true}\n"
            "http: {cors_origin: 'https?://a\\.b', remote_read: true}\n");
  const auto config = LoadConfig(path);
  ASSERT_THAT(config, IsOk());

  const auto again = LoadConfig(Write("again.yml", RenderConfig(*config)));

  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(RenderConfig(*again), RenderConfig(*config));
  EXPECT_EQ(again->http.cors_origin, "https?://a\\.b");
  EXPECT_EQ(again->storage.retention_ms, 90 * 86'400'000LL);
  EXPECT_EQ(again->storage.retention_bytes, uint64_t{1} << 30);
  EXPECT_EQ(again->storage.tenant_retention_ms.at("a: b"), 7 * 86'400'000LL);
  ASSERT_EQ(again->storage.rollups.size(), 1u);
  EXPECT_EQ(again->storage.rollups[0].tenant_retention_ms.at("c"),
            2 * 365 * 86'400'000LL);
}

}  // namespace
}  // namespace vigie::server
