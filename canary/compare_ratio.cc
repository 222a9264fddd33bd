// Ratios: events of a total, by Fisher's exact test on effective counts.
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

// What has to be found however small the baseline's ratio: one in a hundred.
constexpr double kDetectAbsolute = 0.01;

bool HasName(const std::vector<Matcher>& matchers) {
  return std::any_of(matchers.begin(), matchers.end(),
                     [](const Matcher& m) { return m.name() == kMetricName; });
}

// The selector of the events that count: the side's, narrowed or renamed.
std::vector<Matcher> EventMatchers(const std::vector<Matcher>& side,
                                   const std::vector<Matcher>& events) {
  const bool named = HasName(events);
  std::vector<Matcher> matchers;
  for (const Matcher& matcher : side) {
    if (!named || matcher.name() != kMetricName) matchers.push_back(matcher);
  }
  matchers.insert(matchers.end(), events.begin(), events.end());
  return matchers;
}

// A label that `events` asks for and no series has: a slip of the pen would
// otherwise read as "no errors".
std::string UnknownLabel(const std::vector<Matcher>& events,
                         const std::array<Samples, 2>& samples) {
  for (const Matcher& matcher : events) {
    if (matcher.name() == kMetricName || matcher.MatchesEmpty()) continue;
    bool found = false;
    for (const Samples& side : samples) {
      for (size_t i = 0; i < side.size() && !found; ++i) {
        found = side.labels(i).Has(matcher.name());
      }
    }
    if (!found) return matcher.name();
  }
  return {};
}

// What both sides were read as.
struct RatioCounts {
  std::vector<Block> blocks[2];
  int sides_without_events = 0;
};

// The reason why the counts of a side are none that can be compared.
bool Unusable(const Side& side, bool fractional, Reason* reason) {
  const SideReport& report = side.report;
  reason->side = side.name;
  if (EndedEarly(report, side.window, reason)) return true;
  if (report.total == 0) {
    reason->code = ReasonCode::kNoTraffic;
    reason->text =
        fmt::format("{} series, {} samples, but the counters stand still",
                    report.series, report.samples);
    return true;
  }
  reason->code = ReasonCode::kNotCounts;
  if (fractional) {
    reason->text = "a counter grows by fractions: a ratio needs whole events";
    return true;
  }
  if (report.events > report.total || report.total > kCountMax) {
    reason->text = fmt::format("{:.0f} events of {:.0f}: not a part of a whole",
                               report.events, report.total);
    return true;
  }
  return false;
}

// False if a side gave up.
absl::StatusOr<bool> ReadSides(const ReadSource& source, const MetricTask& task,
                               const std::array<Samples, 2>& samples,
                               RatioCounts* ratio, Comparison* comparison) {
  const int64_t block_ms = BlockMs(task, samples, 1, kBlocksMax);
  const auto sides = SidesOf(task, comparison);
  for (size_t i = 0; i < 2; ++i) {
    const Side& side = sides[i];
    const FirstSeen& first_seen = samples[i].first_seen();
    VIGIE_ASSIGN_OR_RETURN(
        const Counts totals,
        ReadCounts(samples[i], first_seen, side.window, block_ms,
                   Spread::kToTheLater, &side.report));
    SideReport of_events;
    VIGIE_ASSIGN_OR_RETURN(
        const Samples events,
        Samples::Open(source, EventMatchers(side.matchers, task.events),
                      side.window, &of_events));
    VIGIE_ASSIGN_OR_RETURN(const Counts counts,
                           ReadCounts(events, first_seen, side.window, block_ms,
                                      Spread::kToTheLater, &of_events));
    side.report.warnings.insert(side.report.warnings.end(),
                                of_events.warnings.begin(),
                                of_events.warnings.end());
    if (events.has_native_histograms()) {
      GiveUp({.code = ReasonCode::kNotFloats,
              .side = side.name,
              .text = "events selects native histograms, which are not judged "
                      "yet"},
             comparison);
      return false;
    }
    side.report.total = totals.sum;
    side.report.events = counts.sum;
    side.report.level = counts.sum / totals.sum;
    side.report.resets += of_events.resets;
    side.report.samples_skipped += of_events.samples_skipped;
    Reason reason;
    if (Unusable(side, totals.fractional || counts.fractional, &reason)) {
      GiveUp(std::move(reason), comparison);
    }
    if (events.empty()) {
      ++ratio->sides_without_events;
      comparison->verdict.notes.push_back(
          side.name + ": no series of the events that count, taken as none");
    }
    for (size_t b = 0; b < totals.blocks.size(); ++b) {
      ratio->blocks[i].push_back({totals.blocks[b], counts.blocks[b]});
    }
  }
  return comparison->verdict.reasons.empty();
}

// Whether `events` finds nothing because it asks for what there is not.
bool EventsUnknown(const MetricTask& task,
                   const std::array<Samples, 2>& samples,
                   Comparison* comparison) {
  const std::string label = UnknownLabel(task.events, samples);
  if (label.empty() && !HasName(task.events)) return false;
  GiveUp(
      {.code = ReasonCode::kNoSeries,
       .text = label.empty()
                   ? fmt::format("no series matches events {} on either side",
                                 task.request.events)
                   : fmt::format("no series of either side has the label {} "
                                 "that events asks for",
                                 label)},
      comparison);
  return true;
}

// Whether not one event was of the good kind; known where the direction says
// which kind that is.
bool OnlyErrors(const MetricTask& task, const SideReport& side) {
  switch (task.request.direction) {
    case Direction::kIncrease:
      return side.events == side.total;
    case Direction::kDecrease:
      return side.events == 0;
    case Direction::kEither:
      return false;
  }
  return false;
}

// On the canary's side it is a finding, on the baseline's the end.
bool BaselineFailed(const MetricTask& task, Comparison* comparison) {
  for (const Side& side : SidesOf(task, comparison)) {
    if (!OnlyErrors(task, side.report)) continue;
    GiveUp(
        {.code = ReasonCode::kOnlyErrors,
         .side = side.name,
         .text = fmt::format("all {:.0f} requests failed", side.report.total)},
        comparison);
    if (side.name == "baseline") return true;
  }
  return false;
}

void Test(const MetricTask& task, Comparison* comparison) {
  MetricVerdict& verdict = comparison->verdict;
  const SideReport& b = verdict.baseline;
  const SideReport& c = verdict.canary;
  const int64_t total_b = EffectiveCount(b.total, b.inflation, false);
  const int64_t total_c = EffectiveCount(c.total, c.inflation, false);
  // Rounded against the question, so that rounding never alarms.
  const auto ask = [&](Alternative alternative) {
    const bool greater = alternative == Alternative::kGreater;
    const int64_t events_b = EffectiveCount(b.events, b.inflation, greater);
    const int64_t events_c = EffectiveCount(c.events, c.inflation, !greater);
    return FisherTest(std::min(total_c, events_c), total_c,
                      std::min(total_b, events_b), total_b, alternative);
  };
  verdict.tests.push_back(
      {.name = "fisher",
       .statistic = verdict.effect.difference,
       .p_increase = ask(Alternative::kGreater),
       .p_decrease = ask(Alternative::kLess),
       .p_independent = FisherTest(
           static_cast<int64_t>(c.events), static_cast<int64_t>(c.total),
           static_cast<int64_t>(b.events), static_cast<int64_t>(b.total),
           Alternative::kTwoSided)});
  EffectReport& effect = verdict.effect;
  effect.confidence = 1 - 2 * task.alpha;
  const Interval interval = NewcombeInterval(
      c.events / c.inflation, c.effective_n, b.events / b.inflation,
      b.effective_n, effect.confidence);
  effect.low = interval.low;
  effect.high = interval.high;
}

}  // namespace

absl::StatusOr<Comparison> CompareRatio(const ReadSource& source,
                                        const MetricTask& task) {
  Comparison comparison = Begin(task);
  MetricVerdict& verdict = comparison.verdict;
  verdict.effect.of = "ratio";
  VIGIE_ASSIGN_OR_RETURN(const auto samples,
                         OpenBoth(source, task, &comparison));
  if (!samples) return comparison;
  RatioCounts ratio;
  VIGIE_ASSIGN_OR_RETURN(const bool readable, ReadSides(source, task, *samples,
                                                        &ratio, &comparison));
  if (!readable) return comparison;
  if (ratio.sides_without_events == 2 &&
      EventsUnknown(task, *samples, &comparison)) {
    return comparison;
  }
  const auto variance = [](double p) { return std::max(0.0, p * (1 - p)); };
  Inflate(ratio.blocks[0], ratio.blocks[1], variance(verdict.baseline.level),
          variance(verdict.canary.level), task.alpha, &comparison);
  EffectReport& effect = verdict.effect;
  effect.difference = verdict.canary.level - verdict.baseline.level;
  effect.relative = effect.difference / verdict.baseline.level;
  SetThresholds(task, verdict.baseline.level, kDetectAbsolute, &effect);
  if (BaselineFailed(task, &comparison) || !EnoughBlocks(1, &comparison) ||
      !EnoughEffective({verdict.baseline.total, verdict.canary.total},
                       "requests", &comparison)) {
    return comparison;
  }
  Test(task, &comparison);
  const bool decrease = task.request.direction == Direction::kDecrease;
  const double level = verdict.baseline.level;
  CheckScale({.variance = variance,
              .n_baseline = verdict.baseline.effective_n,
              .n_canary = verdict.canary.effective_n,
              .level = level,
              .sign = decrease ? -1.0 : 1.0,
              .largest = decrease ? level : 1 - level},
             task, verdict.canary.total, "requests", &comparison);
  Conclude(task, 0, &comparison);
  return comparison;
}

}  // namespace vigie::canary
