// The tree of a PromQL expression. Plain data, one class a kind of node;
// Visit by Kind and As<T>(). Positions are byte offsets into the query.
// Source: Prometheus 3, promql/parser (kinds, types and precedence).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/matcher.h"

namespace vigie::query {

// [begin, end) in bytes.
struct PositionRange {
  int begin = 0;
  int end = 0;
  friend bool operator==(const PositionRange&, const PositionRange&) = default;
};

enum class ValueType : uint8_t { kNone, kScalar, kVector, kMatrix, kString };

// "scalar", "instant vector", "range vector", "string", as errors say it.
std::string_view ValueTypeName(ValueType type);

struct Expr {
  enum class Kind : uint8_t {
    kNumber,
    kString,
    kVectorSelector,
    kMatrixSelector,
    kSubquery,
    kUnary,
    kBinary,
    kAggregate,
    kCall,
    kParen,
    kDuration,  // only inside ranges and offsets
  };
  explicit Expr(Kind kind) : kind(kind) {}
  virtual ~Expr() = default;

  template <class T>
  const T& As() const {
    VIGIE_CHECK(kind == T::kKind);
    return static_cast<const T&>(*this);
  }
  template <class T>
  T& As() {
    VIGIE_CHECK(kind == T::kKind);
    return static_cast<T&>(*this);
  }

  const Kind kind;
  PositionRange position;
  ValueType type = ValueType::kNone;  // set by the parser's type check
};
using ExprPtr = std::unique_ptr<Expr>;

struct NumberLiteral : Expr {
  static constexpr Kind kKind = Kind::kNumber;
  NumberLiteral() : Expr(kKind) {}
  double value = 0;
  bool is_duration = false;  // written 5m: printed as a duration
};

struct StringLiteral : Expr {
  static constexpr Kind kKind = Kind::kString;
  StringLiteral() : Expr(kKind) {}
  std::string value;
};

// A duration: a literal (milliseconds), or an expression over literals,
// step(), range(), min_of() and max_of(), evaluated when the query's step and
// range are known.
struct DurationExpr : Expr {
  static constexpr Kind kKind = Kind::kDuration;
  DurationExpr() : Expr(kKind) {}
  enum class Op : uint8_t {
    kLiteral,  // seconds
    kStep,
    kRange,
    kMinOf,
    kMaxOf,
    kAdd,
    kSub,
    kMul,
    kDiv,
    kMod,
    kPow,
    kNegate,
    kParen,
  };
  Op op = Op::kLiteral;
  double seconds = 0;  // kLiteral
  bool is_duration = false;
  std::unique_ptr<DurationExpr> lhs;  // kNegate and kParen use it alone
  std::unique_ptr<DurationExpr> rhs;
};

// `offset` and `@` of a selector or subquery.
struct TimeShift {
  int64_t offset_ms = 0;  // positive looks back; literal offsets
  std::unique_ptr<DurationExpr> offset_expr;  // set if not a plain literal
  enum class At : uint8_t { kNone, kTime, kStart, kEnd };
  At at = At::kNone;
  int64_t at_ms = 0;  // kTime
};

// Edges of a range or instant selector (Prometheus: extended range selectors).
enum class Edges : uint8_t { kPlain, kAnchored, kSmoothed };

struct VectorSelector : Expr {
  static constexpr Kind kKind = Kind::kVectorSelector;
  VectorSelector() : Expr(kKind) {}
  std::string name;                // what stood before the brace, or ""
  std::vector<Matcher> matchers;   // __name__ included
  TimeShift shift;
  Edges edges = Edges::kPlain;
  // The second argument of info() may match everything.
  bool bypass_empty_matcher_check = false;
};

struct MatrixSelector : Expr {
  static constexpr Kind kKind = Kind::kMatrixSelector;
  MatrixSelector() : Expr(kKind) {}
  std::unique_ptr<VectorSelector> vector;
  int64_t range_ms = 0;
  std::unique_ptr<DurationExpr> range_expr;  // set if not a plain literal
};

struct SubqueryExpr : Expr {
  static constexpr Kind kKind = Kind::kSubquery;
  SubqueryExpr() : Expr(kKind) {}
  ExprPtr expr;
  int64_t range_ms = 0;
  std::unique_ptr<DurationExpr> range_expr;
  int64_t step_ms = 0;  // 0: the engine's default
  std::unique_ptr<DurationExpr> step_expr;
  TimeShift shift;
};

struct UnaryExpr : Expr {
  static constexpr Kind kKind = Kind::kUnary;
  UnaryExpr() : Expr(kKind) {}
  bool negate = false;
  ExprPtr expr;
};

enum class BinaryOp : uint8_t {
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
  kTrimUpper,  // </
  kTrimLower,  // >/
  kAnd,
  kOr,
  kUnless,
};
// "+", "==", "and", "</".
std::string_view BinaryOpText(BinaryOp op);
bool IsComparison(BinaryOp op);  // trims are not
bool IsSetOperator(BinaryOp op);

enum class Cardinality : uint8_t {
  kOneToOne,
  kManyToOne,
  kOneToMany,
  kManyToMany,
};

struct VectorMatching {
  Cardinality cardinality = Cardinality::kOneToOne;
  bool on = false;                  // else: ignoring
  std::vector<std::string> labels;  // of on or ignoring
  std::vector<std::string> include; // of group_left or group_right
  std::optional<double> fill_lhs;   // value for a missing left side
  std::optional<double> fill_rhs;
};

struct BinaryExpr : Expr {
  static constexpr Kind kKind = Kind::kBinary;
  BinaryExpr() : Expr(kKind) {}
  BinaryOp op = BinaryOp::kAdd;
  ExprPtr lhs;
  ExprPtr rhs;
  bool return_bool = false;
  // Set if both sides are vectors.
  std::optional<VectorMatching> matching;
};

enum class AggregateOp : uint8_t {
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
};
std::string_view AggregateOpText(AggregateOp op);

struct AggregateExpr : Expr {
  static constexpr Kind kKind = Kind::kAggregate;
  AggregateExpr() : Expr(kKind) {}
  AggregateOp op = AggregateOp::kSum;
  ExprPtr param;  // of topk, quantile, ..., else null
  ExprPtr expr;
  bool without = false;
  std::vector<std::string> grouping;
};

// A function of the language, from the table in functions.h.
struct Function {
  std::string_view name;
  std::vector<ValueType> arg_types;
  // 0: exactly arg_types; n > 0: the last n arguments are optional (the last
  // type repeats if n exceeds them); -1: the last may repeat or be left out.
  int variadic = 0;
  ValueType return_type = ValueType::kVector;
  bool experimental = false;
};

struct CallExpr : Expr {
  static constexpr Kind kKind = Kind::kCall;
  CallExpr() : Expr(kKind) {}
  const Function* function = nullptr;  // static lifetime
  std::vector<ExprPtr> args;
};

struct ParenExpr : Expr {
  static constexpr Kind kKind = Kind::kParen;
  ParenExpr() : Expr(kKind) {}
  ExprPtr expr;
};

}  // namespace vigie::query
