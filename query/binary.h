// What the files of binary expressions share.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "query/evaluator.h"
#include "query/parser/ast.h"
#include "query/steps.h"

namespace vigie::query {

struct FloatResult {
  double value = 0;
  bool keep = true;  // false: a comparison that does not hold
};

// Of two elements; a comparison gives the left value. Not for set operators
// and trims.
FloatResult FloatBinary(BinaryOp op, double lhs, double rhs);

// Leaves the metric what it is, name included.
bool IsFilter(const BinaryExpr& binary);

// "float + histogram" and the like, which give no result.
void InformOfTypes(QueryContext* context, const BinaryExpr& binary,
                   std::string_view lhs, std::string_view rhs);
absl::Status HistogramsUnimplemented(BinaryOp op);

// Both sides are vectors.
absl::StatusOr<std::unique_ptr<SeriesStream>> MatchVectors(
    Evaluator* evaluator, const BinaryExpr& binary, const Steps& steps);

}  // namespace vigie::query
