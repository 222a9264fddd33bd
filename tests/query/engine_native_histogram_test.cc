// Native histograms through the engine; their arithmetic by itself is in
// native_histogram_test.cc.
#include <atomic>
#include <stop_token>

#include "base/clock.h"
#include "query/native_histogram_values.h"
#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// `count` observations spread evenly over the buckets (0.5,1], (1,2], (2,4].
FloatHistogram Spread(double count) {
  FloatHistogram histogram;
  histogram.count = count;
  histogram.sum = 2 * count;
  histogram.positive_spans = {{.offset = 0, .length = 3}};
  histogram.positive_buckets = {count / 3, count / 3, count / 3};
  return histogram;
}

FloatHistogram WithHint(FloatHistogram histogram, CounterResetHint hint) {
  histogram.reset_hint = hint;
  return histogram;
}

FloatHistogram Custom(std::vector<double> bounds, std::vector<double> counts) {
  FloatHistogram histogram;
  histogram.schema = kCustomBucketsSchema;
  histogram.positive_spans = {
      {.offset = 0, .length = static_cast<uint32_t>(counts.size())}};
  for (const double count : counts) histogram.count += count;
  histogram.positive_buckets = std::move(counts);
  histogram.custom_values = std::move(bounds);
  return histogram;
}

class EngineNativeHistogramTest : public EngineFixture {
 protected:
  // A minute apart, from time 0 on.
  void LoadHistograms(Pairs labels,
                      const std::vector<FloatHistogram>& histograms) {
    store::AppendBatch batch;
    batch.series.push_back({.labels = Labels(labels), .ref = {}});
    for (size_t i = 0; i < histograms.size(); ++i) {
      batch.float_histograms.push_back(
          {.series = 0,
           .time_ms = static_cast<int64_t>(i) * 60'000,
           .histogram = histograms[i]});
    }
    store_.Append(std::move(batch), [](store::AppendOutcome outcome) {
      EXPECT_THAT(outcome.status, IsOk());
    });
  }

  // The text of each histogram of an instant vector, a line each.
  std::string HistogramsAt(int64_t time_ms, std::string_view query) const {
    const auto result = Instant(query, time_ms);
    EXPECT_THAT(result, IsOk());
    if (!result.ok()) return "";
    std::string text;
    for (const auto& element : std::get<query::Vector>(result->value)) {
      text += element.labels.ToString() + " ";
      text += element.histogram.empty()
                  ? Number(element.sample.value)
                  : query::HistogramText(element.histogram[0]);
      text += "\n";
    }
    return text;
  }
};

TEST_F(EngineNativeHistogramTest, OperatorsWorkOnWhatTheyCan) {
  LoadHistograms({{"__name__", "h"}}, {Spread(6)});
  Load({{"__name__", "two"}}, 60'000, {2});

  EXPECT_EQ(HistogramsAt(0, "h + h"),
            "{} {count:12, sum:24, (0.5,1]:4, (1,2]:4, (2,4]:4}\n");
  EXPECT_EQ(HistogramsAt(0, "h * 2 - h"),
            "{} {count:6, sum:12, (0.5,1]:2, (1,2]:2, (2,4]:2}\n");
  EXPECT_EQ(HistogramsAt(0, "-h"),
            "{} {count:-6, sum:-12, (0.5,1]:-2, (1,2]:-2, (2,4]:-2}\n");
  EXPECT_EQ(HistogramsAt(0, "two * h"), HistogramsAt(0, "h + h"));
  EXPECT_EQ(HistogramsAt(0, "h / 0"),
            "{} {count:+Inf, sum:+Inf, [-0,0]:NaN}\n");
  EXPECT_EQ(HistogramsAt(0, "h </ 2"),
            "h {count:4, sum:4.242640687119286, (0.5,1]:2, (1,2]:2}\n");
  EXPECT_EQ(At(0, "h == bool h"), "{} 1");
  EXPECT_EQ(At(0, "h != bool h"), "{} 0");
  EXPECT_EQ(At(0, "h != h"), "");
  EXPECT_THAT(
      Infos(Instant("h + 1", 0)),
      ElementsAre("PromQL info: incompatible sample types encountered for "
                  "binary operator \"+\": histogram + float (1:1)"));
  EXPECT_EQ(At(0, "2 / h"), "");
}

TEST_F(EngineNativeHistogramTest, TotalsAndQuantiles) {
  LoadHistograms({{"__name__", "h"}}, {Spread(6)});
  Load({{"__name__", "h"}, {"a", "float"}}, 60'000, {1});

  EXPECT_EQ(At(0, "histogram_count(h)"), "{} 6");
  EXPECT_EQ(At(0, "histogram_sum(h)"), "{} 12");
  EXPECT_EQ(At(0, "histogram_avg(h)"), "{} 2");
  EXPECT_EQ(At(0, "histogram_quantile(0, h{a=\"\"})"), "{} 0.5");
  EXPECT_EQ(At(0, "histogram_quantile(1, h{a=\"\"})"), "{} 4");
  EXPECT_EQ(At(0, "histogram_fraction(1, 4, h{a=\"\"}) * 3"), "{} 2");
}

TEST_F(EngineNativeHistogramTest, ClassicAndNativeOfOneNameAreDropped) {
  LoadHistograms({{"__name__", "h"}}, {Spread(6)});
  Load({{"__name__", "h"}, {"le", "1"}}, 60'000, {1});
  Load({{"__name__", "h"}, {"le", "+Inf"}}, 60'000, {1});
  const auto result = Instant("histogram_quantile(0.5, h)", 0);

  EXPECT_EQ(Text(result), "");
  EXPECT_THAT(Warnings(result),
              ElementsAre("PromQL warning: vector contains a mix of classic "
                          "and native histograms for metric name \"h\" "
                          "(1:25)"));
}

TEST_F(EngineNativeHistogramTest, SumsAndMeansOfGroups) {
  LoadHistograms({{"__name__", "h"}, {"a", "1"}}, {Spread(6)});
  LoadHistograms({{"__name__", "h"}, {"a", "2"}}, {Spread(12)});

  EXPECT_EQ(HistogramsAt(0, "sum(h)"),
            "{} {count:18, sum:36, (0.5,1]:6, (1,2]:6, (2,4]:6}\n");
  EXPECT_EQ(HistogramsAt(0, "avg(h)"),
            "{} {count:9, sum:18, (0.5,1]:3, (1,2]:3, (2,4]:3}\n");
  EXPECT_EQ(At(0, "count(h)"), "{} 2");
  EXPECT_EQ(At(0, "count_values(\"v\", h{a=\"1\"})"),
            "{v=\"{count:6, sum:12, (0.5,1]:2, (1,2]:2, (2,4]:2}\"} 1");
  EXPECT_THAT(Infos(Instant("max(h)", 0)),
              ElementsAre("PromQL info: ignored histogram in max aggregation "
                          "(1:5)"));
}

TEST_F(EngineNativeHistogramTest, WhatDoesNotAddUpGivesNothingAndSaysSo) {
  LoadHistograms({{"__name__", "h"}, {"a", "1"}}, {Spread(6)});
  Load({{"__name__", "h"}, {"a", "2"}}, 60'000, {1});
  LoadHistograms({{"__name__", "h"}, {"a", "3"}}, {Custom({1}, {1, 1})});
  const auto mixed = Instant("sum(h{a=~\"1|2\"})", 0);
  EXPECT_EQ(Text(mixed), "");
  EXPECT_THAT(Warnings(mixed),
              ElementsAre("PromQL warning: encountered a mix of histograms and "
                          "floats for aggregation (1:5)"));
  const auto schemas = Instant("avg(h{a=~\"1|3\"})", 0);
  EXPECT_EQ(Text(schemas), "");
  EXPECT_THAT(Warnings(schemas),
              ElementsAre("PromQL warning: vector contains a mix of histograms "
                          "with exponential and custom buckets schemas for "
                          "metric name \"h\" (1:5)"));
  const auto binary = Instant("h{a=\"1\"} + ignoring(a) h{a=\"3\"}", 0);
  EXPECT_EQ(Text(binary), "");
  EXPECT_THAT(Warnings(binary),
              ElementsAre("PromQL warning: incompatible bucket layout "
                          "encountered for binary operator + (1:1)"));
}

TEST_F(EngineNativeHistogramTest, RatesSeeResetsInASingleBucket) {
  FloatHistogram moved = Spread(12);
  moved.positive_buckets = {0, 6, 6};  // the first bucket fell
  LoadHistograms({{"__name__", "h"}},
                 {Spread(3), Spread(6), moved, Spread(15)});
  LoadHistograms({{"__name__", "grows"}},
                 {Spread(3), Spread(6), Spread(12), Spread(15)});

  // 3 more, 12 from nothing and, as that fell again, 15 from nothing; 3 are
  // what it began with, so nothing is added before the first sample.
  EXPECT_EQ(At(180'000, "round(histogram_count(increase(h[3m1ms])), 0.01)"),
            "{} 30");
  EXPECT_EQ(At(180'000, "resets(h[4m])"), "{} 2");
  EXPECT_EQ(At(180'000, "changes(h[4m])"), "{} 3");
  EXPECT_EQ(At(180'000, "resets(grows[4m])"), "{} 0");
  EXPECT_EQ(At(180'000, "histogram_count(irate(grows[4m]))"), "{} 0.05");
  EXPECT_THAT(Warnings(Instant("delta(grows[4m])", 180'000)),
              ElementsAre("PromQL warning: this native histogram metric is not "
                          "a gauge: \"grows\" (1:7)"));
  EXPECT_THAT(Warnings(Instant("rate(grows[4m])", 180'000)), IsEmpty());
}

TEST_F(EngineNativeHistogramTest, AnchoredAndSmoothedRatesDoNotExtrapolate) {
  options_.experimental = true;
  LoadHistograms({{"__name__", "h"}},
                 {Spread(3), Spread(6),
                  WithHint(Spread(9), CounterResetHint::kReset), Spread(15)});

  // 6 - 3, then 9 from nothing, then 15 - 9.
  EXPECT_EQ(At(180'000, "histogram_count(increase(h[3m] anchored))"), "{} 18");
  // Half of each of the pairs at the edges.
  EXPECT_EQ(At(150'000, "histogram_count(increase(h[2m] smoothed))"),
            "{} 13.5");
  EXPECT_EQ(At(30'000, "histogram_count(h smoothed)"), "{} 4.5");
  EXPECT_EQ(At(90'000, "histogram_count(h smoothed)"), "{} 4.5");
}

TEST_F(EngineNativeHistogramTest, SumsOverTime) {
  LoadHistograms({{"__name__", "h"}}, {Spread(3), Spread(6), Spread(9)});

  EXPECT_EQ(HistogramsAt(120'000, "sum_over_time(h[3m])"),
            "{} {count:18, sum:36, (0.5,1]:6, (1,2]:6, (2,4]:6}\n");
  EXPECT_EQ(HistogramsAt(120'000, "avg_over_time(h[3m])"),
            "{} {count:6, sum:12, (0.5,1]:2, (1,2]:2, (2,4]:2}\n");
  EXPECT_EQ(At(120'000, "count_over_time(h[3m])"), "{} 3");
}

TEST_F(EngineNativeHistogramTest, ASubqueryTellsAResetOnce) {
  LoadHistograms(
      {{"__name__", "h"}},
      {Spread(3), WithHint(Spread(3), CounterResetHint::kReset), Spread(6)});

  // Four steps see the second sample; three resets more would count it thrice.
  EXPECT_EQ(At(120'000, "resets(h[2m10s:15s])"), "{} 1");
}

// A second passes each time somebody looks.
class TickingClock final : public Clock {
 public:
  int64_t NowMs() const override { return 0; }
  int64_t MonotonicNs() const override { return ++looks_ * 1'000'000'000; }
  bool SleepFor(absl::Duration, std::stop_token) const override {
    return false;
  }

 private:
  mutable std::atomic<int64_t> looks_{0};
};

TEST_F(EngineNativeHistogramTest, ManyBucketsAreMuchWorkBetweenTwoLooks) {
  // Twelve steps over windows of thirty histograms, which are few samples.
  FloatHistogram wide;
  wide.positive_spans = {{.offset = 0, .length = 10'000}};
  wide.positive_buckets.assign(10'000, 1);
  wide.count = 10'000;
  wide.reset_hint = CounterResetHint::kUnknown;
  LoadHistograms({{"__name__", "h"}}, std::vector<FloatHistogram>(30, wide));
  const TickingClock clock;
  options_.timeout_ms = 40'000;
  const query::Engine engine(store_, clock, options_);
  for (const char* expression :
       {"sum_over_time(h[30m])", "avg_over_time(h[30m])"}) {
    query::RangeQuery query;
    query.query = expression;
    query.start_ms = 18 * 60'000;
    query.end_ms = 29 * 60'000;
    query.step_ms = 60'000;
    EXPECT_THAT(engine.Run(query), HasCode(absl::StatusCode::kDeadlineExceeded))
        << expression;
  }
}

TEST_F(EngineNativeHistogramTest, EverythingIsChargedAndReleased) {
  for (int i = 0; i < 50; ++i) {
    LoadHistograms({{"__name__", "h"}, {"a", fmt::format("{}", i)}},
                   {Spread(3), Spread(6)});
  }
  const auto whole = Instant("sum(h)", 60'000);
  ASSERT_THAT(whole, IsOk());
  options_.query_bytes_max = whole->stats.bytes_peak / 2;
  EXPECT_THAT(Instant("sum by (a) (h)", 60'000),
              HasError(absl::StatusCode::kFailedPrecondition,
                       ::testing::HasSubstr("its limit of")));
}

}  // namespace
}  // namespace vigie::testing
