// What a query results in, and what it has to say about it.
#pragma once

#include <cstdint>
#include <string>
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

// Counts of the work done, for stats=all and the slow-query log.
struct QueryStats {
  int64_t series_read = 0;
  int64_t samples_read = 0;
  int64_t bytes_peak = 0;
  int64_t samples_peak = 0;
  int64_t duration_ns = 0;
};

struct QueryResult {
  Value value;
  std::vector<std::string> warnings;  // `PromQL warning: ... (1:5)`
  std::vector<std::string> infos;
  QueryStats stats;
};

}  // namespace vigie::query
