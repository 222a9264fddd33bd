#include "sdk/otlp/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <unordered_set>
#include <utility>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "sdk/mutex.h"

namespace vigie::sdk {
namespace {

namespace pb = opentelemetry::proto::collector::metrics::v1;

constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

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

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(
    const OtlpEndpoint& endpoint) {
  if (!endpoint.tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = endpoint.ca,
                               .pem_private_key = endpoint.key,
                               .pem_cert_chain = endpoint.certificate});
}

// gRPC's own back-off between connection attempts would outlast ours.
grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments out;
  out.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  out.SetUserAgentPrefix("vigie-sdk");
  return out;
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

}  // namespace

struct OtlpClient::Impl {
  explicit Impl(const OtlpEndpoint& endpoint)
      : endpoint(endpoint),
        stub(pb::MetricsService::NewStub(grpc::CreateCustomChannel(
            endpoint.address, CredentialsOf(endpoint), Arguments()))) {}

  // False if cancelled.
  bool Begin(grpc::ClientContext* call) {
    MutexLock lock(mutex);
    if (cancelled) return false;
    calls.insert(call);
    return true;
  }
  void End(grpc::ClientContext* call) {
    MutexLock lock(mutex);
    calls.erase(call);
  }

  const OtlpEndpoint endpoint;
  const std::unique_ptr<pb::MetricsService::Stub> stub;
  Mutex mutex;
  bool cancelled VIGIE_SDK_GUARDED_BY(mutex) = false;
  std::unordered_set<grpc::ClientContext*> calls VIGIE_SDK_GUARDED_BY(mutex);
};

OtlpClient::OtlpClient(const OtlpEndpoint& endpoint)
    : impl_(std::make_unique<Impl>(endpoint)) {}
OtlpClient::OtlpClient(const std::string& address)
    : OtlpClient(OtlpEndpoint{.address = address}) {}
OtlpClient::~OtlpClient() = default;

absl::StatusOr<ExportOutcome> OtlpClient::Export(
    const pb::ExportMetricsServiceRequest& request,
    const ExportOptions& options) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoNanoseconds(options.timeout));
  for (const Attribute& header : impl_->endpoint.headers) {
    context.AddMetadata(LowerCase(header.key), header.value);
  }
  if (options.compress) {
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  }
  pb::ExportMetricsServiceResponse response;
  if (!impl_->Begin(&context)) return absl::CancelledError("cancelled");
  const grpc::Status status = impl_->stub->Export(&context, request, &response);
  impl_->End(&context);
  if (!status.ok()) return FromGrpc(status);
  return ExportOutcome{
      .points_rejected = response.partial_success().rejected_data_points(),
      .message = std::move(
          *response.mutable_partial_success()->mutable_error_message()),
  };
}

void OtlpClient::Cancel() {
  MutexLock lock(impl_->mutex);
  impl_->cancelled = true;
  for (grpc::ClientContext* const call : impl_->calls) call->TryCancel();
}

RetryAdvice AdviceOf(const absl::Status& status) {
  RetryAdvice out;
  bool asks = false;
  if (const auto detail = status.GetPayload(kRetryInfoUrl)) {
    google::rpc::RetryInfo info;
    if (info.ParseFromString(std::string(*detail))) {
      asks = true;
      out.delay_min =
          std::max(absl::ZeroDuration(),
                   absl::Seconds(info.retry_delay().seconds()) +
                       absl::Nanoseconds(info.retry_delay().nanos()));
    }
  }
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      out.retryable = true;
      break;
    case absl::StatusCode::kResourceExhausted:
      out.retryable = asks;
      break;
    default:
      break;
  }
  return out;
}

}  // namespace vigie::sdk
