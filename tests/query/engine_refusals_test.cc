// Whatever is asked, an engine refuses it by a limit that the error names and
// a metric counts, and goes on answering others.
#include <prometheus/registry.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMinute = 60'000;

class EngineRefusalsTest : public EngineFixture {
 protected:
  void LoadMany(int series, int samples) {
    for (int s = 0; s < series; ++s) {
      const std::string id = fmt::format("{}", s);
      std::vector<std::optional<double>> values;
      for (int i = 0; i < samples; ++i) values.push_back(i + s);
      Load({{"__name__", "x_total"}, {"id", id}}, 15'000, values);
    }
  }

  static query::RangeQuery OverAnHour(std::string text) {
    query::RangeQuery query;
    query.query = std::move(text);
    query.end_ms = 60 * kMinute;
    query.step_ms = 15'000;
    return query;
  }

  double Counted(std::string_view family, std::string_view label,
                 std::string_view value) {
    for (const auto& one : registry_.Collect()) {
      if (one.name != family) continue;
      for (const auto& metric : one.metric) {
        for (const auto& pair : metric.label) {
          if (pair.name == label && pair.value == value) {
            return metric.counter.value + metric.gauge.value;
          }
        }
      }
    }
    return -1;
  }

  prometheus::Registry registry_;
};

std::string Repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST_F(EngineRefusalsTest, EachLimitNamesItsSettingIsCountedAndHurtsNoOther) {
  LoadMany(50, 100);
  using Options = query::EngineOptions;
  struct Case {
    std::string limit;
    std::function<void(Options*)> set;
    std::string query;
    absl::StatusCode code;
    std::string error;
  };
  const std::string long_regex(200, 'a');
  const std::vector<Case> cases = {
      {"query_bytes", [](Options* o) { o->query_bytes_max = 20'000; },
       "x_total", absl::StatusCode::kFailedPrecondition,
       "query (setting query.query_bytes_max): needs more than its limit of "
       "20000 bytes"},
      {"process_bytes", [](Options* o) { o->process_bytes_max = 20'000; },
       "x_total", absl::StatusCode::kResourceExhausted,
       "all queries (setting query.process_bytes_max): all of its 20000 bytes"},
      {"samples", [](Options* o) { o->query_samples_max = 1'000; }, "x_total",
       absl::StatusCode::kFailedPrecondition,
       "query processing would load too many samples into memory in query "
       "execution (setting query.query_samples_max: 1000)"},
      {"points", [](Options* o) { o->points_per_series_max = 100; }, "x_total",
       absl::StatusCode::kInvalidArgument,
       "exceeded maximum resolution of 100 points per timeseries"},
      {"text", [](Options* o) { o->query_text_bytes_max = 100; },
       "vector(1" + Repeated(" ", 100) + ")",
       absl::StatusCode::kInvalidArgument,
       "query of 109 bytes: at most 100 are taken (setting "
       "query.query_text_bytes_max)"},
      {"nesting", [](Options* o) { o->nesting_max = 20; },
       Repeated("abs(", 20) + "x_total" + Repeated(")", 20),
       absl::StatusCode::kInvalidArgument,
       "expression is nested more than 20 levels deep (setting "
       "query.nesting_max)"},
      {"regex", [](Options* o) { o->regex_bytes_max = 100; },
       "x_total{id=~\"" + long_regex + "\"}",
       absl::StatusCode::kInvalidArgument,
       "regular expression of 200 bytes: at most 100 are taken (setting "
       "query.regex_bytes_max)"},
      {"regex", [](Options* o) { o->regex_bytes_max = 100; },
       "label_replace(x_total, \"a\", \"$1\", \"id\", \"" + long_regex + "\")",
       absl::StatusCode::kFailedPrecondition,
       "in label_replace(): at most 100 are taken (setting "
       "query.regex_bytes_max)"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.limit);
    Options options;
    one.set(&options);
    const query::Engine engine(store_, clock_, options, &registry_);
    const double before = std::max(
        0.0, Counted("vigie_query_limit_refused_total", "limit", one.limit));

    EXPECT_THAT(engine.Run(OverAnHour(one.query)),
                HasError(one.code, HasSubstr(one.error)));

    EXPECT_EQ(Counted("vigie_query_limit_refused_total", "limit", one.limit),
              before + 1);
    EXPECT_EQ(engine.process_account().bytes(), 0);
    query::InstantQuery other;
    other.query = "count(x_total{id=\"7\"})";
    other.time_ms = kMinute;
    EXPECT_EQ(Text(engine.Run(other)), "{} 1");
  }
}

TEST_F(EngineRefusalsTest, WhatIsAddedUpIsNotHeldAsSamples) {
  LoadMany(50, 100);
  options_.threads = 1;  // each has a few series in its hands
  options_.query_samples_max = 5'000;

  EXPECT_THAT(MakeEngine().Run(OverAnHour("x_total")),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("too many samples")));
  EXPECT_THAT(MakeEngine().Run(OverAnHour("sum(rate(x_total[5m]))")), IsOk());
}

TEST_F(EngineRefusalsTest, HostileQueriesAreRefusedWithinTheirBudget) {
  LoadMany(3, 100);
  options_.query_bytes_max = 16 << 20;
  std::string alternation;
  for (int i = 0; i < 20'000; ++i) alternation += fmt::format("v{}|", i);
  const std::string hostile[] = {
      Repeated("(", 100'000) + "1" + Repeated(")", 100'000),
      Repeated("-", 100'000) + "1",
      "1" + Repeated("+1", 60'000),
      Repeated("sum(", 50'000) + "x_total" + Repeated(")", 50'000),
      "x_total{id=~\"" + alternation + "\"}",
      "x_total{id=~\"((a{100}){100}){100}\"}",
      "max_over_time(x_total[10y:1ms])",
      "sum_over_time(sum_over_time(x_total[10y:1ms])[10y:1ms])",
      Repeated("max_over_time(", 6) + "x_total" + Repeated("[1y:1ms])", 6),
  };
  const query::Engine engine = MakeEngine();
  for (const std::string& text : hostile) {
    SCOPED_TRACE(text.substr(0, 40));

    EXPECT_FALSE(engine.Run(OverAnHour(text)).ok());
    EXPECT_EQ(engine.process_account().bytes(), 0);
  }
  EXPECT_THAT(engine.Run(OverAnHour("sum(x_total)")), IsOk());
}

TEST_F(EngineRefusalsTest, AFloodOfQueriesDoesNotTakeTheBudgetOfRules) {
  LoadMany(200, 50);
  options_.process_bytes_max = 400'000;
  options_.rules.process_bytes_max = 4'000'000;
  options_.threads = 1;
  const query::Engine queries(store_, clock_, options_, &registry_);
  const query::Engine rules(store_, clock_, options_.ForRules(), &registry_);
  std::atomic<int> refused = 0;
  std::vector<std::thread> flood;
  for (int i = 0; i < 3; ++i) {
    flood.emplace_back([&] {
      for (int run = 0; run < 20; ++run) {
        const auto result = queries.Run(OverAnHour("x_total"));
        if (absl::IsResourceExhausted(result.status())) ++refused;
      }
    });
  }
  for (int run = 0; run < 20; ++run) {
    query::InstantQuery rule;
    rule.query = "x_total > 10";
    rule.time_ms = 10 * kMinute;
    EXPECT_THAT(rules.Run(rule), IsOk());
  }
  for (std::thread& thread : flood) thread.join();

  EXPECT_EQ(refused, 60);  // none of them fits
  EXPECT_EQ(Counted("vigie_query_bytes", "budget", "rules"), 0);
}

TEST_F(EngineRefusalsTest, RulesBeyondTheirBudgetAreRefusedAndQueriesAreNot) {
  LoadMany(200, 50);
  options_.rules.process_bytes_max = 10'000;
  options_.rules.query_samples_max = 100'000;
  options_.rules.timeout_ms = 5'000;
  const query::Engine queries(store_, clock_, options_, &registry_);
  const query::Engine rules(store_, clock_, options_.ForRules(), &registry_);

  EXPECT_THAT(
      rules.Run(OverAnHour("x_total")),
      HasError(absl::StatusCode::kResourceExhausted,
               HasSubstr("all rules (setting query.rules.process_bytes_max)")));
  EXPECT_THAT(queries.Run(OverAnHour("x_total")), IsOk());
  EXPECT_EQ(rules.options().query_samples_max, 100'000);
  EXPECT_EQ(rules.options().timeout_ms, 5'000);
  EXPECT_EQ(rules.options().query_bytes_max, options_.query_bytes_max);
}

}  // namespace
}  // namespace vigie::testing
