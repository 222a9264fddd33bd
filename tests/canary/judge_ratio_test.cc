// The judge over shares of requests: what counts as traffic, what as an error,
// and what a verdict says when either is missing.
#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "canary/judge.h"
#include "tests/canary/judge_fixture.h"

namespace vigie::canary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using vigie::testing::CodeOf;
using vigie::testing::IsOk;
using vigie::testing::JudgeFixture;
using vigie::testing::kNowMs;
using vigie::testing::kSamples;
using vigie::testing::kSeed;
using vigie::testing::Metric;
using vigie::testing::Requests;

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

}  // namespace
}  // namespace vigie::canary
