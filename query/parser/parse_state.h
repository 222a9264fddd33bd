// The parser itself: recursive descent over the lexer's tokens with one token
// of lookahead; binary operators by precedence climbing. parser.cc holds
// expressions, selectors.cc what stands in and behind a selector, durations.cc
// the arithmetic of durations. The first error ends the parse.
// Source: Prometheus 3, promql/parser/generated_parser.y.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/parser/ast.h"
#include "query/parser/lexer.h"
#include "query/parser/limit.h"
#include "query/parser/parser.h"

namespace vigie::query {

struct ParseError {
  PositionRange position;
  std::string message;
  std::optional<Limit> limit = std::nullopt;  // the one it went beyond
};

class Parser {
 public:
  // `query` outlives the parser.
  Parser(std::string_view query, const ParserOptions& options);

  // Null on error. The types are not checked yet.
  ExprPtr ParseWhole();
  std::unique_ptr<VectorSelector> ParseWholeSelector();

  // Set once one of the above gave null.
  const std::optional<ParseError>& error() const { return error_; }
  // What ParserOptions::check answered, if that ended the parse.
  const absl::Status& stopped() const { return stopped_; }

 private:
  // A tree and how deep it is: chains of operators grow without recursion.
  template <class T>
  struct Sized {
    std::unique_ptr<T> node;
    int depth = 0;
    explicit operator bool() const { return node != nullptr; }
  };
  using Parsed = Sized<Expr>;
  using ParsedDuration = Sized<DurationExpr>;

  // Counts recursion; false once it is too deep, which is then the error.
  class Level {
   public:
    explicit Level(Parser* parser) : parser_(parser) { ++parser_->level_; }
    ~Level() { --parser_->level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    explicit operator bool() const;

   private:
    Parser* const parser_;
  };

  // What an error between here and the end of the scope is said to be in,
  // unless something closer says more.
  class Context {
   public:
    Context(Parser* parser, std::string_view where, std::string_view expected);
    ~Context() { parser_->contexts_.pop_back(); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    void Become(std::string_view where, std::string_view expected);

   private:
    Parser* const parser_;
  };
  struct ContextText {
    std::string_view where;
    std::string_view expected;
  };

  struct GroupingLabels {
    std::vector<std::string> names;
  };
  struct BinaryModifiers {
    bool return_bool = false;
    VectorMatching matching;
  };

  // Tokens.
  void Advance();
  bool At(TokenKind kind) const { return token_.kind == kind; }
  bool Take(TokenKind kind);
  void Fail(PositionRange position, std::string message,
            std::optional<Limit> limit = std::nullopt);
  // token_ may not stand here; with the innermost Context, or as told.
  void Unexpected();
  void Unexpected(std::string_view where, std::string_view expected);
  bool IsTooDeep(int depth, PositionRange position);

  // Expressions (parser.cc).
  Parsed ParseBinary(int precedence_min);
  Parsed ParseUnary();
  Parsed ParsePrimary();
  Parsed ParseParen();
  Parsed ParseCall(const Token& name);
  Parsed ParseAggregate(const Token& op);
  bool ParseArguments(std::vector<ExprPtr>* args, int* depth);
  bool ParseGroupingLabels(std::vector<std::string>* labels);
  bool ParseBinaryModifiers(BinaryModifiers* modifiers);
  bool ParseFill(std::optional<double>* value);
  std::unique_ptr<NumberLiteral> ParseNumberToken();

  // Selectors and what may follow an expression (selectors.cc).
  Parsed ParsePostfix(Parsed parsed);
  std::unique_ptr<VectorSelector> ParseSelector(std::optional<Token> name);
  bool ParseMatcherList(std::vector<Matcher>* matchers);
  std::optional<Matcher> ParseMatcher();
  Parsed ParseBracket(Parsed parsed);
  Parsed ParseOffset(Parsed parsed);
  Parsed ParseAt(Parsed parsed);
  Parsed ParseEdges(Parsed parsed);
  bool SetAt(Expr* expr, TimeShift::At at, int64_t at_ms);

  // Durations (durations.cc).
  ParsedDuration ParseDurationExpr(int precedence_min);
  ParsedDuration ParseDurationPrimary();
  ParsedDuration ParseDurationCall();
  ParsedDuration ParseDurationLiteral();
  // Behind `offset`.
  ParsedDuration ParseOffsetDuration();
  // Of a range or a step: literals must be positive and go into *ms,
  // everything else into *expr. False on error.
  bool ParsePositiveDuration(int64_t* ms, std::unique_ptr<DurationExpr>* expr,
                             int* depth);
  bool CheckDurationRange(double seconds, PositionRange position);
  static ParsedDuration Negated(ParsedDuration operand, int begin);

  const std::string_view query_;
  const ParserOptions options_;
  Lexer lexer_;
  Token token_;  // the lookahead
  int end_ = 0;  // of the token before it
  int level_ = 0;
  std::vector<ContextText> contexts_;
  std::optional<ParseError> error_;
  absl::Status stopped_;
};

// Milliseconds of a literal, cut as Prometheus does (whole nanoseconds first).
int64_t MillisecondsOf(double seconds);

// Checks types and matchers and settles how vectors are matched.
std::optional<ParseError> CheckTypes(std::string_view query, Expr* expr);

}  // namespace vigie::query
