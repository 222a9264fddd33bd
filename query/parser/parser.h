// Parses PromQL, the whole grammar of Prometheus 3, and checks its types.
// Pure: no state, thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/matcher.h"
#include "query/parser/ast.h"

namespace vigie::query {

// No setting allows more: parsing and evaluation recurse, and a thread's stack
// holds this much many times over.
inline constexpr int kNestingMax = 400;
// A million characters of a query are a mistake or an attack; long lists of
// alternatives, as Grafana writes them, take some ten thousand.
inline constexpr int64_t kQueryTextBytesMax = 256 << 10;

struct ParserOptions {
  // Experimental functions, aggregations and modifiers (limitk, info, fill,
  // anchored, ...). Off: they are errors that name the setting.
  bool experimental = false;
  // What goes beyond is an error that names the setting and carries its Limit
  // (limit.h).
  int64_t text_bytes_max = kQueryTextBytesMax;
  int64_t regex_bytes_max = static_cast<int64_t>(kRegexBytesMax);
  int64_t nesting_max = kNestingMax;
  // Asked before each regular expression is compiled, which takes long: its
  // error is the parse's. Null: nothing ends the parse early.
  std::function<absl::Status()> check = nullptr;
};

// kInvalidArgument, worded and placed as Prometheus does:
// `1:5: parse error: unexpected ...` (line:column in bytes, from 1). And what
// `check` answers.
absl::StatusOr<ExprPtr> ParseExpr(std::string_view query,
                                  const ParserOptions& options);

// For match[]: a vector selector without range, offset or @.
absl::StatusOr<std::vector<Matcher>> ParseMatchers(std::string_view selector);

// `line:column` of a byte offset in `query`, both from 1.
std::string LineColumn(std::string_view query, int offset);

// The expression as text that parses to the same tree, on one line.
std::string PrintExpr(const Expr& expr);

}  // namespace vigie::query
