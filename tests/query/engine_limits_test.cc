#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <random>
#include <sstream>
#include <string>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMinute = 60'000;

class EngineLimitsTest : public EngineFixture {
 protected:
  void LoadMany(int series, int samples) {
    for (int s = 0; s < series; ++s) {
      const std::string id = fmt::format("{}", s);
      std::vector<std::optional<double>> values;
      for (int i = 0; i < samples; ++i) values.push_back(i + s);
      Load({{"__name__", "x_total"}, {"id", id}, {"parity", s % 2 ? "a" : "b"}},
           15'000, values);
    }
  }
};

constexpr const char* kExpressions[] = {
    "x_total",
    "x_total[30m]",
    "rate(x_total[5m])",
    "sum by (parity) (rate(x_total[5m]))",
    "topk(3, x_total)",
    "quantile(0.5, x_total)",
    "count_values(\"v\", x_total)",
    "x_total + x_total",
    "x_total and x_total",
    "x_total or -x_total",
    "max_over_time(x_total[10m:30s])",
    "label_replace(x_total, \"a\", \"$1\", \"id\", \"(.*)\")",
    "absent(x_total)",
    "scalar(x_total)",
    "sort(x_total)",
    "time() + 1",
};

TEST_F(EngineLimitsTest, EveryExpressionIsStoppedByItsBudgetAndGivesItBack) {
  LoadMany(50, 100);
  for (const char* text : kExpressions) {
    // Some need less than others, none nothing.
    options_.query_bytes_max = 64;
    const query::Engine engine = MakeEngine();
    query::RangeQuery range;
    range.query = text;
    range.end_ms = 20 * kMinute;
    range.step_ms = 15'000;
    query::InstantQuery instant;
    instant.query = text;
    instant.time_ms = 20 * kMinute;

    const bool is_range = std::string_view(text).ends_with("[30m]");
    const auto result = is_range ? engine.Run(instant) : engine.Run(range);

    EXPECT_THAT(result, HasError(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("limit of 64 bytes")))
        << text;
    EXPECT_EQ(engine.process_account().bytes(), 0) << text;
  }
}

TEST_F(EngineLimitsTest, AfterASuccessNothingIsHeld) {
  LoadMany(20, 100);
  const query::Engine engine = MakeEngine();
  for (const char* text : kExpressions) {
    query::InstantQuery query;
    query.query = text;
    query.time_ms = 20 * kMinute;

    const auto result = engine.Run(query);

    EXPECT_THAT(result, IsOk()) << text;
    EXPECT_EQ(engine.process_account().bytes(), 0) << text;
  }
}

TEST_F(EngineLimitsTest, AFullProcessAsksToTryLater) {
  LoadMany(20, 100);
  options_.process_bytes_max = 100;

  EXPECT_THAT(
      Instant("x_total", kMinute),
      HasError(absl::StatusCode::kResourceExhausted, HasSubstr("all queries")));
}

TEST_F(EngineLimitsTest, AggregatingARateHoldsGroupsAndNotSeries) {
  LoadMany(2000, 80);
  options_.threads = 2;  // each has a few series in its hands
  const auto peak = [&](std::string_view text) {
    const auto result = Range(text, 0, 20 * kMinute, 1'000);
    EXPECT_THAT(result, IsOk());
    return result->stats.bytes_peak;
  };

  EXPECT_LT(peak("sum by (parity) (rate(x_total[5m]))") * 10,
            peak("rate(x_total[5m])"));
}

TEST_F(EngineLimitsTest, ACancelledQueryStops) {
  LoadMany(2, 10);
  std::stop_source stop;
  stop.request_stop();
  query::InstantQuery query;
  query.query = "sum(x_total)";
  query.stop = stop.get_token();

  EXPECT_THAT(MakeEngine().Run(query), HasCode(absl::StatusCode::kCancelled));
}

// A store that takes its time.
class SlowStore final : public store::Queryable {
 public:
  SlowStore(const store::Queryable& inner, SimulatedClock* clock,
            int64_t delay_ms)
      : inner_(inner), clock_(*clock), delay_ms_(delay_ms) {}

  absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
      const store::SelectRequest& request,
      const store::ReadContext& context) const override {
    clock_.AdvanceMs(delay_ms_);
    return inner_.Select(request, context);
  }
  absl::StatusOr<store::NameList> LabelNames(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context) const override {
    return inner_.LabelNames(tenant, range, selectors, limit, context);
  }
  absl::StatusOr<store::NameList> LabelValues(
      const Tenant& tenant, std::string_view label, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context) const override {
    return inner_.LabelValues(tenant, label, range, selectors, limit, context);
  }
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const store::ReadContext& context, bool* truncated) const override {
    return inner_.Series(tenant, range, selectors, limit, context, truncated);
  }
  absl::StatusOr<std::vector<store::ExemplarSeries>> Exemplars(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors,
      const store::ReadContext& context) const override {
    return inner_.Exemplars(tenant, range, selectors, context);
  }
  absl::StatusOr<std::vector<store::MetricMetadata>> ListMetadata(
      const Tenant& tenant, std::string_view metric,
      const store::ReadContext& context) const override {
    return inner_.ListMetadata(tenant, metric, context);
  }
  absl::StatusOr<store::Cardinality> CountCardinality(
      const Tenant& tenant, uint64_t limit,
      const store::ReadContext& context) const override {
    return inner_.CountCardinality(tenant, limit, context);
  }

 private:
  const store::Queryable& inner_;
  SimulatedClock& clock_;
  const int64_t delay_ms_;
};

TEST_F(EngineLimitsTest, AQueryEndsAtItsDeadline) {
  LoadMany(2, 10);
  const SlowStore slow(store_, &clock_, 1'000);
  prometheus::Registry registry;
  const query::Engine engine(slow, clock_, options_, &registry);
  query::InstantQuery query;
  query.query = "sum(x_total)";

  query.timeout_ms = 999;
  EXPECT_THAT(engine.Run(query),
              HasError(absl::StatusCode::kDeadlineExceeded,
                       "query timed out in expression evaluation"));
  EXPECT_THAT(prometheus::TextSerializer().Serialize(registry.Collect()),
              HasSubstr("vigie_query_limit_refused_total{budget=\"queries\","
                        "limit=\"time\"} 1\n"));
  query.timeout_ms = 1'001;
  EXPECT_THAT(engine.Run(query), IsOk());
}

// Regular expressions are compiled while the text is read.
TEST_F(EngineLimitsTest, AQueryEndsBeforeItsNextRegularExpressionIsCompiled) {
  const query::Engine engine(store_, clock_, options_);
  query::InstantQuery query;
  query.query = "x{a=~\"b\"} +";
  EXPECT_THAT(engine.Run(query), HasCode(absl::StatusCode::kInvalidArgument));

  std::stop_source gone;
  gone.request_stop();
  query.stop = gone.get_token();
  EXPECT_THAT(engine.Run(query), HasCode(absl::StatusCode::kCancelled));
}

// What is logged while it lives.
class LogLines {
 public:
  LogLines() { spdlog::default_logger()->sinks().push_back(sink_); }
  ~LogLines() { spdlog::default_logger()->sinks().pop_back(); }
  std::string text() const { return out_.str(); }

 private:
  std::ostringstream out_;
  std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_ =
      std::make_shared<spdlog::sinks::ostream_sink_mt>(out_);
};

TEST_F(EngineLimitsTest, ASlowQueryIsLoggedWithWhatItReadAndHowItEnded) {
  LoadMany(2, 10);
  const SlowStore slow(store_, &clock_, 1'000);
  query::InstantQuery query;
  query.query = "sum(x_total)\nforged line";
  query.time_ms = kMinute;
  const LogLines lines;

  options_.slow_query_ms = 1'001;
  EXPECT_THAT(query::Engine(slow, clock_, options_).Run(query),
              HasCode(absl::StatusCode::kInvalidArgument));
  query.query = "sum(\nx_total)";
  EXPECT_THAT(query::Engine(slow, clock_, options_).Run(query), IsOk());
  options_.slow_query_ms = 0;
  EXPECT_THAT(query::Engine(slow, clock_, options_).Run(query), IsOk());
  EXPECT_EQ(lines.text(), "");

  options_.slow_query_ms = 1'000;
  EXPECT_THAT(query::Engine(slow, clock_, options_).Run(query), IsOk());
  EXPECT_THAT(lines.text(),
              HasSubstr("query: \"sum(\\nx_total)\" of default took 1000 ms: "
                        "60000 to 60000 ms, step 0 ms; 2 series, "));
  EXPECT_THAT(lines.text(), HasSubstr("; ok"));
  query.timeout_ms = 999;
  EXPECT_THAT(query::Engine(slow, clock_, options_).Run(query),
              HasCode(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(lines.text(), HasSubstr("; query timed out"));
}

TEST_F(EngineLimitsTest, ACallerCannotWaitLongerThanTheOptionsSay) {
  LoadMany(2, 10);
  options_.timeout_ms = 500;
  const SlowStore slow(store_, &clock_, 1'000);
  const query::Engine engine(slow, clock_, options_);
  query::InstantQuery query;
  query.query = "sum(x_total)";
  query.timeout_ms = 60'000;

  EXPECT_THAT(engine.Run(query), HasCode(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(EngineLimitsTest, ASubqueryOfTooManyStepsIsRefusedBeforeItsMemory) {
  options_.query_bytes_max = 1 << 20;

  for (const char* inner :
       {"vector(1)", "absent(none)", "none + none", "none and none",
        "topk(1, none)", "quantile(2, none)", "vector(scalar(none))",
        "absent_over_time(none[5m])", "time() + none",
        "histogram_quantile(2, none)"}) {
    EXPECT_THAT(
        At(0, fmt::format("sum_over_time(({})[292y:1ms])", inner)),
        ::testing::AnyOf(HasSubstr("limit of"), HasSubstr("evaluation steps")))
        << inner;
  }
}

// Series with gaps, resets, staleness markers and odd values, by seed.
class InstantEqualsRangeTest : public EngineFixture,
                               public ::testing::WithParamInterface<int> {
 protected:
  void LoadRandom(std::mt19937_64* random) {
    for (int s = 0; s < 6; ++s) {
      const std::string id = fmt::format("{}", s);
      std::vector<Sample> samples;
      double value = 0;
      for (int64_t t = 0; t < 30 * kMinute; t += 5'000 + (*random)() % 20'000) {
        switch ((*random)() % 20) {
          case 0:
            value = 0;
            break;
          case 1:
            samples.push_back({t, StaleMarker()});
            continue;
          case 2:
            samples.push_back({t, NAN});
            continue;
          case 3:
            t += 6 * kMinute;
            break;
          default:
            value += s % 2 == 0 ? static_cast<double>((*random)() % 10)
                                : static_cast<double>((*random)() % 1000) / 7;
        }
        samples.push_back({t, value});
      }
      LoadSamples({{"__name__", s < 3 ? "x_total" : "y_total"},
                   {"id", id},
                   {"pair", s % 3 == 0 ? "0" : "1"}},
                  samples);
    }
  }
};

TEST_P(InstantEqualsRangeTest, AtEveryStepToTheBit) {
  SCOPED_TRACE(fmt::format("seed {}", GetParam()));
  std::mt19937_64 random(GetParam());
  LoadRandom(&random);
  options_.experimental = true;
  const char* expressions[] = {
      "x_total",
      "x_total offset 90s",
      "rate(x_total[3m])",
      "increase(x_total[3m] anchored)",
      "rate(x_total[3m] smoothed)",
      "irate(x_total[3m])",
      "resets(x_total[4m])",
      "changes(x_total[4m])",
      "sum_over_time({__name__=~\"._total\"}[2m])",
      "avg_over_time({__name__=~\"._total\"}[2m])",
      "max_over_time(x_total[3m])",
      "min_over_time(x_total[3m])",
      "stddev_over_time(y_total[3m])",
      "quantile_over_time(0.9, y_total[3m])",
      "deriv(y_total[3m])",
      "predict_linear(y_total[3m], 60)",
      "sum by (pair) (rate({__name__=~\"._total\"}[3m]))",
      "avg({__name__=~\"._total\"})",
      "stddev({__name__=~\"._total\"})",
      "count by (pair) (x_total)",
      "quantile(0.3, {__name__=~\"._total\"})",
      "count_values(\"v\", x_total)",
      "topk(2, {__name__=~\"._total\"})",
      "x_total + on(pair) group_left sum by (pair) (y_total)",
      "x_total > 20",
      "x_total > bool 20",
      "x_total and on(pair) y_total",
      "x_total or y_total",
      "x_total unless on(pair) (y_total > 50)",
      "max_over_time(rate(x_total[2m])[5m:30s])",
      "absent(x_total{id=\"0\"})",
      "absent_over_time(x_total[2m])",
      "scalar(x_total{id=\"0\"})",
      "timestamp(x_total)",
      "clamp(x_total, 5, 20)",
      "label_replace(x_total, \"__name__\", \"z$1\", \"id\", \"(.)\")",
      "hour(x_total) + time()",
      "-x_total",
  };
  const int64_t start = static_cast<int64_t>(random() % 600'000);
  const int64_t step = 7'000 + static_cast<int64_t>(random() % 60'000);
  const int64_t end = start + 25 * kMinute;
  for (const char* text : expressions) {
    SCOPED_TRACE(text);
    const auto range = Range(text, start, end, step);
    ASSERT_THAT(range, IsOk());
    // label bytes and time of each sample, with the bits of its value.
    std::map<std::pair<std::string, int64_t>, uint64_t> expected;
    for (int64_t time = start; time <= end; time += step) {
      const auto instant = Instant(text, time);
      ASSERT_THAT(instant, IsOk());
      if (const auto* scalar = std::get_if<query::Scalar>(&instant->value)) {
        expected[{"", time}] = std::bit_cast<uint64_t>(scalar->sample.value);
        continue;
      }
      for (const auto& element : std::get<query::Vector>(instant->value)) {
        expected[{element.labels.bytes(), time}] =
            std::bit_cast<uint64_t>(element.sample.value);
      }
    }
    std::map<std::pair<std::string, int64_t>, uint64_t> actual;
    for (const auto& series : std::get<query::Matrix>(range->value)) {
      for (const Sample& sample : series.floats) {
        actual[{series.labels.bytes(), sample.time_ms}] =
            std::bit_cast<uint64_t>(sample.value);
      }
    }
    EXPECT_EQ(actual.size(), expected.size());
    for (const auto& [at, bits] : expected) {
      const auto found = actual.find(at);
      ASSERT_NE(found, actual.end()) << at.first << " at " << at.second;
      EXPECT_EQ(found->second, bits) << at.first << " at " << at.second;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, InstantEqualsRangeTest, ::testing::Range(1, 6));

}  // namespace
}  // namespace vigie::testing
