// CommonParts: instant vectors that stand in an expression more than once, so
// that each is evaluated once. Parts of a part that is already common are not
// looked at again: who reuses the whole needs no half.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "query/parser/ast.h"

namespace vigie::query {

class CommonParts {
 public:
  CommonParts() = default;
  // Durations and `@` of `expr`, which outlives this, are resolved.
  explicit CommonParts(const Expr& expr);

  // Equal parts have the same number, from 0. None: the part stands alone.
  std::optional<size_t> NumberOf(const Expr& part) const {
    const auto found = numbers_.find(&part);
    if (found == numbers_.end()) return std::nullopt;
    return found->second;
  }

  // How often each number stands in the expression, twice at least.
  const std::vector<size_t>& uses() const { return uses_; }

 private:
  class Builder;
  absl::flat_hash_map<const Expr*, size_t> numbers_;
  std::vector<size_t> uses_;
};

}  // namespace vigie::query
