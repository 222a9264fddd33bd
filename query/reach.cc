#include "query/reach.h"

#include <algorithm>
#include <string_view>

#include "query/binary.h"
#include "query/evaluator.h"

namespace vigie::query {
namespace {

// Beyond it sums of times may not fit: 9 million years.
constexpr int64_t kReachMaxMs = int64_t{1} << 58;

// Of each element of a vector, and of nothing else.
constexpr std::string_view kElementwise[] = {
    "abs",   "acos",        "acosh",         "asin",         "asinh",
    "atan",  "atanh",       "ceil",          "clamp",        "clamp_max",
    "cos",   "cosh",        "clamp_min",     "day_of_month", "day_of_week",
    "deg",   "day_of_year", "days_in_month", "exp",          "floor",
    "hour",  "ln",          "log10",         "log2",         "minute",
    "month", "rad",         "round",         "sgn",          "sin",
    "sinh",  "sqrt",        "tan",           "tanh",         "timestamp",
    "year"};

// What names (with type and unit) the series of a vector have. The engine
// drops them at the end, and of a series at all steps or at none.
enum class Names {
  kNone,     // they have none to drop
  kKept,     // no series' are dropped
  kDropped,  // every series' are
  kMixed,    // those of some series
};

// What is known of a part of the expression.
struct Part {
  bool selects = false;  // else the reach is of nothing
  Reach reach = {};
  // The series of a step stand in the same order, whatever there is at other
  // steps. That of groups is the order in which their first members come, at
  // any step.
  bool ordered = true;
  Names names = Names::kNone;
};

bool DependsOnRange(const DurationExpr* expr) {
  if (expr == nullptr) return false;
  return expr->op == DurationExpr::Op::kRange ||
         DependsOnRange(expr->lhs.get()) || DependsOnRange(expr->rhs.get());
}

bool Stays(const TimeShift& shift) {
  return shift.at == TimeShift::At::kNone &&
         !DependsOnRange(shift.offset_expr.get());
}

bool NamesMetadata(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), IsMetadataLabel);
}

class Finder {
 public:
  explicit Finder(int64_t lookback_ms) : lookback_ms_(lookback_ms) {}

  // None if the expression has no reach.
  std::optional<Part> Visit(const Expr& expr) const {
    switch (expr.kind) {
      case Expr::Kind::kNumber:
      case Expr::Kind::kString:
        return Part();
      case Expr::Kind::kParen:
        return Visit(*expr.As<ParenExpr>().expr);
      case Expr::Kind::kVectorSelector:
        return Selector(expr.As<VectorSelector>(), lookback_ms_);
      case Expr::Kind::kMatrixSelector: {
        const auto& matrix = expr.As<MatrixSelector>();
        if (DependsOnRange(matrix.range_expr.get())) return std::nullopt;
        return Selector(*matrix.vector, matrix.range_ms);
      }
      case Expr::Kind::kSubquery:
        return Subquery(expr.As<SubqueryExpr>());
      case Expr::Kind::kUnary: {
        const auto& unary = expr.As<UnaryExpr>();
        std::optional<Part> part = Visit(*unary.expr);
        if (part.has_value() && unary.negate) part->names = Names::kDropped;
        return part;
      }
      case Expr::Kind::kBinary:
        return Binary(expr.As<BinaryExpr>());
      case Expr::Kind::kAggregate:
        return Aggregate(expr.As<AggregateExpr>());
      case Expr::Kind::kCall:
        return Call(expr.As<CallExpr>());
      case Expr::Kind::kDuration:
        break;
    }
    return std::nullopt;
  }

 private:
  // Without one metric's name, series of several would lose what tells them
  // apart.
  static bool NamesOneMetric(const VectorSelector& selector) {
    return std::any_of(selector.matchers.begin(), selector.matchers.end(),
                       [](const Matcher& matcher) {
                         return matcher.name() == kMetricName &&
                                matcher.type() == Matcher::Type::kEqual &&
                                !matcher.value().empty();
                       });
  }

  static std::optional<Part> Selector(const VectorSelector& selector,
                                      int64_t range_ms) {
    if (!Stays(selector.shift) || selector.edges != Edges::kPlain ||
        !NamesOneMetric(selector)) {
      return std::nullopt;
    }
    Part part{.selects = true, .names = Names::kKept};
    part.reach = {.min_ms = -range_ms, .max_ms = 0};
    return Shifted(part, selector.shift.offset_ms);
  }

  static std::optional<Part> Shifted(Part part, int64_t offset_ms) {
    part.reach.min_ms = SaturatingSub(part.reach.min_ms, offset_ms);
    part.reach.max_ms = SaturatingSub(part.reach.max_ms, offset_ms);
    if (part.reach.min_ms < -kReachMaxMs || part.reach.max_ms > kReachMaxMs) {
      return std::nullopt;
    }
    return part;
  }

  std::optional<Part> Subquery(const SubqueryExpr& subquery) const {
    if (!Stays(subquery.shift) || DependsOnRange(subquery.range_expr.get()) ||
        DependsOnRange(subquery.step_expr.get())) {
      return std::nullopt;
    }
    std::optional<Part> part = Visit(*subquery.expr);
    if (!part.has_value()) return std::nullopt;
    part->reach.min_ms = SaturatingSub(part->reach.min_ms, subquery.range_ms);
    return Shifted(*part, subquery.shift.offset_ms);
  }

  // `part` and what `other` sees.
  static Part With(Part part, const Part& other) {
    if (!other.selects) return part;
    if (part.selects) {
      part.reach.min_ms = std::min(part.reach.min_ms, other.reach.min_ms);
      part.reach.max_ms = std::max(part.reach.max_ms, other.reach.max_ms);
    } else {
      part.reach = other.reach;
    }
    part.selects = true;
    return part;
  }

  std::optional<Part> Binary(const BinaryExpr& binary) const {
    const std::optional<Part> lhs = Visit(*binary.lhs);
    const std::optional<Part> rhs = Visit(*binary.rhs);
    if (!lhs.has_value() || !rhs.has_value()) return std::nullopt;
    if (!binary.matching.has_value()) {
      const bool of_left = binary.rhs->type == ValueType::kScalar;
      Part part = of_left ? With(*lhs, *rhs) : With(*rhs, *lhs);
      if (!IsFilter(binary)) part.names = Names::kDropped;
      return part;
    }
    const VectorMatching& matching = *binary.matching;
    if (lhs->names == Names::kMixed || rhs->names == Names::kMixed ||
        matching.fill_lhs.has_value() || matching.fill_rhs.has_value() ||
        NamesMetadata(matching.include)) {
      return std::nullopt;
    }
    Part part = With(*lhs, *rhs);
    switch (binary.op) {
      case BinaryOp::kAnd:
      case BinaryOp::kUnless:
        return part;
      case BinaryOp::kOr:
        // A series that is on the left at some steps and on the right at
        // others is one, with one say about its name.
        part.ordered = false;
        if (lhs->names == rhs->names) return part;
        if (lhs->names != Names::kNone && rhs->names != Names::kNone) {
          return std::nullopt;
        }
        part.names = Names::kMixed;
        return part;
      default:
        break;
    }
    part.ordered = false;
    if (IsFilter(binary)) {
      const bool many_right = matching.cardinality == Cardinality::kOneToMany;
      part.names = many_right ? rhs->names : lhs->names;
    } else {
      part.names = binary.return_bool ? Names::kDropped : Names::kNone;
    }
    return part;
  }

  std::optional<Part> Aggregate(const AggregateExpr& aggregate) const {
    std::optional<Part> part = Visit(*aggregate.expr);
    if (!part.has_value()) return std::nullopt;
    switch (aggregate.op) {
      case AggregateOp::kLimitk:
      case AggregateOp::kLimitRatio:
        return std::nullopt;
      case AggregateOp::kCount:
      case AggregateOp::kGroup:
      case AggregateOp::kCountValues:
        break;
      case AggregateOp::kTopk:
      case AggregateOp::kBottomk:  // tell if they had to look at the order
        break;
      default:
        // Sums of floats show it in their last bits, extremes in the sign of
        // a zero.
        if (!part->ordered) return std::nullopt;
    }
    if (aggregate.param != nullptr) {
      const std::optional<Part> param = Visit(*aggregate.param);
      if (!param.has_value()) return std::nullopt;
      part = With(*part, *param);
    }
    const bool picks = aggregate.op == AggregateOp::kTopk ||
                       aggregate.op == AggregateOp::kBottomk;
    const bool one = !aggregate.without && aggregate.grouping.empty() &&
                     aggregate.op != AggregateOp::kCountValues;
    // The names are gone unless they tell groups apart.
    const bool nameless =
        !picks && !aggregate.without && !NamesMetadata(aggregate.grouping);
    if (nameless) {
      part->names = Names::kNone;
    } else if (part->names == Names::kMixed) {
      return std::nullopt;
    }
    // Steps that are evaluated alone have the picked ones by rank.
    part->ordered = one && !picks;
    return part;
  }

  std::optional<Part> Call(const CallExpr& call) const {
    if (call.function->experimental) return std::nullopt;
    Part part;  // the argument that has series, and what others see
    bool range = false;
    for (const ExprPtr& arg : call.args) {
      const std::optional<Part> one = Visit(*arg);
      if (!one.has_value()) return std::nullopt;
      const bool series =
          arg->type == ValueType::kVector || arg->type == ValueType::kMatrix;
      part = series ? With(*one, part) : With(part, *one);
      range = range || arg->type == ValueType::kMatrix;
    }
    const std::string_view name = call.function->name;
    if (name == "time" || name == "pi") return part;
    if (name == "scalar" || name == "vector") {
      return Part{.selects = part.selects, .reach = part.reach};
    }
    if (range) {
      if (name == "last_over_time") return part;
      if (name == "absent_over_time") part.ordered = true;
      part.names = Names::kDropped;
      return part;
    }
    if (name == "absent") {
      part.ordered = true;
      part.names = Names::kKept;
      return part;
    }
    if (name == "histogram_quantile") {  // tells if it looked at the order
      part.ordered = false;
      part.names = Names::kDropped;
      return part;
    }
    if (std::find(std::begin(kElementwise), std::end(kElementwise), name) ==
        std::end(kElementwise)) {
      return std::nullopt;
    }
    part.names = call.args.empty() ? Names::kNone : Names::kDropped;
    return part;
  }

  const int64_t lookback_ms_;
};

}  // namespace

std::optional<Reach> ReachOf(const Expr& expr, int64_t lookback_ms) {
  const std::optional<Part> part = Finder(lookback_ms).Visit(expr);
  if (!part.has_value() || !part->selects) return std::nullopt;
  return part->reach;
}

}  // namespace vigie::query
