// What is asked of the judge: metrics of a canary beside those of its
// baseline. docs/formats/canary.md draws it as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tenant.h"

namespace vigie::canary {

inline constexpr size_t kMetricsMax = 50;
inline constexpr int64_t kWindowMsMax = int64_t{7} * 24 * 3600 * 1000;
inline constexpr int64_t kLooksMax = 1000;

enum class MetricKind {
  kRatio,    // events of a total: errors, conversions
  kRate,     // events by time: restarts, orders
  kLatency,  // classic histograms
  kGauge     // values as they are sampled
};
// The direction that is worse.
enum class Direction { kIncrease, kDecrease, kEither };

std::string_view NameOf(MetricKind kind);
std::string_view NameOf(Direction direction);
// "ratio", "increase", ...; none for anything else.
std::optional<MetricKind> ParseMetricKind(std::string_view text);
std::optional<Direction> ParseDirection(std::string_view text);

// As asked: start and end, or a duration up to the end, which is now if absent.
struct WindowRequest {
  std::optional<int64_t> start_ms = {};
  std::optional<int64_t> end_ms = {};
  std::optional<int64_t> duration_ms = {};
};

// (start_ms, end_ms], milliseconds since the epoch.
struct Window {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t length_ms() const { return end_ms - start_ms; }
  friend bool operator==(const Window&, const Window&) = default;
};

struct MetricRequest {
  std::string name;  // for the answer; unique
  MetricKind kind = MetricKind::kRatio;
  Direction direction = Direction::kIncrease;
  // PromQL series selectors. kRatio: of all events; kLatency: of `_bucket`.
  std::string baseline;
  std::string canary;
  // kRatio: what is added to both selectors to find the events that count,
  // such as `{code=~"5.."}`; with a metric name, that replaces theirs.
  std::string events;
  // Changes up to the larger of these are acceptable, significant or not.
  double tolerance = 0.05;        // of the baseline
  double tolerance_absolute = 0;  // in the metric's unit
  // The judge passes nothing of which it would not have found a change of the
  // larger of these in four cases of five.
  double detect = 0.5;                    // of the baseline
  std::optional<double> detect_absolute;  // default: 0.01 for ratios, else 0
  double quantile = 0.95;                 // kLatency
  // kRate: traffic that each side has, in any unit.
  double baseline_weight = 1;
  double canary_weight = 1;
  bool critical = false;  // judged alone, at the full level
};

struct JudgeRequest {
  Tenant tenant;
  WindowRequest window;                          // the canary's
  std::optional<WindowRequest> baseline_window;  // default: the same
  double alpha = 0.01;  // false alarms, of all looks together
  int64_t looks = 1;    // how often this release will be judged
  std::vector<MetricRequest> metrics;
};

struct Windows {
  Window baseline;
  Window canary;
};

// The windows meant. kInvalidArgument names the field: empty, swapped, in the
// future, too long, or overlapping without being the same.
absl::StatusOr<Windows> ResolveWindows(const JudgeRequest& request,
                                       int64_t now_ms);

// Everything but selectors and windows; kInvalidArgument names the field.
absl::Status CheckRequest(const JudgeRequest& request);

}  // namespace vigie::canary
