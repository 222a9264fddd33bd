// The series of a selector by number, so that threads can share them out. What
// comes of them is handed on in the order of the numbers, whoever evaluated
// them: results and annotations do not depend on how many threads there are.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "query/context.h"
#include "query/steps.h"

namespace vigie::query {

// Belongs to one thread and its context.
class SeriesLeaf {
 public:
  virtual ~SeriesLeaf() = default;
  // Replaces `*series`. False if it has no cell.
  virtual absl::StatusOr<bool> At(size_t number, StepSeries* series) = 0;
};

class RunLeaf {
 public:
  virtual ~RunLeaf() = default;
  // Replaces `*run`, which may have no samples.
  virtual absl::Status At(size_t number, SampleRun* run) = 0;
};

template <class Leaf>
struct Leaves {
  size_t count = 0;   // of series
  int64_t steps = 1;  // about, of each: how much a thread takes at once
  // Called once a thread. `context` outlives the leaf.
  std::function<std::unique_ptr<Leaf>(QueryContext* context)> make;
};
using SeriesLeaves = Leaves<SeriesLeaf>;
using RunLeaves = Leaves<RunLeaf>;

std::unique_ptr<SeriesStream> StreamOfLeaves(QueryContext* context,
                                             SeriesLeaves leaves);
std::unique_ptr<RunStream> StreamOfLeaves(QueryContext* context,
                                          RunLeaves leaves);

}  // namespace vigie::query
