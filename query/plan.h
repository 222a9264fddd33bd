// Plan: the expression made ready for evaluation: durations and `@` resolved
// to milliseconds, scalars that nothing but the query decides folded, and which
// parts have the same value at every step or stand in it more than once.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "query/common_parts.h"
#include "query/parser/ast.h"
#include "query/steps.h"

namespace vigie::query {

struct PlanTimes {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ms = 0;  // 0 for an instant query
};

class Plan {
 public:
  // Writes what it resolves into the tree, which outlives the plan.
  // kInvalidArgument, with the place, if a duration comes out as nothing or
  // beyond what a time can hold.
  static absl::StatusOr<Plan> Make(std::string_view query, Expr* expr,
                                   const PlanTimes& times);

  // Selectors are pinned by `@`, and no function of time is in between.
  bool IsStepInvariant(const Expr& expr) const {
    return invariant_.contains(&expr);
  }

  // Of scalars made of numbers, start(), end(), step() and range().
  std::optional<double> ConstantOf(const Expr& expr) const {
    const auto found = constants_.find(&expr);
    if (found == constants_.end()) return std::nullopt;
    return found->second;
  }

  const CommonParts& common_parts() const { return common_parts_; }

 private:
  class Builder;
  absl::flat_hash_set<const Expr*> invariant_;
  absl::flat_hash_map<const Expr*, double> constants_;
  CommonParts common_parts_;
};

// The expression without the parentheses around it.
const Expr& WithoutParens(const Expr& expr);

}  // namespace vigie::query
