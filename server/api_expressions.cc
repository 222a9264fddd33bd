// format_query and parse_query: what an expression is, without any data.
// Source: Prometheus 3, web/api/v1/translate_ast.go.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "query/parser/ast.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

using Kind = query::Expr::Kind;

// "name": after a comma unless an object has just begun. Objects have their
// keys sorted, as Go writes maps.
void Key(std::string_view name, std::string* out) {
  *out += fmt::format("{}\"{}\":", out->back() == '{' ? "" : ",", name);
}

void AppendBool(std::string_view name, bool value, std::string* out) {
  Key(name, out);
  *out += value ? "true" : "false";
}

void AppendCount(std::string_view name, int64_t value, std::string* out) {
  Key(name, out);
  *out += fmt::format("{}", value);
}

void AppendOptional(std::string_view name, const std::optional<double>& value,
                    std::string* out) {
  Key(name, out);
  if (value) {
    AppendFloatText(*value, out);
  } else {
    *out += "null";
  }
}

void AppendNames(std::string_view name, const std::vector<std::string>& names,
                 std::string* out) {
  Key(name, out);
  AppendStrings(names, out);
}

// As Go's 'f' format: never with an exponent.
std::string PlainNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[400];  // 1.8e308 and 5e-324 have no more digits
  const auto end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::fixed)
          .ptr;
  return std::string(text, end);
}

std::string_view TypeText(query::ValueType type) {
  switch (type) {
    case query::ValueType::kScalar:
      return "scalar";
    case query::ValueType::kVector:
      return "vector";
    case query::ValueType::kMatrix:
      return "matrix";
    case query::ValueType::kString:
      return "string";
    case query::ValueType::kNone:
      break;
  }
  return "none";
}

std::string_view CardinalityText(query::Cardinality cardinality) {
  switch (cardinality) {
    case query::Cardinality::kOneToOne:
      return "one-to-one";
    case query::Cardinality::kManyToOne:
      return "many-to-one";
    case query::Cardinality::kOneToMany:
      return "one-to-many";
    case query::Cardinality::kManyToMany:
      break;
  }
  return "many-to-many";
}

std::string_view MatcherText(Matcher::Type type) {
  switch (type) {
    case Matcher::Type::kEqual:
      return "=";
    case Matcher::Type::kNotEqual:
      return "!=";
    case Matcher::Type::kRegex:
      return "=~";
    case Matcher::Type::kNotRegex:
      break;
  }
  return "!~";
}

void AppendExpr(const query::Expr* expr, std::string* out);

void AppendChild(std::string_view name, const query::Expr* expr,
                 std::string* out) {
  Key(name, out);
  AppendExpr(expr, out);
}

// The key `startOrEnd`.
void AppendBoundOfShift(const query::TimeShift& shift, std::string* out) {
  using At = query::TimeShift::At;
  Key("startOrEnd", out);
  *out += shift.at == At::kStart ? "\"start\""
          : shift.at == At::kEnd ? "\"end\""
                                 : "null";
}

void AppendTimeOfShift(const query::TimeShift& shift, std::string* out) {
  Key("timestamp", out);
  *out += shift.at == query::TimeShift::At::kTime
              ? fmt::format("{}", shift.at_ms)
              : "null";
}

// Both kinds of selector; `range_ms` of the one with a range.
void AppendSelector(const query::VectorSelector& selector,
                    const int64_t* range_ms, std::string* out) {
  AppendBool("anchored", selector.edges == query::Edges::kAnchored, out);
  Key("matchers", out);
  *out += '[';
  for (const Matcher& matcher : selector.matchers) {
    *out += out->back() == '[' ? "{" : ",{";
    AppendJsonField("name", matcher.name(), out);
    AppendJsonField("type", MatcherText(matcher.type()), out);
    AppendJsonField("value", matcher.value(), out);
    *out += '}';
  }
  *out += ']';
  AppendJsonField("name", selector.name, out);
  AppendCount("offset", selector.shift.offset_ms, out);
  if (range_ms != nullptr) AppendCount("range", *range_ms, out);
  AppendBool("smoothed", selector.edges == query::Edges::kSmoothed, out);
  AppendBoundOfShift(selector.shift, out);
  AppendTimeOfShift(selector.shift, out);
  AppendJsonField(
      "type", range_ms != nullptr ? "matrixSelector" : "vectorSelector", out);
}

void AppendBinary(const query::BinaryExpr& binary, std::string* out) {
  AppendBool("bool", binary.return_bool, out);
  AppendChild("lhs", binary.lhs.get(), out);
  Key("matching", out);
  if (binary.matching) {
    *out += '{';
    AppendJsonField("card", CardinalityText(binary.matching->cardinality), out);
    Key("fillValues", out);
    *out += '{';
    AppendOptional("lhs", binary.matching->fill_lhs, out);
    AppendOptional("rhs", binary.matching->fill_rhs, out);
    *out += '}';
    AppendNames("include", binary.matching->include, out);
    AppendNames("labels", binary.matching->labels, out);
    AppendBool("on", binary.matching->on, out);
    *out += '}';
  } else {
    *out += "null";
  }
  AppendJsonField("op", query::BinaryOpText(binary.op), out);
  AppendChild("rhs", binary.rhs.get(), out);
  AppendJsonField("type", "binaryExpr", out);
}

void AppendCall(const query::CallExpr& call, std::string* out) {
  Key("args", out);
  *out += '[';
  for (const query::ExprPtr& arg : call.args) {
    if (out->back() != '[') *out += ',';
    AppendExpr(arg.get(), out);
  }
  *out += ']';
  Key("func", out);
  *out += '{';
  Key("argTypes", out);
  *out += '[';
  for (const query::ValueType type : call.function->arg_types) {
    if (out->back() != '[') *out += ',';
    *out += fmt::format("\"{}\"", TypeText(type));
  }
  *out += ']';
  AppendJsonField("name", call.function->name, out);
  AppendJsonField("returnType", TypeText(call.function->return_type), out);
  AppendCount("variadic", call.function->variadic, out);
  *out += '}';
  AppendJsonField("type", "call", out);
}

// The parser bounds the depth (kNestingMax).
void AppendExpr(const query::Expr* expr, std::string* out) {
  if (expr == nullptr) {
    *out += "null";
    return;
  }
  *out += '{';
  switch (expr->kind) {
    case Kind::kNumber:
      AppendJsonField("type", "numberLiteral", out);
      AppendJsonField("val",
                      PlainNumber(expr->As<query::NumberLiteral>().value), out);
      break;
    case Kind::kString:
      AppendJsonField("type", "stringLiteral", out);
      AppendJsonField("val", expr->As<query::StringLiteral>().value, out);
      break;
    case Kind::kVectorSelector:
      AppendSelector(expr->As<query::VectorSelector>(), nullptr, out);
      break;
    case Kind::kMatrixSelector: {
      const auto& matrix = expr->As<query::MatrixSelector>();
      AppendSelector(*matrix.vector, &matrix.range_ms, out);
      break;
    }
    case Kind::kSubquery: {
      const auto& subquery = expr->As<query::SubqueryExpr>();
      AppendChild("expr", subquery.expr.get(), out);
      AppendCount("offset", subquery.shift.offset_ms, out);
      AppendCount("range", subquery.range_ms, out);
      AppendBoundOfShift(subquery.shift, out);
      AppendCount("step", subquery.step_ms, out);
      AppendTimeOfShift(subquery.shift, out);
      AppendJsonField("type", "subquery", out);
      break;
    }
    case Kind::kUnary: {
      const auto& unary = expr->As<query::UnaryExpr>();
      AppendChild("expr", unary.expr.get(), out);
      AppendJsonField("op", unary.negate ? "-" : "+", out);
      AppendJsonField("type", "unaryExpr", out);
      break;
    }
    case Kind::kBinary:
      AppendBinary(expr->As<query::BinaryExpr>(), out);
      break;
    case Kind::kAggregate: {
      const auto& aggregate = expr->As<query::AggregateExpr>();
      AppendChild("expr", aggregate.expr.get(), out);
      AppendNames("grouping", aggregate.grouping, out);
      AppendJsonField("op", query::AggregateOpText(aggregate.op), out);
      AppendChild("param", aggregate.param.get(), out);
      AppendJsonField("type", "aggregation", out);
      AppendBool("without", aggregate.without, out);
      break;
    }
    case Kind::kCall:
      AppendCall(expr->As<query::CallExpr>(), out);
      break;
    case Kind::kParen:
      AppendChild("expr", expr->As<query::ParenExpr>().expr.get(), out);
      AppendJsonField("type", "parenExpr", out);
      break;
    case Kind::kDuration:
      break;  // never a node of its own
  }
  *out += '}';
}

}  // namespace

ApiV1::Answer ApiV1::FormatQuery(const HttpRequest&, const Form& form) {
  absl::StatusOr<query::ExprPtr> expr = query::ParseExpr(
      form.Get("query"), dependencies_.engine.options().ForParser());
  if (!expr.ok()) return InvalidParameter("query", expr.status());
  std::string data;
  AppendJsonString(query::PrintExpr(**expr), &data);
  return SuccessAnswer(std::move(data));
}

ApiV1::Answer ApiV1::ParseQuery(const HttpRequest&, const Form& form) {
  absl::StatusOr<query::ExprPtr> expr = query::ParseExpr(
      form.Get("query"), dependencies_.engine.options().ForParser());
  if (!expr.ok()) return InvalidParameter("query", expr.status());
  std::string data;
  AppendExpr(expr->get(), &data);
  return SuccessAnswer(std::move(data));
}

}  // namespace vigie::server
