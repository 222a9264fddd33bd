// The promise, without the help of a tolerance: alarms without a cause are rare
// whatever the dependence, and a change of ten per cent is found where enough
// is seen of it. canary_table prints the whole table.
#include "tests/canary/simulation.h"

#include <gtest/gtest.h>

namespace vigie::testing {
namespace {

constexpr uint64_t kSeed = 20261121;
constexpr int kRuns = 500;

class CanarySimulationTest : public ::testing::Test {
 protected:
  void SetUp() override { RecordProperty("seed", std::to_string(kSeed)); }

  static std::string Text(const Tally& tally) {
    return "seed " + std::to_string(kSeed) + ": " + std::to_string(tally.pass) +
           " pass, " + std::to_string(tally.marginal) + " marginal, " +
           std::to_string(tally.inconclusive) + " inconclusive, " +
           std::to_string(tally.fail) + " fail";
  }
};

TEST_F(CanarySimulationTest, WithoutEffectAtMostThreePerCentAlarm) {
  for (const int points : {60, 240, 720}) {
    const Tally tally =
        SimulateGauges({.rho = 0.8, .points = points}, kRuns, kSeed);

    EXPECT_LE(tally.fail, kRuns * 3 / 100) << points << ", " << Text(tally);
    // Where enough is seen, the judge does judge.
    if (points == 720) {
      EXPECT_GE(tally.pass, kRuns * 8 / 10) << Text(tally);
    }
  }
}

// 300 points, 75 minutes at 15 s, of a gauge that varies by a tenth of its
// mean. Of 240 it takes luck: about 80 % of runs find it.
TEST_F(CanarySimulationTest, TenPerCentAreFoundIn300Points) {
  for (const uint64_t seed : {kSeed, kSeed + 1, kSeed + 2}) {
    const Tally tally =
        SimulateGauges({.rho = 0.8, .shift = 10, .points = 300}, kRuns, seed);

    EXPECT_GE(tally.fail, kRuns * 8 / 10) << seed - kSeed << Text(tally);
  }
}

// Waves of errors, with a memory of a minute and a size that varies by e, are
// the worst world tried: 2.6 to 3.2 %. Independent errors: at most 0.4 %.
TEST_F(CanarySimulationTest, ErrorsWithoutEffectAlarmRarelyInBurstsToo) {
  for (const double spread : {0.0, 1.0}) {
    for (const double rho : {0.0, 0.5, 0.8}) {
      for (const uint64_t seed : {kSeed, kSeed + 1, kSeed + 2}) {
        const Tally tally = SimulateRatios(
            {.rho = rho, .spread = spread, .baseline_times = 4}, kRuns, seed);
        const int per_cent = spread > 0 && rho > 0 ? 5 : 3;

        EXPECT_LE(tally.fail, kRuns * per_cent / 100)
            << spread << ", " << rho << ", " << seed - kSeed << Text(tally);
      }
    }
  }
}

TEST_F(CanarySimulationTest, TwiceTheErrorsAreFoundInTenThousandRequests) {
  const Tally tally =
      SimulateRatios({.factor = 2, .baseline_times = 4}, kRuns, kSeed + 3);

  EXPECT_GE(tally.fail, kRuns * 8 / 10) << Text(tally);
}

}  // namespace
}  // namespace vigie::testing
