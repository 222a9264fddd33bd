// How an Exporter sends, and the standard variables that say so.
// Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and
// "Environment Variable Specification".
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sdk/clock.h"
#include "sdk/otlp/endpoint.h"
#include "sdk/resource.h"

namespace vigie::sdk {

struct ExporterOptions {
  OtlpEndpoint endpoint;
  bool compress = true;  // gzip
  // Of the exporter's own metrics.
  Resource resource = Resource::FromEnvironment();

  absl::Duration interval = absl::Seconds(60);
  // For a Flush() or Shutdown() that names no time.
  absl::Duration flush_timeout = absl::Seconds(30);

  size_t request_points_max = 8192;
  // What waits while the server is away; the oldest goes first when it is full.
  size_t queue_points_max = 200'000;
  absl::Duration try_timeout = absl::Seconds(10);
  // A request is given up when it is this old.
  absl::Duration request_age_max = absl::Minutes(5);
  // Between tries: doubled each time, and between 50 % and 100 % of that. A
  // server's RetryInfo is waited for in full.
  absl::Duration backoff_min = absl::Milliseconds(500);
  absl::Duration backoff_max = absl::Seconds(30);

  // Neither a thread nor a connection: instruments cost what they cost.
  bool disabled = false;

  // Outlives the exporter.
  const Clock* clock = &Clock::System();
  // Told, from the exporter's thread, when points are dropped or refused and
  // when sending works again; by default standard error is, at most once a
  // second.
  std::function<void(std::string_view)> on_event = {};
};

// OTEL_SDK_DISABLED, OTEL_METRICS_EXPORTER (otlp, none),
// OTEL_METRIC_EXPORT_INTERVAL, OTEL_METRIC_EXPORT_TIMEOUT (for flushes), and
// OTEL_EXPORTER_OTLP_{ENDPOINT,PROTOCOL,HEADERS,COMPRESSION,TIMEOUT,INSECURE,
// CERTIFICATE,CLIENT_KEY,CLIENT_CERTIFICATE}, each before it with METRICS_;
// OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE. Empty is not set.
//   kInvalidArgument  a value that cannot be read, by the variable's name
//   kUnimplemented    a protocol other than grpc, delta temporality
absl::StatusOr<ExporterOptions> ExporterOptionsFromEnvironment();
absl::StatusOr<ExporterOptions> ExporterOptionsFromEnvironment(
    const GetEnv& get_env);

}  // namespace vigie::sdk
