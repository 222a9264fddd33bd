// However many threads help a query, it answers the same: values to the bit,
// annotations, errors, counts of work.
#include <random>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMinute = 60'000;
constexpr int kSeries = 300;

constexpr const char* kExpressions[] = {
    "x",
    "rate(x[5m])",
    "sum by (parity) (rate(x[5m]))",
    "avg without (id) (x)",
    "x + on (id) group_left () rate(x[3m])",
    "max_over_time(rate(x[2m])[10m:30s])",
    "histogram_quantile(0.9, h)",
    "topk(3, x)",
    "quantile_over_time(2, x[5m])",
    "sum_over_time(x[7m]) > 0 or absent(x)",
    "x @ 300 - x offset 3m",
};

class EngineThreadsTest : public EngineFixture {
 protected:
  void LoadNoise(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int s = 0; s < kSeries; ++s) {
      std::vector<std::optional<double>> values;
      for (int i = 0; i < 60; ++i) {
        if (random() % 7 == 0) {
          values.push_back(std::nullopt);
        } else {
          values.push_back(std::ldexp(static_cast<double>(random() % 1'000),
                                      static_cast<int>(random() % 80) - 40));
        }
      }
      Load({{"__name__", s % 3 == 0 ? "h" : "x"},
            {"id", fmt::format("{}", s)},
            {"le", s % 3 == 0 ? (s % 2 == 0 ? "odd" : "+Inf") : ""},
            {"parity", s % 2 == 0 ? "a" : "b"}},
           15'000, values);
    }
  }

  // All there is to an answer, but how long it took and what it held.
  std::string Whole(int64_t threads, const char* expression) {
    options_.threads = threads;
    const auto result = Range(expression, 0, 20 * kMinute, 20'000);
    if (!result.ok()) return std::string(MessageOf(result.status()));
    std::string text;
    for (const auto& series : std::get<query::Matrix>(result->value)) {
      text += series.labels.ToString();
      for (const Sample& sample : series.floats) {
        text += fmt::format(" {}:{:x}", sample.time_ms,
                            std::bit_cast<uint64_t>(sample.value));
      }
      text += "\n";
    }
    for (const std::string& warning : result->warnings) text += warning + "\n";
    for (const std::string& info : result->infos) text += info + "\n";
    return text + fmt::format("{} series, {} samples",
                              result->stats.series_read,
                              result->stats.samples_read);
  }
};

class EngineThreadsSeedTest : public EngineThreadsTest,
                              public ::testing::WithParamInterface<uint64_t> {};

TEST_P(EngineThreadsSeedTest, AnAnswerDoesNotTellHowManyThreadsMadeIt) {
  LoadNoise(GetParam());
  for (const char* expression : kExpressions) {
    const std::string alone = Whole(1, expression);
    EXPECT_THAT(alone, HasSubstr("series")) << expression;
    for (const int64_t threads : {2, 3, 8}) {
      EXPECT_EQ(Whole(threads, expression), alone)
          << threads << " threads: " << expression;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineThreadsSeedTest,
                         ::testing::Values(1, 2, 3));

TEST_F(EngineThreadsTest, ManyQueriesShareTheHelpers) {
  LoadNoise(4);
  const std::string alone = Whole(1, kExpressions[2]);
  options_.threads = 4;
  const query::Engine engine = MakeEngine();
  std::vector<std::jthread> clients;
  std::atomic<int> right{0};
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        query::RangeQuery query;
        query.query = kExpressions[2];
        query.end_ms = 20 * kMinute;
        query.step_ms = 20'000;
        const auto result = engine.Run(query);
        if (!result.ok()) continue;
        right += std::get<query::Matrix>(result->value).size() == 2 ? 1 : 0;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(right, 20);
  EXPECT_EQ(engine.process_account().bytes(), 0);
  EXPECT_THAT(alone, HasSubstr("series"));
}

TEST_F(EngineThreadsTest, AQueryThatEndsEarlyGivesEverythingBack) {
  LoadNoise(5);
  options_.threads = 8;
  // One that its budget stops in the middle, and one whose end is an error.
  options_.query_bytes_max = 40'000;
  const query::Engine engine = MakeEngine();
  for (const char* expression : {"rate(x[5m])", "x + on () x"}) {
    for (int i = 0; i < 10; ++i) {
      query::RangeQuery query;
      query.query = expression;
      query.end_ms = 20 * kMinute;
      query.step_ms = 20'000;
      EXPECT_FALSE(engine.Run(query).ok());
      EXPECT_EQ(engine.process_account().bytes(), 0);
    }
  }
}

TEST_F(EngineThreadsTest, ACancelledQueryStopsItsHelpers) {
  LoadNoise(6);
  options_.threads = 8;
  const query::Engine engine = MakeEngine();
  std::stop_source stop;
  stop.request_stop();
  query::RangeQuery query;
  query.query = "rate(x[5m])";
  query.end_ms = 20 * kMinute;
  query.step_ms = 20'000;
  query.stop = stop.get_token();
  EXPECT_THAT(engine.Run(query), HasCode(absl::StatusCode::kCancelled));
  EXPECT_EQ(engine.process_account().bytes(), 0);
}

}  // namespace
}  // namespace vigie::testing
