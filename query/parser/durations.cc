// Durations: literals, and arithmetic over them inside ranges and offsets.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "query/parser/parse_state.h"

namespace vigie::query {
namespace {

using Op = DurationExpr::Op;

constexpr int kPrecedenceSum = 1;
constexpr int kPrecedenceProduct = 2;
constexpr int kPrecedencePow = 3;

struct DurationOp {
  Op op;
  int precedence;
};

std::optional<DurationOp> DurationOpOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kAdd:
      return DurationOp{Op::kAdd, kPrecedenceSum};
    case TokenKind::kSub:
      return DurationOp{Op::kSub, kPrecedenceSum};
    case TokenKind::kMul:
      return DurationOp{Op::kMul, kPrecedenceProduct};
    case TokenKind::kDiv:
      return DurationOp{Op::kDiv, kPrecedenceProduct};
    case TokenKind::kMod:
      return DurationOp{Op::kMod, kPrecedenceProduct};
    case TokenKind::kPow:
      return DurationOp{Op::kPow, kPrecedencePow};
    default:
      return std::nullopt;
  }
}

}  // namespace

int64_t MillisecondsOf(double seconds) {
  const double ns = std::round(seconds * 1e9);
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (ns >= kLimit) return std::numeric_limits<int64_t>::max() / 1'000'000;
  if (ns <= -kLimit) return std::numeric_limits<int64_t>::min() / 1'000'000;
  return static_cast<int64_t>(ns) / 1'000'000;
}

bool Parser::CheckDurationRange(double seconds, PositionRange position) {
  // 64-bit nanoseconds.
  if (std::fabs(seconds) <= 9223372036.854775807) return true;
  Fail(position, "duration out of range");
  return false;
}

Parser::ParsedDuration Parser::ParseDurationLiteral() {
  const auto number = ParseNumberToken();
  if (number == nullptr ||
      !CheckDurationRange(number->value, number->position)) {
    return {};
  }
  auto literal = std::make_unique<DurationExpr>();
  literal->position = number->position;
  literal->seconds = number->value;
  literal->is_duration = number->is_duration;
  return {std::move(literal), 1};
}

Parser::ParsedDuration Parser::Negated(ParsedDuration operand, int begin) {
  if (operand.node->op == Op::kLiteral) {
    operand.node->seconds = -operand.node->seconds;
    operand.node->position.begin = begin;
    return operand;
  }
  auto negated = std::make_unique<DurationExpr>();
  negated->op = Op::kNegate;
  negated->position = {begin, operand.node->position.end};
  negated->lhs = std::move(operand.node);
  return {std::move(negated), operand.depth + 1};
}

Parser::ParsedDuration Parser::ParseDurationExpr(int precedence_min) {
  const Level level(this);
  if (!level) return {};
  ParsedDuration lhs;
  if (At(TokenKind::kAdd) || At(TokenKind::kSub)) {
    const Token sign = token_;
    Advance();
    lhs = ParseDurationExpr(kPrecedencePow);
    if (lhs && sign.kind == TokenKind::kSub) {
      lhs = Negated(std::move(lhs), sign.begin);
    } else if (lhs && lhs.node->op == Op::kLiteral) {
      lhs.node->position.begin = sign.begin;
    }
  } else {
    lhs = ParseDurationPrimary();
  }
  while (lhs) {
    const Token token = token_;
    const std::optional<DurationOp> op = DurationOpOf(token.kind);
    if (!op.has_value() || op->precedence < precedence_min) break;
    Advance();
    ParsedDuration rhs =
        ParseDurationExpr(op->precedence + (op->op == Op::kPow ? 0 : 1));
    if (!rhs) return {};
    if ((op->op == Op::kDiv || op->op == Op::kMod) &&
        rhs.node->op == Op::kLiteral && rhs.node->seconds == 0) {
      Fail(token.position(),
           op->op == Op::kDiv ? "division by zero" : "modulo by zero");
      return {};
    }
    auto binary = std::make_unique<DurationExpr>();
    binary->op = op->op;
    binary->position = {lhs.node->position.begin, rhs.node->position.end};
    binary->lhs = std::move(lhs.node);
    binary->rhs = std::move(rhs.node);
    lhs = {std::move(binary), std::max(lhs.depth, rhs.depth) + 1};
    if (IsTooDeep(lhs.depth, token.position())) return {};
  }
  return lhs;
}

Parser::ParsedDuration Parser::ParseDurationPrimary() {
  switch (token_.kind) {
    case TokenKind::kNumber:
    case TokenKind::kDuration:
      return ParseDurationLiteral();
    case TokenKind::kStep:
    case TokenKind::kRange:
    case TokenKind::kMinOf:
    case TokenKind::kMaxOf:
      return ParseDurationCall();
    case TokenKind::kLeftParen:
      break;
    default:
      Unexpected();
      return {};
  }
  const int begin = token_.begin;
  Advance();
  ParsedDuration inner = ParseDurationExpr(kPrecedenceSum);
  if (!inner) return {};
  if (!Take(TokenKind::kRightParen)) {
    Unexpected();
    return {};
  }
  auto paren = std::make_unique<DurationExpr>();
  paren->op = Op::kParen;
  paren->position = {begin, end_};
  paren->lhs = std::move(inner.node);
  return {std::move(paren), inner.depth + 1};
}

Parser::ParsedDuration Parser::ParseDurationCall() {
  const Token name = token_;
  auto call = std::make_unique<DurationExpr>();
  int depth = 0;
  Advance();
  if (!Take(TokenKind::kLeftParen)) {
    Unexpected();
    return {};
  }
  if (name.kind == TokenKind::kMinOf || name.kind == TokenKind::kMaxOf) {
    call->op = name.kind == TokenKind::kMinOf ? Op::kMinOf : Op::kMaxOf;
    ParsedDuration lhs = ParseDurationExpr(kPrecedenceSum);
    if (!lhs) return {};
    if (!Take(TokenKind::kComma)) {
      Unexpected();
      return {};
    }
    ParsedDuration rhs = ParseDurationExpr(kPrecedenceSum);
    if (!rhs) return {};
    depth = std::max(lhs.depth, rhs.depth);
    call->lhs = std::move(lhs.node);
    call->rhs = std::move(rhs.node);
  } else {
    call->op = name.kind == TokenKind::kStep ? Op::kStep : Op::kRange;
  }
  if (!Take(TokenKind::kRightParen)) {
    Unexpected();
    return {};
  }
  call->position = {name.begin, end_};
  return {std::move(call), depth + 1};
}

// Takes one operand only: `foo offset -2 ^ 2` is `(foo offset -2) ^ 2`. Only
// what begins with a parenthesis goes on as arithmetic, as upstream's grammar
// has it.
Parser::ParsedDuration Parser::ParseOffsetDuration() {
  if (At(TokenKind::kLeftParen)) return ParseDurationExpr(kPrecedenceSum);
  if (!At(TokenKind::kAdd) && !At(TokenKind::kSub)) {
    return ParseDurationPrimary();
  }
  const Token sign = token_;
  Advance();
  ParsedDuration operand = ParseDurationPrimary();
  if (operand && sign.kind == TokenKind::kSub) {
    operand = Negated(std::move(operand), sign.begin);
  }
  return operand;
}

bool Parser::ParsePositiveDuration(int64_t* ms,
                                   std::unique_ptr<DurationExpr>* expr,
                                   int* depth) {
  ParsedDuration duration = ParseDurationExpr(kPrecedenceSum);
  if (!duration) return false;
  *depth = duration.depth;
  if (duration.node->op != Op::kLiteral) {
    *expr = std::move(duration.node);
    return true;
  }
  const double seconds = duration.node->seconds;
  if (seconds <= 0) {
    Fail(duration.node->position, "duration must be greater than 0");
    return false;
  }
  *ms = MillisecondsOf(seconds);
  if (*ms == 0) {
    Fail(duration.node->position, "duration must be at least 1ms");
    return false;
  }
  return true;
}

}  // namespace vigie::query
