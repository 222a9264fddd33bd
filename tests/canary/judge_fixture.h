// A judge over a store in memory whose clock stands at kNowMs; series are made
// from functions of time.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "canary/judge.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::testing {

inline constexpr int64_t kNowMs = 1'700'000'000'000;
inline constexpr int64_t kIntervalMs = 15'000;
inline constexpr uint64_t kSeed = 20261121;
inline constexpr int kSamples = 121;  // of half an hour, and one before

class JudgeFixture : public ::testing::Test {
 protected:
  // Samples every kIntervalMs up to now, the first of them `count` - 1
  // intervals ago; `value` gets their number.
  void Add(const Labels& labels, int count,
           const std::function<double(int)>& value) {
    AddUntil(kNowMs, labels, count, value);
  }
  void AddUntil(int64_t end_ms, const Labels& labels, int count,
                const std::function<double(int)>& value) {
    store::AppendBatch batch;
    batch.series.push_back({labels, {}});
    for (int i = 0; i < count; ++i) {
      batch.floats.push_back(
          {0, {end_ms - (count - 1 - i) * kIntervalMs, value(i)}});
    }
    store_.Append(std::move(batch), [](store::AppendOutcome outcome) {
      ASSERT_TRUE(outcome.status.ok() && outcome.refusals.empty());
    });
  }

  canary::Verdict Run(const canary::JudgeRequest& request) {
    absl::StatusOr<canary::Verdict> verdict = judge_.Run(request, {});
    EXPECT_THAT(verdict, IsOk());
    return verdict.ok() ? *std::move(verdict) : canary::Verdict();
  }
  canary::MetricVerdict RunOne(canary::MetricRequest metric) {
    canary::Verdict verdict = Run(Request(std::move(metric)));
    return verdict.metrics.empty() ? canary::MetricVerdict()
                                   : std::move(verdict.metrics[0]);
  }
  // Half an hour back from now.
  static canary::JudgeRequest Request(canary::MetricRequest metric) {
    canary::JudgeRequest request;
    request.window.duration_ms = 30 * 60'000;
    request.metrics.push_back(std::move(metric));
    return request;
  }

  MemoryStore store_;
  SimulatedClock clock_{kNowMs};
  canary::Judge judge_{store_, clock_};
};

// Of metric `kind` over `metric{version="v1"}` and `metric{version="v2"}`.
inline canary::MetricRequest Metric(canary::MetricKind kind,
                                    const std::string& metric) {
  canary::MetricRequest request;
  request.name = metric;
  request.kind = kind;
  request.baseline = metric + R"({version="v1"})";
  request.canary = metric + R"({version="v2"})";
  if (kind == canary::MetricKind::kRatio) request.events = R"({code="500"})";
  return request;
}

inline Labels Requests(const std::string& version, const std::string& code) {
  return {{"__name__", "requests_total"},
          {"job", "shop"},
          {"instance", version},
          {"version", version},
          {"code", code}};
}

inline canary::ReasonCode CodeOf(const canary::MetricVerdict& verdict) {
  return verdict.reasons.back().code;
}

}  // namespace vigie::testing
