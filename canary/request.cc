#include "canary/request.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/duration.h"
#include "base/status_macros.h"

namespace vigie::canary {
namespace {

constexpr std::string_view kKinds[] = {"ratio", "rate", "latency", "gauge"};
constexpr std::string_view kDirections[] = {"increase", "decrease", "either"};

template <class Enum, size_t n>
std::optional<Enum> Find(const std::string_view (&names)[n],
                         std::string_view text) {
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

absl::Status Wrong(std::string_view path, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", path, why));
}

absl::StatusOr<Window> Resolve(const WindowRequest& asked,
                               std::string_view field, int64_t now_ms) {
  if (asked.start_ms && asked.duration_ms) {
    return Wrong(field, "give start or duration, not both");
  }
  if (!asked.start_ms && !asked.duration_ms) {
    return Wrong(field, "needs a duration, or start and end");
  }
  if (asked.duration_ms && *asked.duration_ms <= 0) {
    return Wrong(field, "duration must be positive");
  }
  const auto too_long = [&](int64_t length_ms) {
    return Wrong(field, fmt::format("is {} long, the most is {}",
                                    FormatDurationMs(length_ms),
                                    FormatDurationMs(kWindowMsMax)));
  };
  if (asked.duration_ms && *asked.duration_ms > kWindowMsMax) {
    return too_long(*asked.duration_ms);
  }
  Window window;
  window.end_ms = asked.end_ms.value_or(now_ms);
  if (window.end_ms > now_ms) return Wrong(field, "ends in the future");
  if (window.end_ms <= 0) return Wrong(field, "ends before the epoch");
  window.start_ms =
      asked.start_ms ? *asked.start_ms : window.end_ms - *asked.duration_ms;
  if (window.start_ms < 0) return Wrong(field, "starts before the epoch");
  if (window.start_ms > window.end_ms) {
    return Wrong(field, "is swapped: it ends before it starts");
  }
  if (window.start_ms == window.end_ms) return Wrong(field, "is empty");
  if (window.length_ms() > kWindowMsMax) return too_long(window.length_ms());
  return window;
}

}  // namespace

std::string_view NameOf(MetricKind kind) {
  return kKinds[static_cast<size_t>(kind)];
}
std::string_view NameOf(Direction direction) {
  return kDirections[static_cast<size_t>(direction)];
}
std::optional<MetricKind> ParseMetricKind(std::string_view text) {
  return Find<MetricKind>(kKinds, text);
}
std::optional<Direction> ParseDirection(std::string_view text) {
  return Find<Direction>(kDirections, text);
}

absl::StatusOr<Windows> ResolveWindows(const JudgeRequest& request,
                                       int64_t now_ms) {
  Windows windows;
  VIGIE_ASSIGN_OR_RETURN(windows.canary,
                         Resolve(request.window, "window", now_ms));
  windows.baseline = windows.canary;
  if (!request.baseline_window) return windows;
  VIGIE_ASSIGN_OR_RETURN(windows.baseline, Resolve(*request.baseline_window,
                                                   "baseline_window", now_ms));
  if (windows.baseline == windows.canary) return windows;
  if (windows.baseline.start_ms >= windows.canary.end_ms) {
    return Wrong("baseline_window",
                 "is after window: a baseline comes before its canary");
  }
  if (windows.baseline.end_ms > windows.canary.start_ms) {
    return Wrong("baseline_window",
                 "overlaps window: they must be the same, or the baseline's "
                 "must end before the canary's starts");
  }
  return windows;
}

absl::Status CheckRequest(const JudgeRequest& request) {
  if (!(request.alpha > 0 && request.alpha <= 0.2)) {
    return Wrong("alpha", "must be above 0 and at most 0.2");
  }
  if (request.looks < 1 || request.looks > kLooksMax) {
    return Wrong("looks", fmt::format("must be from 1 to {}", kLooksMax));
  }
  if (request.metrics.empty()) return Wrong("metrics", "is empty");
  if (request.metrics.size() > kMetricsMax) {
    return Wrong("metrics", fmt::format("has {} entries, the most is {}",
                                        request.metrics.size(), kMetricsMax));
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < request.metrics.size(); ++i) {
    const MetricRequest& metric = request.metrics[i];
    const auto wrong = [&](std::string_view field, std::string_view why) {
      return Wrong(fmt::format("metrics[{}].{}", i, field), why);
    };
    if (metric.name.empty()) return wrong("name", "is empty");
    if (!names.insert(metric.name).second) {
      return wrong("name", "is given twice");
    }
    const auto not_negative = [](double value) {
      return std::isfinite(value) && value >= 0;
    };
    if (!not_negative(metric.tolerance)) {
      return wrong("tolerance", "must be 0 or more");
    }
    if (!not_negative(metric.tolerance_absolute)) {
      return wrong("tolerance_absolute", "must be 0 or more");
    }
    if (!not_negative(metric.detect)) {
      return wrong("detect", "must be 0 or more");
    }
    if (metric.detect_absolute && !not_negative(*metric.detect_absolute)) {
      return wrong("detect_absolute", "must be 0 or more");
    }
    if (metric.detect == 0 && metric.detect_absolute.value_or(1) == 0) {
      return wrong("detect",
                   "and detect_absolute are both 0: no data would suffice");
    }
    if (!(metric.quantile >= 0.5 && metric.quantile < 1)) {
      return wrong("quantile", "must be at least 0.5 and below 1");
    }
    for (const double weight : {metric.baseline_weight, metric.canary_weight}) {
      if (!(std::isfinite(weight) && weight > 0)) {
        return wrong("weights", "must be positive");
      }
    }
    if (metric.kind == MetricKind::kRatio && metric.events.empty()) {
      return wrong("events",
                   "is needed for a ratio: the matchers of the events that "
                   "count, such as {code=~\"5..\"}");
    }
    if (metric.kind != MetricKind::kRatio && !metric.events.empty()) {
      return wrong("events", "belongs to a ratio");
    }
    if (metric.kind != MetricKind::kLatency &&
        metric.quantile != MetricRequest().quantile) {
      return wrong("quantile", "belongs to a latency");
    }
    if (metric.kind != MetricKind::kRate &&
        (metric.baseline_weight != 1 || metric.canary_weight != 1)) {
      return wrong("weights", "belong to a rate");
    }
  }
  return absl::OkStatus();
}

}  // namespace vigie::canary
