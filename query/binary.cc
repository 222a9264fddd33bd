// Binary expressions with a scalar on one side; vector matching is in
// vector_match.cc.
#include "query/binary.h"

#include <cmath>
#include <limits>
#include <utility>

namespace vigie::query {
namespace {

class VectorScalarStream final : public SeriesStream {
 public:
  VectorScalarStream(QueryContext* context, const BinaryExpr& binary,
                     std::unique_ptr<SeriesStream> vector, ScalarColumn scalar,
                     bool scalar_first)
      : context_(*context),
        binary_(binary),
        vector_(std::move(vector)),
        scalar_(std::move(scalar)),
        scalar_first_(scalar_first) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, vector_->Next(series));
      if (!more) return false;
      if (!IsFilter(binary_)) series->drop_name = true;
      bool any = false;
      for (int64_t step = 0; step < series->steps(); ++step) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        if (!series->present(step)) continue;
        VIGIE_RETURN_IF_ERROR(Evaluate(series, step));
        any = any || series->present(step);
      }
      if (any) return true;
    }
  }

 private:
  absl::Status Evaluate(StepSeries* series, int64_t step) {
    if (series->cell(step) == Cell::kHistogram || IsTrim(binary_.op)) {
      return EvaluateHistogram(series, step);
    }
    const double value = series->value(step);
    const double scalar = scalar_.At(step);
    const FloatResult result = scalar_first_
                                   ? FloatBinary(binary_.op, scalar, value)
                                   : FloatBinary(binary_.op, value, scalar);
    if (binary_.return_bool) {
      series->SetFloat(step, result.keep ? 1 : 0);
    } else if (!result.keep) {
      series->Clear(step);
    } else if (!IsComparison(binary_.op)) {
      series->SetFloat(step, result.value);
    }  // a filter keeps the vector's value, on whichever side it is
    return absl::OkStatus();
  }

  absl::Status EvaluateHistogram(StepSeries* series, int64_t step) {
    const Operand scalar{.value = scalar_.At(step)};
    Operand element{.value = series->value(step)};
    if (series->cell(step) == Cell::kHistogram) {
      element.histogram = series->histogram(step).get();
    }
    HistogramResult result =
        HistogramBinary(&context_, binary_, scalar_first_ ? scalar : element,
                        scalar_first_ ? element : scalar);
    series->Clear(step);
    if (!result.fits) return absl::OkStatus();
    return series->SetHistogram(step, std::move(result.histogram));
  }

  QueryContext& context_;
  const BinaryExpr& binary_;
  const std::unique_ptr<SeriesStream> vector_;
  const ScalarColumn scalar_;
  const bool scalar_first_;
};

}  // namespace

bool IsFilter(const BinaryExpr& binary) {
  // Trims too leave the metric what it is.
  return (IsComparison(binary.op) || IsTrim(binary.op)) && !binary.return_bool;
}

FloatResult FloatBinary(BinaryOp op, double lhs, double rhs) {
  switch (op) {
    case BinaryOp::kAdd:
      return {.value = lhs + rhs};
    case BinaryOp::kSub:
      return {.value = lhs - rhs};
    case BinaryOp::kMul:
      return {.value = lhs * rhs};
    case BinaryOp::kDiv:
      return {.value = lhs / rhs};
    case BinaryOp::kMod:
      return {.value = std::fmod(lhs, rhs)};
    case BinaryOp::kPow:
      return {.value = std::pow(lhs, rhs)};
    case BinaryOp::kAtan2:
      return {.value = std::atan2(lhs, rhs)};
    case BinaryOp::kEqual:
      return {.value = lhs, .keep = lhs == rhs};
    case BinaryOp::kNotEqual:
      return {.value = lhs, .keep = lhs != rhs};
    case BinaryOp::kLess:
      return {.value = lhs, .keep = lhs < rhs};
    case BinaryOp::kLessEqual:
      return {.value = lhs, .keep = lhs <= rhs};
    case BinaryOp::kGreater:
      return {.value = lhs, .keep = lhs > rhs};
    case BinaryOp::kGreaterEqual:
      return {.value = lhs, .keep = lhs >= rhs};
    case BinaryOp::kTrimUpper:
    case BinaryOp::kTrimLower:
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
    case BinaryOp::kUnless:
      break;
  }
  return {.value = std::numeric_limits<double>::quiet_NaN(), .keep = false};
}

double ScalarBinary(BinaryOp op, double lhs, double rhs) {
  const FloatResult result = FloatBinary(op, lhs, rhs);
  if (IsComparison(op)) return result.keep ? 1 : 0;
  return result.value;
}

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateBinary(
    Evaluator* evaluator, const BinaryExpr& binary, const Steps& steps) {
  const bool lhs_scalar = binary.lhs->type == ValueType::kScalar;
  const bool rhs_scalar = binary.rhs->type == ValueType::kScalar;
  if (!lhs_scalar && !rhs_scalar) {
    return MatchVectors(evaluator, binary, steps);
  }
  VIGIE_ASSIGN_OR_RETURN(
      ScalarColumn scalar,
      evaluator->Scalar(lhs_scalar ? *binary.lhs : *binary.rhs, steps));
  VIGIE_ASSIGN_OR_RETURN(
      auto vector,
      evaluator->Vector(lhs_scalar ? *binary.rhs : *binary.lhs, steps));
  return std::make_unique<VectorScalarStream>(&evaluator->context(), binary,
                                              std::move(vector),
                                              std::move(scalar), lhs_scalar);
}

}  // namespace vigie::query
