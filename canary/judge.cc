#include "canary/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "canary/comparison.h"
#include "canary/sampling.h"
#include "canary/statistics.h"
#include "query/parser/parser.h"

namespace vigie::canary {
namespace {

// From here on a change beyond what is tolerated is worth a word, significant
// or not.
constexpr double kSuspiciousP = 0.05;

constexpr std::string_view kDecisions[] = {"pass", "marginal", "inconclusive",
                                           "fail"};
constexpr std::string_view kReasons[] = {
    "no_series",   "stale",          "no_traffic",    "no_events",
    "only_errors", "too_few_points", "too_uncertain", "buckets_differ",
    "not_counts",  "not_floats",     "worse",         "worse_but_tolerated",
    "suspicious",  "better",         "no_difference"};

absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text,
                                                   std::string_view path) {
  absl::StatusOr<std::vector<Matcher>> matchers = query::ParseMatchers(text);
  if (!matchers.ok()) return Prefixed(path, matchers.status());
  return matchers;
}

absl::StatusOr<MetricTask> MakeTask(const JudgeRequest& request, size_t index,
                                    const Windows& windows) {
  const MetricRequest& metric = request.metrics[index];
  const auto path = [&](std::string_view field) {
    return fmt::format("metrics[{}].{}", index, field);
  };
  MetricTask task{.request = metric,
                  .windows = windows,
                  .alpha = request.alpha / static_cast<double>(request.looks)};
  VIGIE_ASSIGN_OR_RETURN(task.baseline,
                         ParseSelector(metric.baseline, path("baseline")));
  VIGIE_ASSIGN_OR_RETURN(task.canary,
                         ParseSelector(metric.canary, path("canary")));
  if (task.baseline == task.canary && windows.baseline == windows.canary) {
    return absl::InvalidArgumentError(path("canary") +
                                      ": is the baseline, in the same window");
  }
  if (metric.kind == MetricKind::kRatio) {
    VIGIE_ASSIGN_OR_RETURN(task.events,
                           ParseSelector(metric.events, path("events")));
  }
  if (metric.kind == MetricKind::kLatency) {
    for (const auto* side : {&task.baseline, &task.canary}) {
      for (const Matcher& matcher : *side) {
        if (matcher.name() != kMetricName ||
            matcher.type() != Matcher::Type::kEqual ||
            matcher.value().ends_with("_bucket")) {
          continue;
        }
        return absl::InvalidArgumentError(fmt::format(
            "{}: selects {}, but latencies are judged by the buckets of a "
            "histogram: {}_bucket",
            path(side == &task.baseline ? "baseline" : "canary"),
            matcher.value(), matcher.value()));
      }
    }
  }
  return task;
}

absl::StatusOr<Comparison> Compare(const ReadSource& source,
                                   const MetricTask& task) {
  switch (task.request.kind) {
    case MetricKind::kRatio:
      return CompareRatio(source, task);
    case MetricKind::kRate:
      return CompareRate(source, task);
    case MetricKind::kLatency:
      return CompareLatency(source, task);
    case MetricKind::kGauge:
      return CompareGauge(source, task);
  }
  return absl::InternalError("no such kind");
}

std::string ChangeText(const MetricVerdict& verdict) {
  const EffectReport& effect = verdict.effect;
  std::string text = fmt::format("{} {:.4g} against {:.4g}", effect.of,
                                 verdict.canary.level, verdict.baseline.level);
  if (std::isfinite(effect.relative)) {
    text += fmt::format(" ({:+.1f} %)", 100 * effect.relative);
  }
  return text;
}

// What is significant fails if it is beyond what is tolerated. What is not
// passes only if a change that matters would have been found.
void Decide(double alpha, Comparison* comparison) {
  MetricVerdict& verdict = comparison->verdict;
  verdict.decision = Decision::kInconclusive;
  if (!comparison->judged) return;
  const bool significant = verdict.p_adjusted <= alpha;
  const bool beyond = comparison->worse_by > verdict.effect.tolerated;
  const std::string numbers =
      fmt::format("{}, p = {:.3g}, level {:.3g}", ChangeText(verdict),
                  verdict.p_adjusted, alpha);
  const auto say = [&](Decision decision, ReasonCode code,
                       std::string_view what) {
    verdict.decision = decision;
    verdict.reasons.push_back(
        {.code = code, .text = fmt::format("{}: {}", what, numbers)});
  };
  if (significant && comparison->worse_by > 0) {
    if (beyond) {
      say(Decision::kFail, ReasonCode::kWorse, "worse than the baseline");
    } else {
      say(Decision::kMarginal, ReasonCode::kWorseButTolerated,
          "worse, by no more than is tolerated");
    }
    return;
  }
  if (!comparison->sufficient) {
    verdict.reasons.push_back(comparison->insufficient);
    return;
  }
  if (beyond && verdict.p <= kSuspiciousP) {
    say(Decision::kMarginal, ReasonCode::kSuspicious,
        "worse by more than is tolerated, but not beyond doubt");
    return;
  }
  if (comparison->p_better <= alpha) {
    say(Decision::kPass, ReasonCode::kBetter, "better than the baseline");
  } else {
    say(Decision::kPass, ReasonCode::kNoDifference,
        "no difference that matters");
  }
}

std::string Summarize(const Verdict& verdict) {
  int counts[4] = {};
  bool partial = false;
  std::string first;
  for (const MetricVerdict& metric : verdict.metrics) {
    partial = partial || !metric.baseline.warnings.empty() ||
              !metric.canary.warnings.empty();
    ++counts[static_cast<size_t>(metric.decision)];
    if (metric.decision != verdict.decision || !first.empty()) continue;
    const Reason& reason = metric.reasons.back();
    first = fmt::format("{}: {}{}{}", metric.name, reason.side,
                        reason.side.empty() ? "" : ": ", reason.text);
  }
  return fmt::format(
      "{} of {} metrics {}; {}{}",
      counts[static_cast<size_t>(verdict.decision)], verdict.metrics.size(),
      NameOf(verdict.decision), first,
      partial ? "; not all samples could be read: see the notes" : "");
}

// A verdict on a part of the samples says so.
void NoteWhatIsMissing(MetricVerdict* verdict) {
  for (const auto& [name, side] : {std::pair("baseline", &verdict->baseline),
                                   std::pair("canary", &verdict->canary)}) {
    std::set<std::string_view> told;
    for (const std::string& warning : side->warnings) {
      if (!told.insert(warning).second) continue;
      verdict->notes.push_back(fmt::format("{}: {}", name, warning));
    }
  }
}

}  // namespace

std::string_view NameOf(Decision decision) {
  return kDecisions[static_cast<size_t>(decision)];
}
std::string_view NameOf(ReasonCode code) {
  return kReasons[static_cast<size_t>(code)];
}

Judge::Judge(const store::Queryable& queryable, const Clock& clock,
             const JudgeOptions& options)
    : queryable_(queryable),
      clock_(clock),
      options_(options),
      process_account_(std::make_unique<ByteAccount>(
          "all canary requests", options.process_bytes_max)) {}

absl::StatusOr<Verdict> Judge::Run(const JudgeRequest& request,
                                   std::stop_token stop) const {
  VIGIE_RETURN_IF_ERROR(CheckRequest(request));
  VIGIE_ASSIGN_OR_RETURN(const Windows windows,
                         ResolveWindows(request, clock_.NowMs()));
  // All of the request is read before any of the store.
  std::vector<MetricTask> tasks;
  for (size_t i = 0; i < request.metrics.size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(MetricTask task, MakeTask(request, i, windows));
    tasks.push_back(std::move(task));
  }
  ByteAccount bytes("canary request", options_.request_bytes_max,
                    process_account_.get());
  // Bytes alone bound it.
  query::QueryAccount account(&bytes, std::numeric_limits<int64_t>::max());
  ReadSource source{
      .queryable = queryable_,
      .clock = clock_,
      .tenant = request.tenant,
      .account = account,
      .stop = stop,
      .deadline_ns = clock_.MonotonicNs() + options_.timeout_ms * 1'000'000};
  std::vector<Comparison> comparisons;
  for (size_t i = 0; i < tasks.size(); ++i) {
    absl::StatusOr<Comparison> comparison = Compare(source, tasks[i]);
    if (!comparison.ok()) {
      return Prefixed(fmt::format("metrics[{}]", i), comparison.status());
    }
    NoteWhatIsMissing(&comparison->verdict);
    comparisons.push_back(*std::move(comparison));
  }

  Verdict verdict{
      .windows = windows,
      .alpha = request.alpha,
      .alpha_look = request.alpha / static_cast<double>(request.looks),
      .looks = request.looks};
  std::vector<double> p;
  for (const Comparison& comparison : comparisons) {
    if (comparison.judged && !comparison.verdict.critical) {
      p.push_back(comparison.verdict.p);
    }
  }
  const std::vector<double> adjusted = HolmAdjusted(p);
  size_t next = 0;
  for (Comparison& comparison : comparisons) {
    MetricVerdict& metric = comparison.verdict;
    if (comparison.judged) {
      metric.p_adjusted = metric.critical ? metric.p : adjusted[next++];
    }
    Decide(verdict.alpha_look, &comparison);
    verdict.decision = verdict.metrics.empty()
                           ? metric.decision
                           : std::max(verdict.decision, metric.decision);
    verdict.metrics.push_back(std::move(metric));
  }
  verdict.summary = Summarize(verdict);
  return verdict;
}

}  // namespace vigie::canary
