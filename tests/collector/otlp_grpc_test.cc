// A real server and real clients over loopback, in front of a store in memory.
#include "collector/otlp_grpc.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/compress/compress.h"
#include "base/strings.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "sdk/otlp/client.h"
#include "tests/collector/otlp_messages.h"
#include "tests/collector/stored_samples.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace vigie::testing;  // NOLINT: short messages
namespace service = opentelemetry::proto::collector::metrics::v1;

constexpr const char* kExport =
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

grpc::ByteBuffer BufferOf(std::string bytes) {
  const grpc::Slice slice(std::move(bytes));
  return {&slice, 1};
}

// Of this process, in KiB: "VmHWM" is the peak.
int64_t StatusKib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) {
      return std::stoll(line.substr(field.size() + 1));
    }
  }
  return -1;
}

class OtlpGrpcTest : public ::testing::Test {
 protected:
  void Start(const OtlpOptions& options) {
    server_.reset();
    auto server = OtlpGrpcServer::Start("127.0.0.1:0", options, store_, clock_,
                                        registry_);
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    client_ = std::make_unique<sdk::OtlpClient>(server_->address());
  }
  void SetUp() override { Start({}); }

  // The raw call, for messages that no client writes.
  grpc::Status Call(
      const grpc::ByteBuffer& request,
      grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
    grpc::GenericStub stub(grpc::CreateChannel(
        server_->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
    context.set_compression_algorithm(compression);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> answer;
    stub.UnaryCall(&context, kExport, {}, &request, &response,
                   [&](grpc::Status status) { answer.set_value(status); });
    return answer.get_future().get();
  }

  std::vector<std::string> Stored() {
    ByteAccount account("test", 1 << 20);
    bool truncated = false;
    auto series =
        store_.Series(Tenant{}, {}, {}, 0, {&account, {}}, &truncated);
    EXPECT_THAT(series, IsOk());
    std::vector<std::string> out;
    for (const Labels& labels : *series) out.push_back(labels.ToString());
    return out;
  }
  std::string Metrics() {
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

  MemoryStore store_;
  SimulatedClock clock_{kT};
  prometheus::Registry registry_;
  std::unique_ptr<OtlpGrpcServer> server_;
  std::unique_ptr<sdk::OtlpClient> client_;
};

ExportRequest OneGauge() {
  ExportRequest request;
  AddGauge(AddResource(&request, {{"service.name", "cart"}}), "queue.depth", 3);
  return request;
}

TEST_F(OtlpGrpcTest, StoresWhatPlainAndCompressedClientsSend) {
  for (const bool compress : {false, true}) {
    auto outcome = client_->Export(OneGauge(), {.compress = compress});

    ASSERT_THAT(outcome, IsOk());
    EXPECT_EQ(outcome->points_rejected, 0);
    EXPECT_EQ(outcome->message, "");
  }

  EXPECT_THAT(Stored(), ElementsAre("queue_depth{job=\"cart\"}"));
  EXPECT_EQ(store_.batches(), 2u);
  EXPECT_THAT(
      Metrics(),
      AllOf(HasSubstr("vigie_collector_points_received_total{door=\"otlp\"} 2"),
            HasSubstr("vigie_collector_requests_total{code=\"OK\",door="
                      "\"otlp\"} 2")));
}

TEST_F(OtlpGrpcTest, NamesTheRealPort) {
  EXPECT_THAT(server_->address(), ::testing::MatchesRegex("127.0.0.1:[1-9].*"));
}

TEST_F(OtlpGrpcTest, NamesAnAddressThatIsTaken) {
  EXPECT_THAT(
      OtlpGrpcServer::Start(server_->address(), {}, store_, clock_, registry_),
      HasError(absl::StatusCode::kUnavailable,
               HasSubstr("cannot listen on " + server_->address())));
}

TEST_F(OtlpGrpcTest, AnswersAfterTheStoreHasAnswered) {
  store_.Hold();
  auto answer = std::async(std::launch::async, [&] {
    return client_->Export(OneGauge(), {.timeout = absl::Seconds(30)});
  });
  while (store_.batches() == 0) std::this_thread::yield();

  // Another call comes and goes meanwhile.
  EXPECT_EQ(Call(BufferOf("\x0B")).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)),
            std::future_status::timeout);
  store_.Release();
  EXPECT_THAT(answer.get(), IsOk());
}

TEST_F(OtlpGrpcTest, TakesTheRestOfARequestWithABadPoint) {
  ExportRequest request = OneGauge();
  AddHistogram(request.mutable_resource_metrics(0), "http.duration", {1, 2, 3},
               {1, 1, 1, 1}, 4)
      ->add_bucket_counts(1);

  auto outcome = client_->Export(request, {});

  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->points_rejected, 1);
  EXPECT_THAT(outcome->message, HasSubstr("metrics[1] \"http.duration\": "
                                          "data_points[0]: 5 bucket counts for "
                                          "3 bounds"));
  EXPECT_THAT(Stored(), ElementsAre("queue_depth{job=\"cart\"}"));
  EXPECT_THAT(Metrics(),
              HasSubstr("vigie_collector_points_refused_total{door=\"otlp\","
                        "reason=\"invalid_point\"} 1"));
}

TEST_F(OtlpGrpcTest, AnswersInUtf8WhateverItQuotes) {
  // Cut after 200 bytes, this name would end within a character.
  std::string name = "x";
  for (int i = 0; i < 200; ++i) name += "\xE6\xB8\xA9";
  ExportRequest request;
  AddGauge(AddResource(&request, {}), name, 1)->clear_as_double();

  auto outcome = client_->Export(request, {});

  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->points_rejected, 1);
  EXPECT_TRUE(IsValidUtf8(outcome->message));
  EXPECT_LT(outcome->message.size(), 1'000u);
}

TEST_F(OtlpGrpcTest, ReportsWhatTheStoreRefusesAsPartialSuccess) {
  constexpr auto kDelta =
      opentelemetry::proto::metrics::v1::AGGREGATION_TEMPORALITY_DELTA;
  ExportRequest request = OneGauge();
  AddSum(request.mutable_resource_metrics(0), "orders", 1, kDelta);
  auto* overlapping =
      AddSum(request.mutable_resource_metrics(0), "orders", 1, kDelta);
  overlapping->set_start_time_unix_nano(kTNano - 1'000'000'000);
  overlapping->set_time_unix_nano(kTNano + 1'000'000'000);

  auto outcome = client_->Export(request, {});

  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->points_rejected, 1);
  EXPECT_THAT(outcome->message, AllOf(HasSubstr("overlapping_delta: 1"),
                                      HasSubstr("orders_total")));
}

TEST_F(OtlpGrpcTest, ADeltaThatIsSentAgainCountsOnce) {
  ExportRequest request;
  AddSum(AddResource(&request, {}), "orders", 3,
         opentelemetry::proto::metrics::v1::AGGREGATION_TEMPORALITY_DELTA);

  for (int i = 0; i < 2; ++i) {
    auto outcome = client_->Export(request, {});
    ASSERT_THAT(outcome, IsOk());
    EXPECT_EQ(outcome->points_rejected, 0);
  }

  EXPECT_THAT(StoredSamples(store_),
              ::testing::Contains(
                  ::testing::Pair("orders_total", fmt::format("{} 3", kT))));
}

TEST_F(OtlpGrpcTest, RefusesAMalformedMessageAndStoresNothingOfIt) {
  std::string bytes = OneGauge().SerializeAsString();
  bytes += "\x0A\x05zz";

  const grpc::Status status = Call(BufferOf(bytes));

  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr(fmt::format("byte {}: length runs past the end",
                                    bytes.size() - 4)));
  EXPECT_EQ(store_.batches(), 0u);
  EXPECT_THAT(Metrics(),
              HasSubstr("{code=\"INVALID_ARGUMENT\",door=\"otlp\"} 1"));
}

TEST_F(OtlpGrpcTest, TellsASenderToComeAgainUnderPressureOnly) {
  store_.RefuseWith(absl::ResourceExhaustedError("queue is full"));
  const auto pressed = client_->Export(OneGauge(), {});
  store_.RefuseWith(absl::UnavailableError("disk is full"));
  const auto unavailable = client_->Export(OneGauge(), {});
  store_.RefuseWith(absl::InternalError("broken"));
  const auto internal = client_->Export(OneGauge(), {});

  constexpr const char* kRetry = "type.googleapis.com/google.rpc.RetryInfo";
  EXPECT_THAT(pressed,
              HasError(absl::StatusCode::kResourceExhausted, "queue is full"));
  ASSERT_TRUE(pressed.status().GetPayload(kRetry).has_value());
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(
      retry.ParseFromString(std::string(*pressed.status().GetPayload(kRetry))));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_THAT(unavailable,
              HasError(absl::StatusCode::kUnavailable, "disk is full"));
  EXPECT_TRUE(unavailable.status().GetPayload(kRetry).has_value());
  EXPECT_THAT(internal, HasCode(absl::StatusCode::kInternal));
  EXPECT_FALSE(internal.status().GetPayload(kRetry).has_value());
  EXPECT_THAT(Metrics(), HasSubstr("reason=\"queue_full\"} 1"));
}

TEST_F(OtlpGrpcTest, RefusesAMessageThatIsTooLargeForGood) {
  Start({.message_bytes_max = 100'000});
  ExportRequest request = OneGauge();
  request.mutable_resource_metrics(0)->set_schema_url(
      std::string(200'000, 'u'));

  for (const bool compress : {false, true}) {
    const auto answer = client_->Export(request, {.compress = compress});

    EXPECT_THAT(answer, HasCode(absl::StatusCode::kResourceExhausted));
    EXPECT_FALSE(answer.status()
                     .GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                     .has_value());
    // The compressed one fits the wire: this limit is ours.
    EXPECT_EQ(answer.status().message().find("after decompression") !=
                  absl::string_view::npos,
              compress);
  }
  EXPECT_EQ(store_.batches(), 0u);
}

TEST_F(OtlpGrpcTest, RefusesAGzipBombWithoutInflatingIt) {
  constexpr int64_t kBombKib = 256 << 10;
  const std::string bomb =
      compress::CompressGzip(std::string(kBombKib << 10, '\0'));
  std::string lying = bomb;  // declares 1 000 bytes
  lying.replace(lying.size() - 4, 4, std::string("\xE8\x03\0\0", 4));
  ASSERT_TRUE(std::ofstream("/proc/self/clear_refs") << "5" << std::flush);
  const int64_t before_kib = StatusKib("VmRSS");

  const grpc::Status declared = Call(BufferOf(bomb));
  const grpc::Status lied = Call(BufferOf(lying));

  EXPECT_EQ(declared.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(declared.error_message(),
              HasSubstr("268435456 bytes after decompression, the limit is"));
  EXPECT_EQ(lied.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(lied.error_message(), HasSubstr("more than 1000 bytes"));
  EXPECT_LT(StatusKib("VmHWM") - before_kib, kBombKib / 4);
}

TEST_F(OtlpGrpcTest, RefusesMalformedGzip) {
  const grpc::Status cut = Call(BufferOf("\x1f\x8b"));
  std::string broken = compress::CompressGzip(OneGauge().SerializeAsString());
  broken[15] = static_cast<char>(broken[15] ^ 0x55);
  const grpc::Status bad = Call(BufferOf(broken));

  EXPECT_EQ(cut.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(cut.error_message(), HasSubstr("gzip: cut short"));
  EXPECT_EQ(bad.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(bad.error_message(), HasSubstr("gzip: "));
}

TEST_F(OtlpGrpcTest, RefusesDeflateByName) {
  ExportRequest request = OneGauge();
  request.mutable_resource_metrics(0)->set_schema_url(std::string(10'000, 'u'));

  const grpc::Status status =
      Call(BufferOf(request.SerializeAsString()), GRPC_COMPRESS_DEFLATE);

  EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("deflate"));
  EXPECT_EQ(store_.batches(), 0u);
}

TEST_F(OtlpGrpcTest, TellsASenderToComeAgainWhenTooMuchIsInFlight) {
  Start({.inflight_bytes_max = 1'000});
  ExportRequest request = OneGauge();
  request.mutable_resource_metrics(0)->set_schema_url(std::string(2'000, 'u'));

  const auto refused = client_->Export(request, {.compress = false});
  const auto taken = client_->Export(OneGauge(), {});

  EXPECT_THAT(refused, HasError(absl::StatusCode::kResourceExhausted,
                                HasSubstr("more than 1000 bytes")));
  EXPECT_TRUE(refused.status()
                  .GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                  .has_value());
  EXPECT_THAT(taken, IsOk());
}

TEST_F(OtlpGrpcTest, ShutdownAnswersWhatTheStoreDoesNot) {
  store_.Hold();
  auto answer = std::async(std::launch::async, [&] {
    return client_->Export(OneGauge(), {.timeout = absl::Seconds(30)});
  });
  while (store_.batches() == 0) std::this_thread::yield();

  server_->Shutdown(absl::Milliseconds(10));

  EXPECT_THAT(answer.get(), HasError(absl::StatusCode::kUnavailable,
                                     HasSubstr("shutting down")));
  server_.reset();
  store_.Release();  // the completion comes after the server is gone
}

TEST_F(OtlpGrpcTest, ShutdownWaitsForWhatTheStoreIsAboutToAnswer) {
  store_.Hold();
  auto answer = std::async(std::launch::async, [&] {
    return client_->Export(OneGauge(), {.timeout = absl::Seconds(30)});
  });
  while (store_.batches() == 0) std::this_thread::yield();

  std::thread shutdown([&] { server_->Shutdown(absl::Seconds(30)); });
  store_.Release();

  EXPECT_THAT(answer.get(), IsOk());
  shutdown.join();
}

TEST_F(OtlpGrpcTest, TakesManyClientsAtOnce) {
  constexpr int kClients = 8, kRequests = 50;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      sdk::OtlpClient client(server_->address());
      for (int j = 0; j < kRequests; ++j) {
        ExportRequest request;
        AddGauge(
            AddResource(&request, {{"service.name", "svc"},
                                   {"service.instance.id", std::to_string(i)}}),
            fmt::format("m{}", j), j);
        failed += !client.Export(request, {.timeout = absl::Seconds(60)}).ok();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(failed, 0);
  EXPECT_EQ(Stored().size(), static_cast<size_t>(kClients * kRequests));
}

TEST(OtlpOptionsTest, AreReadFromTheirSection) {
  auto node = yaml::Node::Parse(
      "message_bytes_max: 1MiB\ninflight_bytes_max: 8MiB\n", "vigie.yml");
  ASSERT_THAT(node, IsOk());

  auto options = ParseOtlpOptions(*node);

  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->message_bytes_max, 1 << 20);
  EXPECT_EQ(options->inflight_bytes_max, 8 << 20);
}

TEST(OtlpOptionsTest, RefuseWhatMakesNoSense) {
  const auto parse = [](const char* text) {
    return ParseOtlpOptions(*yaml::Node::Parse(text, "vigie.yml"));
  };

  EXPECT_THAT(parse("colour: red\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("vigie.yml:1:"), HasSubstr("colour"))));
  EXPECT_THAT(parse("message_bytes_max: 0\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("message_bytes_max is not within")));
  EXPECT_THAT(parse("inflight_bytes_max: 1MiB\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("below twice message_bytes_max")));
}

}  // namespace
}  // namespace vigie::collector
