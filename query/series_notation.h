// The notation of test series: a metric with its labels and the values that it
// has from step to step, as rule tests and promqltest scripts have them.
// Source: prometheus.io "Unit testing for rules", "<series>".
#pragma once

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "model/histogram.h"
#include "model/labels.h"

namespace vigie::query {

// One value a step; empty: no sample there.
using StepValue = std::variant<double, FloatHistogram>;
using StepValues = std::vector<std::optional<StepValue>>;

struct NotedSeries {
  Labels labels;
  StepValues values;
};

// `up{job="x"}`, `{job="x"}`, `{}`. kInvalidArgument, as for the others.
absl::StatusOr<Labels> ParseSeriesLabels(std::string_view metric);

// `1 2 _ stale`; runs: `1x3` is `1 1 1 1`, `_x3` is `_ _ _`, `1+2x3` is
// `1 3 5 7`, `7-2x3` is `7 5 3 1`. Native histograms, `{{...}}`, are as in
// histogram_notation.h and make runs in the same ways. Runs of more than
// 100 000 are refused, and series of more than a million values or ten million
// buckets.
absl::StatusOr<StepValues> ParseStepValues(std::string_view text);

// Sets the reset hints of samples that are to be stored, as Prometheus's
// storage gives them back: not_reset where a counter goes on, unknown where it
// begins or falls. Gauges, and resets that the text names, stay what they are
// (Prometheus forgets the latter: its issue 15346).
void SetResetHints(StepValues* values);

// `up{job="x"} 1 1x3`.
absl::StatusOr<NotedSeries> ParseSeriesLine(std::string_view line);

}  // namespace vigie::query
