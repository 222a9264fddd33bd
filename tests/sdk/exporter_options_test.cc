#include "sdk/otlp/exporter_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/support/status_matchers.h"

namespace vigie::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace vigie::testing;  // NOLINT: short matchers

absl::StatusOr<ExporterOptions> From(
    const std::map<std::string, std::string>& variables) {
  return ExporterOptionsFromEnvironment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(ExporterOptionsTest, AnEmptyEnvironmentGivesTheSpecificationsDefaults) {
  for (const auto& options :
       {From({}), From({{"OTEL_EXPORTER_OTLP_ENDPOINT", ""},
                        {"OTEL_METRIC_EXPORT_INTERVAL", ""}})}) {
    ASSERT_THAT(options, IsOk());
    EXPECT_EQ(options->endpoint.address, "127.0.0.1:4317");
    EXPECT_FALSE(options->endpoint.tls);
    EXPECT_EQ(options->interval, absl::Seconds(60));
    EXPECT_EQ(options->flush_timeout, absl::Seconds(30));
    EXPECT_EQ(options->try_timeout, absl::Seconds(10));
    EXPECT_FALSE(options->compress);
    EXPECT_FALSE(options->disabled);
  }
}

TEST(ExporterOptionsTest, EveryVariableIsRead) {
  const auto options = From({
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4000/"},
      {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
      {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, tenant=shop"},
      {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
      {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
      {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative"},
      {"OTEL_METRIC_EXPORT_INTERVAL", "5000"},
      {"OTEL_METRIC_EXPORT_TIMEOUT", "7000"},
      {"OTEL_METRICS_EXPORTER", "otlp"},
      {"OTEL_SERVICE_NAME", "shop"},
  });
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->endpoint.address, "collector:4000");
  EXPECT_THAT(options->endpoint.headers,
              ElementsAre(Attribute{"authorization", "Bearer x"},
                          Attribute{"tenant", "shop"}));
  EXPECT_EQ(options->try_timeout, absl::Milliseconds(2500));
  EXPECT_TRUE(options->compress);
  EXPECT_EQ(options->interval, absl::Seconds(5));
  EXPECT_EQ(options->flush_timeout, absl::Seconds(7));
  EXPECT_EQ(options->resource.Get("service.name"), "shop");
}

TEST(ExporterOptionsTest, WhatIsSaidOfMetricsWinsOverWhatIsSaidOfAll) {
  const auto options = From({
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1"},
      {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:2"},
      {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
      {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"},
  });
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->endpoint.address, "metrics:2");
}

TEST(ExporterOptionsTest, TheSchemeSaysWhetherThereIsTls) {
  struct Case {
    std::string endpoint, insecure, address;
    bool tls;
  };
  for (const Case& c : {Case{"http://h:1", "", "h:1", false},
                        {"https://h:1", "true", "h:1", true},
                        {"h:1", "", "h:1", true},
                        {"h:1", "TRUE", "h:1", false},
                        {"http://[::1]:9", "", "[::1]:9", false},
                        {"http://h", "", "h:4317", false},
                        {"http://[::1]", "", "[::1]:4317", false}}) {
    const auto options = From({{"OTEL_EXPORTER_OTLP_ENDPOINT", c.endpoint},
                               {"OTEL_EXPORTER_OTLP_INSECURE", c.insecure}});
    ASSERT_THAT(options, IsOk()) << c.endpoint;
    EXPECT_EQ(options->endpoint.address, c.address);
    EXPECT_EQ(options->endpoint.tls, c.tls) << c.endpoint;
  }
}

TEST(ExporterOptionsTest, SwitchedOffIsDisabled) {
  EXPECT_TRUE(From({{"OTEL_SDK_DISABLED", "true"}})->disabled);
  EXPECT_TRUE(From({{"OTEL_METRICS_EXPORTER", "none"}})->disabled);
}

TEST(ExporterOptionsTest, WhatCannotBeReadIsRefusedByTheVariablesName) {
  const std::pair<std::string, std::string> cases[] = {
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:port"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:65536"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1/v1/metrics"},
      {"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "10s"},
      {"OTEL_METRIC_EXPORT_INTERVAL", "0"},
      {"OTEL_METRIC_EXPORT_INTERVAL", "99999999999999999999"},
      {"OTEL_METRIC_EXPORT_TIMEOUT", "-1"},
      {"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"},
      {"OTEL_METRICS_EXPORTER", "prometheus"},
      {"OTEL_SDK_DISABLED", "yes"},
      {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"},
  };
  for (const auto& [name, value] : cases) {
    EXPECT_THAT(
        From({{name, value}}),
        HasError(absl::StatusCode::kInvalidArgument, HasSubstr(name + ": \"")))
        << value;
  }
}

TEST(ExporterOptionsTest, AWrongHeaderIsNotRepeated) {
  const auto options = From({{"OTEL_EXPORTER_OTLP_HEADERS", "Bearer s3cret"}});
  EXPECT_THAT(options, HasError(absl::StatusCode::kInvalidArgument,
                                Not(HasSubstr("s3cret"))));
}

TEST(ExporterOptionsTest, OtherProtocolsAreRefusedByName) {
  EXPECT_THAT(From({{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"}}),
              HasError(absl::StatusCode::kUnimplemented,
                       HasSubstr("only grpc is spoken")));
  EXPECT_THAT(
      From({{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"}}),
      HasCode(absl::StatusCode::kUnimplemented));
}

TEST(ExporterOptionsTest, CertificatesAreReadFromFiles) {
  const auto path =
      std::filesystem::path(::testing::TempDir()) / "exporter_options_ca.pem";
  std::ofstream(path) << "-----BEGIN CERTIFICATE-----\n";
  const auto options =
      From({{"OTEL_EXPORTER_OTLP_CERTIFICATE", path.string()}});
  ASSERT_THAT(options, IsOk());
  EXPECT_THAT(options->endpoint.ca, HasSubstr("BEGIN CERTIFICATE"));

  std::ofstream(path) << "nonsense";
  EXPECT_THAT(
      From({{"OTEL_EXPORTER_OTLP_CERTIFICATE", path.string()}}),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("holds no PEM")));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace vigie::sdk
