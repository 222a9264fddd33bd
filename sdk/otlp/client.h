// OtlpClient sends metrics by OTLP/gRPC and tells what became of them.
// Source: OTLP specification 1.x, "OTLP/gRPC Response".
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace opentelemetry::proto::collector::metrics::v1 {
class ExportMetricsServiceRequest;
}

namespace vigie::sdk {

// What the server said of an accepted request (OTLP partial success).
struct ExportOutcome {
  int64_t points_rejected = 0;
  std::string message;  // a warning if nothing was rejected
};

class OtlpClient {
 public:
  // `endpoint` is "host:port", plaintext. Connects lazily.
  explicit OtlpClient(const std::string& endpoint);
  ~OtlpClient();

  // Gzip if `compress`. The status is the call's, its details (as
  // google.rpc.RetryInfo) are payloads under their type URLs. kUnavailable may
  // be tried again; kResourceExhausted only if it carries a RetryInfo, as
  // without one it says that the request is too large; others not.
  struct ExportOptions {
    absl::Duration timeout = absl::Seconds(10);
    bool compress = true;
  };
  absl::StatusOr<ExportOutcome> Export(
      const opentelemetry::proto::collector::metrics::v1::
          ExportMetricsServiceRequest& request,
      const ExportOptions& options);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::sdk
