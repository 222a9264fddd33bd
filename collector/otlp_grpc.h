// OtlpGrpcServer: OTLP/gRPC metrics (opentelemetry.proto.collector.metrics.v1)
// on a listener of its own, decoded by hand on raw callbacks.
// Translation of names, units and resource attributes: otlp_translate.h.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/yaml/yaml.h"
#include "store/appender.h"

namespace vigie::collector {

struct OtlpOptions {
  int64_t message_bytes_max = 64 << 20;  // after decompression
  // What the series of one request may take once their names are written out:
  // one long attribute is repeated in every bucket of a histogram.
  int64_t batch_bytes_max = 256 << 20;
  // Of all requests being decoded; beyond it they are told to come again.
  int64_t inflight_bytes_max = 512 << 20;
};

// The section `otlp:` of vigie.yml; errors carry file:line:column.
absl::StatusOr<OtlpOptions> ParseOtlpOptions(const yaml::Node& section);

class OtlpGrpcServer {
 public:
  // `address` is "host:port", port 0 picks one. kUnavailable, naming the
  // address, if it cannot be had. The references outlive the server.
  static absl::StatusOr<std::unique_ptr<OtlpGrpcServer>> Start(
      const std::string& address, const OtlpOptions& options,
      store::Appender& appender, const Clock& clock,
      prometheus::Registry& registry);
  ~OtlpGrpcServer();

  // "host:port" with the real port.
  const std::string& address() const { return address_; }

  // Refuses new calls and waits for those in flight, at most `timeout`; what
  // is not done by then is answered UNAVAILABLE. A second call does nothing.
  void Shutdown(absl::Duration timeout);

 private:
  struct Impl;
  OtlpGrpcServer(std::string address, std::unique_ptr<Impl> impl);
  const std::string address_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::collector
