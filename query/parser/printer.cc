// Expressions as text, in the form of Prometheus's String().
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "base/duration.h"
#include "model/labels.h"
#include "query/parser/literals.h"
#include "query/parser/parser.h"

namespace vigie::query {
namespace {

class Printer {
 public:
  void Print(const Expr& expr);
  std::string text() && { return std::move(out_); }

 private:
  void Number(double value, bool is_duration);
  void Duration(const DurationExpr& expr);
  void DurationOr(const DurationExpr* expr, int64_t ms);
  void LabelList(const std::vector<std::string>& labels);
  void Matchers(const VectorSelector& selector);
  void At(const TimeShift& shift);
  void Offset(const TimeShift& shift);
  void EdgesOf(Edges edges);
  void Matching(const VectorMatching& matching);
  void Aggregate(const AggregateExpr& aggregate);
  void Binary(const BinaryExpr& binary);
  void Subquery(const SubqueryExpr& subquery);
  void Call(const CallExpr& call);

  std::string out_;
};

bool SameBits(const std::optional<double>& a, const std::optional<double>& b) {
  return a.has_value() && b.has_value() &&
         std::bit_cast<uint64_t>(*a) == std::bit_cast<uint64_t>(*b);
}

void Printer::Number(double value, bool is_duration) {
  if (is_duration) {
    if (std::signbit(value)) out_ += "-";
    out_ += FormatDurationMs(
        static_cast<int64_t>(std::round(std::fabs(value) * 1000)));
  } else {
    out_ += FormatNumber(value);
  }
}

void Printer::Duration(const DurationExpr& expr) {
  using Op = DurationExpr::Op;
  const auto binary = [&](std::string_view op) {
    Duration(*expr.lhs);
    out_ += op;
    Duration(*expr.rhs);
  };
  const auto call = [&](std::string_view name) {
    out_ += name;
    binary(", ");
    out_ += ")";
  };
  switch (expr.op) {
    case Op::kLiteral:
      return Number(expr.seconds, expr.is_duration);
    case Op::kStep:
      out_ += "step()";
      return;
    case Op::kRange:
      out_ += "range()";
      return;
    case Op::kMinOf:
      return call("min_of(");
    case Op::kMaxOf:
      return call("max_of(");
    case Op::kAdd:
      return binary(" + ");
    case Op::kSub:
      return binary(" - ");
    case Op::kMul:
      return binary(" * ");
    case Op::kDiv:
      return binary(" / ");
    case Op::kMod:
      return binary(" % ");
    case Op::kPow:
      return binary(" ^ ");
    case Op::kNegate:
      out_ += "-";
      return Duration(*expr.lhs);
    case Op::kParen:
      out_ += "(";
      Duration(*expr.lhs);
      out_ += ")";
      return;
  }
}

void Printer::DurationOr(const DurationExpr* expr, int64_t ms) {
  if (expr != nullptr) return Duration(*expr);
  out_ += FormatDurationMs(ms);
}

void Printer::LabelList(const std::vector<std::string>& labels) {
  out_ += "(";
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i > 0) out_ += ", ";
    out_ += IsLegacyLabelName(labels[i]) ? labels[i] : Quoted(labels[i]);
  }
  out_ += ")";
}

void Printer::Matchers(const VectorSelector& selector) {
  std::vector<std::string> texts;
  for (const Matcher& matcher : selector.matchers) {
    if (!selector.name.empty() && matcher.name() == kMetricName &&
        matcher.type() == Matcher::Type::kEqual &&
        matcher.value() == selector.name) {
      continue;
    }
    texts.push_back(matcher.ToString());
  }
  out_ += selector.name;
  // info() takes `{}`; everywhere else a selector without a name has one.
  if (texts.empty() && !selector.name.empty()) return;
  std::sort(texts.begin(), texts.end());
  fmt::format_to(std::back_inserter(out_), "{{{}}}", fmt::join(texts, ","));
}

void Printer::At(const TimeShift& shift) {
  switch (shift.at) {
    case TimeShift::At::kNone:
      return;
    case TimeShift::At::kTime:
      fmt::format_to(std::back_inserter(out_), " @ {:.3f}",
                     static_cast<double>(shift.at_ms) / 1000);
      return;
    case TimeShift::At::kStart:
      out_ += " @ start()";
      return;
    case TimeShift::At::kEnd:
      out_ += " @ end()";
      return;
  }
}

void Printer::Offset(const TimeShift& shift) {
  if (shift.offset_expr != nullptr) {
    out_ += " offset ";
    return Duration(*shift.offset_expr);
  }
  if (shift.offset_ms == 0) return;
  out_ += " offset ";
  out_ += FormatDurationMs(shift.offset_ms);
}

void Printer::EdgesOf(Edges edges) {
  if (edges == Edges::kAnchored) out_ += " anchored";
  if (edges == Edges::kSmoothed) out_ += " smoothed";
}

void Printer::Matching(const VectorMatching& matching) {
  const bool grouped = matching.cardinality == Cardinality::kManyToOne ||
                       matching.cardinality == Cardinality::kOneToMany;
  if (!matching.labels.empty() || matching.on || grouped) {
    out_ += matching.on ? " on " : " ignoring ";
    LabelList(matching.labels);
  }
  if (grouped) {
    out_ += matching.cardinality == Cardinality::kManyToOne ? " group_left "
                                                            : " group_right ";
    LabelList(matching.include);
  }
  const auto fill = [&](std::string_view word, double value) {
    fmt::format_to(std::back_inserter(out_), " {} ({})", word,
                   FormatNumber(value));
  };
  if (SameBits(matching.fill_lhs, matching.fill_rhs)) {
    return fill("fill", *matching.fill_lhs);
  }
  if (matching.fill_lhs.has_value()) fill("fill_left", *matching.fill_lhs);
  if (matching.fill_rhs.has_value()) fill("fill_right", *matching.fill_rhs);
}

void Printer::Aggregate(const AggregateExpr& aggregate) {
  out_ += AggregateOpText(aggregate.op);
  if (aggregate.without || !aggregate.grouping.empty()) {
    out_ += aggregate.without ? " without " : " by ";
    LabelList(aggregate.grouping);
    out_ += " ";
  }
  out_ += "(";
  if (aggregate.param != nullptr) {
    Print(*aggregate.param);
    out_ += ", ";
  }
  Print(*aggregate.expr);
  out_ += ")";
}

void Printer::Binary(const BinaryExpr& binary) {
  // "+Inf ^ 2" would read as "+(Inf ^ 2)".
  const bool bare_infinity = binary.op == BinaryOp::kPow &&
                             binary.lhs->kind == Expr::Kind::kNumber &&
                             std::isinf(binary.lhs->As<NumberLiteral>().value);
  if (bare_infinity) {
    out_ += "Inf";
  } else {
    Print(*binary.lhs);
  }
  out_ += " ";
  out_ += BinaryOpText(binary.op);
  if (binary.return_bool) out_ += " bool";
  if (binary.matching.has_value()) Matching(*binary.matching);
  out_ += " ";
  Print(*binary.rhs);
}

void Printer::Subquery(const SubqueryExpr& subquery) {
  Print(*subquery.expr);
  out_ += "[";
  DurationOr(subquery.range_expr.get(), subquery.range_ms);
  out_ += ":";
  if (subquery.step_expr != nullptr || subquery.step_ms != 0) {
    DurationOr(subquery.step_expr.get(), subquery.step_ms);
  }
  out_ += "]";
  At(subquery.shift);
  Offset(subquery.shift);
}

void Printer::Call(const CallExpr& call) {
  out_ += call.function->name;
  out_ += "(";
  for (size_t i = 0; i < call.args.size(); ++i) {
    if (i > 0) out_ += ", ";
    Print(*call.args[i]);
  }
  out_ += ")";
}

void Printer::Print(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kNumber: {
      const auto& number = expr.As<NumberLiteral>();
      return Number(number.value, number.is_duration);
    }
    case Expr::Kind::kString:
      out_ += Quoted(expr.As<StringLiteral>().value);
      return;
    case Expr::Kind::kVectorSelector: {
      const auto& selector = expr.As<VectorSelector>();
      Matchers(selector);
      At(selector.shift);
      EdgesOf(selector.edges);
      return Offset(selector.shift);
    }
    case Expr::Kind::kMatrixSelector: {
      const auto& matrix = expr.As<MatrixSelector>();
      Matchers(*matrix.vector);
      out_ += "[";
      DurationOr(matrix.range_expr.get(), matrix.range_ms);
      out_ += "]";
      EdgesOf(matrix.vector->edges);
      At(matrix.vector->shift);
      return Offset(matrix.vector->shift);
    }
    case Expr::Kind::kSubquery:
      return Subquery(expr.As<SubqueryExpr>());
    case Expr::Kind::kUnary:
      out_ += expr.As<UnaryExpr>().negate ? "-" : "+";
      return Print(*expr.As<UnaryExpr>().expr);
    case Expr::Kind::kBinary:
      return Binary(expr.As<BinaryExpr>());
    case Expr::Kind::kAggregate:
      return Aggregate(expr.As<AggregateExpr>());
    case Expr::Kind::kCall:
      return Call(expr.As<CallExpr>());
    case Expr::Kind::kParen:
      out_ += "(";
      Print(*expr.As<ParenExpr>().expr);
      out_ += ")";
      return;
    case Expr::Kind::kDuration:
      return Duration(expr.As<DurationExpr>());
  }
}

}  // namespace

std::string PrintExpr(const Expr& expr) {
  Printer printer;
  printer.Print(expr);
  return std::move(printer).text();
}

}  // namespace vigie::query
