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
#include "query/shared_vectors.h"
#include "query/steps.h"

namespace vigie::query {

class ExplainedNode;

class Evaluator {
 public:
  // All outlive the evaluator and the streams it makes. `node` watches, if
  // the query is to be explained.
  Evaluator(QueryContext* context, const Plan* plan, SharedVectors* shared,
            ExplainedNode* node = nullptr)
      : context_(*context), plan_(*plan), shared_(*shared), node_(node) {}
  // For a part of the query, watched by `node`.
  Evaluator(const Evaluator& whole, QueryContext* context, ExplainedNode* node)
      : context_(*context),
        plan_(whole.plan_),
        shared_(whole.shared_),
        node_(node) {}

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
  // So too, for those that change no cell: others may hold them as well.
  absl::StatusOr<SharedVectors::Series> CollectShared(const Expr& expr,
                                                      const Steps& steps);

  QueryContext& context() const { return context_; }
  const Plan& plan() const { return plan_; }
  const SharedVectors& shared() const { return shared_; }

  // What Vector, CollectShared and Scalar do where nobody watches: evaluate
  // once what is the same at every step, and once what stands there twice.
  // Parentheses have been removed, and there are steps.
  absl::StatusOr<std::unique_ptr<SeriesStream>> VectorAsPlanned(
      const Expr& expr, const Steps& steps);
  absl::StatusOr<SharedVectors::Series> AllAsPlanned(const Expr& expr,
                                                     const Steps& steps);
  absl::StatusOr<ScalarColumn> ScalarAsPlanned(const Expr& expr,
                                               const Steps& steps);

 private:
  absl::StatusOr<std::unique_ptr<SeriesStream>> VectorOfKind(
      const Expr& expr, const Steps& steps);
  absl::StatusOr<ScalarColumn> ScalarOfKind(const Expr& expr,
                                            const Steps& steps);

  QueryContext& context_;
  const Plan& plan_;
  SharedVectors& shared_;
  ExplainedNode* const node_;  // null: nobody asks for an explanation
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
