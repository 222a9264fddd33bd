// What ratios and rates share: events of counters in blocks, effective counts
// for the exact tests, and which change so many events would show.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "canary/comparison.h"
#include "canary/sampling.h"

namespace vigie::canary {

// The counters of one selector over one window.
struct Counts {
  std::vector<double> blocks;
  double sum = 0;
  bool fractional = false;
  int64_t from_ms = 0;  // where the first increase begins
};

// Whether an increase is spread over the time between its samples, or belongs
// to the later one.
enum class Spread { kToTheLater, kEvenly };

absl::StatusOr<Counts> ReadCounts(const Samples& samples,
                                  const FirstSeen& first_seen,
                                  const Window& window, int64_t block_ms,
                                  Spread spread, SideReport* report);

// `count` / `inflation` as a whole number; `up` rounds away from zero.
int64_t EffectiveCount(double count, double inflation, bool up);

// How far a difference from `level` is from none, in standard errors, if the
// variance of one event at a level is variance(level).
struct DetectionScale {
  std::function<double(double)> variance;
  double n_baseline = 0;
  double n_canary = 0;
  double level = 0;
  double sign = 1;
  double largest = 0;  // where the scale ends

  double Distance(double difference) const;
  // The smallest difference that far off; NaN if even the largest is not.
  double Smallest(double distance) const;
};

// Sets effect.detectable and, if effect.to_detect would not be found, says how
// many of `total` more are needed.
void CheckScale(const DetectionScale& scale, const MetricTask& task,
                double total, std::string_view unit, Comparison* comparison);

}  // namespace vigie::canary
