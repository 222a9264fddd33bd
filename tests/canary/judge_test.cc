#include "canary/judge.h"

#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "tests/canary/judge_fixture.h"

namespace vigie::canary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using vigie::testing::HasCode;
using vigie::testing::HasError;
using vigie::testing::IsOk;
using vigie::testing::JudgeFixture;
using vigie::testing::kIntervalMs;
using vigie::testing::kNowMs;
using vigie::testing::Metric;

constexpr uint64_t kSeed = 20261121;
constexpr int kSamples = 121;  // of half an hour, and one before

Labels Requests(const std::string& version, const std::string& code) {
  return {{"__name__", "requests_total"},
          {"job", "shop"},
          {"instance", version},
          {"version", version},
          {"code", code}};
}

ReasonCode CodeOf(const MetricVerdict& verdict) {
  return verdict.reasons.back().code;
}

class RatioTest : public JudgeFixture {
 protected:
  // `requests` an interval, of which a share fails, independently.
  void AddSide(const std::string& version, int requests,
               const std::function<double(int)>& share) {
    std::mt19937_64 random(kSeed + 10 * version.back());
    std::vector<double> good(kSamples), bad(kSamples);
    for (int i = 1; i < kSamples; ++i) {
      std::binomial_distribution<int> fails(requests, share(i));
      const int failed = fails(random);
      bad[i] = bad[i - 1] + failed;
      good[i] = good[i - 1] + requests - failed;
    }
    Add(Requests(version, "200"), kSamples, [&](int i) { return good[i]; });
    Add(Requests(version, "500"), kSamples, [&](int i) { return bad[i]; });
  }
  MetricVerdict Judge() {
    return RunOne(Metric(MetricKind::kRatio, "requests_total"));
  }
};

TEST_F(RatioTest, EqualErrorsPass) {
  AddSide("v1", 100, [](int) { return 0.02; });
  AddSide("v2", 100, [](int) { return 0.02; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kPass) << verdict.reasons.back().text;
  EXPECT_EQ(verdict.baseline.total, 12'000);
  EXPECT_EQ(verdict.canary.series, 2);
  EXPECT_GT(verdict.p, 0.01);
}

TEST_F(RatioTest, TwiceTheErrorsFailWithEveryNumber) {
  AddSide("v1", 100, [](int) { return 0.02; });
  AddSide("v2", 100, [](int) { return 0.04; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kFail);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kWorse);
  EXPECT_NEAR(verdict.effect.relative, 1, 0.35);
  EXPECT_GT(verdict.effect.low, 0);
  EXPECT_LT(verdict.p_adjusted, 0.01);
  EXPECT_GE(verdict.tests[0].p_increase, verdict.tests[0].p_independent / 2);
  EXPECT_THAT(verdict.reasons.back().text, HasSubstr("ratio 0.0"));
}

// A store of whose series of one label value the disk gives a part only.
class DamagedStore final : public store::Queryable {
 public:
  DamagedStore(const store::Queryable& whole, std::string name,
               std::string value)
      : whole_(whole), name_(std::move(name)), value_(std::move(value)) {}

  absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
      const store::SelectRequest& request,
      const store::ReadContext& context) const override {
    auto snapshot = whole_.Select(request, context);
    if (!snapshot.ok()) return snapshot.status();
    return std::make_unique<Snapshot>(*this, *std::move(snapshot));
  }
  absl::StatusOr<store::NameList> LabelNames(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context) const override {
    return whole_.LabelNames(tenant, range, selectors, limit, context);
  }
  absl::StatusOr<store::NameList> LabelValues(
      const Tenant& tenant, std::string_view label, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context) const override {
    return whole_.LabelValues(tenant, label, range, selectors, limit, context);
  }
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context, bool* truncated) const override {
    return whole_.Series(tenant, range, selectors, limit, context, truncated);
  }
  absl::StatusOr<std::vector<store::ExemplarSeries>> Exemplars(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors,
      const store::ReadContext& context) const override {
    return whole_.Exemplars(tenant, range, selectors, context);
  }
  absl::StatusOr<std::vector<store::MetricMetadata>> ListMetadata(
      const Tenant& tenant, std::string_view metric,
      const store::ReadContext& context) const override {
    return whole_.ListMetadata(tenant, metric, context);
  }
  absl::StatusOr<store::Cardinality> CountCardinality(
      const Tenant& tenant, uint64_t limit,
      const store::ReadContext& context) const override {
    return whole_.CountCardinality(tenant, limit, context);
  }

 private:
  class Iterator final : public store::SampleIterator {
   public:
    explicit Iterator(std::unique_ptr<store::SampleIterator> whole)
        : whole_(std::move(whole)) {}
    absl::StatusOr<bool> Next(store::SampleBatch* batch) override {
      return whole_->Next(batch);
    }
    std::vector<std::string> warnings() const override {
      return {"blocks: 000042.sst: samples are missing"};
    }

   private:
    const std::unique_ptr<store::SampleIterator> whole_;
  };
  class Snapshot final : public store::SeriesSnapshot {
   public:
    Snapshot(const DamagedStore& store,
             std::unique_ptr<store::SeriesSnapshot> whole)
        : store_(store), whole_(std::move(whole)) {}
    size_t size() const override { return whole_->size(); }
    const Labels& labels(size_t series) const override {
      return whole_->labels(series);
    }
    std::unique_ptr<store::SampleIterator> Samples(
        size_t series) const override {
      auto samples = whole_->Samples(series);
      if (labels(series).Get(store_.name_) != store_.value_) return samples;
      return std::make_unique<Iterator>(std::move(samples));
    }
    const std::vector<std::string>& warnings() const override {
      return whole_->warnings();
    }

   private:
    const DamagedStore& store_;
    const std::unique_ptr<store::SeriesSnapshot> whole_;
  };

  const store::Queryable& whole_;
  const std::string name_, value_;
};

TEST_F(RatioTest, AVerdictOnAPartOfTheSamplesSaysSo) {
  AddSide("v1", 100, [](int) { return 0.02; });
  AddSide("v2", 100, [](int) { return 0.02; });
  const JudgeRequest request =
      Request(Metric(MetricKind::kRatio, "requests_total"));
  EXPECT_THAT(Run(request).summary, Not(HasSubstr("could be read")));

  for (const auto& [name, value, side] :
       {std::tuple("version", "v1", "baseline: "),
        std::tuple("version", "v2", "canary: ")}) {
    const DamagedStore damaged(store_, name, value);
    const auto verdict = vigie::canary::Judge(damaged, clock_).Run(request, {});
    ASSERT_THAT(verdict, IsOk());

    EXPECT_THAT(verdict->summary, HasSubstr("not all samples could be read"));
    EXPECT_THAT(verdict->metrics[0].notes,
                ElementsAre(std::string(side) +
                            "blocks: 000042.sst: samples are missing"));
  }
  const DamagedStore damaged(store_, "code", "500");
  const auto verdict = vigie::canary::Judge(damaged, clock_).Run(request, {});
  ASSERT_THAT(verdict, IsOk());
  EXPECT_THAT(verdict->metrics[0].notes, ::testing::SizeIs(2));
}

TEST_F(RatioTest, FewerErrorsPassAsBetter) {
  AddSide("v1", 100, [](int) { return 0.06; });
  AddSide("v2", 100, [](int) { return 0.02; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kPass);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kBetter);
}

TEST_F(RatioTest, ConversionThatFallsFailsByItsDirection) {
  AddSide("v1", 400, [](int) { return 0.06; });
  AddSide("v2", 400, [](int) { return 0.03; });
  MetricRequest metric = Metric(MetricKind::kRatio, "requests_total");
  metric.direction = Direction::kDecrease;

  EXPECT_EQ(RunOne(metric).decision, Decision::kFail);
  metric.direction = Direction::kEither;
  EXPECT_EQ(RunOne(metric).decision, Decision::kFail);
  metric.direction = Direction::kIncrease;
  EXPECT_EQ(RunOne(metric).decision, Decision::kPass);
}

TEST_F(RatioTest, EventsOfAnotherMetricAreCountedOfTheTotal) {
  for (const std::string version : {"v1", "v2"}) {
    Add({{"__name__", "visits_total"}, {"version", version}}, kSamples,
        [](int i) { return 200.0 * i; });
    Add({{"__name__", "orders_total"}, {"version", version}}, kSamples,
        [&](int i) { return (version == "v1" ? 12.0 : 6.0) * i; });
  }
  MetricRequest metric = Metric(MetricKind::kRatio, "visits_total");
  metric.direction = Direction::kDecrease;
  metric.events = R"({__name__="orders_total"})";

  const MetricVerdict verdict = RunOne(metric);

  EXPECT_EQ(verdict.decision, Decision::kFail);
  EXPECT_DOUBLE_EQ(verdict.baseline.level, 0.06);
}

TEST_F(RatioTest, ASignificantChangeThatIsToleratedIsMarginal) {
  AddSide("v1", 20'000, [](int) { return 0.20; });
  AddSide("v2", 20'000, [](int) { return 0.205; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kMarginal);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kWorseButTolerated);
}

TEST_F(RatioTest, OneBurstOfErrorsIsNoProofAgainstTheCanary) {
  AddSide("v1", 100, [](int) { return 0.001; });
  AddSide("v2", 100, [](int i) { return i == 60 ? 0.9 : 0.001; });

  const MetricVerdict verdict = Judge();

  EXPECT_NE(verdict.decision, Decision::kFail);
  EXPECT_LT(verdict.tests[0].p_independent, 1e-9);
  EXPECT_GT(verdict.canary.inflation, 20);
}

TEST_F(RatioTest, ACanaryThatBreaksHalfWayFails) {
  AddSide("v1", 100, [](int) { return 0.01; });
  AddSide("v2", 100, [](int i) { return i < 70 ? 0.01 : 0.4; });

  EXPECT_EQ(Judge().decision, Decision::kFail);
}

TEST_F(RatioTest, TooLittleTrafficSaysHowMuchIsMissing) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples, [](int i) { return i / 10; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kTooFewPoints);
  EXPECT_EQ(verdict.reasons.back().side, "canary");
  // There were 12; bursts of the baseline may ask for a few more.
  EXPECT_GE(verdict.reasons.back().needed, 8);
  EXPECT_LE(verdict.reasons.back().needed, 12);
  EXPECT_EQ(verdict.reasons.back().needed_unit, "requests");
}

TEST_F(RatioTest, AnAbsentCounterOfErrorsIsNoError) {
  AddSide("v1", 100, [](int) { return 0.001; });
  Add(Requests("v2", "200"), kSamples, [](int i) { return 100.0 * i; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kPass) << verdict.reasons.back().text;
  EXPECT_THAT(verdict.notes, ElementsAre(HasSubstr("canary: no series")));
}

TEST_F(RatioTest, AMisspeltLabelIsNotReadAsNoErrors) {
  AddSide("v1", 100, [](int) { return 0.1; });
  AddSide("v2", 100, [](int) { return 0.9; });
  MetricRequest metric = Metric(MetricKind::kRatio, "requests_total");
  metric.events = R"({status=~"5.."})";

  const MetricVerdict verdict = RunOne(metric);

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kNoSeries);
  EXPECT_THAT(verdict.reasons.back().text, HasSubstr("label status"));
}

TEST_F(RatioTest, ErrorsThatBeginInTheWindowCountFromZero) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples, [](int i) { return 100.0 * i; });
  Add(Requests("v2", "500"), 60, [](int i) { return 500 + 50.0 * i; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.canary.events, 500 + 59 * 50);
}

TEST_F(RatioTest, AnInstanceThatComesIntoSightDoesNotBringItsPast) {
  AddSide("v1", 100, [](int) { return 0.01; });
  for (const char* code : {"200", "500"}) {
    Add(Requests("v2", code), 60, [](int i) { return 1e6 + 100.0 * i; });
  }

  EXPECT_EQ(Judge().canary.total, 2 * 59 * 100);
}

TEST_F(RatioTest, ResetsLoseNothingAndAreCounted) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples,
      [](int i) { return 100.0 * (i < 60 ? i + 1'000 : i - 60); });

  const MetricVerdict verdict = Judge();

  // From the 60th on: 0, 100, ...: what came between two samples and was reset
  // is not known.
  EXPECT_EQ(verdict.canary.total, 59 * 100 + 60 * 100);
  EXPECT_EQ(verdict.canary.resets, 1);
}

TEST_F(RatioTest, NotANumberAndInfinityAreSkippedAndCounted) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples, [](int i) {
    if (i == 40) return std::nan("");
    if (i == 41) return std::numeric_limits<double>::infinity();
    return 100.0 * i;
  });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.canary.total, 12'000);
  EXPECT_EQ(verdict.canary.samples_skipped, 2);
}

TEST_F(RatioTest, ACounterOfFractionsIsRefused) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples, [](int i) { return 0.3 * i; });

  EXPECT_EQ(CodeOf(Judge()), ReasonCode::kNotCounts);
}

TEST_F(RatioTest, NativeHistogramsAreNotReadAsNothing) {
  AddSide("v1", 100, [](int) { return 0.01; });
  AddSide("v2", 100, [](int) { return 0.01; });
  store::AppendBatch batch;
  batch.series.push_back(
      {{{"__name__", "errors_seconds"}, {"version", "v2"}}, {}});
  IntegerHistogram histogram;
  histogram.count = 7;
  histogram.zero_count = 7;
  batch.integer_histograms.push_back(
      {.series = 0, .time_ms = kNowMs, .histogram = histogram});
  store_.Append(std::move(batch), [](store::AppendOutcome outcome) {
    ASSERT_EQ(outcome.histograms_accepted, 1);
  });
  MetricRequest metric = Metric(MetricKind::kRatio, "requests_total");
  metric.events = R"({__name__="errors_seconds"})";

  EXPECT_EQ(CodeOf(RunOne(metric)), ReasonCode::kNotFloats);
  metric.canary = R"(errors_seconds{version="v2"})";
  EXPECT_EQ(CodeOf(RunOne(metric)), ReasonCode::kNotFloats);
}

// --- what is missing, by its name ---

TEST_F(RatioTest, NoSeriesSaysWhichMatcherFindsNothing) {
  AddSide("v1", 100, [](int) { return 0.01; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kNoSeries);
  EXPECT_THAT(verdict.reasons.back().text,
              HasSubstr(R"(requests_total has no series with version="v2")"));
}

TEST_F(RatioTest, NoMetricSaysSo) {
  const MetricVerdict verdict = Judge();

  EXPECT_EQ(CodeOf(verdict), ReasonCode::kNoSeries);
  EXPECT_THAT(verdict.reasons[0].text,
              HasSubstr("there is no metric requests_total"));
}

TEST_F(RatioTest, SeriesThatEndedBeforeTheWindowAreStale) {
  AddSide("v1", 100, [](int) { return 0.01; });
  AddUntil(kNowMs - 3'600'000, Requests("v2", "200"), kSamples,
           [](int i) { return 100.0 * i; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(CodeOf(verdict), ReasonCode::kStale);
  EXPECT_THAT(verdict.reasons.back().text, HasSubstr("2023-11-14T21:13:20Z"));
}

TEST_F(RatioTest, SeriesThatEndInTheWindowAreStale) {
  AddSide("v1", 100, [](int) { return 0.01; });
  AddUntil(kNowMs - 10 * 60'000, Requests("v2", "200"), kSamples,
           [](int i) { return 100.0 * i; });

  EXPECT_EQ(CodeOf(Judge()), ReasonCode::kStale);
}

TEST_F(RatioTest, AStaleMarkerEndsASeries) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples,
      [](int i) { return i < 60 ? 100.0 * i : StaleMarker(); });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(CodeOf(verdict), ReasonCode::kStale);
  EXPECT_EQ(verdict.canary.samples_skipped, 0);
}

TEST_F(RatioTest, CountersThatStandStillAreNoTraffic) {
  AddSide("v1", 100, [](int) { return 0.01; });
  Add(Requests("v2", "200"), kSamples, [](int) { return 100.0; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(CodeOf(verdict), ReasonCode::kNoTraffic);
  EXPECT_EQ(verdict.reasons.back().side, "canary");
}

TEST_F(RatioTest, ABaselineOfOnlyErrorsComparesWithNothing) {
  AddSide("v1", 100, [](int) { return 1; });
  AddSide("v2", 100, [](int) { return 0.5; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_EQ(CodeOf(verdict), ReasonCode::kOnlyErrors);
}

TEST_F(RatioTest, ACanaryOfOnlyErrorsFailsAndIsNamed) {
  AddSide("v1", 100, [](int) { return 0.01; });
  AddSide("v2", 100, [](int) { return 1; });

  const MetricVerdict verdict = Judge();

  EXPECT_EQ(verdict.decision, Decision::kFail);
  EXPECT_EQ(verdict.reasons[0].code, ReasonCode::kOnlyErrors);
}

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

// --- bad requests ---

class BadRequestTest : public JudgeFixture {
 protected:
  absl::Status StatusOf(const JudgeRequest& request) {
    return judge_.Run(request, {}).status();
  }
  JudgeRequest Good() {
    return Request(Metric(MetricKind::kRatio, "requests_total"));
  }
  void ExpectRefused(const JudgeRequest& request, const std::string& text) {
    EXPECT_THAT(StatusOf(request),
                HasError(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
};

TEST_F(BadRequestTest, WindowsAreRefusedByName) {
  const auto refused = [&](WindowRequest window, const std::string& text) {
    JudgeRequest request = Good();
    request.window = window;
    ExpectRefused(request, "window: " + text);
  };
  refused({}, "needs a duration");
  refused({.duration_ms = 0}, "duration must be positive");
  refused({.duration_ms = -5}, "duration must be positive");
  refused({.duration_ms = std::numeric_limits<int64_t>::max()}, "is ");
  refused({.duration_ms = int64_t{365} * 24 * 3'600'000}, "is 1y long");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs - 20}, "is swapped");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs - 10}, "is empty");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs + 1},
          "ends in the future");
  refused({.start_ms = 0, .end_ms = kNowMs}, "is ");
  refused({.start_ms = -5, .end_ms = kNowMs}, "starts before the epoch");
  refused({.start_ms = 5, .duration_ms = 5}, "give start or duration");
}

TEST_F(BadRequestTest, WindowsThatContradictEachOtherAreRefused) {
  JudgeRequest request = Good();
  request.window = {.end_ms = kNowMs - 3'600'000, .duration_ms = 600'000};
  request.baseline_window = WindowRequest{.duration_ms = 600'000};
  ExpectRefused(request, "baseline_window: is after window");

  request = Good();
  request.baseline_window =
      WindowRequest{.end_ms = kNowMs - 60'000, .duration_ms = 600'000};
  ExpectRefused(request, "baseline_window: overlaps window");
}

TEST_F(BadRequestTest, FieldsAreRefusedByTheirPath) {
  const auto refused = [&](auto change, const std::string& text) {
    JudgeRequest request = Good();
    change(request);
    ExpectRefused(request, text);
  };
  const double nan = std::nan("");
  refused([](auto& r) { r.metrics[0].canary = "up{"; },
          "metrics[0].canary: 1:4: parse error");
  refused([](auto& r) { r.metrics[0].canary = r.metrics[0].baseline; },
          "metrics[0].canary: is the baseline");
  refused([](auto& r) { r.metrics[0].events = ""; }, "metrics[0].events");
  refused([](auto& r) { r.metrics[0].kind = MetricKind::kGauge; },
          "metrics[0].events: belongs to a ratio");
  refused([](auto& r) { r.metrics.clear(); }, "metrics: is empty");
  refused([](auto& r) { r.metrics.resize(51, r.metrics[0]); },
          "metrics: has 51");
  refused([](auto& r) { r.metrics.push_back(r.metrics[0]); },
          "metrics[1].name: is given twice");
  refused([](auto& r) { r.alpha = 0; }, "alpha: ");
  refused([&](auto& r) { r.alpha = nan; }, "alpha: ");
  refused([](auto& r) { r.looks = 0; }, "looks: ");
  refused([](auto& r) { r.metrics[0].tolerance = -1; }, "tolerance: ");
  refused([&](auto& r) { r.metrics[0].detect = nan; }, "detect: ");
  refused([](auto& r) { r.metrics[0].quantile = 1; }, "quantile: ");
  refused([](auto& r) { r.metrics[0].canary_weight = 0; }, "weights: ");
  refused([](auto& r) { r.metrics[0].canary_weight = 2; },
          "weights: belong to a rate");
  refused([](auto& r) { r.metrics[0].quantile = 0.9; },
          "quantile: belongs to a latency");
  refused(
      [](auto& r) {
        r.metrics[0].kind = MetricKind::kLatency;
        r.metrics[0].events = "";
      },
      "requests_total_bucket");
}

// A release beside itself would always pass.
TEST_F(BadRequestTest, SidesThatShareASeriesAreRefusedByItsName) {
  for (const char* version : {"v1", "v2"}) {
    Add({{"__name__", "requests_total"}, {"version", version}}, 3,
        [](int i) { return i; });
  }
  JudgeRequest request = Good();
  request.metrics[0].baseline = R"(requests_total{version=~"v1|v2"})";
  request.metrics[0].canary = R"(requests_total{version="v2"})";

  EXPECT_THAT(StatusOf(request),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 series in common, in the same window, such "
                                 "as requests_total{version=\"v2\"}")));
}

TEST_F(BadRequestTest, ASelectorThatMatchesTooMuchIsRefused) {
  for (size_t i = 0; i <= kSeriesMax; ++i) {
    Add({{"__name__", "requests_total"},
         {"version", "v1"},
         {"user", std::to_string(i)}},
        1, [](int) { return 1.0; });
  }

  EXPECT_THAT(StatusOf(Good()),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("matches 10001 series, the most is 10000")));
}

TEST_F(BadRequestTest, MoreThanItsBytesIsRefused) {
  Add(Requests("v1", "200"), kSamples, [](int i) { return i; });
  const Judge small(store_, clock_, {.request_bytes_max = 100});

  EXPECT_THAT(small.Run(Good(), {}).status(),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("canary request")));
}

TEST_F(BadRequestTest, AStoppedRequestEnds) {
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(judge_.Run(Good(), stop.get_token()),
              HasCode(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace vigie::canary
