// The judge of kept answers: over a store on disk whose samples come in order,
// late, stale, twice and from new series, are sealed, merged, imported,
// deleted and age out, two engines are asked the same panels again and again
// while their windows move. VIGIE_CACHE_ROUNDS makes it longer.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/query/range_cache_fixture.h"

namespace vigie::testing {
namespace {

constexpr const char* kExpressions[] = {
    "g",
    "g offset 3m",
    "g offset -2m",
    "-g",
    "g{job=\"a\"} * 2",
    "g > 1",
    "g > bool 1",
    "c_total",
    "rate(c_total[5m])",
    "irate(c_total[2m])",
    "increase(c_total[7m30s])",
    "delta(g[4m])",
    "deriv(g[6m])",
    "predict_linear(g[6m], 600)",
    "changes(g[10m])",
    "resets(c_total[10m])",
    "sum_over_time(g[3m])",
    "avg_over_time(w[4m])",
    "sum_over_time(w[4m])",
    "stddev_over_time(g[5m])",
    "quantile_over_time(0.7, g[5m])",
    "max_over_time(g[5m])",
    "last_over_time(g[10m])",
    "absent_over_time(g{job=\"z\"}[5m])",
    "count_over_time(g[5m] offset 1m)",
    "timestamp(g)",
    "timestamp(c_total offset 1m)",
    "sum(rate(c_total[5m]))",
    "sum by (job) (rate(c_total[5m]))",
    "sum without (pod) (g)",
    "avg by (job) (g)",
    "avg(g)",
    "stddev by (job) (g)",
    "min by (pod) (g)",
    "max(g)",
    "count(g)",
    "count by (job) (g > 0)",
    "count(count by (pod) (g))",
    "group by (job) (g)",
    "quantile by (job) (0.3, g)",
    "count_values by (job) (\"v\", w)",
    "topk(2, g)",
    "topk by (job) (1, w)",
    "topk(2, sum by (job) (rate(c_total[5m])))",
    "bottomk(1, sum by (pod) (w))",
    "topk(3, sum by (pod, job) (g))",
    "topk(1, count by (pod) (w > 2))",
    "bottomk(2, count by (pod, job) (g > 2))",
    "topk by (job) (1, group by (pod, job) (w > 1))",
    "sum(topk(3, g))",
    "sum(sum by (job) (g))",
    "sum(max by (pod) (g))",
    "sum(g / on (job, pod) w)",
    "g / on (job, pod) w",
    "g + ignoring (nothing) c_total",
    "g * on (job) group_left () sum by (job) (w)",
    "sum by (job) (rate(c_total[5m])) / sum by (job) (rate(c_total[10m]))",
    "g and on (job, pod) w",
    "g unless on (job, pod) (w > 2)",
    "g or w",
    "g or g * 2",
    "g > 1 or g * 2",
    "rate(c_total[5m]) or w",
    "sum(rate(c_total[5m])) or vector(0)",
    "sum by (job) (g > 2 or g * 2)",
    "abs(g > 1 or w)",
    "absent(g{job=\"a\"})",
    "absent(nothing)",
    "scalar(sum(g))",
    "vector(scalar(w{job=\"a\",pod=\"0\"}))",
    "clamp(g, -1, 2)",
    "round(g, 0.1)",
    "hour(g)",
    "time() - timestamp(g)",
    "day_of_week()",
    "sort_desc(g)",
    "max_over_time(rate(c_total[2m])[10m:1m])",
    "avg_over_time(g[6m:])",
    "sum_over_time(sum by (job) (g)[5m:30s] offset 1m)",
    "max_over_time(sum_over_time(g[2m])[6m:90s])",
    "histogram_quantile(0.9, rate(h_bucket[5m]))",
    "histogram_quantile(0.5, sum by (le) (rate(h_bucket[5m])))",
    "histogram_quantile(0.99, sum by (le, job) (h_bucket))",
    "histogram_quantile(0.5, sum by (le) (h_bucket > 9))",
    "histogram_fraction(0, 1, sum by (le) (rate(h_bucket[5m])))",
    "histogram_quantile(0.9, n)",
    "histogram_count(rate(n[5m]))",
    "sum(rate(n[5m]))",
    "n",
    "label_replace(g, \"a\", \"$1\", \"job\", \"(.*)\")",
    "{job=\"a\"}",
    "rate({__name__=~\"g|w\"}[5m])",
    "g @ start()",
    "sum(g @ end())",
    "sum(g) - scalar(g @ end() > 0)",
    "rate(c_total[max_of(step(), 2m)])",
    "rate(c_total[range()])",
    "g + step()",
    "g + scalar(vector(end()))",
    "limitk(2, g)",
    "rate(c_total[5m] smoothed)",
    "g / on (job) g",
    "sum(g) + on () g",
    "topk(scalar(w{job=\"a\",pod=\"0\"}), g)",
    "quantile(scalar(g{job=\"a\",pod=\"0\"}), w)",
};

struct Panel {
  const char* text = nullptr;
  int64_t step_ms = 0;
  int64_t range_ms = 0;
  bool aligned = true;
};

struct Target {
  Labels labels;
  char kind = 'g';
  int64_t last_ms = 0;
  double value = 0;
};

// Everything of one run of the judge.
class RangeCacheRandomTest : public RangeCacheFixture,
                             public ::testing::WithParamInterface<uint64_t> {
 protected:
  int64_t Random(int64_t min, int64_t max) {
    return std::uniform_int_distribution<int64_t>(min, max)(random_);
  }
  bool Chance(int percent) { return Random(1, 100) <= percent; }
  template <class T>
  const T& OneOf(const std::vector<T>& some) {
    return some[static_cast<size_t>(
        Random(0, static_cast<int64_t>(some.size()) - 1))];
  }

  void AddTarget(std::string_view name, char kind, int job, int pod,
                 std::string_view le = "") {
    const std::string pod_text = fmt::format("{}", pod);
    const std::string job_text(1, static_cast<char>('a' + job));
    LabelsBuilder builder;
    builder.Set("__name__", name).Set("job", job_text).Set("pod", pod_text);
    if (!le.empty()) builder.Set("le", le);
    targets_.push_back({builder.Build(), kind, clock_.NowMs(), 0});
  }

  void MakeTargets() {
    for (int job = 0; job < 3; ++job) {
      for (int pod = 0; pod < 3; ++pod) {
        AddTarget("g", 'g', job, pod);
        AddTarget("w", 'w', job, pod);
        AddTarget("c_total", 'c', job, pod);
        if (pod == 0) AddTarget("n", 'n', job, pod);
        for (const char* le : {"0.1", "1", "+Inf"}) {
          if (pod < 2) AddTarget("h_bucket", 'c', job, pod, le);
        }
      }
    }
    for (const char* same : {"1.0", "1e0"}) {
      AddTarget("h_bucket", 'c', 0, 0, same);
      AddTarget("h_bucket", 'c', 1, 1, same);
    }
  }

  double NextValue(Target* target) {
    if (Chance(1)) {
      static const std::vector<double> kOdd = {
          -0.0,         0.0,    std::numeric_limits<double>::infinity(),
          1e300,        -1e300, std::numeric_limits<double>::quiet_NaN(),
          StaleMarker()};
      return OneOf(kOdd);
    }
    switch (target->kind) {
      case 'w':
        return static_cast<double>(Random(-1, 4));
      case 'c':
        target->value = Chance(2) ? 0 : target->value + Random(0, 40) / 7.0;
        return target->value;
      default:
        return std::ldexp(static_cast<double>(Random(-1'000, 1'000)), -7) *
               std::pow(10, static_cast<double>(Random(-3, 3)));
    }
  }

  void AddPoint(Target* target, int64_t time_ms, store::AppendBatch* batch) {
    batch->series.push_back({target->labels, {}});
    const auto number = static_cast<uint32_t>(batch->series.size() - 1);
    if (target->kind != 'n') {
      batch->floats.push_back({number, {time_ms, NextValue(target)}, 0});
      return;
    }
    FloatHistogram histogram;
    histogram.positive_spans = {{0, 3}};
    target->value = Chance(5) ? 1 : target->value + Random(1, 5);
    histogram.positive_buckets = {target->value, target->value * 2, 1};
    histogram.count = target->value * 3 + 1;
    histogram.sum = target->value * 2.5;
    batch->float_histograms.push_back({number, time_ms, histogram, 0});
  }

  // What scrapes of some minutes bring, some of it after its time.
  void Scrape() {
    const int64_t until_ms = clock_.NowMs();
    store::AppendBatch batch;
    for (Target& target : targets_) {
      if (Chance(5)) continue;  // is away for a while
      int64_t time_ms = target.last_ms;
      while (true) {
        time_ms += 15'000 + (Chance(20) ? Random(-3'000, 20'000) : 0);
        if (time_ms > until_ms) break;
        AddPoint(&target, time_ms, &batch);
        target.last_ms = time_ms;
      }
      if (Chance(15)) {  // behind its newest
        AddPoint(&target, until_ms - Random(1, 20 * kMinute), &batch);
      }
      if (Chance(1)) {  // ahead of the clock
        AddPoint(&target, until_ms + Random(1, 5 * kMinute), &batch);
      }
    }
    Append(std::move(batch));
    if (Chance(10)) {  // one that nobody knew, of any age
      AddTarget(OneOf<std::string>({"g", "w", "c_total"}), 'g',
                static_cast<int>(Random(0, 2)), static_cast<int>(Random(3, 6)));
      targets_.back().last_ms = until_ms - Random(0, 60 * kMinute);
    }
    if (Chance(10) && targets_.size() > 40) targets_.pop_back();
  }

  void Disturb() {
    const int64_t now_ms = clock_.NowMs();
    switch (Random(1, 14)) {
      case 1: {
        const int64_t from_ms = now_ms - Random(0, 90 * kMinute);
        store::DeleteRequest request;
        request.selectors = {
            {Matcher::Equal("job", OneOf<std::string>({"a", "b", "c"}))}};
        request.range = {.min_ms = from_ms,
                         .max_ms = from_ms + Random(0, 20 * kMinute)};
        ASSERT_THAT(store_->DeleteSeries(request, {}).status(), IsOk());
        break;
      }
      case 2:
      case 3:
        ASSERT_THAT(store_->Seal(), IsOk());
        break;
      case 4:
        ASSERT_THAT(store_->Compact({}), IsOk());
        break;
      case 5: {
        OneSeries source(OneOf(targets_).labels,
                         now_ms - Random(5, 60) * kMinute, Random(1, 120));
        ASSERT_THAT(store_->Import(source, {}).status(), IsOk());
        break;
      }
      case 6:
        ASSERT_THAT(store_->ApplyRetention(), IsOk());
        break;
      case 7:  // the clock steps back, and forward again
        clock_.SetNowMs(now_ms - Random(0, 10 * kMinute));
        AskSome(5);
        clock_.SetNowMs(now_ms);
        break;
      default:
        break;
    }
  }

  class OneSeries final : public store::ImportSource {
   public:
    OneSeries(Labels labels, int64_t from_ms, int64_t samples)
        : labels_(std::move(labels)), from_ms_(from_ms), samples_(samples) {}
    const Tenant& tenant() const override { return tenant_; }
    absl::StatusOr<bool> Next(store::ImportedSeries* series) override {
      if (std::exchange(given_, true)) return false;
      series->labels = labels_;
      store::SampleBatch& batch = series->batches.emplace_back();
      for (int64_t i = 0; i < samples_; ++i) {
        batch.times_ms.push_back(from_ms_ + i * 10'007);
        batch.values.push_back(static_cast<double>(i) / 3);
      }
      return true;
    }

   private:
    const Tenant tenant_;
    const Labels labels_;
    const int64_t from_ms_;
    const int64_t samples_;
    bool given_ = false;
  };

  void AskSome(int panels) {
    for (int i = 0; i < panels; ++i) {
      const Panel& panel = OneOf(panels_);
      int64_t end_ms = clock_.NowMs();
      int64_t range_ms = panel.range_ms;
      if (Chance(15)) end_ms -= Random(0, 90) * kMinute;  // looks back
      if (Chance(10)) end_ms += Random(0, 5) * kMinute;   // and ahead
      if (Chance(10)) range_ms *= 2;
      if (Chance(10)) range_ms /= 4;
      int64_t start_ms = end_ms - range_ms;
      if (panel.aligned) {
        start_ms -= start_ms % panel.step_ms;
        end_ms -= end_ms % panel.step_ms;
      }
      Same(panel.text, start_ms, end_ms, panel.step_ms);
      if (HasFailure()) return;
      ++asked_;
    }
  }

  std::mt19937_64 random_;
  std::vector<Target> targets_;
  std::vector<Panel> panels_;
  int asked_ = 0;
};

TEST_P(RangeCacheRandomTest, NoAnswerTellsWhatOfItWasKept) {
  const char* const longer = std::getenv("VIGIE_CACHE_ROUNDS");
  const int rounds = longer == nullptr ? 30 : std::atoi(longer);
  random_.seed(GetParam());
  SCOPED_TRACE(fmt::format("seed {}", GetParam()));
  store_options_.store.retention_ms = 2 * 3'600'000;
  store_options_.store.seal_interval_ms = 86'400'000;
  engine_options_.cache_bytes_max = Chance(50) ? 1 << 20 : 64 << 20;
  Open();
  MakeTargets();
  const std::vector<int64_t> steps = {15'000, 30'000, 60'000, 60'000, 100'000};
  for (const char* text : kExpressions) {
    const int64_t step_ms = OneOf(steps);
    panels_.push_back(
        {text, step_ms, step_ms * Random(4, 60), /*aligned=*/!Chance(10)});
  }

  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    clock_.AdvanceMs(Random(1, Chance(10) ? 15 : 3) * kMinute / 2);
    Scrape();
    if (!HasFailure()) AskSome(40);
    if (!HasFailure()) Disturb();
    if (!HasFailure()) AskSome(20);
  }

  EXPECT_GT(Count("hit") * 20, asked_);
  EXPECT_GT(Count("partial") * 10, asked_);
  EXPECT_EQ(cached_->process_account().bytes(), 0);
  RecordProperty("hit", static_cast<int>(Count("hit")));
  RecordProperty("partial", static_cast<int>(Count("partial")));
  RecordProperty("asked", asked_);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RangeCacheRandomTest,
                         ::testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace vigie::testing
