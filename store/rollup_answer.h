// How queries are answered from rollups: which functions over time their
// buckets say, and the samples that such a function is given in place of those
// that the buckets stand for. What a bucket is: rollup.h.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "store/rollup.h"
#include "store/sample_columns.h"

namespace vigie::store {

// What can be asked of buckets.
enum class RollupUse : uint8_t { kLast, kMin, kMax, kSum, kCount, kCounter };

// How a function over time is answered from samples that RollupSamples makes:
// which ones, and the function over time to apply to them instead.
struct RollupPlan {
  RollupUse use = RollupUse::kLast;
  std::string_view function;
};
// None if buckets do not say it. An instant selector is "".
std::optional<RollupPlan> PlanRollup(std::string_view function);

// Whether windows of `range_ms` at start_ms + n * step_ms are made of whole
// buckets. An instant selector has no range.
bool RollupFits(int64_t resolution_ms, int64_t start_ms, int64_t step_ms,
                int64_t range_ms);

// A sample a bucket at most, at the time of its last value; of kLast also the
// staleness markers.
SampleColumns RollupSamples(const RollupColumns& buckets, RollupUse use);

// Makes counters of buckets and of samples go on from one to the other: what
// came before, and comes again after a reset, is added to all values, so that
// none is below the one before it. Pieces come in order of time.
class CounterLine {
 public:
  SampleColumns Next(const RollupColumns& buckets);
  // Of samples; once buckets came, they change as well.
  void Next(SampleColumns* floats);

  bool rolled_up() const { return rolled_up_; }  // buckets came

 private:
  bool rolled_up_ = false;
  std::optional<double> last_;  // as it was stored
  double offset_ = 0;
};

}  // namespace vigie::store
