// What the server says of itself and of its targets, over a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/selector_deadline.h"
#include "tests/server/http_frontend_fixture.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(HttpFrontendTest, NotifiesOfAConfigurationThatCannotBeRead) {
  EXPECT_EQ(Get("/api/v1/notifications").body, Success("[]"));
  EXPECT_THAT(Get("/api/v1/status/runtimeinfo").body,
              AllOf(HasSubstr(R"("reloadConfigSuccess":true)"),
                    HasSubstr(R"("lastConfigTime":"2023-11-14T22:13:20Z")"),
                    HasSubstr(R"("storageRetention":"1d")")));

  reload_ = absl::InvalidArgumentError("vigie.yml:1:1: wrong");

  EXPECT_EQ(Get("/api/v1/notifications").body,
            Success(R"([{"text":"Configuration reload has failed.",)"
                    R"("date":"2023-11-14T22:13:20Z","active":true}])"));
  EXPECT_THAT(Get("/api/v1/status/runtimeinfo").body,
              HasSubstr(R"("reloadConfigSuccess":false)"));
  EXPECT_EQ(Get("/api/v1/notifications/live").status, 204);
}

TEST_F(HttpFrontendTest, ListsWhatItHasByCategory) {
  EXPECT_THAT(
      Get("/api/v1/features").body,
      AllOf(HasSubstr(R"("data":{"api":{"admin":false,)"),
            HasSubstr(R"("at_modifier":true)"),
            HasSubstr(R"("promql_functions":{"abs":true,)"),
            HasSubstr(R"("info":false,)"), HasSubstr(R"("limitk":false,)")));

  experimental_ = true;
  Start(store_);

  EXPECT_THAT(
      Get("/api/v1/features").body,
      AllOf(HasSubstr(R"("info":true,)"), HasSubstr(R"("limitk":true,)")));
}

TEST_F(HttpFrontendTest, HasNoLogToReplayAndNoBlocksOfTheTsdb) {
  EXPECT_EQ(Get("/api/v1/status/walreplay").body,
            Success(R"({"min":0,"max":0,"current":0})"));
  EXPECT_EQ(Get("/api/v1/status/tsdb/blocks").body,
            Success(R"({"blocks":[]})"));
}

TEST_F(HttpFrontendTest, EndsForNobodyWhoReachesItsPort) {
  const auto reply = Client().PostForm("/-/quit", "");

  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.body, "Lifecycle API is not enabled.\n");
  EXPECT_EQ(Get("/-/quit").status, 405);
  EXPECT_EQ(Get("/-/healthy").status, 200);
}

class HttpTargetsMetadataTest : public HttpFrontendTest {
 protected:
  void SetUp() override {
    HttpFrontendTest::SetUp();
    auto root = yaml::Node::Parse(
        "scrape_configs:\n"
        "- job_name: a\n"
        "  static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]\n",
        "prometheus.yml");
    ASSERT_TRUE(root.ok());
    auto config = collector::ParsePrometheusConfig(*root);
    ASSERT_TRUE(config.ok()) << config.status();
    scraper_.Apply(*config);
    Append({{"__name__", "seen_bucket"},
            {"instance", "127.0.0.1:1"},
            {"job", "a"}},
           {{kNowMs, 1}});
    Append({{"__name__", "old"}, {"instance", "127.0.0.1:1"}, {"job", "a"}},
           {{kNowMs - 3'600'000, 1}});
    Append({{"__name__", "seen_bucket"},
            {"instance", "127.0.0.1:2"},
            {"job", "other"}},
           {{kNowMs, 1}});
    store::AppendBatch batch;
    batch.metadata.push_back(
        {"seen", {MetricType::kHistogram, "What is \"seen\".", "bytes"}});
    batch.metadata.push_back({"old", {MetricType::kGauge, "", ""}});
    batch.metadata.push_back({"unseen", {MetricType::kGauge, "", ""}});
    store_.Append(std::move(batch), [](const store::AppendOutcome& outcome) {
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    });
  }

  const std::string target_ =
      R"({"target":{"instance":"127.0.0.1:1","job":"a"},)";
  const std::string rest_ =
      R"("type":"histogram","help":"What is \"seen\".","unit":"bytes"})";
};

TEST_F(HttpTargetsMetadataTest, ListsTheMetricsATargetHas) {
  EXPECT_EQ(Get("/api/v1/targets/metadata").body,
            Success("[" + target_ + R"("metric":"seen",)" + rest_ + "]"));
  EXPECT_EQ(Get("/api/v1/targets/metadata?metric=seen").body,
            Success("[" + target_ + rest_ + "]"));
  EXPECT_EQ(
      Get("/api/v1/targets/metadata?match_target={instance=%22127.0.0.1:2%22}")
          .body,
      Success("[]"));
  EXPECT_EQ(Get("/api/v1/targets/metadata?limit=0").body, Success("[]"));
}

TEST_F(HttpTargetsMetadataTest, ExplainsBadParameters) {
  EXPECT_EQ(Get("/api/v1/targets/metadata?limit=x").body,
            Error("bad_data", "limit must be a number"));
  EXPECT_THAT(Get("/api/v1/targets/metadata?match_target={").body,
              AllOf(HasSubstr("bad_data"),
                    HasSubstr(R"(invalid parameter \"match_target\")")));
}

TEST(SelectorDeadlineTest, EndsWhatTakesTooLongOrNobodyWaitsFor) {
  testing::SimulatedClock clock{kNowMs};
  std::stop_source client;
  HttpRequest request;
  request.stop = client.get_token();
  const SelectorDeadline deadline(request, clock);

  clock.AdvanceMs(kSelectorsNsMax / 1'000'000);
  EXPECT_EQ(deadline.Check(), absl::OkStatus());
  clock.AdvanceMs(1);
  EXPECT_EQ(deadline.Check().code(), absl::StatusCode::kDeadlineExceeded);
  client.request_stop();
  EXPECT_EQ(deadline.Check().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace vigie::server
