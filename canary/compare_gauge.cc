// Gauges: points in time, by Mann and Whitney's test with the number of
// independent points. Several series of a side are one by their mean: what
// instances do at the same time is not independent.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "canary/comparison.h"
#include "canary/statistics.h"

namespace vigie::canary {
namespace {

constexpr int64_t kPointsMax = 1000;
// With several series a point takes two samples of each, so that one that
// comes late is still in it.
constexpr int kIntervals = 2;

struct Bin {
  double sum = 0;
  double count = 0;
};

// Means of the samples of one series in each bin, then of the series.
absl::StatusOr<std::vector<double>> ReadPoints(const ReadSource& source,
                                               const Samples& samples,
                                               const Side& side) {
  int64_t bin_ms = samples.interval_ms();
  if (samples.size() > 1) bin_ms *= kIntervals;
  bin_ms = std::max<int64_t>(
      {bin_ms, (side.window.length_ms() + kPointsMax - 1) / kPointsMax, 1});
  const auto count =
      static_cast<size_t>((side.window.length_ms() + bin_ms - 1) / bin_ms);
  query::Charge charge(&source.account);
  VIGIE_RETURN_IF_ERROR(
      charge.Add(static_cast<int64_t>(2 * count * sizeof(Bin))));
  // A single series that is sampled evenly keeps its samples: bins of its
  // very interval would now and then take two, or none.
  const bool as_they_are =
      samples.size() == 1 && bin_ms == samples.interval_ms();
  std::vector<double> points;
  std::vector<Bin> of_all(count);
  std::vector<Bin> of_series(count);
  size_t current = 0;
  const auto finish_series = [&] {
    for (size_t i = 0; i < count; ++i) {
      if (of_series[i].count == 0) continue;
      of_all[i].sum += of_series[i].sum / of_series[i].count;
      of_all[i].count += 1;
      of_series[i] = {};
    }
  };
  VIGIE_RETURN_IF_ERROR(samples.VisitValues(
      &side.report, [&](size_t series, const Sample& sample) {
        if (as_they_are && points.size() < 2 * kPointsMax) {
          points.push_back(sample.value);
          return;
        }
        if (series != current) finish_series();
        current = series;
        const auto bin = static_cast<size_t>(
            (sample.time_ms - side.window.start_ms - 1) / bin_ms);
        of_series[bin].sum += sample.value;
        of_series[bin].count += 1;
      }));
  finish_series();
  for (const Bin& bin : of_all) {
    if (bin.count > 0) points.push_back(bin.sum / bin.count);
  }
  return points;
}

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

// Values in order, with how often each side has them.
std::vector<std::pair<double, TieGroup>> GroupsOf(
    const std::vector<double>& canary, const std::vector<double>& baseline) {
  std::vector<std::pair<double, TieGroup>> all;
  for (const double value : canary) all.push_back({value, {1, 0}});
  for (const double value : baseline) all.push_back({value, {0, 1}});
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::pair<double, TieGroup>> groups;
  for (const auto& [value, group] : all) {
    if (groups.empty() || groups.back().first != value) {
      groups.push_back({value, {}});
    }
    groups.back().second.first += group.first;
    groups.back().second.second += group.second;
  }
  return groups;
}

// Points as ranks among all: the scale on which the test works, and on which
// outliers do not hide how neighbours go together.
std::vector<Block> RanksOf(
    const std::vector<double>& points,
    const std::vector<std::pair<double, TieGroup>>& groups) {
  std::vector<std::pair<double, double>> rank_of;
  double below = 0;
  for (const auto& [value, group] : groups) {
    const double count = group.first + group.second;
    rank_of.emplace_back(value, below + count / 2);
    below += count;
  }
  std::vector<Block> ranks;
  for (const double point : points) {
    const auto at = std::lower_bound(
        rank_of.begin(), rank_of.end(), point,
        [](const auto& entry, double value) { return entry.first < value; });
    ranks.push_back({1, at->second});
  }
  return ranks;
}

void Test(const MetricTask& task, const std::vector<double> points[2],
          const std::vector<TieGroup>& groups, Comparison* comparison) {
  MetricVerdict& verdict = comparison->verdict;
  EffectReport& effect = verdict.effect;
  const Superiority superiority = CompareGroups(groups);
  const double n_b = verdict.baseline.effective_n;
  const double n_c = verdict.canary.effective_n;
  const double error = StandardError(superiority, n_c, n_b);
  TestReport test{.name = "mann_whitney",
                  .statistic = superiority.theta,
                  .p_increase = 1,
                  .p_decrease = 1};
  test.p_independent =
      MannWhitney(points[1], points[0], Alternative::kTwoSided).p;
  effect.confidence = 1 - 2 * task.alpha;
  effect.difference = effect.low = effect.high = 0;
  if (error > 0) {
    const double t = (superiority.theta - 0.5) / error;
    test.p_increase = StudentTail(t, n_b + n_c - 2);
    test.p_decrease = StudentTail(-t, n_b + n_c - 2);
    const auto m = static_cast<double>(points[1].size());
    const auto n = static_cast<double>(points[0].size());
    const double independent =
        superiority.tie_factor / 12 * (1 / m + 1 / n + 1 / (m * n));
    const Shift shift =
        HodgesLehmann(points[1], points[0], effect.confidence,
                      independent > 0 ? error * error / independent : 1);
    effect.difference = shift.estimate;
    effect.low = shift.interval.low;
    effect.high = shift.interval.high;
  }
  verdict.tests.push_back(test);
}

}  // namespace

absl::StatusOr<Comparison> CompareGauge(const ReadSource& source,
                                        const MetricTask& task) {
  Comparison comparison = Begin(task);
  MetricVerdict& verdict = comparison.verdict;
  EffectReport& effect = verdict.effect;
  effect.of = "shift";
  VIGIE_ASSIGN_OR_RETURN(const auto samples,
                         OpenBoth(source, task, &comparison));
  if (!samples) return comparison;
  std::vector<double> points[2];
  const auto sides = SidesOf(task, &comparison);
  for (size_t i = 0; i < 2; ++i) {
    const Side& side = sides[i];
    VIGIE_ASSIGN_OR_RETURN(points[i], ReadPoints(source, (*samples)[i], side));
    side.report.total = static_cast<double>(points[i].size());
    Reason reason{.side = side.name};
    if (EndedEarly(side.report, side.window, &reason)) {
      GiveUp(std::move(reason), &comparison);
    }
  }
  if (!verdict.reasons.empty()) return comparison;
  query::Charge charge(&source.account);
  VIGIE_RETURN_IF_ERROR(charge.Add(
      static_cast<int64_t>(points[0].size() * points[1].size() * 8)));
  const auto valued = GroupsOf(points[1], points[0]);
  std::vector<TieGroup> groups;
  for (const auto& [value, group] : valued) groups.push_back(group);
  // Without a variance to expect, only neighbours tell of dependence.
  Inflate(RanksOf(points[0], valued), RanksOf(points[1], valued), 0, 0,
          task.alpha, &comparison);
  verdict.baseline.level = MedianOf(points[0]);
  verdict.canary.level = MedianOf(points[1]);
  if (!EnoughEffective({verdict.baseline.total, verdict.canary.total}, "points",
                       &comparison)) {
    return comparison;
  }
  Test(task, points, groups, &comparison);
  effect.relative = effect.difference / std::abs(verdict.baseline.level);
  // Around a median of 0, what is usual is the mean size.
  double scale = std::abs(verdict.baseline.level);
  if (scale == 0) {
    for (const double point : points[0]) scale += std::abs(point);
    scale /= verdict.baseline.total;
  }
  SetThresholds(task, scale, 0, &effect);
  const double error =
      (effect.high - effect.low) / (2 * NormalQuantile(1 - task.alpha));
  CheckDetectable(error, std::min(verdict.baseline.total, verdict.canary.total),
                  "points", task, &comparison);
  Conclude(task, 0, &comparison);
  return comparison;
}

}  // namespace vigie::canary
