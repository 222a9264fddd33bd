// Reach: how far from a step the samples lie that its values come from. An
// expression has one if each step's values depend on nothing else, so that
// steps evaluated at different times, of different ranges, make up the same
// answer to the bit.
// Why what has none has none: docs/decisions/0150-range-answers-are-kept.md.
#pragma once

#include <cstdint>
#include <optional>

#include "query/parser/ast.h"

namespace vigie::query {

struct Reach {
  // A step at t sees samples within [t + min_ms, t + max_ms].
  int64_t min_ms = 0;
  int64_t max_ms = 0;
  friend bool operator==(const Reach&, const Reach&) = default;
};

// Of an expression that a plan has been made of: its durations are resolved.
// None also without a selector, as there is nothing to save.
std::optional<Reach> ReachOf(const Expr& expr, int64_t lookback_ms);

}  // namespace vigie::query
