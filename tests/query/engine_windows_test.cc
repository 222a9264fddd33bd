// Windows at even distances are evaluated together: that gives what each gives
// on its own, to the bit. With `@` a window stands alone.
#include <bit>
#include <limits>
#include <random>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kEnd = 30 * kMinute;

class EngineWindowsTest : public EngineFixture,
                          public ::testing::WithParamInterface<uint64_t> {
 protected:
  // Counters with resets, some near zero, with gaps, jitter and odd values.
  void LoadNoise() {
    std::mt19937_64 random(GetParam());
    for (int s = 0; s < 12; ++s) {
      std::vector<Sample> samples;
      double value = s % 3 == 0 ? 0 : static_cast<double>(random() % 1'000);
      for (int64_t time_ms = 0; time_ms < kEnd; time_ms += 15'000) {
        if (random() % 11 == 0) continue;
        value += std::ldexp(static_cast<double>(random() % 1'000), -5);
        if (random() % 17 == 0) value = static_cast<double>(random() % 50) - 5;
        double given = value;
        if (s % 4 == 1 && random() % 9 == 0) {
          constexpr double kOdd[] = {std::numeric_limits<double>::quiet_NaN(),
                                     std::numeric_limits<double>::infinity(),
                                     -std::numeric_limits<double>::infinity(),
                                     -0.0, 1e308};
          given = kOdd[random() % 5];
        }
        const int64_t jitter_ms =
            s % 2 == 0 ? 0 : static_cast<int64_t>(random() % 5'000);
        samples.push_back({time_ms + jitter_ms, given});
      }
      LoadSamples({{"__name__", "x_total"}, {"s", fmt::format("{}", s)}},
                  samples);
    }
  }
};

TEST_P(EngineWindowsTest, TogetherTheyAreWhatEachIsAlone) {
  LoadNoise();
  for (const char* function : {"rate", "increase", "delta"}) {
    for (const char* range : {"10s", "45s", "5m", "20m"}) {
      for (const int64_t step_ms : {7'000, 15'000, 60'000, 400'000}) {
        const auto together =
            Range(fmt::format("{}(x_total[{}] offset 30s)", function, range), 0,
                  kEnd, step_ms);
        ASSERT_THAT(together, IsOk());
        std::map<std::string, std::map<int64_t, uint64_t>> seen, alone;
        for (const auto& series : std::get<query::Matrix>(together->value)) {
          for (const Sample& sample : series.floats) {
            seen[series.labels.ToString()][sample.time_ms] =
                std::bit_cast<uint64_t>(sample.value);
          }
        }
        for (int64_t time_ms = 0; time_ms <= kEnd; time_ms += step_ms) {
          const auto one =
              Instant(fmt::format("{}(x_total[{}] @ {} offset 30s)", function,
                                  range, static_cast<double>(time_ms) / 1'000),
                      kEnd);
          ASSERT_THAT(one, IsOk());
          for (const auto& series : std::get<query::Vector>(one->value)) {
            alone[series.labels.ToString()][time_ms] =
                std::bit_cast<uint64_t>(series.sample.value);
          }
        }
        EXPECT_EQ(seen, alone) << function << " " << range << " " << step_ms;
        EXPECT_EQ(alone.empty(), std::string_view(range) == "10s");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineWindowsTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace vigie::testing
