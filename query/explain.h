// ExplainedNode: one node of a query that is to be explained, while it is
// evaluated: a context, a tally and a clock of its own. Queries that nobody
// asks about have none.
// Belongs to the thread of one query.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "query/context.h"
#include "query/evaluator.h"
#include "query/value.h"

namespace vigie::query {

class ExplainedNode {
 public:
  // The query itself, whose only child is its expression. `context` outlives
  // this.
  explicit ExplainedNode(QueryContext* context);
  // A child: `expr` at `steps`, for `parent`, which outlives this as what it
  // refers to does.
  ExplainedNode(const Evaluator& parent, const Expr& expr, const Steps& steps);
  ~ExplainedNode();
  ExplainedNode(const ExplainedNode&) = delete;
  ExplainedNode& operator=(const ExplainedNode&) = delete;

  // As the functions of Evaluator, by a child that is added for it. Series and
  // streams must not outlive this.
  absl::StatusOr<std::unique_ptr<SeriesStream>> Vector(const Evaluator& parent,
                                                       const Expr& expr,
                                                       const Steps& steps);
  absl::StatusOr<SharedVectors::Series> All(const Evaluator& parent,
                                            const Expr& expr,
                                            const Steps& steps);
  absl::StatusOr<ScalarColumn> Scalar(const Evaluator& parent, const Expr& expr,
                                      const Steps& steps);

  // Once the query has been evaluated, and once only: what was seen. Adds what
  // was read to the query's own stats and samples of steps.
  PlanNode Finish(QueryStats* stats);

 private:
  class Measured;
  class Watch;

  ExplainedNode* Add(const Evaluator& parent, const Expr& expr,
                     const Steps& steps);

  PlanNode seen_;
  QueryAccount account_;
  QueryContext context_;
  std::unique_ptr<Evaluator> evaluator_;  // null: the query
  // Of a part that is evaluated at one step for all: added to each in the end.
  StepSamples once_samples_{1};
  StepSamples* samples_of_all_ = nullptr;
  std::vector<std::unique_ptr<ExplainedNode>> children_;
};

}  // namespace vigie::query
