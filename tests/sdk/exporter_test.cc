#include "sdk/otlp/exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sdk/meter.h"
#include "tests/sdk/fake_otlp_server.h"
#include "tests/sdk/manual_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace vigie::testing;  // NOLINT: short doubles

constexpr int64_t kStart = 1'795'000'000'000'000'000;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;
constexpr absl::Duration kLong = absl::Minutes(2);

using Answer = FakeOtlpServer::Answer;

// Points of one metric in a request, whatever their resource.
std::vector<const opentelemetry::proto::metrics::v1::NumberDataPoint*> SumsOf(
    const otlp::ExportMetricsServiceRequest& request, const std::string& name) {
  std::vector<const opentelemetry::proto::metrics::v1::NumberDataPoint*> out;
  for (const auto& resource : request.resource_metrics()) {
    for (const auto& scope : resource.scope_metrics()) {
      for (const auto& metric : scope.metrics()) {
        if (metric.name() != name) continue;
        for (const auto& point : metric.sum().data_points()) {
          out.push_back(&point);
        }
      }
    }
  }
  return out;
}

class ExporterTest : public ::testing::Test {
 protected:
  ExporterTest() {
    options_.endpoint.address = server_.address();
    options_.resource = Resource("exporter", "exporter-0");
    options_.clock = &clock_;
    options_.on_event = [this](std::string_view event) {
      std::lock_guard lock(mutex_);
      events_.emplace_back(event);
    };
  }

  std::unique_ptr<Exporter> StartExporter() {
    auto exporter = Exporter::Start(options_);
    EXPECT_THAT(exporter, IsOk());
    (*exporter)->Add(meter_);
    return *std::move(exporter);
  }
  std::shared_ptr<Meter> NewMeter(std::string_view instance) {
    return std::make_shared<Meter>(Resource("orders", instance),
                                   Meter::Options{.clock = &clock_});
  }
  // The last value of the exporter's own counter that the server was sent.
  int64_t LastSelf(const std::string& name, const std::string& reason = "") {
    int64_t out = -1;
    for (const auto& request : server_.requests()) {
      for (const auto* point : SumsOf(request, name)) {
        if (reason.empty() ||
            point->attributes(0).value().string_value() == reason) {
          out = point->as_int();
        }
      }
    }
    return out;
  }
  std::vector<std::string> events() {
    std::lock_guard lock(mutex_);
    return events_;
  }

  std::mutex mutex_;
  std::vector<std::string> events_;
  ManualClock clock_{kStart};
  FakeOtlpServer server_;
  ExporterOptions options_;
  std::shared_ptr<Meter> meter_ = NewMeter("orders-0");
  BoundCounter orders_ =
      meter_->AddCounter<"site">({.name = "shop.orders"}).Bind("fr");
};

TEST_F(ExporterTest, SendsAtTheIntervalOfAllSourcesWithOneTime) {
  const auto second = NewMeter("orders-1");
  second->AddCounter<"site">({.name = "shop.orders"}).Bind("fr");
  const auto exporter = StartExporter();
  exporter->Add(second);
  orders_.Add(3);

  clock_.AwaitWait(60 * kSecond, 60 * kSecond);
  clock_.AdvanceNs(60 * kSecond);
  server_.AwaitCalls(1);

  const auto request = server_.requests().at(0);
  const auto points = SumsOf(request, "shop.orders");
  ASSERT_EQ(points.size(), 3u);  // orders-0's zero, its 3, orders-1's zero
  EXPECT_EQ(points[0]->as_int(), 0);
  EXPECT_EQ(points[0]->time_unix_nano(), uint64_t{kStart});
  EXPECT_EQ(points[1]->as_int(), 3);
  EXPECT_EQ(points[1]->start_time_unix_nano(), uint64_t{kStart});
  EXPECT_EQ(points[1]->time_unix_nano(), uint64_t{kStart + 60 * kSecond});
  EXPECT_EQ(points[2]->time_unix_nano(), points[1]->time_unix_nano());
  EXPECT_EQ(request.resource_metrics_size(), 3);  // and the exporter's own
  const auto& sum =
      request.resource_metrics(0).scope_metrics(0).metrics(0).sum();
  EXPECT_TRUE(sum.is_monotonic());
  EXPECT_EQ(
      sum.aggregation_temporality(),
      opentelemetry::proto::metrics::v1::AGGREGATION_TEMPORALITY_CUMULATIVE);
}

TEST_F(ExporterTest, FlushReturnsOnceTheServerHasAcknowledged) {
  const auto exporter = StartExporter();
  orders_.Increment();

  EXPECT_THAT(exporter->Flush(kLong), IsOk());

  EXPECT_EQ(SumsOf(server_.requests().at(0), "shop.orders").back()->as_int(),
            1);
  EXPECT_EQ(exporter->counts().queued, 0u);
}

TEST_F(ExporterTest, CollectionsNeverShareAMillisecond) {
  const auto exporter = StartExporter();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(exporter->Flush(kLong), IsOk());

  std::set<uint64_t> times_ms;
  for (const auto& request : server_.requests()) {
    times_ms.insert(SumsOf(request, "shop.orders")[0]->time_unix_nano() / kMs);
  }
  EXPECT_EQ(times_ms.size(), 3u);
}

TEST_F(ExporterTest, AClockSteppedBackIsFollowed) {
  const auto exporter = StartExporter();
  ASSERT_THAT(exporter->Flush(kLong), IsOk());
  clock_.SetUnixNs(kStart - 3600 * kSecond);
  ASSERT_THAT(exporter->Flush(kLong), IsOk());

  EXPECT_EQ(
      SumsOf(server_.requests().at(1), "shop.orders")[0]->time_unix_nano(),
      uint64_t{kStart - 3600 * kSecond});
}

TEST_F(ExporterTest, NoRequestHoldsMorePointsThanAllowed) {
  options_.request_points_max = 10;
  auto users = meter_->AddGauge<"user">({.name = "users"});
  for (int user = 0; user < 95; ++user) users.Bind(user).Set(user);
  const auto exporter = StartExporter();

  ASSERT_THAT(exporter->Flush(kLong), IsOk());

  std::set<std::string> seen;
  for (const auto& request : server_.requests()) {
    int points = 0;
    for (const auto& resource : request.resource_metrics()) {
      EXPECT_EQ(resource.resource().attributes(0).key(), "service.name");
      for (const auto& metric : resource.scope_metrics(0).metrics()) {
        points += metric.gauge().data_points_size() +
                  metric.sum().data_points_size() +
                  metric.histogram().data_points_size();
        if (metric.name() != "users") continue;
        for (const auto& point : metric.gauge().data_points()) {
          seen.insert(point.attributes(0).value().string_value());
        }
      }
    }
    EXPECT_LE(points, 10);
  }
  EXPECT_EQ(seen.size(), 95u);
}

// Every retryable code of OTLP's table, and then success.
TEST_F(ExporterTest, TriesAgainAfterEachRetryableCode) {
  const std::vector<grpc::StatusCode> codes = {
      grpc::StatusCode::CANCELLED,   grpc::StatusCode::DEADLINE_EXCEEDED,
      grpc::StatusCode::ABORTED,     grpc::StatusCode::OUT_OF_RANGE,
      grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::DATA_LOSS,
  };
  std::vector<Answer> answers;
  for (const auto code : codes) answers.push_back({.code = code});
  server_.Script(answers);
  const auto exporter = StartExporter();
  std::jthread flush([&] { EXPECT_THAT(exporter->Flush(kLong), IsOk()); });

  for (size_t i = 0; i < codes.size(); ++i) {
    clock_.AdvanceNs(clock_.AwaitWait(1, 30 * kSecond));
  }
  flush.join();

  EXPECT_EQ(server_.calls(), codes.size() + 1);
  EXPECT_EQ(exporter->counts().retries, codes.size());
  EXPECT_EQ(exporter->counts().dropped_for(DropReason::kPermanent), 0u);
}

TEST_F(ExporterTest, WaitsLongerEachTimeWithJitterAndNeverBeyondTheMaximum) {
  options_.backoff_min = absl::Seconds(1);
  options_.backoff_max = absl::Seconds(4);
  server_.Script(
      std::vector<Answer>(4, Answer{.code = grpc::StatusCode::UNAVAILABLE}));
  const auto exporter = StartExporter();
  std::jthread flush([&] { EXPECT_THAT(exporter->Flush(kLong), IsOk()); });

  for (const int64_t step : {1, 2, 4, 4}) {
    const int64_t wait = clock_.AwaitWait(1, 30 * kSecond);
    EXPECT_GE(wait, step * kSecond / 2);
    EXPECT_LE(wait, step * kSecond);
    clock_.AdvanceNs(wait);
  }
}

TEST_F(ExporterTest, WaitsAsLongAsTheServerAsksEvenInAFlush) {
  server_.Script(
      {{.code = grpc::StatusCode::RESOURCE_EXHAUSTED, .retry_after_ms = 7'250},
       {.code = grpc::StatusCode::UNAVAILABLE, .retry_after_ms = 45'000}});
  const auto exporter = StartExporter();
  std::jthread first([&] { EXPECT_THAT(exporter->Flush(kLong), IsOk()); });

  clock_.AwaitWait(7'250 * kMs, 7'250 * kMs);
  std::jthread second([&] { EXPECT_THAT(exporter->Flush(kLong), IsOk()); });
  clock_.AdvanceMs(7'249);
  EXPECT_EQ(server_.calls(), 1u);
  clock_.AdvanceMs(1);
  clock_.AwaitWait(45 * kSecond, 45 * kSecond);
  clock_.AdvanceNs(45 * kSecond);
}

TEST_F(ExporterTest, AFlushEndsABackOffOfOurOwn) {
  server_.Script({{.code = grpc::StatusCode::UNAVAILABLE}});
  const auto exporter = StartExporter();
  clock_.AwaitWait(60 * kSecond, 60 * kSecond);
  clock_.AdvanceNs(60 * kSecond);
  clock_.AwaitWait(1, 30 * kSecond);

  EXPECT_THAT(exporter->Flush(kLong), IsOk());
  EXPECT_EQ(exporter->counts().retries, 1u);
}

TEST_F(ExporterTest, WhatTheServerWillNeverTakeIsDroppedAtOnce) {
  for (const auto code :
       {grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::UNAUTHENTICATED,
        grpc::StatusCode::RESOURCE_EXHAUSTED}) {
    server_.Script({{.code = code, .message = "no"}});
    const auto exporter = StartExporter();
    EXPECT_THAT(exporter->Flush(kLong), HasCode(absl::StatusCode::kDataLoss));
    EXPECT_GT(exporter->counts().dropped_for(DropReason::kPermanent), 0u);
    EXPECT_EQ(exporter->counts().retries, 0u);
    EXPECT_THAT(events().back(), HasSubstr("dropped (permanent): "));
  }
}

TEST_F(ExporterTest, RejectedPointsAreCountedAndNotSentAgain) {
  server_.Script({{.rejected = 2, .message = "two are wrong"}});
  const auto exporter = StartExporter();

  EXPECT_THAT(exporter->Flush(kLong), HasCode(absl::StatusCode::kDataLoss));

  EXPECT_EQ(server_.calls(), 1u);
  EXPECT_EQ(exporter->counts().dropped_for(DropReason::kRejected), 2u);
  EXPECT_GT(exporter->counts().sent, 0u);
  EXPECT_THAT(events(), ElementsAre(HasSubstr("two are wrong")));
}

TEST_F(ExporterTest, AWarningIsNoLoss) {
  server_.Script({{.message = "old names"}});
  const auto exporter = StartExporter();

  EXPECT_THAT(exporter->Flush(kLong), IsOk());
  EXPECT_THAT(events(), ElementsAre(HasSubstr("warns: old names")));
}

TEST_F(ExporterTest, ALyingServerCannotMakeMoreRejectedThanWasSent) {
  server_.Script({{.rejected = 1'000'000'000}});
  const auto exporter = StartExporter();
  EXPECT_THAT(exporter->Flush(kLong), HasCode(absl::StatusCode::kDataLoss));

  EXPECT_EQ(exporter->counts().sent, 0u);
  EXPECT_LT(exporter->counts().dropped_for(DropReason::kRejected), 100u);
}

TEST_F(ExporterTest, AFullQueueDropsTheOldestAndSaysHowMuch) {
  options_.interval = absl::Hours(1);
  const auto exporter_points = [&] {
    const auto exporter = StartExporter();
    EXPECT_THAT(exporter->Flush(kLong), IsOk());
    return exporter->counts().sent;
  }();
  options_.request_points_max = exporter_points;
  options_.queue_points_max = 2 * exporter_points;
  server_.Script(
      {{.code = grpc::StatusCode::UNAVAILABLE, .retry_after_ms = 200'000}});
  const auto exporter = StartExporter();
  for (int i = 0; i < 4; ++i) {  // the first is being sent: it stays
    orders_.Increment();
    EXPECT_THAT(exporter->Flush(absl::ZeroDuration()),
                HasCode(absl::StatusCode::kDeadlineExceeded));
    if (i == 0) clock_.AwaitWait(200 * kSecond, 200 * kSecond);
  }
  EXPECT_EQ(exporter->counts().dropped_for(DropReason::kQueueFull),
            2 * exporter_points);
  EXPECT_EQ(exporter->counts().queued, 2 * exporter_points);

  clock_.AdvanceNs(200 * kSecond);
  server_.AwaitCalls(5);
  EXPECT_THAT(exporter->Flush(kLong), IsOk());

  std::vector<int64_t> values;
  for (const auto& request : server_.requests()) {
    values.push_back(SumsOf(request, "shop.orders").back()->as_int());
  }
  // Two of the exporter before; the first, tried twice; of the others the
  // newest; the last flush.
  EXPECT_THAT(values, ElementsAre(0, 0, 1, 1, 4, 4));
  EXPECT_EQ(LastSelf("vigie.sdk.export.dropped", "queue_full"),
            static_cast<int64_t>(2 * exporter_points));
}

TEST_F(ExporterTest, WhatIsTooOldIsGivenUp) {
  options_.request_age_max = absl::Seconds(10);
  server_.Script(
      {{.code = grpc::StatusCode::UNAVAILABLE, .retry_after_ms = 11'000}});
  const auto exporter = StartExporter();

  EXPECT_THAT(exporter->Flush(kLong), HasCode(absl::StatusCode::kDataLoss));
  EXPECT_GT(exporter->counts().dropped_for(DropReason::kExpired), 0u);
}

TEST_F(ExporterTest, AServerThatHangsCostsOneTimeout) {
  options_.try_timeout = absl::Milliseconds(50);  // of real time, gRPC's
  server_.Script({{.hold = true}});
  const auto exporter = StartExporter();
  std::jthread flush([&] { EXPECT_THAT(exporter->Flush(kLong), IsOk()); });

  clock_.AdvanceNs(clock_.AwaitWait(1, 30 * kSecond));
  flush.join();

  EXPECT_EQ(exporter->counts().retries, 1u);
}

TEST_F(ExporterTest, FlushGivesUpAtItsDeadlineAndKeepsThePoints) {
  server_.Script({{.hold = true}});
  const auto exporter = StartExporter();
  std::jthread flush([&] {
    EXPECT_THAT(exporter->Flush(absl::Seconds(3)),
                HasCode(absl::StatusCode::kDeadlineExceeded));
  });
  server_.AwaitCalls(1);
  clock_.AwaitWait(3 * kSecond, 3 * kSecond);
  clock_.AdvanceNs(3 * kSecond);
  flush.join();
  EXPECT_GT(exporter->counts().queued, 0u);

  server_.Release();
  EXPECT_THAT(exporter->Flush(kLong), IsOk());
}

TEST_F(ExporterTest, ShutdownSendsTheLastValuesAndIsTheEnd) {
  const auto exporter = StartExporter();
  orders_.Add(42);

  EXPECT_THAT(exporter->Shutdown(kLong), IsOk());

  EXPECT_EQ(SumsOf(server_.requests().back(), "shop.orders").back()->as_int(),
            42);
  EXPECT_THAT(exporter->Shutdown(kLong),
              HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(exporter->Flush(kLong),
              HasCode(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ExporterTest, ShutdownEndsAtItsDeadlineWithACallUnderWay) {
  server_.Script({{.hold = true}});
  const auto exporter = StartExporter();
  std::jthread shutdown([&] {
    EXPECT_THAT(exporter->Shutdown(absl::Seconds(2)),
                HasCode(absl::StatusCode::kDeadlineExceeded));
  });
  server_.AwaitCalls(1);
  clock_.AwaitWait(2 * kSecond, 2 * kSecond);
  clock_.AdvanceNs(2 * kSecond);
  shutdown.join();

  EXPECT_GT(exporter->counts().dropped_for(DropReason::kShutdown), 0u);
  EXPECT_EQ(exporter->counts().queued, 0u);
}

TEST_F(ExporterTest, TheDestructorFlushes) {
  auto exporter = StartExporter();
  orders_.Add(7);
  exporter.reset();

  EXPECT_EQ(SumsOf(server_.requests().back(), "shop.orders").back()->as_int(),
            7);
}

TEST_F(ExporterTest, ARemovedSourceIsNotAskedAgain) {
  const auto exporter = StartExporter();
  exporter->Remove(*meter_);
  ASSERT_THAT(exporter->Flush(kLong), IsOk());

  EXPECT_EQ(SumsOf(server_.requests().at(0), "shop.orders").size(), 0u);
}

TEST_F(ExporterTest, AHookThatThrowsHidesItsSourceAlone) {
  const auto bad = NewMeter("bad");
  bad->OnCollect([] { throw std::runtime_error("out of luck"); });
  const auto exporter = StartExporter();
  exporter->Add(bad);

  EXPECT_THAT(exporter->Flush(kLong), IsOk());
  EXPECT_EQ(SumsOf(server_.requests().at(0), "shop.orders").size(), 1u);
  EXPECT_THAT(events(), ElementsAre(HasSubstr("out of luck")));
}

TEST_F(ExporterTest, HeadersGoWithEveryCall) {
  options_.endpoint.headers = {{"X-Scope-OrgID", "shop"}};
  const auto exporter = StartExporter();
  ASSERT_THAT(exporter->Flush(kLong), IsOk());

  const auto metadata = server_.metadata();
  ASSERT_EQ(metadata.count("x-scope-orgid"), 1u);
  EXPECT_EQ(metadata.find("x-scope-orgid")->second, "shop");
}

TEST_F(ExporterTest, ReportsOnItselfFromTheNextCollectionOn) {
  const auto exporter = StartExporter();
  ASSERT_THAT(exporter->Flush(kLong), IsOk());
  const auto sent = static_cast<int64_t>(exporter->counts().sent);
  ASSERT_THAT(exporter->Flush(kLong), IsOk());

  EXPECT_EQ(LastSelf("vigie.sdk.export.sent"), sent);
  EXPECT_EQ(LastSelf("vigie.sdk.export.dropped", "expired"), 0);
}

TEST_F(ExporterTest, DisabledIsSilentAndContent) {
  options_.disabled = true;
  const auto exporter = StartExporter();
  orders_.Increment();

  EXPECT_THAT(exporter->Flush(kLong), IsOk());
  EXPECT_EQ(server_.calls(), 0u);
}

TEST_F(ExporterTest, AForkedChildSaysSoAndEnds) {
  auto exporter = StartExporter();
  const pid_t child = ::fork();
  if (child == 0) {
    orders_.Increment();  // the child's own copy
    const bool refuses =
        exporter->Flush(kLong).code() == absl::StatusCode::kFailedPrecondition;
    exporter.reset();
    ::_exit(refuses ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);

  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(exporter->Flush(kLong), IsOk());
}

TEST_F(ExporterTest, OptionsThatMakeNoSenseAreRefused) {
  options_.interval = absl::ZeroDuration();
  EXPECT_THAT(Exporter::Start(options_),
              HasCode(absl::StatusCode::kInvalidArgument));
  options_.interval = absl::Seconds(1);
  options_.queue_points_max = 1;
  EXPECT_THAT(Exporter::Start(options_),
              HasCode(absl::StatusCode::kInvalidArgument));
}

// Flushes, collections, sources that come and go, all at once; on the machine's
// clock, as that is what runs in production.
TEST_F(ExporterTest, ThreadsMayDoEverythingAtOnceAndNothingIsLost) {
  options_.clock = &Clock::System();
  options_.interval = absl::Milliseconds(2);
  auto meter = std::make_shared<Meter>(Resource("orders", "threads"));
  const auto counter = meter->AddCounter<>({.name = "threads"}).Bind();
  auto exporter = Exporter::Start(options_);
  ASSERT_THAT(exporter, IsOk());
  (*exporter)->Add(meter);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2'000; ++i) counter.Increment();
        for (int i = 0; i < 5; ++i) {
          const auto other = NewMeter("other");
          (*exporter)->Add(other);
          EXPECT_THAT((*exporter)->Flush(kLong), IsOk());
          (*exporter)->Remove(*other);
        }
      });
    }
  }
  EXPECT_THAT((*exporter)->Shutdown(kLong), IsOk());

  int64_t last = 0;
  for (const auto& request : server_.requests()) {
    for (const auto* point : SumsOf(request, "threads")) {
      EXPECT_GE(point->as_int(), last);
      last = point->as_int();
    }
  }
  EXPECT_EQ(last, 6'000);
}

}  // namespace
}  // namespace vigie::sdk
