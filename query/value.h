// What a query results in, and what it has to say about it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/histogram.h"
#include "model/labels.h"
#include "model/sample.h"

namespace vigie::query {

struct HistogramSample {
  int64_t time_ms = 0;
  FloatHistogram histogram;
};

// One element of an instant vector; a histogram if `histogram` is set.
struct VectorElement {
  Labels labels;
  Sample sample;
  std::vector<FloatHistogram> histogram;  // at most one
};
using Vector = std::vector<VectorElement>;

// One series of a range result; floats and histograms each ascend in time.
struct MatrixSeries {
  Labels labels;
  std::vector<Sample> floats;
  std::vector<HistogramSample> histograms;
};
using Matrix = std::vector<MatrixSeries>;

struct Scalar {
  Sample sample;
};
struct String {
  int64_t time_ms = 0;
  std::string value;
};

using Value = std::variant<Scalar, String, Vector, Matrix>;

// What one node of the plan took, the nodes below it included in time alone.
struct PlanNode {
  std::string text;            // as the query has it, cut if it is long
  std::string_view kind;       // "selector", "call", ...
  int64_t steps = 0;           // it was evaluated at
  bool once = false;           // the same at every step, so evaluated at one
  bool reused = false;         // an equal part before gave its series
  std::optional<size_t> part;  // the number of equal parts
  int64_t time_ns = 0;
  int64_t series = 0;       // handed on
  int64_t samples = 0;      // among them
  int64_t series_read = 0;  // from the store
  int64_t samples_read = 0;
  int64_t bytes_peak = 0;  // what it made held at most
  std::vector<PlanNode> children;
};

// Counts of the work done, for stats=all and the slow-query log.
struct QueryStats {
  int64_t series_read = 0;
  int64_t samples_read = 0;
  int64_t histograms_read = 0;  // among them
  int64_t bytes_peak = 0;
  int64_t samples_peak = 0;
  int64_t preparation_ns = 0;  // parsing and planning
  int64_t sort_ns = 0;         // of the answer
  int64_t threads_max = 1;     // that could help, the query's own included
  int64_t duration_ns = 0;
};

struct QueryResult {
  Value value;
  std::vector<std::string> warnings;  // `PromQL warning: ... (1:5)`
  std::vector<std::string> infos;
  QueryStats stats;
  // If the query asked to be explained. Samples that each step looked at, as
  // Prometheus counts them: a window counts again at each step.
  std::vector<int64_t> samples_per_step;
  int64_t start_ms = 0;  // of the first step
  int64_t step_ms = 0;
  std::shared_ptr<const PlanNode> plan;
};

}  // namespace vigie::query
