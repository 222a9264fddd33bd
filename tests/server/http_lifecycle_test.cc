// Writes, health, pages, cancellation and the options of the frontend.
#include <condition_variable>
#include <mutex>

#include "base/compress/compress.h"
#include "prometheus/remote/write.pb.h"
#include "server/http_frontend.h"
#include "tests/server/http_frontend_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using vigie::testing::HasError;
using vigie::testing::RawHttpClient;
using vigie::testing::RawReply;

// --- remote write ---

std::string WriteRequest(const std::string& name, int64_t time_ms) {
  prometheus::remote::WriteRequest request;
  auto* series = request.add_timeseries();
  auto* label = series->add_labels();
  label->set_name("__name__");
  label->set_value(name);
  auto* sample = series->add_samples();
  sample->set_timestamp(time_ms);
  sample->set_value(42);
  return compress::CompressSnappyBlock(request.SerializeAsString());
}

RawReply PostWrite(RawHttpClient client, const std::string& body) {
  return client.Ask(
      "POST /api/v1/write HTTP/1.1\r\nHost: t\r\nContent-Type: "
      "application/x-protobuf\r\nContent-Encoding: snappy\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
}

TEST_F(HttpFrontendTest, TakesARemoteWriteAndAnswersQueriesFromIt) {
  EXPECT_EQ(PostWrite(Client(), WriteRequest("pushed", kNowMs)).status, 204);

  EXPECT_THAT(Get("/api/v1/query?query=pushed").body, HasSubstr(R"("42"])"));
}

TEST_F(HttpFrontendTest, AnswersARemoteWriteOnlyOnceItIsDurable) {
  store_.Hold();
  RawHttpClient writer = Client();
  const std::string body = WriteRequest("pushed", kNowMs);
  writer.Send("POST /api/v1/write HTTP/1.1\r\nHost: t\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  while (store_.batches() == 0) std::this_thread::yield();

  // Others are answered meanwhile: no thread waits for the disk.
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(Get("/api/v1/query?query=pushed").body,
                HasSubstr(R"("result":[])"));
  }
  store_.Release();

  EXPECT_EQ(writer.Receive().status, 204);
}

TEST_F(HttpFrontendTest, PassesOnWhyAWriteIsRefused) {
  EXPECT_EQ(PostWrite(Client(), "nonsense").status, 400);
  store_.RefuseWith(absl::UnavailableError("disk full"));

  const RawReply reply = PostWrite(Client(), WriteRequest("pushed", kNowMs));

  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.headers.contains("Retry-After"));
}

// --- health, metrics, pages ---

TEST_F(HttpFrontendTest, IsHealthyAndMeasuredBeforeItIsReady) {
  frontend_->SetReady(false);

  EXPECT_EQ(Get("/-/healthy").status, 200);
  EXPECT_EQ(Get("/metrics").status, 200);
  EXPECT_EQ(Get("/-/ready").status, 503);
  EXPECT_EQ(Get("/api/v1/query?query=1").status, 503);
  EXPECT_EQ(PostWrite(Client(), WriteRequest("pushed", kNowMs)).status, 503);
  frontend_->SetReady(true);
  EXPECT_EQ(Get("/-/ready").status, 200);
}

TEST_F(HttpFrontendTest, ReloadsWhenAskedAndSaysWhatIsWrong) {
  EXPECT_EQ(Client().PostForm("/-/reload", "").status, 200);
  EXPECT_EQ(Get("/-/reload").status, 405);

  reload_ = absl::InvalidArgumentError("vigie.yml:3:1: unknown key \"x\"");
  const RawReply refused = Client().PostForm("/-/reload", "");

  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(refused.body,
            "failed to reload config: vigie.yml:3:1: unknown key \"x\"\n");
}

TEST_F(HttpFrontendTest, ExposesItsMetricsAsTextAfterBringingThemUpToDate) {
  Get("/api/v1/query?query=1");

  const RawReply reply = Get("/metrics");

  EXPECT_EQ(collects_, 1);
  EXPECT_EQ(reply.headers.at("Content-Type"),
            "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(reply.body,
              AllOf(HasSubstr("vigie_http_requests_total{code=\"200\","
                              "handler=\"/api/v1/query\"} 1"),
                    HasSubstr("vigie_http_connections "),
                    HasSubstr("vigie_query_running ")));
}

TEST_F(HttpFrontendTest, ShowsAPageThatNoScriptCanRunIn) {
  const RawReply reply = Get("/");

  EXPECT_THAT(reply.body, HasSubstr("/metrics"));
  EXPECT_EQ(reply.headers.at("Content-Security-Policy"), "default-src 'none'");
}

// --- cancellation ---

// Its Select ends only when it is stopped.
class StuckStore final : public store::Queryable {
 public:
  absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
      const store::SelectRequest&,
      const store::ReadContext& context) const override {
    std::unique_lock lock(mutex_);
    ++selects_;
    changed_.notify_all();
    if (!changed_.wait_for(lock, context.stop, std::chrono::seconds(10),
                           [] { return false; }) &&
        !context.stop.stop_requested()) {
      return absl::InternalError("never stopped");
    }
    ++stopped_;
    changed_.notify_all();
    return absl::CancelledError("select: stopped");
  }
  bool Await(int selects, int stopped) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
      return selects_ >= selects && stopped_ >= stopped;
    });
  }

  absl::StatusOr<store::NameList> LabelNames(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<store::NameList> LabelValues(
      const Tenant&, std::string_view, const TimeRange&,
      const std::vector<std::vector<Matcher>>&, uint64_t,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&, bool*) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<store::ExemplarSeries>> Exemplars(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<store::MetricMetadata>> ListMetadata(
      const Tenant&, std::string_view,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<store::Cardinality> CountCardinality(
      const Tenant&, uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  mutable int selects_ = 0;
  mutable int stopped_ = 0;
};

TEST_F(HttpFrontendTest, CancelsTheQueryOfAClientThatLeaves) {
  StuckStore stuck;
  Start(stuck);
  RawHttpClient client = Client();
  client.Send("GET /api/v1/query?query=up HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(1, 0));

  client.Close();

  EXPECT_TRUE(stuck.Await(1, 1));
  frontend_.reset();  // before the store it reads
}

TEST_F(HttpFrontendTest, ListsRunningQueriesAndCancelsOne) {
  EXPECT_EQ(Get("/api/v1/status/active_queries").body,
            Success(R"({"queries":[]})"));
  options_.admin_api = true;
  StuckStore stuck;
  Start(stuck);
  RawHttpClient asks_up = Client(), asks_down = Client();
  asks_up.Send(
      "GET /api/v1/query_range?query=up&start=1&end=61&step=15 HTTP/1.1\r\n"
      "Host: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(1, 0));
  clock_.AdvanceMs(2'500);
  asks_down.Send(
      "GET /api/v1/query?query=down%7Ba%3D%22b%22%7D&time=7 HTTP/1.1\r\n"
      "Host: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(2, 0));

  EXPECT_THAT(
      Get("/api/v1/status/active_queries").body,
      AllOf(HasSubstr(R"([{"id":1,"query":"up","tenant":"default","start":1,)"
                      R"("end":61,"stepSeconds":15,"durationSeconds":2.5,)"),
            HasSubstr(R"("startedAt":"2023-11-14T22:13:20Z"},)"
                      R"({"id":2,"query":"down{a=\"b\"}","tenant":"default",)"
                      R"("start":7,"end":7,"stepSeconds":0,)"
                      R"("durationSeconds":0,)")));

  const auto cancel = [&](const std::string& id) {
    return Client().PostForm("/api/v1/admin/queries/cancel", "id=" + id);
  };
  EXPECT_EQ(cancel("99").status, 404);
  EXPECT_EQ(cancel("x").status, 400);
  EXPECT_EQ(cancel("1").status, 204);
  EXPECT_EQ(asks_up.Receive().status, 499);
  EXPECT_TRUE(stuck.Await(2, 1));
  EXPECT_THAT(Get("/api/v1/status/active_queries").body,
              AllOf(HasSubstr("down{"), Not(HasSubstr(R"("up")"))));

  options_.admin_api = false;
  frontend_->Shutdown(absl::Milliseconds(1));
  frontend_.reset();
}

TEST_F(HttpFrontendTest, CancelsNothingUnlessAdministrationIsOn) {
  EXPECT_EQ(Client().PostForm("/api/v1/admin/queries/cancel", "id=1").status,
            503);
}

TEST_F(HttpFrontendTest, ShutdownCancelsQueriesThatDoNotEndInTime) {
  StuckStore stuck;
  Start(stuck);
  RawHttpClient client = Client();
  client.Send("GET /api/v1/query?query=up HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(1, 0));

  frontend_->Shutdown(absl::Milliseconds(1));

  EXPECT_TRUE(stuck.Await(1, 1));
  EXPECT_FALSE(Client().connected());
  frontend_.reset();
}

// --- options ---

absl::StatusOr<HttpOptions> Parse(const std::string& text) {
  return ParseHttpOptions(*yaml::Node::Parse(text, "vigie.yml"));
}

TEST(HttpOptionsTest, ReadsEveryKey) {
  const auto options = Parse(
      "body_bytes_max: 1MB\nbodies_bytes_max: 2MiB\nconnections_max: 3\n"
      "concurrent_queries_max: 4\nqueued_queries_max: 5\nheader_timeout: 6s\n"
      "idle_timeout: 7m\nbody_timeout: 8s\nremote_read: true\n"
      "remote_read_samples_max: 9\nremote_read_bytes_max: 10KiB\n"
      "cors_origin: a|b\n");

  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->bodies_bytes_max, 2 << 20);
  EXPECT_TRUE(options->remote_read);
  EXPECT_EQ(options->remote_read_samples_max, 9);
  EXPECT_EQ(options->remote_read_bytes_max, 10 << 10);
  EXPECT_EQ(options->cors_origin, "a|b");
  EXPECT_EQ(options->connections_max, 3);
  EXPECT_EQ(options->concurrent_queries_max, 4);
  EXPECT_EQ(options->queued_queries_max, 5);
  EXPECT_EQ(options->header_timeout, absl::Seconds(6));
  EXPECT_EQ(options->idle_timeout, absl::Minutes(7));
  EXPECT_EQ(options->body_timeout, absl::Seconds(8));
}

TEST(HttpOptionsTest, RefusesUnknownKeysAndNumbersThatCannotServe) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Parse("bodies: 1"), HasError(kInvalid, HasSubstr("vigie.yml:1")));
  EXPECT_THAT(
      Parse("connections_max: 0"),
      HasError(kInvalid, AllOf(HasSubstr("vigie.yml:1:"),
                               HasSubstr("connections_max must be positive"))));
  EXPECT_THAT(Parse("idle_timeout: 0s"), HasError(kInvalid, ::testing::_));
  EXPECT_THAT(Parse("concurrent_queries_max: 1001"),
              HasError(kInvalid, HasSubstr("at most 1000")));
  EXPECT_THAT(Parse("cors_origin: '('"),
              HasError(kInvalid, HasSubstr("vigie.yml:1:14")));
}

}  // namespace
}  // namespace vigie::server
