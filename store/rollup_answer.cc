#include "store/rollup_answer.h"

#include <algorithm>
#include <utility>

#include "model/sample.h"

namespace vigie::store {
namespace {

int64_t Before(int64_t time_ms, uint64_t lag_ms) {
  return static_cast<int64_t>(static_cast<uint64_t>(time_ms) - lag_ms);
}

}  // namespace

std::optional<RollupPlan> PlanRollup(std::string_view function) {
  static constexpr struct {
    std::string_view name;
    RollupPlan plan;
  } kPlans[] = {
      {"", {RollupUse::kLast, ""}},
      {"last_over_time", {RollupUse::kLast, "last_over_time"}},
      {"present_over_time", {RollupUse::kLast, "present_over_time"}},
      {"absent_over_time", {RollupUse::kLast, "absent_over_time"}},
      {"min_over_time", {RollupUse::kMin, "min_over_time"}},
      {"max_over_time", {RollupUse::kMax, "max_over_time"}},
      {"sum_over_time", {RollupUse::kSum, "sum_over_time"}},
      {"count_over_time", {RollupUse::kCount, "sum_over_time"}},
      {"rate", {RollupUse::kCounter, "rate"}},
      {"increase", {RollupUse::kCounter, "increase"}},
  };
  for (const auto& [name, plan] : kPlans) {
    if (name == function) return plan;
  }
  return std::nullopt;
}

bool RollupFits(int64_t resolution_ms, int64_t start_ms, int64_t step_ms,
                int64_t range_ms) {
  return start_ms % resolution_ms == 0 && step_ms % resolution_ms == 0 &&
         range_ms % resolution_ms == 0;
}

SampleColumns RollupSamples(const RollupColumns& buckets, RollupUse use) {
  SampleColumns samples;
  double resets = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    const uint64_t lag_ms = buckets.marker_lags_ms[i];
    if (buckets.counts[i] > 0) {
      double value = buckets.lasts[i];
      switch (use) {
        case RollupUse::kLast:
          break;
        case RollupUse::kMin:
          value = buckets.mins[i];
          break;
        case RollupUse::kMax:
          value = buckets.maxs[i];
          break;
        case RollupUse::kSum:
          value = buckets.sums[i];
          break;
        case RollupUse::kCount:
          value = static_cast<double>(buckets.counts[i]);
          break;
        case RollupUse::kCounter:
          value += resets += buckets.resets[i];
      }
      samples.PushBack(Before(buckets.times_ms[i], lag_ms), value, 0);
    }
    if (lag_ms > 0 && use == RollupUse::kLast) {
      samples.PushBack(buckets.times_ms[i], StaleMarker(), 0);
    }
  }
  return samples;
}

SampleColumns CounterLine::Next(const RollupColumns& buckets) {
  rolled_up_ = true;
  SampleColumns samples = RollupSamples(buckets, RollupUse::kCounter);
  bool first = true;
  size_t sample = 0;
  double resets = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets.counts[i] == 0) continue;
    // A reset between this piece and the one before it is in neither. Without
    // one inside of it the first value of a bucket is its least.
    if (std::exchange(first, false) && last_.has_value() &&
        buckets.resets[i] == 0 && buckets.mins[i] < *last_) {
      offset_ += *last_;
    }
    resets += buckets.resets[i];
    samples.values[sample++] += offset_;
    last_ = buckets.lasts[i];
  }
  offset_ += resets;
  return samples;
}

void CounterLine::Next(SampleColumns* floats) {
  if (!rolled_up_) {
    const auto last = std::find_if_not(floats->values.rbegin(),
                                       floats->values.rend(), IsStaleMarker);
    if (last != floats->values.rend()) last_ = *last;
    return;
  }
  for (double& value : floats->values) {
    if (IsStaleMarker(value)) continue;
    if (last_.has_value() && value < *last_) offset_ += *last_;
    last_ = value;
    value += offset_;
  }
}

}  // namespace vigie::store
