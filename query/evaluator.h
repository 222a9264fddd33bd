// Evaluator: one running query. Each file of this room evaluates one kind of
// node; this is where they meet.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "query/context.h"
#include "query/leaf_stream.h"
#include "query/parser/ast.h"
#include "query/plan.h"
#include "query/steps.h"

namespace vigie::query {

class Evaluator {
 public:
  // Both outlive the evaluator and the streams it makes.
  Evaluator(QueryContext* context, const Plan* plan)
      : context_(*context), plan_(*plan) {}

  // An instant vector, or a scalar or string as the function type demands.
  absl::StatusOr<std::unique_ptr<SeriesStream>> Vector(const Expr& expr,
                                                       const Steps& steps);
  absl::StatusOr<ScalarColumn> Scalar(const Expr& expr, const Steps& steps);
  // A range selector or subquery.
  absl::StatusOr<std::unique_ptr<RunStream>> Range(
      const Expr& expr, const Steps& steps, std::string_view function = "");

  // All series at once, for nodes that need them side by side.
  absl::StatusOr<std::vector<StepSeries>> Collect(const Expr& expr,
                                                  const Steps& steps);

  QueryContext& context() { return context_; }

 private:
  absl::StatusOr<std::unique_ptr<SeriesStream>> VectorOfKind(
      const Expr& expr, const Steps& steps);
  absl::StatusOr<ScalarColumn> ScalarOfKind(const Expr& expr,
                                            const Steps& steps);

  QueryContext& context_;
  const Plan& plan_;
};

// Hands on series that are there already.
std::unique_ptr<SeriesStream> StreamOf(std::vector<StepSeries> series);

// Drops name, type and unit.
Labels WithoutMetadata(const Labels& labels);
bool IsMetadataLabel(std::string_view name);

// Series of equal labels become one if no step has a cell of both; else
// kFailedPrecondition, as Prometheus says it.
absl::StatusOr<std::vector<StepSeries>> MergeEqualLabels(
    QueryContext* context, std::vector<StepSeries> series);
absl::Status SameLabelsetError();

// The bounds of the window that a selector looks through at `time_ms`.
Window WindowBounds(const TimeShift& shift, int64_t range_ms, int64_t time_ms);

// Each node's own file.
absl::StatusOr<std::unique_ptr<SeriesStream>> SelectVector(
    QueryContext* context, const VectorSelector& selector, const Steps& steps);
// The smoothed values of a selector at each step, from the samples that `runs`
// has of lookback before the first step to lookback behind the last one.
std::unique_ptr<SeriesStream> Smoothed(QueryContext* context,
                                       const VectorSelector& selector,
                                       const Steps& steps,
                                       std::unique_ptr<RunStream> runs);
// Instead of values, cells are times in seconds: of the samples that the
// selector finds, or of their start. An info metric must not be a histogram.
enum class SampleTimes { kSamples, kStarts, kOfInfo };
absl::StatusOr<std::unique_ptr<SeriesStream>> SelectTimes(
    QueryContext* context, const VectorSelector& selector, const Steps& steps,
    SampleTimes times);
// `function` is what looks at the windows, if one does.
absl::StatusOr<RunLeaves> SelectRange(QueryContext* context,
                                      const MatrixSelector& selector,
                                      const Steps& steps,
                                      std::string_view function);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateCall(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps);
absl::StatusOr<ScalarColumn> EvaluateScalarCall(Evaluator* evaluator,
                                                const CallExpr& call,
                                                const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateRangeCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateLabelCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateSort(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateHistogramCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateInfo(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateAggregate(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateBinary(
    Evaluator* evaluator, const BinaryExpr& binary, const Steps& steps);
// What absent() answers with: the labels that one `=` matcher alone fixes.
Labels LabelsOfAbsent(const std::vector<Matcher>& matchers);
// Of two scalars.
double ScalarBinary(BinaryOp op, double lhs, double rhs);

}  // namespace vigie::query
