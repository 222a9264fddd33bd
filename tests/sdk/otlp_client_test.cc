#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "collector/otlp_grpc.h"
#include "sdk/otlp/client.h"
#include "tests/collector/otlp_messages.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::sdk {
namespace {

using ::testing::HasSubstr;
using namespace vigie::testing;  // NOLINT: short messages

class OtlpClientTest : public ::testing::Test {
 protected:
  OtlpClientTest() {
    auto server = collector::OtlpGrpcServer::Start("127.0.0.1:0", {}, store_,
                                                   clock_, registry_);
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
    AddGauge(AddResource(&request_, {}), "x", 1);
  }

  MemoryStore store_;
  SimulatedClock clock_{kT};
  prometheus::Registry registry_;
  std::unique_ptr<collector::OtlpGrpcServer> server_;
  ExportRequest request_;
};

TEST_F(OtlpClientTest, ReportsSuccessAfterTheServerHasStoredIt) {
  OtlpClient client(server_->address());

  EXPECT_THAT(client.Export(request_, {}), IsOk());
  EXPECT_EQ(store_.batches(), 1u);
}

TEST_F(OtlpClientTest, TellsHowManyPointsWereRejected) {
  AddGauge(request_.mutable_resource_metrics(0), "...", 1);

  auto outcome = OtlpClient(server_->address()).Export(request_, {});

  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->points_rejected, 1);
  EXPECT_THAT(outcome->message, HasSubstr("leaves no metric name"));
}

TEST_F(OtlpClientTest, GivesUpAtTheDeadline) {
  store_.Hold();

  EXPECT_THAT(OtlpClient(server_->address())
                  .Export(request_, {.timeout = absl::Milliseconds(50)}),
              HasCode(absl::StatusCode::kDeadlineExceeded));
  store_.Release();
}

TEST_F(OtlpClientTest, SaysUnavailableWhereNobodyListens) {
  OtlpClient client(server_->address());
  server_.reset();

  EXPECT_THAT(client.Export(request_, {.timeout = absl::Seconds(30)}),
              HasCode(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vigie::sdk
