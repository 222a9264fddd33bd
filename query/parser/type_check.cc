// What the grammar cannot say: types of operands and arguments, matching.
// Source: Prometheus 3, promql/parser/parse.go, checkAST; checks come in its
// order, as the first error is the one that is told.
#include <fmt/format.h>

#include <algorithm>

#include "model/labels.h"
#include "query/parser/parse_state.h"

namespace vigie::query {
namespace {

// The names that one old message uses.
std::string_view ShortTypeName(ValueType type) {
  if (type == ValueType::kVector) return "vector";
  if (type == ValueType::kMatrix) return "matrix";
  return ValueTypeName(type);
}

class TypeChecker {
 public:
  explicit TypeChecker(std::string_view query) : query_(query) {}

  // False after an error.
  bool Check(Expr* expr);
  std::optional<ParseError> error() && { return std::move(error_); }

 private:
  bool Fail(PositionRange position, std::string message) {
    error_ = {position, std::move(message)};
    return false;
  }
  bool Expect(Expr* expr, ValueType want, std::string_view where);
  bool CheckBinary(BinaryExpr* binary);
  bool CheckMatching(BinaryExpr* binary);
  bool CheckCall(CallExpr* call);
  bool CheckArgumentCount(const CallExpr& call);
  bool CheckInfoSelector(CallExpr* call);
  bool CheckSelector(const VectorSelector& selector);
  PositionRange OperatorPosition(const BinaryExpr& binary) const;

  const std::string_view query_;
  std::optional<ParseError> error_;
};

bool TypeChecker::Expect(Expr* expr, ValueType want, std::string_view where) {
  if (!Check(expr)) return false;
  if (expr->type == want) return true;
  return Fail(expr->position,
              fmt::format("expected type {} in {}, got {}", ValueTypeName(want),
                          where, ValueTypeName(expr->type)));
}

bool TypeChecker::Check(Expr* expr) {
  switch (expr->kind) {
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
    case Expr::Kind::kDuration:
      return true;
    case Expr::Kind::kVectorSelector:
      return CheckSelector(expr->As<VectorSelector>());
    case Expr::Kind::kMatrixSelector:
      return CheckSelector(*expr->As<MatrixSelector>().vector);
    case Expr::Kind::kSubquery: {
      auto& subquery = expr->As<SubqueryExpr>();
      if (!Check(subquery.expr.get())) return false;
      if (subquery.expr->type == ValueType::kVector) return true;
      return Fail(
          subquery.position,
          fmt::format("subquery is only allowed on instant vector, got {} "
                      "instead",
                      ShortTypeName(subquery.expr->type)));
    }
    case Expr::Kind::kUnary: {
      auto& unary = expr->As<UnaryExpr>();
      if (!Check(unary.expr.get())) return false;
      if (unary.type == ValueType::kScalar ||
          unary.type == ValueType::kVector) {
        return true;
      }
      return Fail(unary.position,
                  fmt::format("unary expression only allowed on expressions of "
                              "type scalar or instant vector, got \"{}\"",
                              ValueTypeName(unary.type)));
    }
    case Expr::Kind::kBinary:
      return CheckBinary(&expr->As<BinaryExpr>());
    case Expr::Kind::kAggregate: {
      auto& aggregate = expr->As<AggregateExpr>();
      if (!Expect(aggregate.expr.get(), ValueType::kVector,
                  "aggregation expression")) {
        return false;
      }
      if (aggregate.param == nullptr) return true;
      return Expect(aggregate.param.get(),
                    aggregate.op == AggregateOp::kCountValues
                        ? ValueType::kString
                        : ValueType::kScalar,
                    "aggregation parameter");
    }
    case Expr::Kind::kCall:
      return CheckCall(&expr->As<CallExpr>());
    case Expr::Kind::kParen:
      return Check(expr->As<ParenExpr>().expr.get());
  }
  return true;
}

PositionRange TypeChecker::OperatorPosition(const BinaryExpr& binary) const {
  const auto is_space = [&](int at) {
    return std::string_view(" \t\r\n").find(query_[at]) !=
           std::string_view::npos;
  };
  int begin = binary.lhs->position.end;
  const int limit = binary.rhs->position.begin;
  while (begin < limit && is_space(begin)) ++begin;
  int end = limit;
  while (end > begin && is_space(end - 1)) --end;
  return {begin, end};
}

bool TypeChecker::CheckBinary(BinaryExpr* binary) {
  if (!Check(binary->lhs.get()) || !Check(binary->rhs.get())) return false;
  const ValueType left = binary->lhs->type;
  const ValueType right = binary->rhs->type;
  const bool scalars =
      left == ValueType::kScalar && right == ValueType::kScalar;
  const bool comparison = IsComparison(binary->op);
  if (binary->return_bool && !comparison) {
    return Fail(OperatorPosition(*binary),
                "bool modifier can only be used on comparison operators");
  }
  if (comparison && !binary->return_bool && scalars) {
    return Fail(OperatorPosition(*binary),
                "comparisons between scalars must use BOOL modifier");
  }
  if (!CheckMatching(binary)) return false;
  for (const Expr* side : {binary->lhs.get(), binary->rhs.get()}) {
    if (side->type == ValueType::kScalar || side->type == ValueType::kVector) {
      continue;
    }
    return Fail(side->position,
                "binary expression must contain only scalar and instant "
                "vector types");
  }
  const VectorMatching& matching = *binary->matching;
  const bool fills =
      matching.fill_lhs.has_value() || matching.fill_rhs.has_value();
  if (left != ValueType::kVector || right != ValueType::kVector) {
    if (!matching.labels.empty()) {
      return Fail(binary->position,
                  "vector matching only allowed between instant vectors");
    }
    if (fills) {
      return Fail(binary->position,
                  "filling in missing series only allowed between instant "
                  "vectors");
    }
    binary->matching.reset();
    if (IsSetOperator(binary->op)) {
      return Fail(
          binary->position,
          fmt::format("set operator \"{}\" not allowed in binary scalar "
                      "expression",
                      BinaryOpText(binary->op)));
    }
    return true;
  }
  if (!IsSetOperator(binary->op)) return true;
  if (matching.cardinality != Cardinality::kManyToMany) {
    return Fail(binary->position,
                fmt::format("no grouping allowed for \"{}\" operation",
                            BinaryOpText(binary->op)));
  }
  if (fills) {
    return Fail(binary->position,
                "filling in missing series not allowed for set operators");
  }
  return true;
}

bool TypeChecker::CheckMatching(BinaryExpr* binary) {
  VectorMatching& matching = *binary->matching;
  if (IsSetOperator(binary->op) &&
      matching.cardinality == Cardinality::kOneToOne) {
    matching.cardinality = Cardinality::kManyToMany;
  }
  if (!matching.on) return true;
  for (const std::string& label : matching.labels) {
    if (std::find(matching.include.begin(), matching.include.end(), label) !=
        matching.include.end()) {
      return Fail(OperatorPosition(*binary),
                  fmt::format("label {} must not occur in ON and GROUP clause "
                              "at once",
                              Quoted(label)));
    }
  }
  return true;
}

bool TypeChecker::CheckArgumentCount(const CallExpr& call) {
  const Function& function = *call.function;
  const size_t types = function.arg_types.size();
  const size_t count = call.args.size();
  const auto fail = [&](std::string_view how, size_t wanted) {
    return Fail(
        call.position,
        fmt::format("expected {}{} argument(s) in call to \"{}\", got {}", how,
                    wanted, function.name, count));
  };
  if (function.variadic == 0) return count == types || fail("", types);
  const size_t least = types - 1;
  if (count < least) return fail("at least ", least);
  if (function.variadic > 0 &&
      count > least + static_cast<size_t>(function.variadic)) {
    return fail("at most ", least + function.variadic);
  }
  return true;
}

bool TypeChecker::CheckInfoSelector(CallExpr* call) {
  Expr* expr = call->args[1].get();
  if (expr->type != ValueType::kVector) {
    return Fail(call->position,
                fmt::format("expected type instant vector in call to function "
                            "\"info\", got {}",
                            ValueTypeName(expr->type)));
  }
  if (expr->kind != Expr::Kind::kVectorSelector) {
    return Fail(expr->position, "expected label selectors only");
  }
  auto& selector = expr->As<VectorSelector>();
  if (!selector.name.empty()) {
    return Fail(expr->position,
                "expected label selectors only, got vector selector instead");
  }
  selector.bypass_empty_matcher_check = true;
  return true;
}

bool TypeChecker::CheckCall(CallExpr* call) {
  if (!CheckArgumentCount(*call)) return false;
  const Function& function = *call->function;
  if (function.name == "info" && call->args.size() > 1 &&
      !CheckInfoSelector(call)) {
    return false;
  }
  const std::string where =
      fmt::format("call to function \"{}\"", function.name);
  for (size_t i = 0; i < call->args.size(); ++i) {
    const size_t type = std::min(i, function.arg_types.size() - 1);
    if (!Expect(call->args[i].get(), function.arg_types[type], where)) {
      return false;
    }
  }
  return true;
}

bool TypeChecker::CheckSelector(const VectorSelector& selector) {
  if (!selector.name.empty()) {
    // The last matcher is the name's own.
    for (size_t i = 0; i + 1 < selector.matchers.size(); ++i) {
      if (selector.matchers[i].name() != kMetricName) continue;
      return Fail(selector.position,
                  fmt::format("metric name must not be set twice: {} or {}",
                              Quoted(selector.name),
                              Quoted(selector.matchers[i].value())));
    }
    return true;
  }
  if (selector.bypass_empty_matcher_check ||
      std::any_of(selector.matchers.begin(), selector.matchers.end(),
                  [](const Matcher& m) { return !m.MatchesEmpty(); })) {
    return true;
  }
  return Fail(selector.position,
              "vector selector must contain at least one non-empty matcher");
}

}  // namespace

std::optional<ParseError> CheckTypes(std::string_view query, Expr* expr) {
  TypeChecker checker(query);
  checker.Check(expr);
  return std::move(checker).error();
}

}  // namespace vigie::query
