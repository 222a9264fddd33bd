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

struct Operand {
  double value = 0;
  const FloatHistogram* histogram = nullptr;  // null: it is the float
};

struct HistogramResult {
  bool fits = false;       // else there is no result, which annotations tell
  bool keep = true;        // false: a comparison that does not hold
  HistogramRef histogram;  // null of a comparison that gives a float
};

// At least one operand is a histogram, or the operator trims.
HistogramResult HistogramBinary(QueryContext* context, const BinaryExpr& binary,
                                const Operand& lhs, const Operand& rhs);

inline bool IsTrim(BinaryOp op) {
  return op == BinaryOp::kTrimUpper || op == BinaryOp::kTrimLower;
}

// Both sides are vectors.
absl::StatusOr<std::unique_ptr<SeriesStream>> MatchVectors(
    Evaluator* evaluator, const BinaryExpr& binary, const Steps& steps);

}  // namespace vigie::query
