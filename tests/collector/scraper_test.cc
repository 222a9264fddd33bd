#include "collector/scraper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>

#include "collector/scrape_target.h"
#include "tests/collector/stored_samples.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/test_http_server.h"

namespace vigie::collector {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::Gate;
using ::vigie::testing::MemoryStore;
using ::vigie::testing::SimulatedClock;
using ::vigie::testing::TestHttpServer;

constexpr int64_t kStartMs = 1'700'000'000'000;
constexpr int64_t kIntervalMs = 10'000;

// Tells when batches have been answered.
class AwaitedStore final : public store::Appender {
 public:
  void Append(store::AppendBatch batch, store::AppendCompletion done) override {
    memory.Append(std::move(batch), [this, done = std::move(done)](
                                        store::AppendOutcome outcome) mutable {
      std::move(done)(std::move(outcome));
      std::lock_guard lock(mutex_);
      ++answered_;
      changed_.notify_all();
    });
  }
  // Blocks until `count` batches in all have been answered.
  void Await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return answered_ >= count; });
  }

  MemoryStore memory;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int answered_ = 0;
};

class ScraperTest : public ::testing::Test {
 protected:
  ScrapeJob Job(const TestHttpServer& server) const {
    return {.name = "j",
            .interval_ms = kIntervalMs,
            .timeout_ms = kIntervalMs,
            .static_configs = {{{server.address()}, {}}}};
  }
  void Apply(Scraper& scraper, std::vector<ScrapeJob> jobs) {
    PrometheusConfig config;
    config.jobs = std::move(jobs);
    scraper.Apply(config);
  }
  // To the next turn of the job's first target, wherever in the interval that
  // is: targets spread by address, and the port is the system's choice.
  void Turn(const ScrapeJob& job) {
    const StaticTargetGroup& group = job.static_configs[0];
    const auto target = MakeTarget(job, group, group.targets[0]);
    const int64_t into =
        (clock_.NowMs() - (*target)->OffsetMs()) % job.interval_ms;
    clock_.AdvanceMs(job.interval_ms - into);
  }

  std::string Of(const std::string& metric,
                 const TestHttpServer& server) const {
    const auto stored = StoredSamples(store_.memory);
    const auto it = stored.find(metric + "{instance=\"" + server.address() +
                                "\", job=\"j\"}");
    return it == stored.end() ? "" : it->second;
  }
  // The values alone: times depend on the port, by which targets spread.
  static std::string Values(const std::string& samples) {
    std::string out, word;
    std::istringstream in(samples);
    for (bool time = true; in >> word; time = !time) {
      if (!time) out += (out.empty() ? "" : " ") + word;
    }
    return out;
  }

  double Metric(const std::string& name,
                const prometheus::ClientMetric::Label& label) const {
    for (const auto& family : registry_.Collect()) {
      if (family.name != name) continue;
      for (const auto& metric : family.metric) {
        for (const auto& one : metric.label) {
          if (one == label) return metric.counter.value;
        }
        if (metric.label.empty()) {
          return metric.counter.value + metric.gauge.value;
        }
      }
    }
    return 0;
  }

  AwaitedStore store_;
  net::HttpClient http_;
  SimulatedClock clock_{kStartMs};
  prometheus::Registry registry_;
};

TestHttpServer::Response Text(std::string body) {
  return {.headers = {{"Content-Type", "text/plain; version=0.0.4"}},
          .body = std::move(body)};
}

TEST_F(ScraperTest, ScrapesATargetAtItsPlaceInEachInterval) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  EXPECT_EQ(scraper.Targets()[0].health, "unknown");
  for (int i = 1; i <= 3; ++i) {
    Turn(Job(server));
    store_.Await(i);
  }

  EXPECT_EQ(Values(Of("a", server)), "1 1 1");
  EXPECT_EQ(Values(Of("up", server)), "1 1 1");
  const auto targets = scraper.Targets();
  ASSERT_THAT(targets, SizeIs(1));
  EXPECT_EQ(targets[0].health, "up");
  EXPECT_EQ(targets[0].last_error, "");
  EXPECT_EQ(targets[0].scrape_pool, "j");
  EXPECT_EQ(targets[0].scrape_url, server.Url("/metrics"));
  EXPECT_EQ(targets[0].labels.Get("instance"), server.address());
  const auto request = server.requests()[0];
  EXPECT_THAT(request.headers.at("accept"), HasSubstr("text/plain"));
  EXPECT_EQ(request.headers.at("x-prometheus-scrape-timeout-seconds"), "10");
  EXPECT_EQ(Metric("vigie_collector_requests_total", {"code", "ok"}), 3);
}

TEST_F(ScraperTest, MarksATargetDownAndItsSeriesStaleUntilItAnswers) {
  std::atomic<int> status = 200;
  TestHttpServer server([&](const auto&) {
    auto response = Text("a 1\n");
    response.status = status;
    return response;
  });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);
  status = 503;
  Turn(Job(server));
  store_.Await(2);
  EXPECT_EQ(scraper.Targets()[0].health, "down");
  EXPECT_EQ(scraper.Targets()[0].last_error, "server returned HTTP status 503");
  status = 200;
  Turn(Job(server));
  store_.Await(3);

  EXPECT_EQ(Values(Of("a", server)), "1 stale 1");
  EXPECT_EQ(Values(Of("up", server)), "1 0 1");
  EXPECT_EQ(Metric("vigie_collector_requests_total", {"code", "http_status"}),
            1);
}

TEST_F(ScraperTest, TellsWhereAnExpositionIsMalformed) {
  TestHttpServer server([](const auto&) { return Text("a 1\nb{x} 2\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);

  EXPECT_EQ(scraper.Targets()[0].last_error,
            "exposition: 2:4: expected '=' after label name, found \"}\"");
  EXPECT_EQ(Of("a", server), "");
  EXPECT_EQ(Values(Of("up", server)), "0");
  EXPECT_EQ(
      Metric("vigie_collector_points_refused_total", {"reason", "malformed"}),
      1);
}

TEST_F(ScraperTest, TakesATargetThatExposesTooMuchAsDown) {
  TestHttpServer server([](const auto&) { return Text("a 1\nb 2\n"); });
  ScrapeJob body = Job(server), samples = Job(server);
  body.body_size_limit = 5;
  samples.sample_limit = 1;
  samples.name = "k";
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {body, samples});
  Turn(body);
  Turn(samples);
  store_.Await(2);

  const auto targets = scraper.Targets();
  EXPECT_THAT(targets[0].last_error, HasSubstr("longer than 5 bytes"));
  EXPECT_THAT(targets[1].last_error, HasSubstr("sample_limit exceeded"));
  EXPECT_EQ(Values(Of("up", server)), "0");
}

TEST_F(ScraperTest, TakesATargetThatDoesNotAnswerInTimeAsDown) {
  Gate gate;
  TestHttpServer server([&](const auto&) {
    gate.Wait();
    return Text("a 1\n");
  });
  ScrapeJob job = Job(server);
  job.timeout_ms = 20;
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {job});
  Turn(Job(server));
  store_.Await(1);

  EXPECT_THAT(scraper.Targets()[0].last_error,
              HasSubstr("no complete answer within 20ms"));
  EXPECT_EQ(Values(Of("up", server)), "0");
  gate.Open();
}

TEST_F(ScraperTest, EndsTheSeriesOfATargetThatIsTakenAway) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);
  Apply(scraper, {});
  store_.Await(2);

  EXPECT_EQ(Values(Of("a", server)), "1 stale");
  EXPECT_EQ(Values(Of("up", server)), "1 stale");
  EXPECT_THAT(scraper.Targets(), IsEmpty());
}

TEST_F(ScraperTest, EndsTheSeriesOfATargetThatIsTakenAwayWhileItAnswers) {
  Gate gate;
  TestHttpServer server([&](const auto&) {
    gate.Wait();
    return Text("a 1\n");
  });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  gate.AwaitWaiters(1);
  Apply(scraper, {});
  gate.Open();
  store_.Await(2);

  EXPECT_EQ(Values(Of("a", server)), "1 stale");
}

TEST_F(ScraperTest, GoesOnWithUnchangedTargetsAfterApply) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);
  ScrapeJob other = Job(server);
  other.name = "k";
  Apply(scraper, {Job(server), other});
  Turn(Job(server));
  Turn(other);
  store_.Await(3);

  EXPECT_EQ(Values(Of("a", server)), "1 1");
  EXPECT_THAT(scraper.Targets(), SizeIs(2));
  EXPECT_EQ(Metric("vigie_scrape_targets", {}), 2);
}

TEST_F(ScraperTest, StartsAnewWhereRelabellingChanges) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);
  ScrapeJob job = Job(server);
  job.metric_relabel_configs = {
      *Relabel::Create({.target_label = "__name__", .replacement = "b"})};
  Apply(scraper, {job});
  store_.Await(2);
  Turn(Job(server));
  store_.Await(3);

  EXPECT_EQ(Values(Of("a", server)), "1 stale");
  EXPECT_EQ(Values(Of("b", server)), "1");
}

TEST_F(ScraperTest, GoesOnAfterTheStoreRefusedABatch) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  store_.memory.RefuseWith(absl::ResourceExhaustedError("queue full"));
  Turn(Job(server));
  store_.Await(1);
  store_.memory.RefuseWith(absl::OkStatus());
  Turn(Job(server));
  store_.Await(2);

  EXPECT_EQ(Values(Of("a", server)), "1");
  EXPECT_EQ(Metric("vigie_scrape_appends_failed_total", {}), 1);
  EXPECT_EQ(
      Metric("vigie_collector_points_refused_total", {"reason", "queue_full"}),
      6);
}

TEST_F(ScraperTest, LeavesOutScrapesWhileTheStoreIsSlow) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  store_.memory.Hold();
  Turn(Job(server));
  store_.memory.AwaitBatches(1);
  clock_.AdvanceMs(5 * kIntervalMs);
  EXPECT_EQ(store_.memory.batches(), 1u);
  store_.memory.Release();
  store_.Await(2);

  EXPECT_EQ(Values(Of("a", server)), "1 1");
  EXPECT_EQ(Metric("vigie_scrape_intervals_missed_total", {}), 4);
}

TEST_F(ScraperTest, ScrapesAgainSoonAfterTheWallClockWentBack) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {Job(server)});
  Turn(Job(server));
  store_.Await(1);
  clock_.SetNowMs(clock_.NowMs() - 3'600'000);
  clock_.AdvanceMs(kIntervalMs);
  store_.Await(2);
  Turn(Job(server));
  store_.Await(3);

  EXPECT_EQ(Values(Of("a", server)), "1 1 1");
}

TEST_F(ScraperTest, StopsWhileATargetIsSilent) {
  Gate gate;
  TestHttpServer server([&](const auto&) {
    gate.Wait();
    return Text("a 1\n");
  });
  ScrapeJob job = Job(server);
  job.interval_ms = job.timeout_ms = 3'600'000;
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {job});
  Turn(job);
  gate.AwaitWaiters(1);

  scraper.Stop();

  EXPECT_EQ(store_.memory.batches(), 0u);
  gate.Open();
}

TEST_F(ScraperTest, LeavesSeriesAliveWhenItStops) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  {
    Scraper scraper(store_, http_, clock_, registry_);
    Apply(scraper, {Job(server)});
    Turn(Job(server));
    store_.Await(1);
    scraper.Stop();
    Apply(scraper, {});
    scraper.Stop();
  }

  EXPECT_EQ(Values(Of("a", server)), "1");
}

TEST_F(ScraperTest, SendsCredentialsAndReadsTheirFileEachTime) {
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  const std::string path = ::testing::TempDir() + "/scraper_test_token";
  const auto write = [&](const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
  };
  ScrapeJob bearer = Job(server), basic = Job(server);
  bearer.authorization = {.type = "Bearer", .secret_file = path};
  basic.name = "k";
  basic.authorization = {
      .type = "Basic", .username = "u", .secret = Secret("p")};
  write("one\n");
  {
    Scraper scraper(store_, http_, clock_, registry_);
    Apply(scraper, {bearer});
    Turn(Job(server));
    store_.Await(1);
    write("two\n");
    Turn(Job(server));
    store_.Await(2);
    std::remove(path.c_str());
    Turn(Job(server));
    store_.Await(3);
    EXPECT_EQ(scraper.Targets()[0].last_error,
              "authorization: " + path + ": cannot be read");
    Apply(scraper, {basic});
    store_.Await(4);
    Turn(basic);
    store_.Await(5);
  }

  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(3));
  EXPECT_EQ(requests[0].headers.at("authorization"), "Bearer one");
  EXPECT_EQ(requests[1].headers.at("authorization"), "Bearer two");
  EXPECT_EQ(requests[2].headers.at("authorization"), "Basic dTpw");
}

TEST_F(ScraperTest, ScrapesTargetsAtOnceThoughOthersAreSilent) {
  Gate gate;
  TestHttpServer silent([&](const auto&) {
    gate.Wait();
    return Text("a 1\n");
  });
  TestHttpServer server([](const auto&) { return Text("a 1\n"); });
  ScrapeJob job = Job(silent);
  job.static_configs.clear();
  for (int i = 0; i < 20; ++i) {
    job.static_configs.push_back(
        {{silent.address()}, {{"n", std::to_string(i)}}});
  }
  ScrapeJob quick = Job(server);
  quick.name = "quick";
  Scraper scraper(store_, http_, clock_, registry_);
  Apply(scraper, {job, quick});
  clock_.AdvanceMs(kIntervalMs);
  gate.AwaitWaiters(20);
  store_.Await(1);

  EXPECT_THAT(StoredSamples(store_.memory),
              Contains(Key(HasSubstr("job=\"quick\""))));
  gate.Open();
}

}  // namespace
}  // namespace vigie::collector
