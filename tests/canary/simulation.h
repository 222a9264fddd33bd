// Releases without a difference, and with one, judged again and again: how
// often the judge cries wolf and how often it finds what is there.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include "canary/judge.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"

namespace vigie::testing {

struct Tally {
  int pass = 0;
  int marginal = 0;
  int inconclusive = 0;
  int fail = 0;
};

inline void Count(canary::Decision decision, Tally* tally) {
  switch (decision) {
    case canary::Decision::kPass:
      ++tally->pass;
      break;
    case canary::Decision::kMarginal:
      ++tally->marginal;
      break;
    case canary::Decision::kInconclusive:
      ++tally->inconclusive;
      break;
    case canary::Decision::kFail:
      ++tally->fail;
      break;
  }
}

inline constexpr int64_t kSimulatedNowMs = 1'700'000'000'000;
inline constexpr int64_t kSimulatedIntervalMs = 15'000;

// A store for one run, and the judge over it.
class Simulation {
 public:
  // Points every 15 s up to now; `value` is called once for each.
  template <class Value>
  void Add(const std::string& metric, const std::string& version, int points,
           Value value) {
    store::AppendBatch batch;
    batch.series.push_back(
        {Labels{{"__name__", metric}, {"version", version}}, {}});
    for (int i = 0; i < points; ++i) {
      const int64_t time_ms =
          kSimulatedNowMs - (points - 1 - i) * kSimulatedIntervalMs;
      batch.floats.push_back({0, {time_ms, value()}});
    }
    store_.Append(std::move(batch), [](store::AppendOutcome) {});
  }

  canary::Decision Judge(canary::MetricRequest metric, int points) {
    canary::JudgeRequest request;
    request.window.duration_ms = points * kSimulatedIntervalMs;
    metric.name = "simulated";
    request.metrics.push_back(std::move(metric));
    const canary::Judge judge(store_, clock_);
    return judge.Run(request, {}).value().decision;
  }

 private:
  MemoryStore store_;
  SimulatedClock clock_{kSimulatedNowMs};
};

// A gauge around `mean`: AR(1), so that neighbours correlate by `rho`.
struct GaugeWorld {
  double rho = 0;
  double deviation = 10;  // of 100
  double shift = 0;       // of the canary
  double tolerance = 0;   // 0: whatever is significant alarms
  int points = 240;       // a side
};

inline Tally SimulateGauges(const GaugeWorld& world, int runs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> noise;
  Tally tally;
  for (int run = 0; run < runs; ++run) {
    Simulation simulation;
    for (const std::string version : {"v1", "v2"}) {
      const double mean = 100 + (version == "v2" ? world.shift : 0);
      double state = noise(random);
      simulation.Add("gauge", version, world.points, [&] {
        state = world.rho * state +
                std::sqrt(1 - world.rho * world.rho) * noise(random);
        return mean + world.deviation * state;
      });
    }
    canary::MetricRequest metric;
    metric.kind = canary::MetricKind::kGauge;
    metric.tolerance = world.tolerance;
    metric.baseline = R"(gauge{version="v1"})";
    metric.canary = R"(gauge{version="v2"})";
    Count(simulation.Judge(metric, world.points), &tally);
  }
  return tally;
}

// Requests every 15 s, a share of which fails. Failures of neighbouring
// stretches correlate by `rho` through a share that is log-normal around
// `ratio`; `spread` is its deviation, 0 for independent failures.
struct RatioWorld {
  double ratio = 0.01;
  double factor = 1;  // of the canary
  double rho = 0;
  double spread = 0;
  int requests = 250;         // of the canary, in a stretch
  double baseline_times = 1;  // as many of the baseline
  int points = 41;            // ten minutes
};

inline Tally SimulateRatios(const RatioWorld& world, int runs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> noise;
  Tally tally;
  for (int run = 0; run < runs; ++run) {
    Simulation simulation;
    for (const std::string version : {"v1", "v2"}) {
      const bool is_canary = version == "v2";
      const double mean = world.ratio * (is_canary ? world.factor : 1);
      std::poisson_distribution<int> traffic(
          world.requests * (is_canary ? 1 : world.baseline_times));
      double state = noise(random);
      std::vector<double> errors;
      double total = 0;
      double failed = 0;
      simulation.Add("requests_total", version, world.points, [&] {
        state = world.rho * state +
                std::sqrt(1 - world.rho * world.rho) * noise(random);
        const double share =
            std::min(1.0, mean * std::exp(world.spread * state -
                                          world.spread * world.spread / 2));
        const int requests = traffic(random);
        failed += std::binomial_distribution<int>(requests, share)(random);
        errors.push_back(failed);
        return total += requests;
      });
      size_t next = 0;
      simulation.Add("errors_total", version, world.points,
                     [&] { return errors[next++]; });
    }
    canary::MetricRequest metric;
    metric.kind = canary::MetricKind::kRatio;
    metric.tolerance = 0;
    metric.baseline = R"(requests_total{version="v1"})";
    metric.canary = R"(requests_total{version="v2"})";
    metric.events = R"({__name__="errors_total"})";
    Count(simulation.Judge(metric, world.points), &tally);
  }
  return tally;
}

}  // namespace vigie::testing
