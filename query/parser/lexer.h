// Tokens of PromQL. The lexer knows three moods: between braces every word is
// an identifier, between brackets only durations and their arithmetic may
// stand, elsewhere words may be keywords.
// Source: Prometheus 3, promql/parser/lex.go (words, moods, error texts).
// Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "query/parser/ast.h"

namespace vigie::query {

enum class TokenKind : uint8_t {
  kEof,
  kError,  // text is the message
  kIdentifier,
  kMetricIdentifier,  // holds a colon
  kNumber,
  kDuration,
  kString,  // text with its quotes
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kLeftBracket,
  kRightBracket,
  kComma,
  kColon,
  kAssign,  // =
  // Operators.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kAtan2,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kTrimUpper,
  kTrimLower,
  kRegexMatch,
  kRegexNoMatch,
  kAnd,
  kOr,
  kUnless,
  kAt,
  // Aggregations, in the order of AggregateOp.
  kSum,
  kAvg,
  kCount,
  kMin,
  kMax,
  kGroup,
  kStddev,
  kStdvar,
  kTopk,
  kBottomk,
  kCountValues,
  kQuantile,
  kLimitk,
  kLimitRatio,
  // Keywords.
  kOffset,
  kAnchored,
  kSmoothed,
  kBy,
  kWithout,
  kOn,
  kIgnoring,
  kGroupLeft,
  kGroupRight,
  kFill,
  kFillLeft,
  kFillRight,
  kBool,
  // Words that are functions where a parenthesis follows.
  kStart,
  kEnd,
  kStep,
  kRange,
  kMaxOf,
  kMinOf,
};

bool IsAggregator(TokenKind kind);

// `text` points into the query, or for kError into the lexer.
struct Token {
  TokenKind kind = TokenKind::kEof;
  int begin = 0;
  std::string_view text;

  int end() const { return begin + static_cast<int>(text.size()); }
  PositionRange position() const { return {begin, end()}; }
};

// How an error names the token: `<op:+>`, `identifier "foo"`, `end of input`.
std::string DescribeToken(const Token& token);

class Lexer {
 public:
  // `query` outlives the lexer and its tokens.
  explicit Lexer(std::string_view query) : query_(query) {}

  // After kEof or kError: kEof for ever.
  Token Next();

 private:
  enum class Mood : uint8_t { kStatement, kBraces, kBrackets };

  // A decoded character; kEndOfQuery at the end.
  struct Rune {
    int32_t value;
    int width;
  };
  Rune RuneAt(int at) const;
  int32_t Peek() const { return RuneAt(at_).value; }
  int32_t Take();
  bool Accept(std::string_view set);
  bool NextIs(std::string_view set) const;
  void SkipSpace();

  Token Emit(TokenKind kind);
  Token Fail(std::string message);

  Token LexStatement();
  Token LexBraces();
  Token LexBrackets();
  Token LexString(char quote);
  Token LexRawString();
  std::string ScanEscape(char quote);  // a message, empty if it is fine
  Token LexNumberOrDuration();
  bool ScanNumber();
  bool ScanDurationRest();
  Token LexWord();
  Token LexDurationWord(Mood mood, int32_t first);

  std::string_view query_;
  int at_ = 0;
  int begin_ = 0;  // of the token being read
  bool done_ = false;
  Mood mood_ = Mood::kStatement;
  int paren_depth_ = 0;
  bool bracket_open_ = false;
  bool colon_seen_ = false;
  bool duration_seen_ = false;
  std::string error_;
};

}  // namespace vigie::query
