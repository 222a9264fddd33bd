// OtlpClient sends metrics by OTLP/gRPC and tells what became of them.
// Source: OTLP specification 1.x, "OTLP/gRPC Response".
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sdk/otlp/endpoint.h"

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
  // Connects lazily. `address` alone is plaintext.
  explicit OtlpClient(const OtlpEndpoint& endpoint);
  explicit OtlpClient(const std::string& address);
  ~OtlpClient();

  // Gzip if `compress`. The status is the call's, its details (as
  // google.rpc.RetryInfo) are payloads under their type URLs; AdviceOf() says
  // what to do about it.
  struct ExportOptions {
    absl::Duration timeout = absl::Seconds(10);
    bool compress = true;
  };
  absl::StatusOr<ExportOutcome> Export(
      const opentelemetry::proto::collector::metrics::v1::
          ExportMetricsServiceRequest& request,
      const ExportOptions& options);

  // Ends the calls that are under way, and all that follow, with kCancelled.
  void Cancel();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What to do about the status of a call that failed: OTLP's table of retryable
// codes. kResourceExhausted is retryable only with a RetryInfo; without one it
// says that the request is too large.
struct RetryAdvice {
  bool retryable = false;
  absl::Duration delay_min = absl::ZeroDuration();  // as the server asks
};
RetryAdvice AdviceOf(const absl::Status& status);

}  // namespace vigie::sdk
