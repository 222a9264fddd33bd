#include "query/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "query/evaluator.h"
#include "query/parser/parser.h"

namespace vigie::query {
namespace {

// Their value depends on the evaluation time even if the arguments' does not.
constexpr std::string_view kTimeFunctions[] = {
    "days_in_month", "day_of_month", "day_of_week", "day_of_year",
    "hour",          "minute",       "month",       "predict_linear",
    "time",          "timestamp",    "year",        "start_timestamp"};

// Durations are 64-bit nanoseconds in Prometheus.
constexpr double kSecondsMax = 9223372036.0;

}  // namespace

const Expr& WithoutParens(const Expr& expr) {
  const Expr* inner = &expr;
  while (inner->kind == Expr::Kind::kParen) {
    inner = inner->As<ParenExpr>().expr.get();
  }
  return *inner;
}

class Plan::Builder {
 public:
  Builder(std::string_view query, const PlanTimes& times, Plan* plan)
      : query_(query), times_(times), plan_(plan) {}

  // Resolves below `expr`; tells whether it is step-invariant.
  absl::StatusOr<bool> Visit(Expr* expr) {
    VIGIE_ASSIGN_OR_RETURN(const bool invariant, VisitKind(expr));
    if (invariant) plan_->invariant_.insert(expr);
    if (expr->type == ValueType::kScalar) {
      if (const std::optional<double> value = Fold(*expr)) {
        plan_->constants_[expr] = *value;
      }
    }
    return invariant;
  }

 private:
  // What is below has been folded. The operations are those of evaluation.
  std::optional<double> Fold(const Expr& expr) const {
    switch (expr.kind) {
      case Expr::Kind::kNumber:
        return expr.As<NumberLiteral>().value;
      case Expr::Kind::kParen:
        return plan_->ConstantOf(*expr.As<ParenExpr>().expr);
      case Expr::Kind::kUnary: {
        const auto& unary = expr.As<UnaryExpr>();
        const std::optional<double> inner = plan_->ConstantOf(*unary.expr);
        if (!inner.has_value() || !unary.negate) return inner;
        return -*inner;
      }
      case Expr::Kind::kBinary: {
        const auto& binary = expr.As<BinaryExpr>();
        const std::optional<double> lhs = plan_->ConstantOf(*binary.lhs);
        const std::optional<double> rhs = plan_->ConstantOf(*binary.rhs);
        if (!lhs.has_value() || !rhs.has_value()) return std::nullopt;
        return ScalarBinary(binary.op, *lhs, *rhs);
      }
      case Expr::Kind::kCall: {
        const auto& call = expr.As<CallExpr>();
        const std::string_view name = call.function->name;
        if (!call.args.empty()) return std::nullopt;
        if (name == "start") return Seconds(times_.start_ms);
        if (name == "end") return Seconds(times_.end_ms);
        if (name == "step") return Seconds(times_.step_ms);
        if (name == "range") return Seconds(times_.end_ms - times_.start_ms);
        return std::nullopt;
      }
      default:
        return std::nullopt;
    }
  }
  static double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

  absl::StatusOr<bool> VisitKind(Expr* expr) {
    switch (expr->kind) {
      case Expr::Kind::kNumber:
      case Expr::Kind::kString:
        return true;
      case Expr::Kind::kVectorSelector:
        return VisitShift(&expr->As<VectorSelector>().shift);
      case Expr::Kind::kMatrixSelector: {
        auto& matrix = expr->As<MatrixSelector>();
        if (matrix.range_expr != nullptr) {
          VIGIE_ASSIGN_OR_RETURN(matrix.range_ms,
                                 Milliseconds(*matrix.range_expr, true));
        }
        return Visit(matrix.vector.get());
      }
      case Expr::Kind::kSubquery: {
        auto& subquery = expr->As<SubqueryExpr>();
        if (subquery.range_expr != nullptr) {
          VIGIE_ASSIGN_OR_RETURN(subquery.range_ms,
                                 Milliseconds(*subquery.range_expr, true));
        }
        if (subquery.step_expr != nullptr) {
          VIGIE_ASSIGN_OR_RETURN(subquery.step_ms,
                                 Milliseconds(*subquery.step_expr, true));
        }
        VIGIE_RETURN_IF_ERROR(Visit(subquery.expr.get()).status());
        return VisitShift(&subquery.shift);
      }
      case Expr::Kind::kUnary:
        return Visit(expr->As<UnaryExpr>().expr.get());
      case Expr::Kind::kParen:
        return Visit(expr->As<ParenExpr>().expr.get());
      case Expr::Kind::kBinary: {
        auto& binary = expr->As<BinaryExpr>();
        VIGIE_ASSIGN_OR_RETURN(const bool lhs, Visit(binary.lhs.get()));
        VIGIE_ASSIGN_OR_RETURN(const bool rhs, Visit(binary.rhs.get()));
        return lhs && rhs;
      }
      case Expr::Kind::kAggregate: {
        auto& aggregate = expr->As<AggregateExpr>();
        bool invariant = true;
        if (aggregate.param != nullptr) {
          VIGIE_ASSIGN_OR_RETURN(invariant, Visit(aggregate.param.get()));
        }
        VIGIE_ASSIGN_OR_RETURN(const bool inner, Visit(aggregate.expr.get()));
        return invariant && inner;
      }
      case Expr::Kind::kCall: {
        auto& call = expr->As<CallExpr>();
        bool invariant =
            std::find(std::begin(kTimeFunctions), std::end(kTimeFunctions),
                      call.function->name) == std::end(kTimeFunctions);
        for (const ExprPtr& arg : call.args) {
          VIGIE_ASSIGN_OR_RETURN(const bool inner, Visit(arg.get()));
          invariant = invariant && inner;
        }
        return invariant;
      }
      case Expr::Kind::kDuration:
        break;
    }
    return absl::InternalError("a duration where an expression is expected");
  }

  absl::StatusOr<bool> VisitShift(TimeShift* shift) {
    if (shift->offset_expr != nullptr) {
      VIGIE_ASSIGN_OR_RETURN(shift->offset_ms,
                             Milliseconds(*shift->offset_expr, false));
    }
    if (shift->at == TimeShift::At::kStart) shift->at_ms = times_.start_ms;
    if (shift->at == TimeShift::At::kEnd) shift->at_ms = times_.end_ms;
    // Far beyond any sample, and nothing that is added to it wraps.
    shift->at_ms = std::clamp(shift->at_ms, -kTimeMaxMs, kTimeMaxMs);
    return shift->at != TimeShift::At::kNone;
  }

  absl::StatusOr<int64_t> Milliseconds(const DurationExpr& expr,
                                       bool must_be_positive) {
    VIGIE_ASSIGN_OR_RETURN(const double seconds, Seconds(expr));
    if (must_be_positive && !(seconds > 0)) {
      return Error(expr, "duration must be greater than 0");
    }
    if (!(std::abs(seconds) <= kSecondsMax)) {
      return Error(expr, "duration is out of range");
    }
    return static_cast<int64_t>(std::round(seconds * 1000));
  }

  absl::StatusOr<double> Seconds(const DurationExpr& expr) {
    double lhs = 0;
    double rhs = 0;
    if (expr.lhs != nullptr) {
      VIGIE_ASSIGN_OR_RETURN(lhs, Seconds(*expr.lhs));
    }
    if (expr.rhs != nullptr) {
      VIGIE_ASSIGN_OR_RETURN(rhs, Seconds(*expr.rhs));
    }
    switch (expr.op) {
      case DurationExpr::Op::kLiteral:
        return expr.seconds;
      case DurationExpr::Op::kStep:
        return static_cast<double>(times_.step_ms) / 1000;
      case DurationExpr::Op::kRange:
        return static_cast<double>(
                   SaturatingSub(times_.end_ms, times_.start_ms)) /
               1000;
      case DurationExpr::Op::kMinOf:
        return std::min(lhs, rhs);
      case DurationExpr::Op::kMaxOf:
        return std::max(lhs, rhs);
      case DurationExpr::Op::kAdd:
        return lhs + rhs;
      case DurationExpr::Op::kSub:
        return lhs - rhs;
      case DurationExpr::Op::kMul:
        return lhs * rhs;
      case DurationExpr::Op::kDiv:
        if (rhs == 0) return Error(expr, "division by zero");
        return lhs / rhs;
      case DurationExpr::Op::kMod:
        if (rhs == 0) return Error(expr, "modulo by zero");
        return std::fmod(lhs, rhs);
      case DurationExpr::Op::kPow:
        return std::pow(lhs, rhs);
      case DurationExpr::Op::kNegate:
        return -lhs;
      case DurationExpr::Op::kParen:
        return lhs;
    }
    return absl::InternalError("unknown duration operator");
  }

  absl::Status Error(const Expr& expr, std::string_view message) const {
    return absl::InvalidArgumentError(fmt::format(
        "{}: {}", LineColumn(query_, expr.position.begin), message));
  }

  const std::string_view query_;
  const PlanTimes times_;
  Plan* const plan_;
};

absl::StatusOr<Plan> Plan::Make(std::string_view query, Expr* expr,
                                const PlanTimes& times) {
  Plan plan;
  Builder builder(query, times, &plan);
  VIGIE_RETURN_IF_ERROR(builder.Visit(expr).status());
  plan.common_parts_ = CommonParts(*expr);
  return plan;
}

}  // namespace vigie::query
