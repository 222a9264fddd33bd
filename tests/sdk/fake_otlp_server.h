// An OTLP/gRPC server in this process that keeps what it is sent and answers as
// it is told.
#pragma once

#include <google/protobuf/any.pb.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"

namespace vigie::testing {

namespace otlp = opentelemetry::proto::collector::metrics::v1;

class FakeOtlpServer final : public otlp::MetricsService::Service {
 public:
  struct Answer {
    grpc::StatusCode code = grpc::StatusCode::OK;
    int retry_after_ms = -1;  // a RetryInfo, unless negative
    int64_t rejected = 0;
    std::string message = "";
    bool hold = false;  // until the call is cancelled or Release()
  };

  // On a port of its own, with these credentials.
  explicit FakeOtlpServer(std::shared_ptr<grpc::ServerCredentials> credentials =
                              grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeOtlpServer() override {
    Release();
    server_->Shutdown();
  }

  const std::string& address() const { return address_; }

  // The answers to come, in order; OK after them.
  void Script(std::vector<Answer> answers) {
    std::lock_guard lock(mutex_);
    answers_.assign(answers.begin(), answers.end());
  }
  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  // Blocks until that many calls have come in, whatever their answers.
  void AwaitCalls(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return calls_.size() >= count; });
  }

  size_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_.size();
  }
  std::vector<otlp::ExportMetricsServiceRequest> requests() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  std::multimap<std::string, std::string> metadata() const {
    std::lock_guard lock(mutex_);
    return metadata_;
  }

  grpc::Status Export(grpc::ServerContext* context,
                      const otlp::ExportMetricsServiceRequest* request,
                      otlp::ExportMetricsServiceResponse* response) override {
    std::unique_lock lock(mutex_);
    calls_.push_back(*request);
    metadata_.clear();
    for (const auto& [key, value] : context->client_metadata()) {
      metadata_.emplace(std::string(key.data(), key.size()),
                        std::string(value.data(), value.size()));
    }
    Answer answer;
    if (!answers_.empty()) {
      answer = answers_.front();
      answers_.pop_front();
    }
    changed_.notify_all();
    // A cancelled call is answered to nobody; Release() comes at the latest
    // with the server's end.
    if (answer.hold) changed_.wait(lock, [&] { return released_; });
    if (answer.code != grpc::StatusCode::OK) return Failure(answer);
    if (answer.rejected > 0 || !answer.message.empty()) {
      auto* const partial = response->mutable_partial_success();
      partial->set_rejected_data_points(answer.rejected);
      partial->set_error_message(answer.message);
    }
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Failure(const Answer& answer) {
    if (answer.retry_after_ms < 0) return {answer.code, answer.message};
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(answer.retry_after_ms / 1000);
    info.mutable_retry_delay()->set_nanos(answer.retry_after_ms % 1000 *
                                          1'000'000);
    google::rpc::Status details;
    details.set_code(answer.code);
    auto* const any = details.add_details();
    any->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    any->set_value(info.SerializeAsString());
    return {answer.code, answer.message, details.SerializeAsString()};
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Answer> answers_;
  std::vector<otlp::ExportMetricsServiceRequest> calls_;
  std::multimap<std::string, std::string> metadata_;
  bool released_ = false;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace vigie::testing
