// One metric compared, kind by kind; the decision comes after, when the other
// metrics are known (Holm). Which test stands for what: record 0023.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "canary/dispersion.h"
#include "canary/sampling.h"
#include "canary/verdict.h"
#include "model/matcher.h"

namespace vigie::canary {

// A metric request with its selectors parsed and its windows known.
struct MetricTask {
  const MetricRequest& request;
  std::vector<Matcher> baseline = {};
  std::vector<Matcher> canary = {};
  std::vector<Matcher> events = {};  // kRatio: what is added or replaced
  Windows windows;
  double alpha = 0.01;  // of this look
};

struct Comparison {
  MetricVerdict verdict;  // everything but decision, p_adjusted, reasons of it
  // False: verdict.reasons says why, and it is inconclusive.
  bool judged = false;
  bool sufficient = true;
  Reason insufficient;
  // By how much the canary is worse; negative: better.
  double worse_by = 0;
  double p_better = 1;
};

absl::StatusOr<Comparison> CompareRatio(const ReadSource& source,
                                        const MetricTask& task);
absl::StatusOr<Comparison> CompareRate(const ReadSource& source,
                                       const MetricTask& task);
absl::StatusOr<Comparison> CompareLatency(const ReadSource& source,
                                          const MetricTask& task);
absl::StatusOr<Comparison> CompareGauge(const ReadSource& source,
                                        const MetricTask& task);

// --- what the kinds share ---

// How finely a window is cut, and below how many blocks bursts cannot be told
// from a change.
inline constexpr int64_t kBlocksMax = 240;
inline constexpr int kBlocksMin = 10;

// An empty comparison with names and selectors filled in.
Comparison Begin(const MetricTask& task);

// One side of a task. Refers to the task and the comparison.
struct Side {
  std::string name;  // "baseline", "canary"
  const std::vector<Matcher>& matchers;
  const Window& window;
  SideReport& report;
  double weight = 1;
};
// The baseline, then the canary.
std::array<Side, 2> SidesOf(const MetricTask& task, Comparison* comparison);

// The samples of both sides, in that order. None if one has nothing to judge:
// `comparison` then says why.
absl::StatusOr<std::optional<std::array<Samples, 2>>> OpenBoth(
    const ReadSource& source, const MetricTask& task, Comparison* comparison);

// Ends it without a verdict.
void GiveUp(Reason reason, Comparison* comparison);

// Length of blocks that both sides are cut into: at least `intervals` times
// the longer interval between samples, and at most `blocks_max` a window.
int64_t BlockMs(const MetricTask& task, const std::array<Samples, 2>& samples,
                int intervals, int64_t blocks_max);

// Measures both sides; the canary's inflation is at least what the baseline's
// lets expect. Fills the reports.
void Inflate(const std::vector<Block>& baseline,
             const std::vector<Block>& canary, double baseline_variance,
             double canary_variance, double alpha, Comparison* comparison);

// False, and kTooFewPoints, if a side has fewer than kBlocksMin blocks, or,
// where bursts outlast a block, fewer independent ones.
bool EnoughBlocks(int intervals_per_block, Comparison* comparison);

// False, and kTooFewPoints, if of the `counts` of a side (baseline, canary)
// fewer than kEffectiveMin are independent.
bool EnoughEffective(std::array<double, 2> counts, std::string_view unit,
                     Comparison* comparison);

// Sets the p values, the signed difference and p_better from the tests, of
// which the `lead`-th speaks; there are `tests` of them at once.
void Conclude(const MetricTask& task, size_t lead, Comparison* comparison);

// Normal quantiles that must lie between no change and one that is found in
// four cases of five.
double NeededZ(const MetricTask& task);

// Fills effect.tolerated and effect.to_detect for a baseline at `level`.
void SetThresholds(const MetricTask& task, double level,
                   double detect_absolute_default, EffectReport* effect);

// For kinds whose uncertainty is a standard error: sets effect.detectable and,
// if that is more than effect.to_detect, says what is missing.
void CheckDetectable(double standard_error, double points,
                     std::string_view unit, const MetricTask& task,
                     Comparison* comparison);

}  // namespace vigie::canary
