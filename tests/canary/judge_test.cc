// The judge over rates, latencies and gauges, and over many metrics and looks.
#include "canary/judge.h"

#include <cmath>
#include <random>

#include "tests/canary/judge_fixture.h"

namespace vigie::canary {
namespace {

using ::testing::HasSubstr;
using vigie::testing::CodeOf;
using vigie::testing::JudgeFixture;
using vigie::testing::kNowMs;
using vigie::testing::kSamples;
using vigie::testing::kSeed;
using vigie::testing::Metric;

// --- rates ---

class RateTest : public JudgeFixture {
 protected:
  void AddSide(const std::string& version, double mean) {
    std::mt19937_64 random(kSeed + version.back());
    std::poisson_distribution<int> events(mean);
    double sum = 0;
    Add({{"__name__", "restarts_total"}, {"version", version}}, kSamples,
        [&](int i) { return sum += i == 0 ? 0 : events(random); });
  }
};

TEST_F(RateTest, MoreEventsInTheSameTimeFail) {
  AddSide("v1", 5);
  AddSide("v2", 8);

  const MetricVerdict verdict =
      RunOne(Metric(MetricKind::kRate, "restarts_total"));

  EXPECT_EQ(verdict.decision, Decision::kFail) << verdict.reasons.back().text;
  EXPECT_NEAR(verdict.baseline.level, 5 / 15.0, 0.05);
  EXPECT_NEAR(verdict.canary.total, 1800, 16);
  EXPECT_THAT(verdict.notes, ::testing::Contains(HasSubstr("same traffic")));
}

TEST_F(RateTest, WeightsShareTheTraffic) {
  AddSide("v1", 90);
  AddSide("v2", 10);
  MetricRequest metric = Metric(MetricKind::kRate, "restarts_total");
  metric.baseline_weight = 90;
  metric.canary_weight = 10;
  metric.direction = Direction::kEither;

  const MetricVerdict verdict = RunOne(metric);

  EXPECT_EQ(verdict.decision, Decision::kPass) << verdict.reasons.back().text;
}

TEST_F(RateTest, NothingOnEitherSideAsksWhatWouldBeEnough) {
  for (const char* version : {"v1", "v2"}) {
    Add({{"__name__", "restarts_total"}, {"version", version}}, kSamples,
        [](int) { return 3.0; });
  }
  MetricRequest metric = Metric(MetricKind::kRate, "restarts_total");

  const MetricVerdict verdict = RunOne(metric);
  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kNoEvents);

  metric.detect_absolute = 0.01;  // 18 in the window
  EXPECT_EQ(RunOne(metric).decision, Decision::kPass);
}

// --- latencies ---

class LatencyTest : public JudgeFixture {
 protected:
  // `requests` an interval, log-normal around `median` seconds, of which
  // `slow` take ten times as long.
  void AddSide(const std::string& version, double median, double slow = 0,
               const std::vector<std::string>& bounds = kBounds) {
    std::mt19937_64 random(kSeed + version.back());
    std::lognormal_distribution<double> seconds(std::log(median), 0.5);
    std::bernoulli_distribution is_slow(slow);
    std::vector<std::vector<double>> counts(kSamples,
                                            std::vector<double>(bounds.size()));
    for (int i = 1; i < kSamples; ++i) {
      counts[i] = counts[i - 1];
      for (int k = 0; k < 200; ++k) {
        const double took = seconds(random) * (is_slow(random) ? 10 : 1);
        for (size_t b = 0; b < bounds.size(); ++b) {
          if (bounds[b] == "+Inf" || took <= std::stod(bounds[b])) {
            counts[i][b] += 1;
          }
        }
      }
    }
    for (size_t b = 0; b < bounds.size(); ++b) {
      Add({{"__name__", "took_seconds_bucket"},
           {"version", version},
           {"le", bounds[b]}},
          kSamples, [&](int i) { return counts[i][b]; });
    }
  }
  MetricVerdict Judge() {
    return RunOne(Metric(MetricKind::kLatency, "took_seconds_bucket"));
  }

  static inline const std::vector<std::string> kBounds = {
      "0.025", "0.05", "0.075", "0.1", "0.15", "0.2",
      "0.3",   "0.5",  "1",     "2.5", "+Inf"};
};

TEST_F(LatencyTest, EqualLatenciesPass) {
  AddSide("v1", 0.1);
  AddSide("v2", 0.1);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kPass) << verdict.reasons.back().text;
  EXPECT_EQ(verdict.canary.total, 24'000);
  EXPECT_EQ(verdict.tests.size(), 2);
}

TEST_F(LatencyTest, TenPerCentSlowerFails) {
  AddSide("v1", 0.1);
  AddSide("v2", 0.11);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kFail);
  EXPECT_NEAR(verdict.effect.relative, 0.1, 0.04);
}

TEST_F(LatencyTest, ASlowTailFailsThoughTheMedianStays) {
  AddSide("v1", 0.1, 0.03);
  AddSide("v2", 0.1, 0.06);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kFail) << verdict.reasons.back().text;
  EXPECT_EQ(verdict.effect.of, "quantile 0.95");
}

TEST_F(LatencyTest, OtherBucketsAreNotCompared) {
  AddSide("v1", 0.1);
  AddSide("v2", 0.1, 0, {"0.1", "0.2", "+Inf"});

  EXPECT_EQ(CodeOf(Judge()), ReasonCode::kBucketsDiffer);
}

TEST_F(LatencyTest, HistogramsWithoutAnEndAreRefused) {
  AddSide("v1", 0.1);
  AddSide("v2", 0.1, 0, {"0.1", "0.2"});

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(CodeOf(verdict), ReasonCode::kBucketsDiffer);
  EXPECT_EQ(verdict.reasons.back().side, "canary");
}

// --- gauges ---

class GaugeTest : public JudgeFixture {
 protected:
  void AddSide(const std::string& version, double mean, double deviation,
               double rho = 0, const std::string& instance = "0") {
    std::mt19937_64 random(kSeed + version.back() + 7 * instance.back());
    std::normal_distribution<double> noise;
    double state = noise(random);
    Add({{"__name__", "memory_bytes"},
         {"version", version},
         {"instance", instance}},
        kSamples, [&](int) {
          state = rho * state + std::sqrt(1 - rho * rho) * noise(random);
          return mean + deviation * state;
        });
  }
  MetricVerdict Judge() {
    return RunOne(Metric(MetricKind::kGauge, "memory_bytes"));
  }
};

TEST_F(GaugeTest, EqualLevelsPass) {
  AddSide("v1", 100, 10);
  AddSide("v2", 100, 10);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kPass) << verdict.reasons.back().text;
  EXPECT_EQ(verdict.canary.total, 120);
}

TEST_F(GaugeTest, AHigherLevelFails) {
  AddSide("v1", 100, 10);
  AddSide("v2", 110, 10);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kFail);
  EXPECT_LT(verdict.effect.low, 10);
  EXPECT_GT(verdict.effect.high, 10);
}

TEST_F(GaugeTest, AutocorrelatedPointsAreTooFewAndSayHowMany) {
  AddSide("v1", 100, 10, 0.95);
  AddSide("v2", 130, 10, 0.95);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kTooFewPoints);
  EXPECT_LT(verdict.baseline.effective_n, 20);
  EXPECT_GT(verdict.reasons.back().needed, 100);
}

TEST_F(GaugeTest, TwoConstantsAreWhatTheyAre) {
  AddSide("v1", 100, 0);
  AddSide("v2", 100, 0);
  EXPECT_EQ(Judge().decision, Decision::kPass);

  AddSide("v3", 200, 0);
  MetricRequest metric = Metric(MetricKind::kGauge, "memory_bytes");
  metric.canary = R"(memory_bytes{version="v3"})";
  EXPECT_EQ(RunOne(metric).decision, Decision::kFail);
}

TEST_F(GaugeTest, InstancesAreOneSeriesOfTheirMeans) {
  for (const char* instance : {"0", "1", "2"}) {
    AddSide("v1", 100, 10, 0, instance);
    AddSide("v2", 100, 10, 0, instance);
  }

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.canary.series, 3);
  EXPECT_EQ(verdict.canary.samples, 360);
  EXPECT_EQ(verdict.canary.total, 60);
}

TEST_F(GaugeTest, ANoisyGaugeDoesNotPassForWantOfProof) {
  AddSide("v1", 10, 40);
  AddSide("v2", 10, 40);

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kTooUncertain);
  EXPECT_GT(verdict.effect.detectable, verdict.effect.to_detect);
}

TEST_F(GaugeTest, BeforeAndAfterAreComparedByTheirWindows) {
  Add({{"__name__", "memory_bytes"}}, 241,
      [](int i) { return (i <= 120 ? 100.0 : 120.0) + i % 7; });
  MetricRequest metric = Metric(MetricKind::kGauge, "memory_bytes");
  metric.baseline = metric.canary = "memory_bytes";
  JudgeRequest request = Request(metric);
  request.baseline_window =
      WindowRequest{.end_ms = kNowMs - 30 * 60'000, .duration_ms = 30 * 60'000};

  const Verdict verdict = Run(request);

  EXPECT_EQ(verdict.decision, Decision::kFail) << verdict.summary;
  EXPECT_NEAR(verdict.metrics[0].effect.difference, 20, 0.5);
}

TEST_F(GaugeTest, TheSameRequestGivesTheSameVerdict) {
  AddSide("v1", 100, 10, 0.3);
  AddSide("v2", 103, 10, 0.3);

  const MetricVerdict first = Judge();
  const MetricVerdict second = Judge();

  EXPECT_EQ(first.p, second.p);
  EXPECT_EQ(first.effect.low, second.effect.low);
}

// --- several metrics ---

TEST_F(GaugeTest, HolmHoldsBackWhatChanceAmongManyWouldDo) {
  AddSide("v1", 100, 10);
  AddSide("v2", 106, 10);
  MetricRequest metric = Metric(MetricKind::kGauge, "memory_bytes");
  metric.tolerance = 0;
  const MetricVerdict alone = RunOne(metric);
  ASSERT_LT(alone.p, 0.01);
  JudgeRequest request = Request(metric);
  while (alone.p * static_cast<double>(request.metrics.size()) < 0.01) {
    MetricRequest other = metric;
    other.name = "other " + std::to_string(request.metrics.size());
    other.direction = Direction::kDecrease;
    request.metrics.push_back(other);
    ASSERT_LE(request.metrics.size(), kMetricsMax);
  }

  EXPECT_NE(Run(request).metrics[0].decision, Decision::kFail);
  request.metrics[0].critical = true;
  const Verdict verdict = Run(request);
  EXPECT_EQ(verdict.metrics[0].decision, Decision::kFail);
  EXPECT_EQ(verdict.decision, Decision::kFail);
}

TEST_F(GaugeTest, MoreLooksAskForMoreProof) {
  AddSide("v1", 100, 10);
  AddSide("v2", 106, 10);
  MetricRequest metric = Metric(MetricKind::kGauge, "memory_bytes");
  metric.tolerance = 0;
  JudgeRequest request = Request(metric);
  ASSERT_EQ(Run(request).decision, Decision::kFail);
  request.looks = 1000;

  const Verdict verdict = Run(request);

  EXPECT_DOUBLE_EQ(verdict.alpha_look, 0.01 / 1000);
  EXPECT_NE(verdict.decision, Decision::kFail);
}

}  // namespace
}  // namespace vigie::canary
