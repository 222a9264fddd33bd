// Latencies: classic histograms, each observation counted once. Two questions
// at once (each at half the level): is a larger share slower than a bound near
// the quantile (Fisher), and are observations larger altogether (Mann and
// Whitney on buckets)? The first sees a tail, the second a shift of the bulk.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "base/status_macros.h"
#include "canary/comparison.h"
#include "canary/counts.h"
#include "canary/judge.h"
#include "canary/statistics.h"

namespace vigie::canary {
namespace {

constexpr size_t kBoundsMax = 500;

std::optional<double> ParseBound(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return HUGE_VAL;
  double bound = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, bound);
  if (error != std::errc() || at != end || std::isnan(bound)) {
    return std::nullopt;
  }
  return bound;
}

// The bounds of the histograms of a side, one per series; and what is wrong
// with them.
struct Layout {
  std::vector<double> bounds;  // ascending
  std::vector<size_t> column;  // of each series
  std::string fault;
};

Layout ReadLayout(const Samples& samples) {
  Layout layout;
  std::map<std::string, std::vector<double>> histograms;
  std::vector<double> of_series;
  for (size_t i = 0; i < samples.size(); ++i) {
    const Labels& labels = samples.labels(i);
    const std::optional<double> bound = ParseBound(labels.Get("le"));
    if (!bound) {
      layout.fault = labels.ToString() + " has no bound in le";
      return layout;
    }
    LabelsBuilder without(labels);
    histograms[without.Remove("le").Build().bytes()].push_back(*bound);
    of_series.push_back(*bound);
  }
  for (auto& [key, bounds] : histograms) {
    std::sort(bounds.begin(), bounds.end());
    if (layout.bounds.empty()) layout.bounds = bounds;
    if (bounds != layout.bounds) {
      layout.fault = "histograms of one side have different buckets";
      return layout;
    }
  }
  if (layout.bounds.size() < 2 || layout.bounds.size() > kBoundsMax ||
      std::isfinite(layout.bounds.back())) {
    layout.fault = fmt::format("{} buckets: from 2 to {} and +Inf are needed",
                               layout.bounds.size(), kBoundsMax);
    return layout;
  }
  for (const double bound : of_series) {
    layout.column.push_back(static_cast<size_t>(
        std::lower_bound(layout.bounds.begin(), layout.bounds.end(), bound) -
        layout.bounds.begin()));
  }
  return layout;
}

// Observations per block and bucket.
struct Buckets {
  std::vector<std::vector<double>> blocks;
  std::vector<double> sums;  // of all blocks
  double total = 0;
  bool fractional = false;
};

absl::StatusOr<Buckets> ReadBuckets(const Samples& samples,
                                    const Layout& layout, const Side& side,
                                    int64_t block_ms) {
  Buckets buckets;
  const size_t columns = layout.bounds.size();
  const auto count =
      static_cast<size_t>((side.window.length_ms() + block_ms - 1) / block_ms);
  buckets.blocks.assign(count, std::vector<double>(columns));
  VIGIE_RETURN_IF_ERROR(samples.VisitIncreases(
      samples.first_seen(), &side.report,
      [&](const Samples::Increase& increase) {
        const int64_t block =
            (increase.to_ms - side.window.start_ms - 1) / block_ms;
        buckets.blocks[static_cast<size_t>(block)]
                      [layout.column[increase.series]] += increase.value;
        buckets.fractional =
            buckets.fractional || increase.value != std::floor(increase.value);
      }));
  buckets.sums.resize(columns);
  for (std::vector<double>& block : buckets.blocks) {
    // From cumulative to one by one.
    for (size_t i = columns - 1; i > 0; --i) {
      block[i] = std::max(0.0, block[i] - block[i - 1]);
    }
    for (size_t i = 0; i < columns; ++i) buckets.sums[i] += block[i];
  }
  buckets.total =
      std::accumulate(buckets.sums.begin(), buckets.sums.end(), 0.0);
  return buckets;
}

// A score for each bucket, and what it comes to on a side.
struct Scored {
  std::vector<Block> blocks;
  double variance = 0;
};

Scored Score(const Buckets& buckets, const std::vector<double>& scores) {
  Scored scored;
  double mean = 0;
  double square = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double share = buckets.sums[i] / buckets.total;
    mean += share * scores[i];
    square += share * scores[i] * scores[i];
  }
  scored.variance = std::max(0.0, square - mean * mean);
  for (const std::vector<double>& block : buckets.blocks) {
    Block one;
    for (size_t i = 0; i < scores.size(); ++i) {
      one.weight += block[i];
      one.sum += block[i] * scores[i];
    }
    scored.blocks.push_back(one);
  }
  return scored;
}

// One of the two questions, answered.
struct Branch {
  TestReport test;
  EffectReport effect;
  double standard_error = 0;  // of the difference
  SideReport sides[2];        // dispersion and effective n
};

// The q-quantiles of both sides, their difference and its interval: quantiles
// at the ends of the interval of q, put together as Newcombe does.
void MeasureShift(const MetricTask& task, double q,
                  const std::vector<double>& bounds, const Buckets buckets[2],
                  Branch* branch) {
  EffectReport& effect = branch->effect;
  effect.confidence = 1 - 2 * task.alpha;
  const double z = NormalQuantile(1 - task.alpha);
  double at[2];
  double down[2];
  double up[2];
  for (size_t i = 0; i < 2; ++i) {
    const double reach =
        z * std::sqrt(q * (1 - q) / branch->sides[i].effective_n);
    const auto quantile = [&](double p) {
      return HistogramQuantile(p, bounds, buckets[i].sums);
    };
    at[i] = quantile(q);
    down[i] = at[i] - quantile(std::max(0.0, q - reach));
    up[i] = quantile(std::min(1.0, q + reach)) - at[i];
  }
  effect.difference = at[1] - at[0];
  effect.relative = effect.difference / at[0];
  effect.low = effect.difference - std::hypot(down[1], up[0]);
  effect.high = effect.difference + std::hypot(up[1], down[0]);
  branch->standard_error = (effect.high - effect.low) / (2 * z);
  branch->sides[0].level = at[0];
  branch->sides[1].level = at[1];
  SetThresholds(task, at[0], 0, &effect);
}

void MeasureDependence(const MetricTask& task, const Buckets buckets[2],
                       const std::vector<double>& scores, Branch* branch) {
  const Scored scored[] = {Score(buckets[0], scores),
                           Score(buckets[1], scores)};
  Comparison scratch;
  scratch.verdict.baseline.total = buckets[0].total;
  scratch.verdict.canary.total = buckets[1].total;
  Inflate(scored[0].blocks, scored[1].blocks, scored[0].variance,
          scored[1].variance, task.alpha, &scratch);
  branch->sides[0] = scratch.verdict.baseline;
  branch->sides[1] = scratch.verdict.canary;
}

Branch AskForTail(const MetricTask& task, const std::vector<double>& bounds,
                  const Buckets buckets[2]) {
  // The bound is chosen on both sides together: blind to the difference.
  const double total = buckets[0].total + buckets[1].total;
  size_t last_fast = 0;
  double below = 0;
  double nearest = HUGE_VAL;
  for (size_t i = 0; i + 1 < bounds.size(); ++i) {
    below += buckets[0].sums[i] + buckets[1].sums[i];
    const double distance = std::abs(below / total - task.request.quantile);
    if (distance < nearest) {
      nearest = distance;
      last_fast = i;
    }
  }
  std::vector<double> scores(bounds.size());
  std::fill(scores.begin() + static_cast<std::ptrdiff_t>(last_fast) + 1,
            scores.end(), 1.0);
  Branch branch;
  MeasureDependence(task, buckets, scores, &branch);
  double slow[2];
  for (size_t i = 0; i < 2; ++i) {
    slow[i] = std::inner_product(scores.begin(), scores.end(),
                                 buckets[i].sums.begin(), 0.0);
  }
  const auto count = [&](size_t side, double events, bool up) {
    return EffectiveCount(events, branch.sides[side].inflation, up);
  };
  const int64_t totals[] = {count(0, buckets[0].total, false),
                            count(1, buckets[1].total, false)};
  const auto ask = [&](Alternative alternative) {
    const bool greater = alternative == Alternative::kGreater;
    return FisherTest(std::min(totals[1], count(1, slow[1], !greater)),
                      totals[1],
                      std::min(totals[0], count(0, slow[0], greater)),
                      totals[0], alternative);
  };
  branch.test = {
      .name = fmt::format("fisher, share above {}", bounds[last_fast]),
      .statistic = slow[1] / buckets[1].total - slow[0] / buckets[0].total,
      .p_increase = ask(Alternative::kGreater),
      .p_decrease = ask(Alternative::kLess),
      .p_independent = FisherTest(
          static_cast<int64_t>(slow[1]), static_cast<int64_t>(buckets[1].total),
          static_cast<int64_t>(slow[0]), static_cast<int64_t>(buckets[0].total),
          Alternative::kTwoSided)};
  branch.effect.of = fmt::format("quantile {}", task.request.quantile);
  MeasureShift(task, task.request.quantile, bounds, buckets, &branch);
  return branch;
}

Branch AskForBulk(const MetricTask& task, const std::vector<double>& bounds,
                  const Buckets buckets[2]) {
  std::vector<TieGroup> groups;
  std::vector<double> scores;
  double below = 0;
  const double total = buckets[0].total + buckets[1].total;
  for (size_t i = 0; i < bounds.size(); ++i) {
    groups.push_back({buckets[1].sums[i], buckets[0].sums[i]});
    const double both = groups.back().first + groups.back().second;
    scores.push_back((below + both / 2) / total);
    below += both;
  }
  Branch branch;
  MeasureDependence(task, buckets, scores, &branch);
  const Superiority superiority = CompareGroups(groups);
  const double n_b = branch.sides[0].effective_n;
  const double n_c = branch.sides[1].effective_n;
  const double error = StandardError(superiority, n_c, n_b);
  branch.test = {.name = "mann_whitney", .statistic = superiority.theta};
  if (error > 0) {
    const double degrees = std::max(1.0, n_b + n_c - 2);
    const double t = (superiority.theta - 0.5) / error;
    branch.test.p_increase = StudentTail(t, degrees);
    branch.test.p_decrease = StudentTail(-t, degrees);
    const double independent =
        (superiority.theta - 0.5) /
        StandardError(superiority, buckets[1].total, buckets[0].total);
    branch.test.p_independent = 2 * NormalTail(std::abs(independent));
  } else {
    branch.test.p_increase = branch.test.p_decrease = 1;
    branch.test.p_independent = 1;
  }
  branch.effect.of = "median";
  MeasureShift(task, 0.5, bounds, buckets, &branch);
  return branch;
}

// Of the two, the one that speaks: beyond what is tolerated first, then the
// smaller p value. That both are at half the level covers the choice.
size_t Leading(const MetricTask& task, const Branch branches[2]) {
  struct Rank {
    bool tolerated = true;
    double p = 1;
  } ranks[2];
  for (size_t i = 0; i < 2; ++i) {
    const TestReport& test = branches[i].test;
    const EffectReport& effect = branches[i].effect;
    switch (task.request.direction) {
      case Direction::kIncrease:
        ranks[i] = {effect.difference <= effect.tolerated, test.p_increase};
        break;
      case Direction::kDecrease:
        ranks[i] = {-effect.difference <= effect.tolerated, test.p_decrease};
        break;
      case Direction::kEither:
        ranks[i] = {std::abs(effect.difference) <= effect.tolerated,
                    std::min(test.p_increase, test.p_decrease)};
        break;
    }
  }
  if (ranks[0].tolerated != ranks[1].tolerated) return ranks[0].tolerated;
  return ranks[1].p < ranks[0].p;
}

// False if a side gave up.
absl::StatusOr<bool> ReadSides(const MetricTask& task,
                               const std::array<Samples, 2>& samples,
                               Layout* layout, Buckets buckets[2],
                               Comparison* comparison) {
  const auto sides = SidesOf(task, comparison);
  Layout layouts[] = {ReadLayout(samples[0]), ReadLayout(samples[1])};
  for (size_t i = 0; i < 2; ++i) {
    if (layouts[i].fault.empty()) continue;
    GiveUp({.code = ReasonCode::kBucketsDiffer,
            .side = sides[i].name,
            .text = layouts[i].fault},
           comparison);
    return false;
  }
  if (layouts[0].bounds != layouts[1].bounds) {
    GiveUp({.code = ReasonCode::kBucketsDiffer,
            .text = "the canary's buckets are not the baseline's"},
           comparison);
    return false;
  }
  const int64_t block_ms = BlockMs(task, samples, 1, kBlocksMax);
  for (size_t i = 0; i < 2; ++i) {
    const Side& side = sides[i];
    VIGIE_ASSIGN_OR_RETURN(buckets[i],
                           ReadBuckets(samples[i], layouts[i], side, block_ms));
    side.report.total = buckets[i].total;
    Reason reason{.side = side.name};
    if (EndedEarly(side.report, side.window, &reason)) {
      GiveUp(std::move(reason), comparison);
    } else if (buckets[i].total == 0) {
      reason.code = ReasonCode::kNoTraffic;
      reason.text = fmt::format("{} series, {} samples, but no observation",
                                side.report.series, side.report.samples);
      GiveUp(std::move(reason), comparison);
    } else if (buckets[i].fractional || buckets[i].total > kCountMax) {
      reason.code = ReasonCode::kNotCounts;
      reason.text = "a bucket grows by fractions: whole observations needed";
      GiveUp(std::move(reason), comparison);
    }
  }
  *layout = std::move(layouts[0]);
  return comparison->verdict.reasons.empty();
}

}  // namespace

absl::StatusOr<Comparison> CompareLatency(const ReadSource& source,
                                          const MetricTask& task) {
  Comparison comparison = Begin(task);
  MetricVerdict& verdict = comparison.verdict;
  VIGIE_ASSIGN_OR_RETURN(const auto samples,
                         OpenBoth(source, task, &comparison));
  if (!samples) return comparison;
  query::Charge charge(&source.account);
  VIGIE_RETURN_IF_ERROR(
      charge.Add(2 * static_cast<int64_t>(kBoundsMax) * kBlocksMax * 8));
  Layout layout;
  Buckets buckets[2];
  VIGIE_ASSIGN_OR_RETURN(const bool readable, ReadSides(task, *samples, &layout,
                                                        buckets, &comparison));
  if (!readable) return comparison;
  const Branch branches[] = {AskForTail(task, layout.bounds, buckets),
                             AskForBulk(task, layout.bounds, buckets)};
  const size_t lead = Leading(task, branches);
  // The more cautious of the two speaks for how much there is to go by.
  for (size_t i = 0; i < 2; ++i) {
    SideReport& report = i == 0 ? verdict.baseline : verdict.canary;
    const bool bulk =
        branches[1].sides[i].inflation > branches[0].sides[i].inflation;
    const SideReport& from = branches[bulk].sides[i];
    report.blocks = from.blocks;
    report.dispersion = from.dispersion;
    report.autocorrelation = from.autocorrelation;
    report.inflation = from.inflation;
    report.effective_n = from.effective_n;
    report.level = branches[lead].sides[i].level;
  }
  verdict.effect = branches[0].effect;
  if (!EnoughBlocks(1, &comparison) ||
      !EnoughEffective({buckets[0].total, buckets[1].total}, "observations",
                       &comparison)) {
    return comparison;
  }
  CheckDetectable(branches[0].standard_error,
                  std::min(buckets[0].total, buckets[1].total), "observations",
                  task, &comparison);
  const double detectable = verdict.effect.detectable;
  const double to_detect = verdict.effect.to_detect;
  verdict.effect = branches[lead].effect;
  verdict.effect.detectable = detectable;
  verdict.effect.to_detect = to_detect;
  if (lead != 0) {
    const EffectReport& tail = branches[0].effect;
    verdict.notes.push_back(fmt::format(
        "the effect is that of the {}; the {} asked for: {:.4g} against "
        "{:.4g}, "
        "difference {:.4g} ({:.4g} to {:.4g}); detectable and to_detect are "
        "the latter's",
        verdict.effect.of, tail.of, branches[0].sides[1].level,
        branches[0].sides[0].level, tail.difference, tail.low, tail.high));
  }
  verdict.tests = {branches[0].test, branches[1].test};
  for (size_t i = 0; i < 2; ++i) {
    if (branches[0].sides[i].level < layout.bounds[layout.bounds.size() - 2]) {
      continue;
    }
    verdict.notes.push_back(
        fmt::format("{}: the quantile lies above the last finite bound, {}",
                    i == 0 ? "baseline" : "canary",
                    layout.bounds[layout.bounds.size() - 2]));
  }
  Conclude(task, lead, &comparison);
  return comparison;
}

}  // namespace vigie::canary
