// Operators with a native histogram on at least one side, and trims.
#include <fmt/format.h>

#include <utility>

#include "query/binary.h"
#include "query/native_histogram.h"
#include "query/native_histogram_values.h"

namespace vigie::query {
namespace {

std::string_view TypeOf(const Operand& operand) {
  return operand.histogram == nullptr ? "float" : "histogram";
}

HistogramRef Shared(FloatHistogram histogram) {
  Compact(&histogram);
  return std::make_shared<const FloatHistogram>(std::move(histogram));
}

HistogramResult SumOrDifference(QueryContext* context, const BinaryExpr& binary,
                                const FloatHistogram& lhs,
                                const FloatHistogram& rhs) {
  const bool add = binary.op == BinaryOp::kAdd;
  HistogramSum sum(lhs);
  if (!(add ? sum.Add(rhs) : sum.Subtract(rhs))) {
    context->annotations.Warn(
        fmt::format(
            "incompatible bucket layout encountered for binary operator {}",
            BinaryOpText(binary.op)),
        binary.position);
    return {};
  }
  const std::string_view operation = add ? "addition" : "subtraction";
  if (sum.resets_collided()) {
    context->annotations.ResetsCollided(operation, binary.position);
  }
  if (sum.bounds_reconciled()) {
    context->annotations.BoundsReconciled(operation, binary.position);
  }
  FloatHistogram total = sum.Total();
  if (!add) total.reset_hint = CounterResetHint::kGauge;
  return {.fits = true, .histogram = Shared(std::move(total))};
}

}  // namespace

HistogramResult HistogramBinary(QueryContext* context, const BinaryExpr& binary,
                                const Operand& lhs, const Operand& rhs) {
  const FloatHistogram* left = lhs.histogram;
  const FloatHistogram* right = rhs.histogram;
  switch (binary.op) {
    case BinaryOp::kAdd:
    case BinaryOp::kSub:
      if (left == nullptr || right == nullptr) break;
      return SumOrDifference(context, binary, *left, *right);
    case BinaryOp::kEqual:
    case BinaryOp::kNotEqual: {
      if (left == nullptr || right == nullptr) break;
      const bool same = SameSamples(*left, *right);
      HistogramResult result;
      result.fits = true;
      result.keep = same == (binary.op == BinaryOp::kEqual);
      if (result.keep && !binary.return_bool) {
        result.histogram = std::make_shared<const FloatHistogram>(*left);
      }
      return result;
    }
    case BinaryOp::kMul:
    case BinaryOp::kDiv: {
      const bool divides = binary.op == BinaryOp::kDiv;
      if ((left == nullptr) == (right == nullptr)) break;
      if (divides && left == nullptr) break;
      FloatHistogram scaled = left != nullptr ? *left : *right;
      const double factor = left != nullptr ? rhs.value : lhs.value;
      if (divides) {
        Divide(&scaled, factor);
      } else {
        Multiply(&scaled, factor);
      }
      return {.fits = true, .histogram = Shared(std::move(scaled))};
    }
    case BinaryOp::kTrimUpper:
    case BinaryOp::kTrimLower:
      if (left == nullptr || right != nullptr) break;
      return {.fits = true,
              .histogram = std::make_shared<const FloatHistogram>(
                  TrimmedTo(*left, rhs.value,
                            /*below=*/binary.op == BinaryOp::kTrimUpper))};
    default:
      break;
  }
  context->annotations.Inform(
      fmt::format("incompatible sample types encountered for binary operator "
                  "\"{0}\": {1} {0} {2}",
                  BinaryOpText(binary.op), TypeOf(lhs), TypeOf(rhs)),
      binary.position);
  return {};
}

}  // namespace vigie::query
