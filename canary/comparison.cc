#include "canary/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "canary/judge.h"
#include "canary/statistics.h"

namespace vigie::canary {
namespace {

// A change that matters is to be found so often.
constexpr double kPower = 0.8;
// Below this inflation, waves among blocks are as likely chance.
constexpr double kBurstInflation = 2;

}  // namespace

Comparison Begin(const MetricTask& task) {
  Comparison comparison;
  MetricVerdict& verdict = comparison.verdict;
  verdict.name = task.request.name;
  verdict.kind = task.request.kind;
  verdict.direction = task.request.direction;
  verdict.critical = task.request.critical;
  verdict.baseline.selector = task.request.baseline;
  verdict.canary.selector = task.request.canary;
  return comparison;
}

std::array<Side, 2> SidesOf(const MetricTask& task, Comparison* comparison) {
  return {Side{"baseline", task.baseline, task.windows.baseline,
               comparison->verdict.baseline, task.request.baseline_weight},
          Side{"canary", task.canary, task.windows.canary,
               comparison->verdict.canary, task.request.canary_weight}};
}

namespace {

// A release beside itself is as good as itself. Both are in order of labels.
absl::Status CheckApart(const Samples& baseline, const Samples& canary) {
  size_t shared = 0;
  const Labels* example = nullptr;
  for (size_t i = 0, j = 0; i < baseline.size() && j < canary.size();) {
    const auto order = baseline.labels(i) <=> canary.labels(j);
    if (order == 0) {
      if (shared++ == 0) example = &canary.labels(j);
      ++i;
      ++j;
    } else if (order < 0) {
      ++i;
    } else {
      ++j;
    }
  }
  if (shared == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("canary and baseline have {} series in common, in the same "
                  "window, such as {}",
                  shared, example->ToString()));
}

}  // namespace

absl::StatusOr<std::optional<std::array<Samples, 2>>> OpenBoth(
    const ReadSource& source, const MetricTask& task, Comparison* comparison) {
  std::vector<Samples> opened;
  for (const Side& side : SidesOf(task, comparison)) {
    VIGIE_ASSIGN_OR_RETURN(
        Samples samples,
        Samples::Open(source, side.matchers, side.window, &side.report));
    if (samples.empty()) {
      VIGIE_ASSIGN_OR_RETURN(
          Reason reason,
          ExplainEmpty(source, side.matchers, side.window, side.name));
      GiveUp(std::move(reason), comparison);
    } else if (samples.has_native_histograms()) {
      GiveUp({.code = ReasonCode::kNotFloats,
              .side = side.name,
              .text = "selects native histograms, which are not judged yet"},
             comparison);
    }
    opened.push_back(std::move(samples));
  }
  if (task.windows.baseline == task.windows.canary) {
    VIGIE_RETURN_IF_ERROR(CheckApart(opened[0], opened[1]));
  }
  std::optional<std::array<Samples, 2>> both;
  if (comparison->verdict.reasons.empty()) {
    both = {std::move(opened[0]), std::move(opened[1])};
  }
  return both;
}

void GiveUp(Reason reason, Comparison* comparison) {
  comparison->judged = false;
  comparison->verdict.reasons.push_back(std::move(reason));
}

int64_t BlockMs(const MetricTask& task, const std::array<Samples, 2>& samples,
                int intervals, int64_t blocks_max) {
  const int64_t longest_ms = std::max(task.windows.baseline.length_ms(),
                                      task.windows.canary.length_ms());
  const int64_t interval_ms =
      std::max(samples[0].interval_ms(), samples[1].interval_ms());
  return std::max<int64_t>(
      {interval_ms * intervals, (longest_ms + blocks_max - 1) / blocks_max, 1});
}

void Inflate(const std::vector<Block>& baseline,
             const std::vector<Block>& canary, double baseline_variance,
             double canary_variance, double alpha, Comparison* comparison) {
  const Dispersion of_baseline = MeasureDispersion(
      baseline, {.unit_variance = baseline_variance, .alpha = alpha});
  const Dispersion of_canary = MeasureDispersion(
      canary,
      {.unit_variance = canary_variance, .allow_step = true, .alpha = alpha});
  const auto fill = [](const Dispersion& from, double inflation,
                       SideReport* report) {
    report->blocks = from.blocks;
    report->dispersion = from.dispersion;
    report->autocorrelation = from.autocorrelation;
    report->inflation = inflation;
    report->effective_n = report->total / inflation;
  };
  fill(of_baseline, of_baseline.inflation, &comparison->verdict.baseline);
  fill(of_canary,
       std::max(of_canary.inflation,
                TransferredInflation(of_baseline, of_canary)),
       &comparison->verdict.canary);
}

bool EnoughBlocks(int intervals_per_block, Comparison* comparison) {
  const MetricVerdict& verdict = comparison->verdict;
  for (const SideReport* side : {&verdict.baseline, &verdict.canary}) {
    // Where bursts outlast a block, few of them fit into the window, and their
    // size is anybody's guess. How long they last is uncertain itself: one
    // standard error is added.
    double r = std::max(0.0, side->autocorrelation);
    r = std::min(0.999, r + std::sqrt((1 - r * r) / std::max(1, side->blocks)));
    const double stretch = (1 + r) / (1 - r);
    const bool bursts = side->dispersion * stretch > kBurstInflation;
    const double independent = side->blocks / (bursts ? stretch : 1);
    if (independent >= kBlocksMin) continue;
    const double missing =
        std::ceil((kBlocksMin * (bursts ? stretch : 1) - side->blocks) *
                  intervals_per_block);
    GiveUp({.code = ReasonCode::kTooFewPoints,
            .side = side == &verdict.canary ? "canary" : "baseline",
            .text = fmt::format(
                "{} stretches of the window have data, as good as {:.1f} "
                "independent ones; {} are needed to tell bursts from a "
                "change: about {:.0f} more samples",
                side->blocks, independent, kBlocksMin, missing),
            .needed = missing,
            .needed_unit = "samples"},
           comparison);
    return false;
  }
  return true;
}

bool EnoughEffective(std::array<double, 2> counts, std::string_view unit,
                     Comparison* comparison) {
  const MetricVerdict& verdict = comparison->verdict;
  for (size_t i = 0; i < 2; ++i) {
    const double effective =
        (i == 0 ? verdict.baseline : verdict.canary).effective_n;
    if (effective >= kEffectiveMin) continue;
    const double missing =
        std::ceil(counts[i] * (kEffectiveMin / effective - 1));
    GiveUp({.code = ReasonCode::kTooFewPoints,
            .side = i == 0 ? "baseline" : "canary",
            .text = fmt::format(
                "{:.0f} {} count as {:.1f} independent ones, {:.0f} are "
                "needed: about {:.0f} more {}",
                counts[i], unit, effective, kEffectiveMin, missing, unit),
            .needed = missing,
            .needed_unit = std::string(unit)},
           comparison);
    return false;
  }
  return true;
}

void Conclude(const MetricTask& task, size_t lead, Comparison* comparison) {
  MetricVerdict& verdict = comparison->verdict;
  const auto tests = static_cast<double>(verdict.tests.size());
  const TestReport& test = verdict.tests[lead];
  const double increase = std::min(1.0, test.p_increase * tests);
  const double decrease = std::min(1.0, test.p_decrease * tests);
  const double difference = verdict.effect.difference;
  switch (task.request.direction) {
    case Direction::kIncrease:
      verdict.p = increase;
      comparison->p_better = decrease;
      comparison->worse_by = difference;
      break;
    case Direction::kDecrease:
      verdict.p = decrease;
      comparison->p_better = increase;
      comparison->worse_by = -difference;
      break;
    case Direction::kEither:
      verdict.p = std::min(1.0, 2 * std::min(increase, decrease));
      comparison->p_better = 1;
      comparison->worse_by = std::abs(difference);
      break;
  }
  comparison->judged = true;
}

double NeededZ(const MetricTask& task) {
  const double sides = task.request.direction == Direction::kEither ? 2 : 1;
  return NormalQuantile(1 - task.alpha / sides) + NormalQuantile(kPower);
}

void SetThresholds(const MetricTask& task, double level,
                   double detect_absolute_default, EffectReport* effect) {
  const MetricRequest& request = task.request;
  effect->tolerated =
      std::max(request.tolerance * std::abs(level), request.tolerance_absolute);
  effect->to_detect =
      std::max(request.detect * std::abs(level),
               request.detect_absolute.value_or(detect_absolute_default));
}

void CheckDetectable(double standard_error, double points,
                     std::string_view unit, const MetricTask& task,
                     Comparison* comparison) {
  EffectReport& effect = comparison->verdict.effect;
  effect.detectable = NeededZ(task) * standard_error;
  if (effect.detectable <= effect.to_detect) return;
  comparison->sufficient = false;
  Reason& reason = comparison->insufficient;
  reason.code = ReasonCode::kTooUncertain;
  if (effect.to_detect <= 0) {
    reason.text = fmt::format(
        "the smallest change that would be found is {:.4g}; the baseline is "
        "0, so detect_absolute must say what is enough",
        effect.detectable);
    return;
  }
  const double factor = effect.detectable / effect.to_detect;
  reason.needed = std::ceil(points * (factor * factor - 1));
  reason.needed_unit = std::string(unit);
  reason.text = fmt::format(
      "the smallest change that would be found is {:.4g}, it should be {:.4g}: "
      "about {:.0f} more {} a side",
      effect.detectable, effect.to_detect, reason.needed, unit);
}

}  // namespace vigie::canary
