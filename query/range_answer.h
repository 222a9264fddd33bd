// AnswerRange: the answer of a range query, of which only the steps are
// evaluated that no earlier answer has, or that late samples may have changed.
// It is equal to the bit to evaluating all of them.
// Why: docs/decisions/0150-range-answers-are-kept.md.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "query/context.h"
#include "query/reach.h"
#include "query/result_cache.h"

namespace vigie::query {

// What a series of an answer costs, beside the steps it is made of.
absl::Status ChargeResult(Charge* charge, const Labels& labels,
                          int64_t samples);

// Evaluates the query at these steps, and says in the context what there is to
// say. The matrix is in order of labels.
using EvaluateSteps =
    absl::FunctionRef<absl::StatusOr<Matrix>(const Steps& steps)>;

// At the steps of `context->top`. What is taken from the cache is charged as
// what is evaluated is.
absl::StatusOr<Matrix> AnswerRange(QueryContext* context, ResultCache* cache,
                                   const Reach& reach, EvaluateSteps evaluate);

}  // namespace vigie::query
