// The families of aggregations, each in its file.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "query/evaluator.h"
#include "query/parser/ast.h"
#include "query/steps.h"

namespace vigie::query {

// sum, avg, count, min, max, group, stddev, stdvar: hold one state a group
// and step, whatever the number of series.
absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateStates(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps);
// quantile and count_values: hold a group's values.
absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateQuantile(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps);
absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateCountValues(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps);
// topk, bottomk, limitk, limit_ratio: pick some of the series.
absl::StatusOr<std::unique_ptr<SeriesStream>> AggregatePick(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps);

// "ignored histogram in max aggregation".
void InformOfIgnoredHistogram(QueryContext* context,
                              const AggregateExpr& aggregate,
                              PositionRange position);

}  // namespace vigie::query
