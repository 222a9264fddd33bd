// The API over a real socket: real engine, real doors, a store in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "alerting/dispatch_records.h"
#include "alerting/rule_runner.h"
#include "base/net/http_client.h"
#include "server/http_frontend.h"
#include "tests/support/memory_store.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/simulated_clock.h"

namespace vigie::server {

inline constexpr int64_t kNowMs = 1'700'000'000'000;

inline std::string Success(const std::string& data) {
  return R"({"status":"success","data":)" + data + "}";
}
inline std::string Error(const std::string& type, const std::string& text) {
  return R"({"status":"error","errorType":")" + type + R"(","error":")" + text +
         R"("})";
}

class HttpFrontendTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(store_); }

  void Start(const store::Queryable& queryable) {
    frontend_.reset();
    engine_options_.experimental = experimental_;
    engine_ = std::make_unique<query::Engine>(queryable, clock_,
                                              engine_options_, &registry_);
    auto frontend = HttpFrontend::Start(
        "127.0.0.1:0", options_,
        {.engine = *engine_,
         .queryable = queryable,
         .remote_write = door_,
         .scraper = scraper_,
         .registry = registry_,
         .clock = clock_,
         .config_text = [] { return std::string("http: {}\n"); },
         .version = "0.1.0",
         .reload = [this] { return reload_; },
         .before_collect = [this] { ++collects_; },
         .rules = rules_.get(),
         .dispatcher = dispatcher_.get(),
         .experimental = experimental_,
         .reload_state =
             [this] {
               return ReloadState{.successful = reload_.ok(),
                                  .time_ms = kNowMs};
             },
         .retention_ms = 86'400'000,
         .external_labels = [this] { return external_labels_; }});
    ASSERT_TRUE(frontend.ok()) << frontend.status();
    frontend_ = *std::move(frontend);
    frontend_->SetReady(true);
  }

  void Append(const Labels& labels, std::vector<Sample> samples) {
    store::AppendBatch batch;
    batch.series.push_back({labels, {}});
    for (const Sample& sample : samples) batch.floats.push_back({0, sample});
    absl::Status status = absl::UnknownError("no completion");
    store_.Append(std::move(batch), [&](store::AppendOutcome outcome) {
      status = outcome.status;
      ASSERT_TRUE(outcome.refusals.empty());
    });
    ASSERT_TRUE(status.ok()) << status;
  }

  testing::RawHttpClient Client() {
    return testing::RawHttpClient(frontend_->address());
  }
  testing::RawReply Get(const std::string& target) {
    return Client().Get(target);
  }

  testing::SimulatedClock clock_{kNowMs};
  prometheus::Registry registry_;
  testing::MemoryStore store_;
  net::HttpClient http_;
  collector::RemoteWriteDoor door_{store_, clock_, registry_, {}};
  collector::Scraper scraper_{store_, http_, clock_, registry_};
  HttpOptions options_;
  int collects_ = 0;
  bool experimental_ = false;
  query::EngineOptions engine_options_;
  std::vector<std::pair<std::string, std::string>> external_labels_;
  std::unique_ptr<alerting::Dispatcher> dispatcher_;
  std::unique_ptr<alerting::RuleRunner> rules_;
  absl::Status reload_;
  std::unique_ptr<query::Engine> engine_;
  std::unique_ptr<HttpFrontend> frontend_;
};

}  // namespace vigie::server
