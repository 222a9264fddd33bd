#include "collector/otlp_grpc.h"

#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/compress/compress.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "collector/ingest_counters.h"
#include "collector/otlp_decode.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"

namespace vigie::collector {
namespace {

namespace pb = opentelemetry::proto::collector::metrics::v1;

// When a sender that was turned away may come again.
constexpr int kRetryDelaySeconds = 1;
// A connection's calls at one time; SDKs have one, forwarders about ten.
constexpr int kStreamsMax = 128;
// gRPC takes the limit as an int.
constexpr int64_t kMessageBytesMax = std::numeric_limits<int32_t>::max();
// What gRPC itself may hold for messages that are still arriving. With little
// more than nothing it stalls instead of refusing.
constexpr int64_t kArrivingBytesMin = 64 << 20;
// For closing what has been answered already.
constexpr auto kCloseTimeout = std::chrono::seconds(1);

std::string_view CodeName(grpc::StatusCode code) {
  switch (code) {
    case grpc::OK:
      return "OK";
    case grpc::INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case grpc::RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case grpc::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    default:
      return "INTERNAL";
  }
}

// gRPC writes a line for each bad call of a client; ours are rate limited.
void LogAsDebug(gpr_log_func_args* args) {
  spdlog::debug("grpc: {}:{}: {}", args->file, args->line, args->message);
}

// Tells the sender to come again: without a RetryInfo it must give up on
// RESOURCE_EXHAUSTED.
grpc::Status Temporary(grpc::StatusCode code, std::string_view text) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(kRetryDelaySeconds);
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(std::string(text));
  status.add_details()->PackFrom(retry);
  return {code, std::string(text), status.SerializeAsString()};
}

// For a batch that the store refused whole.
grpc::Status FromStore(const absl::Status& status) {
  const std::string_view text = MessageOf(status);
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return Temporary(grpc::RESOURCE_EXHAUSTED, text);
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return Temporary(grpc::UNAVAILABLE, text);
    case absl::StatusCode::kUnimplemented:
      return {grpc::UNIMPLEMENTED, std::string(text)};
    default:
      return {grpc::INTERNAL, std::string(text)};
  }
}

class Call;

// What the server and the calls in flight share; a completion of the store may
// come after the server is gone.
struct Shared {
  Shared(const OtlpOptions& options, store::Appender& appender,
         const Clock& clock, prometheus::Registry& registry)
      : options(options),
        appender(appender),
        counters("otlp", clock, registry) {}

  // False if the server is shutting down.
  bool Begin(std::shared_ptr<Call> call) {
    MutexLock lock(mutex);
    if (draining) return false;
    calls.insert(std::move(call));
    return true;
  }
  void End(const std::shared_ptr<Call>& call) {
    MutexLock lock(mutex);
    calls.erase(call);
    if (calls.empty()) idle.NotifyAll();
  }

  const OtlpOptions options;
  store::Appender& appender;  // used while the server lives
  IngestCounters counters;
  std::atomic<int64_t> inflight_bytes{0};

  Mutex mutex;
  CondVar idle;
  bool draining ABSL_GUARDED_BY(mutex) = false;
  absl::flat_hash_set<std::shared_ptr<Call>> calls ABSL_GUARDED_BY(mutex);
};

// Bytes of one request, counted against all requests while it is decoded.
class Reservation {
 public:
  explicit Reservation(Shared& shared) : shared_(shared) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { shared_.inflight_bytes -= bytes_; }

  bool Add(size_t bytes) {
    const auto more = static_cast<int64_t>(bytes);
    if (shared_.inflight_bytes.fetch_add(more) + more >
        shared_.options.inflight_bytes_max) {
      shared_.inflight_bytes -= more;
      return false;
    }
    bytes_ += more;
    return true;
  }

 private:
  Shared& shared_;
  int64_t bytes_ = 0;
};

// One request: its batches go to the store at once, the answer goes out when
// the last of them is durable or refused.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(std::shared_ptr<Shared> shared, grpc::ServerUnaryReactor* reactor,
       grpc::ByteBuffer* response)
      : shared_(std::move(shared)), reactor_(reactor), response_(response) {}

  void Run(const grpc::ByteBuffer& request) {
    absl::StatusOr<OtlpDecoded> decoded = OtlpDecoded{};
    {
      Reservation reservation(*shared_);
      std::string body;
      grpc::Status status = Read(request, &reservation, &body);
      if (!status.ok()) return Refuse(std::move(status));
      decoded = DecodeOtlp(body, Tenant{}, shared_->options.batch_bytes_max);
    }
    if (absl::IsOutOfRange(decoded.status())) {
      return Refuse(
          {grpc::RESOURCE_EXHAUSTED, std::string(MessageOf(decoded.status()))});
    }
    if (!decoded.ok()) {
      return Refuse(
          {grpc::INVALID_ARGUMENT, std::string(MessageOf(decoded.status()))});
    }
    shared_->counters.Received(decoded->points);
    {
      MutexLock lock(mutex_);
      for (const PointRefusal& refusal : decoded->refusals) {
        AddRefusal(refusal.reason, refusal.points, refusal.example);
        rejected_ += refusal.points;
      }
      pending_ = decoded->batches.size() + 1;  // one for Append itself
    }
    Append(std::move(decoded->batches));
  }

  // Answers, unless that has been done: then response_ is gone.
  void Finish(const grpc::Status& status) {
    if (finished_.exchange(true)) return;
    if (status.ok()) SetResponse();
    shared_->counters.Request(CodeName(status.error_code()));
    reactor_->Finish(status);
    shared_->End(shared_from_this());
  }

 private:
  void Refuse(grpc::Status status) {
    shared_->counters.RefusedWhole(CodeName(status.error_code()),
                                   status.error_message());
    Finish(status);
  }

  grpc::Status Busy() const {
    return Temporary(grpc::RESOURCE_EXHAUSTED,
                     fmt::format("more than {} bytes of requests in flight",
                                 shared_->options.inflight_bytes_max));
  }

  // The message, inflated if it came so.
  grpc::Status Read(const grpc::ByteBuffer& request, Reservation* reservation,
                    std::string* body) {
    if (!reservation->Add(request.Length())) return Busy();
    std::vector<grpc::Slice> slices;
    if (const grpc::Status status = request.Dump(&slices); !status.ok()) {
      return {grpc::INTERNAL, status.error_message()};
    }
    body->reserve(request.Length());
    for (const grpc::Slice& slice : slices) {
      body->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    // gRPC is told to leave messages compressed and to take gzip alone. No
    // OTLP message begins with gzip's magic: 0x1f would be wire type 7.
    if (!body->starts_with("\x1f\x8b")) return grpc::Status::OK;
    return Inflate(reservation, body);
  }

  grpc::Status Inflate(Reservation* reservation, std::string* body) {
    // gzip ends with the size, modulo 2^32. What inflates to more lies.
    const int64_t bytes_max = shared_->options.message_bytes_max;
    uint32_t declared = 0;
    if (body->size() < 18) {
      return {grpc::INVALID_ARGUMENT, "gzip: cut short"};
    }
    std::memcpy(&declared, body->data() + body->size() - 4, 4);
    if (declared > bytes_max) {
      return {grpc::RESOURCE_EXHAUSTED,
              fmt::format("gzip: {} bytes after decompression, the limit is {}",
                          declared, bytes_max)};
    }
    if (!reservation->Add(declared)) return Busy();
    absl::StatusOr<std::string> plain =
        compress::DecompressGzip(*body, declared);
    if (!plain.ok()) {
      return {grpc::INVALID_ARGUMENT, std::string(MessageOf(plain.status()))};
    }
    *body = *std::move(plain);
    return grpc::Status::OK;
  }

  void Append(std::vector<OtlpBatch> batches) {
    for (OtlpBatch& one : batches) {
      const Sent sent{one.points, one.batch.floats.size() +
                                      one.batch.integer_histograms.size() +
                                      one.batch.deltas.size()};
      shared_->appender.Append(
          std::move(one.batch),
          [call = shared_from_this(), sent](store::AppendOutcome outcome) {
            call->Complete(sent, outcome);
          });
    }
    Complete({}, {});
  }

  struct Sent {
    uint64_t points = 0;   // of OTLP
    uint64_t samples = 0;  // what they became; a histogram is many
  };

  void Complete(Sent sent, const store::AppendOutcome& outcome) {
    const uint64_t accepted = outcome.floats_accepted +
                              outcome.histograms_accepted +
                              outcome.deltas_accepted;
    grpc::Status answer;
    {
      MutexLock lock(mutex_);
      if (!outcome.status.ok()) {
        shared_->counters.Refused(WholeBatchReason(outcome.status.code()),
                                  sent.points, MessageOf(outcome.status));
        if (failure_.ok()) failure_ = FromStore(outcome.status);
      } else if (sent.samples > accepted) {
        // The store counts samples; a batch has no more points to lose.
        rejected_ += std::min(sent.samples - accepted, sent.points);
      }
      for (const store::Refusal& refusal : outcome.refusals) {
        AddRefusal(store::RefusalName(refusal.reason), refusal.count,
                   refusal.example);
      }
      if (--pending_ > 0) return;
      answer = failure_;
    }
    Finish(answer);
  }

  void AddRefusal(std::string_view reason, uint64_t count,
                  std::string_view example)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    shared_->counters.Refused(reason, count, example);
    if (!message_.empty()) message_ += "; ";
    message_ +=
        fmt::format("{}: {}, first: {}", reason, count, CutExample(example));
  }

  void SetResponse() {
    MutexLock lock(mutex_);
    pb::ExportMetricsServiceResponse response;
    if (!message_.empty()) {
      auto* partial = response.mutable_partial_success();
      partial->set_rejected_data_points(static_cast<int64_t>(rejected_));
      partial->set_error_message(message_);
    }
    const grpc::Slice slice(response.SerializeAsString());
    *response_ = grpc::ByteBuffer(&slice, 1);
  }

  const std::shared_ptr<Shared> shared_;
  grpc::ServerUnaryReactor* const reactor_;
  grpc::ByteBuffer* const response_;
  std::atomic<bool> finished_{false};

  Mutex mutex_;
  size_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t rejected_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string message_ ABSL_GUARDED_BY(mutex_);
  grpc::Status failure_ ABSL_GUARDED_BY(mutex_);
};

class Service final : public pb::MetricsService::WithRawCallbackMethod_Export<
                          pb::MetricsService::Service> {
 public:
  explicit Service(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)) {}

  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    auto call = std::make_shared<Call>(shared_, reactor, response);
    if (shared_->Begin(call)) {
      call->Run(*request);
    } else {
      call->Finish(Temporary(grpc::UNAVAILABLE, "shutting down"));
    }
    return reactor;
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

absl::StatusOr<OtlpOptions> ParseOtlpOptions(const yaml::Node& section) {
  OtlpOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("message_bytes_max", &options.message_bytes_max));
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("batch_bytes_max", &options.batch_bytes_max));
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("inflight_bytes_max", &options.inflight_bytes_max));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  if (options.message_bytes_max <= 0 ||
      options.message_bytes_max > kMessageBytesMax) {
    return section.Error("message_bytes_max is not within 1 to 2147483647");
  }
  if (options.batch_bytes_max <= 0) {
    return section.Error("batch_bytes_max is not above 0");
  }
  if (options.inflight_bytes_max < 2 * options.message_bytes_max) {
    return section.Error(
        "inflight_bytes_max is below twice message_bytes_max: a compressed "
        "message of that size could never be taken");
  }
  return options;
}

struct OtlpGrpcServer::Impl {
  explicit Impl(std::shared_ptr<Shared> shared)
      : shared(std::move(shared)), service(this->shared) {}

  const std::shared_ptr<Shared> shared;
  Service service;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<OtlpGrpcServer>> OtlpGrpcServer::Start(
    const std::string& address, const OtlpOptions& options,
    store::Appender& appender, const Clock& clock,
    prometheus::Registry& registry) {
  static std::once_flag log_set_up;
  std::call_once(log_set_up, [] { gpr_set_log_function(LogAsDebug); });
  auto impl = std::make_unique<Impl>(
      std::make_shared<Shared>(options, appender, clock, registry));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&impl->service);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::min(options.message_bytes_max, kMessageBytesMax)));
  // gRPC inflates without a bound: docs/decisions/0036-otlp-decompression.md.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  // Without this a second server shares the port instead of failing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  grpc::ResourceQuota quota("otlp");
  quota.Resize(static_cast<size_t>(
      std::max(options.inflight_bytes_max, kArrivingBytesMin)));
  builder.SetResourceQuota(quota);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || port == 0) {
    return absl::UnavailableError(fmt::format(
        "otlp: cannot listen on {}: taken, or not an address of this machine",
        address));
  }
  std::string host = address.substr(0, address.rfind(':'));
  return std::unique_ptr<OtlpGrpcServer>(
      new OtlpGrpcServer(fmt::format("{}:{}", host, port), std::move(impl)));
}

OtlpGrpcServer::OtlpGrpcServer(std::string address, std::unique_ptr<Impl> impl)
    : address_(std::move(address)), impl_(std::move(impl)) {}

OtlpGrpcServer::~OtlpGrpcServer() { Shutdown(absl::ZeroDuration()); }

void OtlpGrpcServer::Shutdown(absl::Duration timeout) {
  Shared& shared = *impl_->shared;
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  absl::flat_hash_set<std::shared_ptr<Call>> left;
  {
    MutexLock lock(shared.mutex);
    if (std::exchange(shared.draining, true)) return;
    while (!shared.calls.empty()) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= deadline) break;
      shared.idle.WaitFor(shared.mutex, deadline - now);
    }
    left = shared.calls;
  }
  for (const auto& call : left) {
    call->Finish(Temporary(grpc::UNAVAILABLE, "shutting down"));
  }
  impl_->server->Shutdown(std::chrono::system_clock::now() + kCloseTimeout);
}

}  // namespace vigie::collector
