// SharedVectors: the series of parts that stand in a query more than once,
// from their first evaluation to their last use.
// Belongs to the thread of one query.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "query/annotations.h"
#include "query/common_parts.h"
#include "query/context.h"
#include "query/steps.h"

namespace vigie::query {

class SharedVectors {
 public:
  using Series = std::shared_ptr<std::vector<StepSeries>>;
  using Evaluate =
      absl::FunctionRef<absl::StatusOr<std::unique_ptr<SeriesStream>>()>;

  // `parts` outlives this. A part whose series take more than `bytes_max` is
  // evaluated again rather than kept, unless somebody holds them anyway.
  SharedVectors(const CommonParts& parts, int64_t bytes_max);

  // What `evaluate` gives, or has given before under the same steps.
  absl::StatusOr<std::unique_ptr<SeriesStream>> Stream(size_t number,
                                                       QueryContext* context,
                                                       const Steps& steps,
                                                       Evaluate evaluate);
  // So too, all at once. Nobody may change them: others may hold them.
  absl::StatusOr<Series> All(size_t number, QueryContext* context,
                             const Steps& steps, Evaluate evaluate);

  // Whether the next use of `number` finds its series there.
  bool Holds(size_t number, const QueryContext& context,
             const Steps& steps) const;

 private:
  friend class Keeping;
  struct Part {
    size_t left = 0;  // uses to come
    bool evaluating = false;
    Series series;  // null: not evaluated, or not kept
    // As long as somebody else holds what was too much to keep.
    std::weak_ptr<std::vector<StepSeries>> held;
    // Under which they were evaluated.
    Steps steps;
    bool finds_resets = false;
    Annotations annotations;  // what was said on the way
  };

  // One of the uses begins. Null if there is nothing for it.
  Series Use(Part* part, QueryContext* context, const Steps& steps);

  std::vector<Part> parts_;
  const int64_t bytes_max_;
};

}  // namespace vigie::query
