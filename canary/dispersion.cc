#include "canary/dispersion.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "canary/statistics.h"

namespace vigie::canary {
namespace {

// Where the level changes most: the first block of the second part, or 0 for
// nowhere. Both parts have at least a quarter of the blocks.
size_t FindStep(const std::vector<Block>& blocks) {
  const size_t least = std::max<size_t>(4, blocks.size() / 4);
  Block all;
  for (const Block& block : blocks) {
    all.weight += block.weight;
    all.sum += block.sum;
  }
  Block before;
  size_t best = 0;
  double best_gain = 0;
  for (size_t i = 0; i + least <= blocks.size(); ++i) {
    if (i >= least) {
      const double excess = before.sum - all.sum / all.weight * before.weight;
      const double gain =
          excess * excess *
          (1 / before.weight + 1 / (all.weight - before.weight));
      if (gain > best_gain) {
        best_gain = gain;
        best = i;
      }
    }
    before.weight += blocks[i].weight;
    before.sum += blocks[i].sum;
  }
  return best;
}

double MeanOf(std::span<const Block> blocks) {
  Block all;
  for (const Block& block : blocks) {
    all.weight += block.weight;
    all.sum += block.sum;
  }
  return all.weight > 0 ? all.sum / all.weight : 0;
}

}  // namespace

Dispersion MeasureDispersion(std::span<const Block> given,
                             const DispersionOptions& options) {
  std::vector<Block> blocks;
  Dispersion result;
  for (const Block& block : given) {
    if (block.weight <= 0) continue;
    blocks.push_back(block);
    result.mean_weight += block.weight;
  }
  result.blocks = static_cast<int>(blocks.size());
  if (blocks.size() < 3) return result;
  const auto count = static_cast<double>(blocks.size());
  result.mean_weight /= count;

  const size_t step = options.allow_step ? FindStep(blocks) : 0;
  const std::span<const Block> all(blocks);
  const double means[] = {MeanOf(all.first(step)), MeanOf(all.subspan(step))};
  std::vector<double> residuals;
  double square = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const double excess =
        blocks[i].sum - means[i < step ? 0 : 1] * blocks[i].weight;
    residuals.push_back(excess / std::sqrt(blocks[i].weight));
    square += residuals.back() * residuals.back();
  }
  if (options.unit_variance > 0) {
    result.dispersion =
        square / options.unit_variance / (count - (step > 0 ? 2 : 1));
  }
  if (square <= 0) return result;
  result.autocorrelation = Lag1Autocorrelation(residuals);
  const double r = std::max(0.0, result.autocorrelation);
  const double stretch = (1 + r) / (1 - r);
  const double inflation = result.dispersion * stretch;
  if (inflation <= 1) return result;
  if (options.unit_variance <= 0) {
    result.inflation = inflation;
    return result;
  }
  const double degrees = std::max(3.0, count / stretch - 1);
  const double widened = StudentQuantile(1 - options.alpha, degrees) /
                         NormalQuantile(1 - options.alpha);
  result.inflation = std::max(1.0, inflation * widened * widened);
  return result;
}

double TransferredInflation(const Dispersion& baseline,
                            const Dispersion& canary) {
  if (baseline.mean_weight <= 0) return 1;
  const double share = std::min(1.0, canary.mean_weight / baseline.mean_weight);
  return 1 + (baseline.inflation - 1) * share;
}

}  // namespace vigie::canary
