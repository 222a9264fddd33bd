// RangeFunction: a function of a range vector, over the windows of one series
// at a time. Windows come in order and only move forward, so that a function
// may keep pointers into the run instead of looking at all of it again.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "query/context.h"
#include "query/parser/ast.h"
#include "query/steps.h"

namespace vigie::query {

// Where one call of a function stands: its text, its other arguments.
struct RangeCall {
  std::string_view name;
  PositionRange argument;  // of the range vector: annotations point at it
  int64_t range_ms = 0;
  int64_t offset_ms = 0;  // of the range vector
  Edges edges = Edges::kPlain;
  std::vector<ScalarColumn> scalars;  // the arguments beside the range vector
};

inline double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

// Windows of the same length at even distances, none cut off at the edges of
// int64: those of step n are (first.start_ms + n * step_ms, first.end_ms + n *
// step_ms].
struct WindowGrid {
  Window first;  // its bounds
  int64_t step_ms = 0;
  int64_t count = 0;
};

class RangeFunction {
 public:
  virtual ~RangeFunction() = default;
  // Called before the first window of a run, which outlives the last one.
  virtual absl::Status Begin(const SampleRun& run) {
    static_cast<void>(run);
    return absl::OkStatus();
  }
  // After Begin: sets the cells of all windows as Evaluate would, to the bit,
  // and says so; false if this function or run has to go window by window.
  virtual absl::StatusOr<bool> EvaluateAll(const SampleRun& run,
                                           const WindowGrid& grid,
                                           StepSeries* out) {
    static_cast<void>(run), static_cast<void>(grid), static_cast<void>(out);
    return false;
  }
  // The window holds at least one sample. Sets the cell of `step`, or not.
  // `time_ms` is the evaluation time, before offset and @.
  virtual absl::Status Evaluate(const SampleRun& run, const Window& window,
                                int64_t step, int64_t time_ms,
                                StepSeries* out) = 0;
};

// Each in its file. Null if the name is none of theirs. `call` and `context`
// outlive the function.
std::unique_ptr<RangeFunction> MakeRateFunction(QueryContext* context,
                                                const RangeCall& call);
std::unique_ptr<RangeFunction> MakeLastTwoFunction(QueryContext* context,
                                                   const RangeCall& call);
std::unique_ptr<RangeFunction> MakeTurnsFunction(const RangeCall& call);
std::unique_ptr<RangeFunction> MakeOverTimeFunction(QueryContext* context,
                                                    const RangeCall& call);
std::unique_ptr<RangeFunction> MakeTrendFunction(QueryContext* context,
                                                 const RangeCall& call);

// The annotations they share.
void WarnOfMixedSamples(QueryContext* context, const SampleRun& run,
                        PositionRange position);
void InformOfIgnoredHistograms(QueryContext* context, const SampleRun& run,
                               PositionRange position);

// Quantile q of `values`, which are sorted by it, NaN first.
double QuantileOf(double q, std::vector<double>* values);
// "quantile value should be between 0 and 1, got 2", if it is not.
void WarnOfQuantile(QueryContext* context, double q, PositionRange position);

// Whether a start time tells of a reset between two samples.
bool IsStartTimeReset(int64_t previous_start, int64_t previous_time,
                      int64_t start, int64_t time);

}  // namespace vigie::query
