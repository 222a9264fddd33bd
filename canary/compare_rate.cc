// Rates: events by time, by the exact test of two Poisson rates on effective
// counts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "canary/comparison.h"
#include "canary/counts.h"
#include "canary/statistics.h"

namespace vigie::canary {
namespace {

// A rate has no total beside it that would show a late scrape as such, so that
// a block takes several.
constexpr int kIntervals = 3;

// The blocks that were seen whole: half a block would look like a lull.
std::vector<Block> WholeBlocks(const Counts& counts, const Side& side,
                               int64_t block_ms) {
  std::vector<Block> blocks;
  for (size_t i = 0; i < counts.blocks.size(); ++i) {
    const int64_t start_ms =
        side.window.start_ms + static_cast<int64_t>(i) * block_ms;
    if (start_ms < counts.from_ms && counts.from_ms > side.window.start_ms) {
      continue;
    }
    if (start_ms + block_ms > side.report.last_ms) break;
    blocks.push_back(
        {static_cast<double>(block_ms) / 1000 * side.weight, counts.blocks[i]});
  }
  return blocks;
}

// False if a side gave up.
absl::StatusOr<bool> ReadSides(const MetricTask& task,
                               const std::array<Samples, 2>& samples,
                               std::vector<Block> blocks[2],
                               Comparison* comparison) {
  const int64_t block_ms = BlockMs(task, samples, kIntervals, kBlocksMax);
  const auto sides = SidesOf(task, comparison);
  for (size_t i = 0; i < 2; ++i) {
    const Side& side = sides[i];
    VIGIE_ASSIGN_OR_RETURN(
        const Counts counts,
        ReadCounts(samples[i], samples[i].first_seen(), side.window, block_ms,
                   Spread::kEvenly, &side.report));
    Reason reason{.side = side.name};
    if (EndedEarly(side.report, side.window, &reason)) {
      GiveUp(std::move(reason), comparison);
    } else if (counts.from_ms >= side.report.last_ms) {
      reason.code = ReasonCode::kTooFewPoints;
      reason.text = "one sample shows no increase: at least 1 more";
      reason.needed = 1;
      reason.needed_unit = "samples";
      GiveUp(std::move(reason), comparison);
    } else if (counts.fractional || counts.sum > kCountMax) {
      reason.code = ReasonCode::kNotCounts;
      reason.text = "a counter grows by fractions: a rate needs whole events";
      GiveUp(std::move(reason), comparison);
    }
    side.report.events = counts.sum;
    side.report.total =
        static_cast<double>(side.report.last_ms - counts.from_ms) / 1000 *
        side.weight;
    side.report.level = counts.sum / side.report.total;
    blocks[i] = WholeBlocks(counts, side, block_ms);
  }
  return comparison->verdict.reasons.empty();
}

void Test(const MetricTask& task, Comparison* comparison) {
  MetricVerdict& verdict = comparison->verdict;
  const SideReport& b = verdict.baseline;
  const SideReport& c = verdict.canary;
  const double exposure_b = b.total / b.inflation;
  const double exposure_c = c.total / c.inflation;
  const auto ask = [&](Alternative alternative) {
    const bool greater = alternative == Alternative::kGreater;
    return PoissonTest(EffectiveCount(c.events, c.inflation, !greater),
                       exposure_c,
                       EffectiveCount(b.events, b.inflation, greater),
                       exposure_b, alternative);
  };
  verdict.tests.push_back(
      {.name = "poisson",
       .statistic = c.level / b.level,
       .p_increase = ask(Alternative::kGreater),
       .p_decrease = ask(Alternative::kLess),
       .p_independent = PoissonTest(static_cast<int64_t>(c.events), c.total,
                                    static_cast<int64_t>(b.events), b.total,
                                    Alternative::kTwoSided)});
  EffectReport& effect = verdict.effect;
  effect.confidence = 1 - 2 * task.alpha;
  if (b.events == 0) return;
  const Interval ratio = PoissonRatioInterval(
      EffectiveCount(c.events, c.inflation, false), exposure_c,
      EffectiveCount(b.events, b.inflation, true), exposure_b,
      effect.confidence);
  effect.low = (ratio.low - 1) * b.level;
  effect.high = (ratio.high - 1) * b.level;
}

// Whether enough was seen for a change that matters.
void CheckEnough(const MetricTask& task, Comparison* comparison) {
  const SideReport& b = comparison->verdict.baseline;
  const SideReport& c = comparison->verdict.canary;
  const double to_detect = comparison->verdict.effect.to_detect;
  if (to_detect == 0) {
    comparison->sufficient = false;
    comparison->insufficient = {
        .code = ReasonCode::kNoEvents,
        .side = "baseline",
        .text =
            "no event to compare with: detect_absolute must say which "
            "change, in events a second, has to be found"};
    return;
  }
  const bool decrease = task.request.direction == Direction::kDecrease;
  // A rate has no upper end; a thousandfold is far enough.
  const double largest =
      decrease ? b.level : 1000 * std::max(b.level, to_detect);
  CheckScale({.variance = [](double rate) { return std::max(0.0, rate); },
              .n_baseline = b.total / b.inflation,
              .n_canary = c.total / c.inflation,
              .level = b.level,
              .sign = decrease ? -1.0 : 1.0,
              .largest = largest},
             task, c.total, "seconds", comparison);
}

}  // namespace

absl::StatusOr<Comparison> CompareRate(const ReadSource& source,
                                       const MetricTask& task) {
  Comparison comparison = Begin(task);
  MetricVerdict& verdict = comparison.verdict;
  verdict.effect.of = "rate";
  if (task.request.baseline_weight == task.request.canary_weight) {
    verdict.notes.push_back(
        "both sides are taken to have had the same traffic");
  }
  VIGIE_ASSIGN_OR_RETURN(const auto samples,
                         OpenBoth(source, task, &comparison));
  if (!samples) return comparison;
  std::vector<Block> blocks[2];
  VIGIE_ASSIGN_OR_RETURN(const bool readable,
                         ReadSides(task, *samples, blocks, &comparison));
  if (!readable) return comparison;
  Inflate(blocks[0], blocks[1], verdict.baseline.level, verdict.canary.level,
          task.alpha, &comparison);
  // Seconds are no events: what counts is how many samples are independent.
  std::array<double, 2> points;
  for (size_t i = 0; i < 2; ++i) {
    SideReport& side = i == 0 ? verdict.baseline : verdict.canary;
    const double r = std::max(0.0, side.autocorrelation);
    points[i] = side.blocks * kIntervals;
    side.effective_n = points[i] * (1 - r) / (1 + r);
  }
  EffectReport& effect = verdict.effect;
  effect.difference = verdict.canary.level - verdict.baseline.level;
  effect.relative = effect.difference / verdict.baseline.level;
  SetThresholds(task, verdict.baseline.level, 0, &effect);
  if (!EnoughBlocks(kIntervals, &comparison) ||
      !EnoughEffective(points, "samples", &comparison)) {
    return comparison;
  }
  Test(task, &comparison);
  CheckEnough(task, &comparison);
  Conclude(task, 0, &comparison);
  return comparison;
}

}  // namespace vigie::canary
