#include "canary/dispersion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace vigie::canary {
namespace {

constexpr uint64_t kSeed = 20261121;

// Errors of 100 requests a block, at `p`.
std::vector<Block> IndependentErrors(double p, int blocks, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::binomial_distribution<int> errors(100, p);
  std::vector<Block> made;
  for (int i = 0; i < blocks; ++i) {
    made.push_back({100, static_cast<double>(errors(random))});
  }
  return made;
}

DispersionOptions ForRatio(double p) { return {.unit_variance = p * (1 - p)}; }

TEST(DispersionTest, IndependentErrorsCountAlmostFully) {
  SCOPED_TRACE(kSeed);
  double sum = 0;
  for (uint64_t run = 0; run < 200; ++run) {
    sum += MeasureDispersion(IndependentErrors(0.05, 40, kSeed + run),
                             ForRatio(0.05))
               .inflation;
  }

  EXPECT_GE(sum / 200, 1);
  EXPECT_LT(sum / 200, 1.5);
}

TEST(DispersionTest, ABurstOfThirtyErrorsCountsAsAboutOne) {
  std::vector<Block> blocks(40, Block{100, 0});
  blocks[17].sum = 30;

  const Dispersion dispersion =
      MeasureDispersion(blocks, ForRatio(30.0 / 4000));

  EXPECT_GT(dispersion.inflation, 25);
  EXPECT_EQ(dispersion.blocks, 40);
}

TEST(DispersionTest, WavesInflateMoreThanTheirVariance) {
  std::vector<Block> blocks;
  for (int i = 0; i < 40; ++i) {
    blocks.push_back({100, (i / 5) % 2 == 0 ? 10.0 : 0.0});
  }

  const Dispersion dispersion = MeasureDispersion(blocks, ForRatio(0.05));

  EXPECT_GT(dispersion.autocorrelation, 0.5);
  EXPECT_GT(dispersion.inflation, 3 * dispersion.dispersion);
}

TEST(DispersionTest, AStepIsAChangeNotABurst) {
  std::vector<Block> blocks = IndependentErrors(0.02, 40, kSeed);
  for (size_t i = 20; i < blocks.size(); ++i) blocks[i].sum += 30;
  DispersionOptions options = ForRatio(0.17);

  EXPECT_GT(MeasureDispersion(blocks, options).inflation, 50);
  options.allow_step = true;
  EXPECT_LT(MeasureDispersion(blocks, options).inflation, 3);
}

TEST(DispersionTest, AnOutburstShorterThanAQuarterIsNoStep) {
  std::vector<Block> blocks(40, Block{100, 0});
  for (size_t i = 36; i < 40; ++i) blocks[i].sum = 30;
  DispersionOptions options = ForRatio(0.03);
  options.allow_step = true;

  EXPECT_GT(MeasureDispersion(blocks, options).inflation, 25);
}

TEST(DispersionTest, EmptyBlocksAreLeftOut) {
  std::vector<Block> blocks = IndependentErrors(0.05, 40, kSeed);
  const Dispersion without = MeasureDispersion(blocks, ForRatio(0.05));
  blocks.insert(blocks.begin() + 7, Block{0, 0});
  blocks.push_back({0, 0});

  const Dispersion with = MeasureDispersion(blocks, ForRatio(0.05));

  EXPECT_EQ(with.blocks, 40);
  EXPECT_EQ(with.inflation, without.inflation);
}

TEST(DispersionTest, TheExcessShrinksWithTheCanarysTraffic) {
  const Dispersion baseline{.blocks = 40, .mean_weight = 900, .inflation = 10};

  EXPECT_DOUBLE_EQ(
      TransferredInflation(baseline, {.blocks = 40, .mean_weight = 100}), 2);
  EXPECT_DOUBLE_EQ(
      TransferredInflation(baseline, {.blocks = 40, .mean_weight = 9000}), 10);
}

}  // namespace
}  // namespace vigie::canary
