// Selectors and what may follow an expression: `[5m]`, `[5m:1m]`, offset, @,
// anchored, smoothed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "query/parser/literals.h"
#include "query/parser/parse_state.h"

namespace vigie::query {
namespace {

constexpr std::string_view kDurationExpected =
    "number, duration, step(), or range()";

// Beyond it seconds as doubles cannot tell milliseconds apart.
constexpr double kTimestampSecondsMax = 4398046511104.0;  // 2^42

std::optional<Matcher::Type> MatcherTypeOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kAssign:
      return Matcher::Type::kEqual;
    case TokenKind::kNotEqual:
      return Matcher::Type::kNotEqual;
    case TokenKind::kRegexMatch:
      return Matcher::Type::kRegex;
    case TokenKind::kRegexNoMatch:
      return Matcher::Type::kNotRegex;
    default:
      return std::nullopt;
  }
}

// The selector that offset, @ and edges go to, or null.
VectorSelector* SelectorOf(Expr* expr) {
  if (expr->kind == Expr::Kind::kVectorSelector) {
    return &expr->As<VectorSelector>();
  }
  if (expr->kind == Expr::Kind::kMatrixSelector) {
    return expr->As<MatrixSelector>().vector.get();
  }
  return nullptr;
}

TimeShift* ShiftOf(Expr* expr) {
  if (VectorSelector* selector = SelectorOf(expr)) return &selector->shift;
  if (expr->kind == Expr::Kind::kSubquery) {
    return &expr->As<SubqueryExpr>().shift;
  }
  return nullptr;
}

}  // namespace

Parser::Parsed Parser::ParsePostfix(Parsed parsed) {
  while (parsed) {
    switch (token_.kind) {
      case TokenKind::kLeftBracket:
        parsed = ParseBracket(std::move(parsed));
        break;
      case TokenKind::kOffset:
        parsed = ParseOffset(std::move(parsed));
        break;
      case TokenKind::kAt:
        parsed = ParseAt(std::move(parsed));
        break;
      case TokenKind::kAnchored:
      case TokenKind::kSmoothed:
        parsed = ParseEdges(std::move(parsed));
        break;
      default:
        return parsed;
    }
  }
  return parsed;
}

std::unique_ptr<VectorSelector> Parser::ParseSelector(
    std::optional<Token> name) {
  auto selector = std::make_unique<VectorSelector>();
  selector->type = ValueType::kVector;
  selector->position.begin = name.has_value() ? name->begin : token_.begin;
  selector->position.end = name.has_value() ? name->end() : token_.end();
  if (At(TokenKind::kLeftBrace)) {
    if (!ParseMatcherList(&selector->matchers)) return nullptr;
    selector->position.end = end_;
  }
  if (name.has_value()) {
    selector->name = std::string(name->text);
    selector->matchers.push_back(Matcher::Equal(kMetricName, name->text));
  }
  return selector;
}

bool Parser::ParseMatcherList(std::vector<Matcher>* matchers) {
  Advance();  // the brace
  while (!Take(TokenKind::kRightBrace)) {
    std::optional<Matcher> matcher = ParseMatcher();
    if (!matcher.has_value()) return false;
    matchers->push_back(*std::move(matcher));
    if (!Take(TokenKind::kComma) && !At(TokenKind::kRightBrace)) {
      Unexpected("label matching", "\",\" or \"}\"");
      return false;
    }
  }
  return true;
}

std::optional<Matcher> Parser::ParseMatcher() {
  const Token label = token_;
  const bool quoted = At(TokenKind::kString);
  if (!quoted && !At(TokenKind::kIdentifier)) {
    Unexpected("label matching", "identifier or \"}\"");
    return std::nullopt;
  }
  const std::string name =
      quoted ? Unquote(label.text) : std::string(label.text);
  Advance();
  const std::optional<Matcher::Type> type = MatcherTypeOf(token_.kind);
  if (!type.has_value()) {
    if (quoted) {
      if (!IsValidUtf8(name)) {
        Fail(label.position(),
             fmt::format("invalid metric name {}", Quoted(name)));
        return std::nullopt;
      }
      return Matcher::Equal(kMetricName, name);
    }
    Unexpected("label matching", "label matching operator");
    return std::nullopt;
  }
  Advance();
  const Token value = token_;
  if (!Take(TokenKind::kString)) {
    Unexpected("label matching", "string");
    return std::nullopt;
  }
  const std::string text = Unquote(value.text);
  const PositionRange position = {label.begin, value.end()};
  if (!IsValidUtf8(name)) {
    Fail(position, fmt::format("invalid label name {}", Quoted(name)));
    return std::nullopt;
  }
  if (!IsValidUtf8(text)) {
    Fail(position, fmt::format("invalid label value {}", Quoted(text)));
    return std::nullopt;
  }
  if (*type == Matcher::Type::kRegex || *type == Matcher::Type::kNotRegex) {
    if (static_cast<int64_t>(text.size()) > options_.regex_bytes_max) {
      Fail(position,
           fmt::format("regular expression of {} bytes: at most {} are taken "
                       "(setting query.regex_bytes_max)",
                       text.size(), options_.regex_bytes_max),
           Limit::kRegex);
      return std::nullopt;
    }
    if (options_.check) stopped_ = options_.check();
    if (!stopped_.ok()) {
      Fail(position, std::string(MessageOf(stopped_)));
      return std::nullopt;
    }
  }
  auto matcher = Matcher::Create(*type, name, text);
  if (!matcher.ok()) {
    Fail(position, std::string(MessageOf(matcher.status())));
    return std::nullopt;
  }
  return *std::move(matcher);
}

Parser::Parsed Parser::ParseBracket(Parsed parsed) {
  Context context(this, "subquery or range selector", kDurationExpected);
  const int bracket = token_.begin;
  Advance();
  int64_t range_ms = 0;
  std::unique_ptr<DurationExpr> range_expr;
  int depth = 0;
  if (!ParsePositiveDuration(&range_ms, &range_expr, &depth)) return {};
  depth = std::max(depth, parsed.depth) + 1;

  if (Take(TokenKind::kRightBracket)) {
    const PositionRange position = {bracket, end_};
    if (parsed.node->kind != Expr::Kind::kVectorSelector) {
      Fail(position, "ranges only allowed for vector selectors");
      return {};
    }
    auto& selector = parsed.node->As<VectorSelector>();
    if (selector.shift.offset_ms != 0 || selector.shift.offset_expr) {
      Fail(position, "no offset modifiers allowed before range");
      return {};
    }
    if (selector.shift.at != TimeShift::At::kNone) {
      Fail(position, "no @ modifiers allowed before range");
      return {};
    }
    auto matrix = std::make_unique<MatrixSelector>();
    matrix->type = ValueType::kMatrix;
    matrix->position = {selector.position.begin, end_};
    matrix->vector.reset(static_cast<VectorSelector*>(parsed.node.release()));
    matrix->range_ms = range_ms;
    matrix->range_expr = std::move(range_expr);
    return {std::move(matrix), depth};
  }

  context.Become("subquery or range", "\":\" or \"]\"");
  if (!Take(TokenKind::kColon)) {
    Unexpected();
    return {};
  }
  auto subquery = std::make_unique<SubqueryExpr>();
  if (!At(TokenKind::kRightBracket)) {
    context.Become("subquery selector",
                   "number, duration, step(), range(), or \"]\"");
    int step_depth = 0;
    if (!ParsePositiveDuration(&subquery->step_ms, &subquery->step_expr,
                               &step_depth)) {
      return {};
    }
    depth = std::max(depth, step_depth + 1);
    context.Become("subquery selector", "\"]\"");
  }
  if (!Take(TokenKind::kRightBracket)) {
    Unexpected();
    return {};
  }
  subquery->type = ValueType::kMatrix;
  subquery->position = {parsed.node->position.begin, end_};
  subquery->expr = std::move(parsed.node);
  subquery->range_ms = range_ms;
  subquery->range_expr = std::move(range_expr);
  if (IsTooDeep(depth, subquery->position)) return {};
  return {std::move(subquery), depth};
}

Parser::Parsed Parser::ParseOffset(Parsed parsed) {
  const Context context(this, "offset", kDurationExpected);
  Advance();
  ParsedDuration duration = ParseOffsetDuration();
  if (!duration) return {};
  TimeShift* shift = ShiftOf(parsed.node.get());
  if (shift == nullptr) {
    Fail(parsed.node->position,
         "offset modifier must be preceded by an instant vector selector or "
         "range vector selector or a subquery");
    return {};
  }
  if (shift->offset_ms != 0 || shift->offset_expr != nullptr) {
    Fail(parsed.node->position, "offset may not be set multiple times");
    return {};
  }
  if (duration.node->op == DurationExpr::Op::kLiteral) {
    shift->offset_ms = MillisecondsOf(duration.node->seconds);
  } else {
    shift->offset_expr = std::move(duration.node);
  }
  parsed.node->position.end = end_;
  parsed.depth = std::max(parsed.depth, duration.depth + 1);
  return parsed;
}

Parser::Parsed Parser::ParseAt(Parsed parsed) {
  const Context context(this, "@", "timestamp");
  Advance();
  if (At(TokenKind::kStart) || At(TokenKind::kEnd)) {
    const TimeShift::At at =
        At(TokenKind::kStart) ? TimeShift::At::kStart : TimeShift::At::kEnd;
    Advance();
    if (!Take(TokenKind::kLeftParen) || !Take(TokenKind::kRightParen)) {
      Unexpected();
      return {};
    }
    return SetAt(parsed.node.get(), at, 0) ? std::move(parsed) : Parsed();
  }
  const bool negate = At(TokenKind::kSub);
  if (negate || At(TokenKind::kAdd)) Advance();
  if (!At(TokenKind::kNumber) && !At(TokenKind::kDuration)) {
    Unexpected();
    return {};
  }
  const auto number = ParseNumberToken();
  if (number == nullptr) return {};
  const double seconds = negate ? -number->value : number->value;
  if (!(std::fabs(seconds) < kTimestampSecondsMax)) {
    Fail(parsed.node->position,
         fmt::format("timestamp out of bounds for @ modifier: {}",
                     std::isfinite(seconds) ? fmt::format("{:.6f}", seconds)
                                            : FormatNumber(seconds)));
    return {};
  }
  const auto at_ms = static_cast<int64_t>(std::round(seconds * 1000));
  return SetAt(parsed.node.get(), TimeShift::At::kTime, at_ms)
             ? std::move(parsed)
             : Parsed();
}

bool Parser::SetAt(Expr* expr, TimeShift::At at, int64_t at_ms) {
  TimeShift* shift = ShiftOf(expr);
  if (shift == nullptr) {
    Fail(expr->position,
         "@ modifier must be preceded by an instant vector selector or range "
         "vector selector or a subquery");
    return false;
  }
  if (shift->at != TimeShift::At::kNone) {
    Fail(expr->position, "@ <timestamp> may not be set multiple times");
    return false;
  }
  shift->at = at;
  shift->at_ms = at_ms;
  expr->position.end = end_;
  return true;
}

Parser::Parsed Parser::ParseEdges(Parsed parsed) {
  const bool anchored = At(TokenKind::kAnchored);
  const std::string_view word = anchored ? "anchored" : "smoothed";
  const PositionRange position = parsed.node->position;
  Advance();
  if (!options_.experimental) {
    Fail(position, fmt::format("{} modifier is experimental and not enabled "
                               "(setting query.experimental)",
                               word));
    return {};
  }
  VectorSelector* selector = SelectorOf(parsed.node.get());
  if (selector == nullptr) {
    Fail(position, fmt::format("{} modifier {}", word,
                               parsed.node->kind == Expr::Kind::kSubquery
                                   ? "is not supported for subqueries"
                                   : "not implemented"));
    return {};
  }
  const Edges edges = anchored ? Edges::kAnchored : Edges::kSmoothed;
  if (selector->edges != Edges::kPlain && selector->edges != edges) {
    Fail(position, "anchored and smoothed modifiers cannot be used together");
    return {};
  }
  selector->edges = edges;
  return parsed;
}

}  // namespace vigie::query
