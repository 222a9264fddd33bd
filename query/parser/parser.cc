#include "query/parser/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/functions.h"
#include "query/parser/literals.h"
#include "query/parser/parse_state.h"

namespace vigie::query {
namespace {

constexpr int kPrecedenceMin = 1;
constexpr int kPrecedencePow = 6;

// 0: not a binary operator.
int PrecedenceOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kOr:
      return 1;
    case TokenKind::kAnd:
    case TokenKind::kUnless:
      return 2;
    case TokenKind::kEqual:
    case TokenKind::kNotEqual:
    case TokenKind::kLess:
    case TokenKind::kLessEqual:
    case TokenKind::kGreater:
    case TokenKind::kGreaterEqual:
    case TokenKind::kTrimUpper:
    case TokenKind::kTrimLower:
      return 3;
    case TokenKind::kAdd:
    case TokenKind::kSub:
      return 4;
    case TokenKind::kMul:
    case TokenKind::kDiv:
    case TokenKind::kMod:
    case TokenKind::kAtan2:
      return 5;
    case TokenKind::kPow:
      return kPrecedencePow;
    default:
      return 0;
  }
}

BinaryOp BinaryOpOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kAnd:
      return BinaryOp::kAnd;
    case TokenKind::kOr:
      return BinaryOp::kOr;
    case TokenKind::kUnless:
      return BinaryOp::kUnless;
    default:
      // From kAdd to kTrimLower both go in the same order.
      return static_cast<BinaryOp>(static_cast<int>(kind) -
                                   static_cast<int>(TokenKind::kAdd));
  }
}

bool IsNameOfMetric(TokenKind kind) {
  switch (kind) {
    case TokenKind::kIdentifier:
    case TokenKind::kMetricIdentifier:
    case TokenKind::kAnd:
    case TokenKind::kOr:
    case TokenKind::kUnless:
    case TokenKind::kOffset:
    case TokenKind::kAnchored:
    case TokenKind::kSmoothed:
    case TokenKind::kBy:
    case TokenKind::kWithout:
      return true;
    default:
      return IsAggregator(kind) || kind >= TokenKind::kStart;
  }
}

bool IsNameOfLabel(TokenKind kind) {
  return kind == TokenKind::kIdentifier ||
         kind == TokenKind::kMetricIdentifier || kind == TokenKind::kAtan2 ||
         kind == TokenKind::kAnd || kind == TokenKind::kOr ||
         kind == TokenKind::kUnless || kind >= TokenKind::kSum;
}

bool HasParameter(AggregateOp op) { return op >= AggregateOp::kTopk; }

}  // namespace

Parser::Parser(std::string_view query, const ParserOptions& options)
    : query_(query), options_(options), lexer_(query) {
  token_ = lexer_.Next();
}

Parser::Level::operator bool() const {
  return !parser_->IsTooDeep(parser_->level_, parser_->token_.position());
}

Parser::Context::Context(Parser* parser, std::string_view where,
                         std::string_view expected)
    : parser_(parser) {
  parser_->contexts_.push_back({where, expected});
}

void Parser::Context::Become(std::string_view where,
                             std::string_view expected) {
  parser_->contexts_.back() = {where, expected};
}

void Parser::Advance() {
  end_ = token_.end();
  token_ = lexer_.Next();
}

bool Parser::Take(TokenKind kind) {
  if (!At(kind)) return false;
  Advance();
  return true;
}

void Parser::Fail(PositionRange position, std::string message,
                  std::optional<Limit> limit) {
  if (!error_.has_value()) error_ = {position, std::move(message), limit};
}

void Parser::Unexpected() {
  if (contexts_.empty()) return Unexpected("", "");
  Unexpected(contexts_.back().where, contexts_.back().expected);
}

void Parser::Unexpected(std::string_view where, std::string_view expected) {
  if (At(TokenKind::kError)) {
    return Fail({token_.begin, static_cast<int>(query_.size())},
                std::string(token_.text));
  }
  std::string message = "unexpected " + DescribeToken(token_);
  if (!where.empty()) message += fmt::format(" in {}", where);
  if (!expected.empty()) message += fmt::format(", expected {}", expected);
  Fail(token_.position(), std::move(message));
}

bool Parser::IsTooDeep(int depth, PositionRange position) {
  const int64_t depth_max =
      std::min<int64_t>(options_.nesting_max, kNestingMax);
  if (depth <= depth_max) return false;
  Fail(position,
       fmt::format("expression is nested more than {} levels deep (setting "
                   "query.nesting_max)",
                   depth_max),
       Limit::kNesting);
  return true;
}

ExprPtr Parser::ParseWhole() {
  if (At(TokenKind::kEof)) {
    Fail({}, "no expression found in input");
    return nullptr;
  }
  Parsed parsed = ParseBinary(kPrecedenceMin);
  if (parsed && !At(TokenKind::kEof)) Unexpected();
  return error_.has_value() ? nullptr : std::move(parsed.node);
}

std::unique_ptr<VectorSelector> Parser::ParseWholeSelector() {
  std::optional<Token> name;
  if (IsNameOfMetric(token_.kind)) {
    name = token_;
    Advance();
  } else if (!At(TokenKind::kLeftBrace)) {
    Unexpected();
    return nullptr;
  }
  auto selector = ParseSelector(name);
  if (selector != nullptr && !At(TokenKind::kEof)) Unexpected();
  return error_.has_value() ? nullptr : std::move(selector);
}

Parser::Parsed Parser::ParseBinary(int precedence_min) {
  const Level level(this);
  if (!level) return {};
  Parsed lhs = ParseUnary();
  while (lhs) {
    const Token op = token_;
    const int precedence = PrecedenceOf(op.kind);
    if (precedence == 0 || precedence < precedence_min) break;
    Advance();
    BinaryModifiers modifiers;
    if (!ParseBinaryModifiers(&modifiers)) return {};
    Parsed rhs =
        ParseBinary(op.kind == TokenKind::kPow ? precedence : precedence + 1);
    if (!rhs) return {};
    auto binary = std::make_unique<BinaryExpr>();
    binary->op = BinaryOpOf(op.kind);
    binary->position = {lhs.node->position.begin, rhs.node->position.end};
    binary->type = lhs.node->type == ValueType::kScalar &&
                           rhs.node->type == ValueType::kScalar
                       ? ValueType::kScalar
                       : ValueType::kVector;
    binary->return_bool = modifiers.return_bool;
    binary->matching = std::move(modifiers.matching);
    binary->lhs = std::move(lhs.node);
    binary->rhs = std::move(rhs.node);
    const int depth = std::max(lhs.depth, rhs.depth) + 1;
    if (!options_.experimental && (binary->matching->fill_lhs.has_value() ||
                                   binary->matching->fill_rhs.has_value())) {
      Fail(binary->position,
           "binop fill modifiers are experimental and not enabled "
           "(setting query.experimental)");
      return {};
    }
    lhs = {std::move(binary), depth};
    if (IsTooDeep(depth, op.position())) return {};
  }
  return lhs;
}

Parser::Parsed Parser::ParseUnary() {
  if (!At(TokenKind::kAdd) && !At(TokenKind::kSub)) return ParsePrimary();
  const Token op = token_;
  Advance();
  // As tight as a product: -1 ^ 2 is -(1 ^ 2), -1 * 2 is (-1) * 2.
  Parsed operand = ParseBinary(kPrecedencePow);
  if (!operand) return {};
  const bool negate = op.kind == TokenKind::kSub;
  if (operand.node->kind == Expr::Kind::kNumber) {
    auto& number = operand.node->As<NumberLiteral>();
    if (negate) number.value = -number.value;
    number.position.begin = op.begin;
    return operand;
  }
  auto unary = std::make_unique<UnaryExpr>();
  unary->negate = negate;
  unary->position = {op.begin, operand.node->position.end};
  unary->type = operand.node->type;
  unary->expr = std::move(operand.node);
  if (IsTooDeep(operand.depth + 1, op.position())) return {};
  return {std::move(unary), operand.depth + 1};
}

Parser::Parsed Parser::ParsePrimary() {
  const Token token = token_;
  if (At(TokenKind::kNumber) || At(TokenKind::kDuration)) {
    return ParsePostfix({ParseNumberToken(), 1});
  }
  if (At(TokenKind::kString)) {
    auto literal = std::make_unique<StringLiteral>();
    literal->value = Unquote(token.text);
    literal->position = token.position();
    literal->type = ValueType::kString;
    Advance();
    return ParsePostfix({std::move(literal), 1});
  }
  if (At(TokenKind::kLeftParen)) return ParsePostfix(ParseParen());
  if (At(TokenKind::kLeftBrace)) {
    return ParsePostfix({ParseSelector(std::nullopt), 1});
  }
  if (!IsNameOfMetric(token.kind)) {
    Unexpected();
    return {};
  }
  Advance();
  if (IsAggregator(token.kind) &&
      (At(TokenKind::kLeftParen) || At(TokenKind::kBy) ||
       At(TokenKind::kWithout))) {
    return ParsePostfix(ParseAggregate(token));
  }
  if (At(TokenKind::kLeftParen) && (token.kind == TokenKind::kIdentifier ||
                                    token.kind >= TokenKind::kStart)) {
    return ParsePostfix(ParseCall(token));
  }
  return ParsePostfix({ParseSelector(token), 1});
}

Parser::Parsed Parser::ParseParen() {
  auto paren = std::make_unique<ParenExpr>();
  paren->position.begin = token_.begin;
  Advance();
  Parsed inner = ParseBinary(kPrecedenceMin);
  if (!inner) return {};
  if (!Take(TokenKind::kRightParen)) {
    Unexpected();
    return {};
  }
  paren->position.end = end_;
  paren->type = inner.node->type;
  paren->expr = std::move(inner.node);
  return {std::move(paren), inner.depth + 1};
}

bool Parser::ParseArguments(std::vector<ExprPtr>* args, int* depth) {
  *depth = 0;
  Advance();  // the parenthesis
  if (Take(TokenKind::kRightParen)) return true;
  for (;;) {
    Parsed arg = ParseBinary(kPrecedenceMin);
    if (!arg) return false;
    *depth = std::max(*depth, arg.depth);
    args->push_back(std::move(arg.node));
    if (Take(TokenKind::kRightParen)) return true;
    const Token comma = token_;
    if (!Take(TokenKind::kComma)) {
      Unexpected();
      return false;
    }
    if (At(TokenKind::kRightParen) || At(TokenKind::kComma)) {
      Fail(comma.position(),
           "trailing commas not allowed in function call args");
      return false;
    }
  }
}

Parser::Parsed Parser::ParseCall(const Token& name) {
  auto call = std::make_unique<CallExpr>();
  int depth = 0;
  if (!ParseArguments(&call->args, &depth)) return {};
  call->position = {name.begin, end_};
  call->function = FindFunction(name.text);
  if (call->function == nullptr) {
    Fail(name.position(),
         fmt::format("unknown function with name {}", Quoted(name.text)));
    return {};
  }
  if (call->function->experimental && !options_.experimental) {
    Fail(name.position(),
         fmt::format("function {} is not enabled (setting query.experimental)",
                     Quoted(name.text)));
    return {};
  }
  call->type = call->function->return_type;
  return {std::move(call), depth + 1};
}

Parser::Parsed Parser::ParseAggregate(const Token& op) {
  const Context context(this, "aggregation", "");
  auto aggregate = std::make_unique<AggregateExpr>();
  aggregate->op = static_cast<AggregateOp>(static_cast<int>(op.kind) -
                                           static_cast<int>(TokenKind::kSum));
  aggregate->type = ValueType::kVector;
  bool modified = false;
  const auto modifier = [&] {
    if (!At(TokenKind::kBy) && !At(TokenKind::kWithout)) return true;
    modified = true;
    aggregate->without = At(TokenKind::kWithout);
    Advance();
    return ParseGroupingLabels(&aggregate->grouping);
  };
  if (!modifier()) return {};
  if (!At(TokenKind::kLeftParen)) {
    Unexpected();
    return {};
  }
  std::vector<ExprPtr> args;
  int depth = 0;
  if (!ParseArguments(&args, &depth)) return {};
  if (!modified && !modifier()) return {};
  aggregate->position = {op.begin, end_};

  if (args.empty()) {
    Fail(aggregate->position, "no arguments for aggregate expression provided");
    return {};
  }
  if (aggregate->op >= AggregateOp::kLimitk && !options_.experimental) {
    Fail(aggregate->position,
         fmt::format("{}() is experimental and must be enabled with the "
                     "setting query.experimental",
                     AggregateOpText(aggregate->op)));
    return {};
  }
  const size_t wanted = HasParameter(aggregate->op) ? 2 : 1;
  if (args.size() != wanted) {
    Fail(aggregate->position,
         fmt::format("wrong number of arguments for aggregate expression "
                     "provided, expected {}, got {}",
                     wanted, args.size()));
    return {};
  }
  aggregate->expr = std::move(args.back());
  if (wanted == 2) aggregate->param = std::move(args.front());
  return {std::move(aggregate), depth + 1};
}

bool Parser::ParseGroupingLabels(std::vector<std::string>* labels) {
  if (!Take(TokenKind::kLeftParen)) {
    Unexpected("grouping opts", "\"(\"");
    return false;
  }
  while (!Take(TokenKind::kRightParen)) {
    const Token token = token_;
    if (!At(TokenKind::kString) && !IsNameOfLabel(token.kind)) {
      Unexpected("grouping opts", "label");
      return false;
    }
    std::string name =
        At(TokenKind::kString) ? Unquote(token.text) : std::string(token.text);
    if (name.empty() || !IsValidUtf8(name)) {
      Fail(token.position(),
           fmt::format("invalid label name for grouping: {}", Quoted(name)));
      return false;
    }
    Advance();
    labels->push_back(std::move(name));
    if (!Take(TokenKind::kComma) && !At(TokenKind::kRightParen)) {
      Unexpected("grouping opts", "\",\" or \")\"");
      return false;
    }
  }
  return true;
}

bool Parser::ParseBinaryModifiers(BinaryModifiers* modifiers) {
  VectorMatching& matching = modifiers->matching;
  modifiers->return_bool = Take(TokenKind::kBool);
  if (At(TokenKind::kOn) || At(TokenKind::kIgnoring)) {
    matching.on = At(TokenKind::kOn);
    Advance();
    if (!ParseGroupingLabels(&matching.labels)) return false;
    if (At(TokenKind::kGroupLeft) || At(TokenKind::kGroupRight)) {
      matching.cardinality = At(TokenKind::kGroupLeft)
                                 ? Cardinality::kManyToOne
                                 : Cardinality::kOneToMany;
      Advance();
      if (At(TokenKind::kLeftParen) &&
          !ParseGroupingLabels(&matching.include)) {
        return false;
      }
    }
  }
  if (Take(TokenKind::kFill)) {
    if (!ParseFill(&matching.fill_lhs)) return false;
    matching.fill_rhs = matching.fill_lhs;
    return true;
  }
  if (At(TokenKind::kFillLeft) || At(TokenKind::kFillRight)) {
    const bool left_first = At(TokenKind::kFillLeft);
    Advance();
    if (!ParseFill(left_first ? &matching.fill_lhs : &matching.fill_rhs)) {
      return false;
    }
    if (Take(left_first ? TokenKind::kFillRight : TokenKind::kFillLeft)) {
      return ParseFill(left_first ? &matching.fill_rhs : &matching.fill_lhs);
    }
  }
  return true;
}

bool Parser::ParseFill(std::optional<double>* value) {
  Advance();  // the parenthesis that made fill a keyword
  const bool negate = At(TokenKind::kSub);
  if (negate || At(TokenKind::kAdd)) Advance();
  if (!At(TokenKind::kNumber) && !At(TokenKind::kDuration)) {
    Unexpected();
    return false;
  }
  const auto number = ParseNumberToken();
  if (number == nullptr) return false;
  if (!Take(TokenKind::kRightParen)) {
    Unexpected();
    return false;
  }
  *value = negate ? -number->value : number->value;
  return true;
}

std::unique_ptr<NumberLiteral> Parser::ParseNumberToken() {
  auto number = std::make_unique<NumberLiteral>();
  number->position = token_.position();
  number->type = ValueType::kScalar;
  if (At(TokenKind::kDuration)) {
    const auto ms = ParseDurationMs(token_.text);
    if (!ms.ok()) {
      Fail(token_.position(), std::string(MessageOf(ms.status())));
      return nullptr;
    }
    number->value = static_cast<double>(*ms) / 1000;
    number->is_duration = true;
  } else {
    const auto value = ParseNumber(token_.text);
    if (!value.ok()) {
      Fail(token_.position(),
           fmt::format("error parsing number: {}", MessageOf(value.status())));
      return nullptr;
    }
    number->value = *value;
  }
  Advance();
  return number;
}

std::string LineColumn(std::string_view query, int offset) {
  const std::string_view before = query.substr(0, offset);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const size_t line_end = before.rfind('\n');
  const size_t column = line_end == std::string_view::npos
                            ? before.size() + 1
                            : before.size() - line_end;
  return fmt::format("{}:{}", lines + 1, column);
}

namespace {

absl::Status StatusOf(std::string_view query, const ParseError& error) {
  absl::Status status = absl::InvalidArgumentError(
      fmt::format("{}: parse error: {}",
                  query.empty() ? "unknown position"
                                : LineColumn(query, error.position.begin),
                  error.message));
  if (!error.limit.has_value()) return status;
  return WithLimit(*error.limit, std::move(status));
}

absl::Status CheckText(std::string_view query, const ParserOptions& options) {
  if (static_cast<int64_t>(query.size()) <= options.text_bytes_max) {
    return absl::OkStatus();
  }
  return WithLimit(Limit::kText,
                   absl::InvalidArgumentError(fmt::format(
                       "query of {} bytes: at most {} are taken (setting "
                       "query.query_text_bytes_max)",
                       query.size(), options.text_bytes_max)));
}

}  // namespace

absl::StatusOr<ExprPtr> ParseExpr(std::string_view query,
                                  const ParserOptions& options) {
  VIGIE_RETURN_IF_ERROR(CheckText(query, options));
  Parser parser(query, options);
  ExprPtr expr = parser.ParseWhole();
  VIGIE_RETURN_IF_ERROR(parser.stopped());
  if (expr == nullptr) return StatusOf(query, *parser.error());
  if (const auto error = CheckTypes(query, expr.get())) {
    return StatusOf(query, *error);
  }
  return expr;
}

absl::StatusOr<std::vector<Matcher>> ParseMatchers(std::string_view selector) {
  VIGIE_RETURN_IF_ERROR(CheckText(selector, {}));
  Parser parser(selector, {});
  const auto parsed = parser.ParseWholeSelector();
  if (parsed == nullptr) return StatusOf(selector, *parser.error());
  return std::move(parsed->matchers);
}

}  // namespace vigie::query
