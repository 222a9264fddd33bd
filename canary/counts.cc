#include "canary/counts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/status_macros.h"

namespace vigie::canary {

absl::StatusOr<Counts> ReadCounts(const Samples& samples,
                                  const FirstSeen& first_seen,
                                  const Window& window, int64_t block_ms,
                                  Spread spread, SideReport* report) {
  Counts counts;
  counts.blocks.resize(
      static_cast<size_t>((window.length_ms() + block_ms - 1) / block_ms));
  counts.from_ms = window.end_ms;
  const auto block_of = [&](int64_t time_ms) {
    return std::clamp<int64_t>((time_ms - window.start_ms - 1) / block_ms, 0,
                               static_cast<int64_t>(counts.blocks.size()) - 1);
  };
  const auto visit = [&](const Samples::Increase& increase) {
    counts.sum += increase.value;
    counts.fractional =
        counts.fractional || increase.value != std::floor(increase.value);
    counts.from_ms = std::min(counts.from_ms, increase.from_ms);
    const int64_t last = block_of(increase.to_ms);
    if (spread == Spread::kToTheLater) {
      counts.blocks[static_cast<size_t>(last)] += increase.value;
      return;
    }
    const int64_t from_ms = std::max(increase.from_ms, window.start_ms);
    const auto length = static_cast<double>(increase.to_ms - from_ms);
    for (int64_t b = block_of(from_ms + 1); b <= last; ++b) {
      const int64_t start_ms = window.start_ms + b * block_ms;
      const int64_t overlap = std::min(increase.to_ms, start_ms + block_ms) -
                              std::max(from_ms, start_ms);
      counts.blocks[static_cast<size_t>(b)] +=
          increase.value * static_cast<double>(overlap) / length;
    }
  };
  VIGIE_RETURN_IF_ERROR(samples.VisitIncreases(first_seen, report, visit));
  return counts;
}

int64_t EffectiveCount(double count, double inflation, bool up) {
  if (inflation == 1) return static_cast<int64_t>(count);
  const double effective = count / inflation;
  return static_cast<int64_t>(up ? std::ceil(effective)
                                 : std::floor(effective));
}

double DetectionScale::Distance(double difference) const {
  const double error =
      std::sqrt(variance(level) / n_baseline +
                variance(level + sign * difference) / n_canary);
  return error > 0 ? difference / error : HUGE_VAL;
}

double DetectionScale::Smallest(double distance) const {
  if (largest <= 0 || Distance(largest) < distance) return kUnknown;
  double low = 0;
  double high = largest;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (Distance(middle) < distance ? low : high) = middle;
  }
  return high;
}

void CheckScale(const DetectionScale& scale, const MetricTask& task,
                double total, std::string_view unit, Comparison* comparison) {
  EffectReport& effect = comparison->verdict.effect;
  const double needed = NeededZ(task);
  effect.detectable = scale.Smallest(needed);
  // What is 0 already cannot fall: there is nothing to find.
  if (scale.largest <= 0) return;
  const double wanted = std::min(effect.to_detect, scale.largest);
  const double distance = scale.Distance(wanted);
  if (distance >= needed) return;
  const double factor = needed / distance;
  const double more = std::ceil(total * (factor * factor - 1));
  comparison->sufficient = false;
  comparison->insufficient = {
      .code = ReasonCode::kTooUncertain,
      .text = fmt::format(
          "a change of {:.4g} would not be found in four cases of five: about "
          "{:.0f} more {} of the canary, and the baseline longer by as much",
          wanted, more, unit),
      .needed = more,
      .needed_unit = std::string(unit)};
}

}  // namespace vigie::canary
