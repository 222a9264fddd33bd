#include "sdk/otlp/client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/cord.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"

namespace vigie::sdk {
namespace {

namespace pb = opentelemetry::proto::collector::metrics::v1;

// Both number their codes as google.rpc.Code does.
absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()),
                   status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      out.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return out;
}

}  // namespace

struct OtlpClient::Impl {
  explicit Impl(const std::string& endpoint)
      : stub(pb::MetricsService::NewStub(grpc::CreateChannel(
            endpoint, grpc::InsecureChannelCredentials()))) {}
  std::unique_ptr<pb::MetricsService::Stub> stub;
};

OtlpClient::OtlpClient(const std::string& endpoint)
    : impl_(std::make_unique<Impl>(endpoint)) {}
OtlpClient::~OtlpClient() = default;

absl::StatusOr<ExportOutcome> OtlpClient::Export(
    const pb::ExportMetricsServiceRequest& request,
    const ExportOptions& options) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoNanoseconds(options.timeout));
  if (options.compress) {
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  }
  pb::ExportMetricsServiceResponse response;
  if (grpc::Status status = impl_->stub->Export(&context, request, &response);
      !status.ok()) {
    return FromGrpc(status);
  }
  return ExportOutcome{
      .points_rejected = response.partial_success().rejected_data_points(),
      .message = std::move(
          *response.mutable_partial_success()->mutable_error_message()),
  };
}

}  // namespace vigie::sdk
