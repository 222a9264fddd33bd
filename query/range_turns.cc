// resets and changes.
#include <cmath>
#include <optional>
#include <vector>

#include "query/native_histogram.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// resets and changes: counts of positions, known for the whole run at once.
// Where floats and histograms follow each other, each change of kind counts.
class Turns final : public RangeFunction {
 public:
  explicit Turns(const RangeCall& call)
      : call_(call), resets_(call.name == "resets") {}

  absl::Status Begin(const SampleRun& run) override {
    float_turns_ = TurnsOf(run.times().size(), [&](size_t i) {
      return resets_ ? FloatReset(run, i) : FloatChange(run, i);
    });
    histogram_turns_ = TurnsOf(run.histograms().size(), [&](size_t i) {
      return resets_
                 ? HistogramReset(run, i)
                 : !SameSamples(*run.histograms()[i - 1], *run.histograms()[i]);
    });
    return absl::OkStatus();
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    size_t first = window.begin;
    if (call_.edges == Edges::kAnchored) {
      const auto& times = run.times();
      if (window.floats() == 0 || times[window.end - 1] <= window.start_ms) {
        return absl::OkStatus();
      }
      while (first + 1 < window.end && times[first + 1] <= window.start_ms) {
        ++first;
      }
    }
    int64_t turns = 0;
    if (window.histograms() == 0) {
      turns = Within(float_turns_, first, window.end);
    } else if (window.floats() == 0) {
      turns = Within(histogram_turns_, window.histogram_begin,
                     window.histogram_end);
    } else {
      turns = Mixed(run, window, first);
    }
    out->SetFloat(step, static_cast<double>(turns));
    return absl::OkStatus();
  }

 private:
  // [i]: turns at positions below i.
  template <class IsTurn>
  static std::vector<int64_t> TurnsOf(size_t samples, IsTurn is_turn) {
    std::vector<int64_t> turns(samples + 1);
    for (size_t i = 1; i < samples; ++i) {
      turns[i + 1] = turns[i] + (is_turn(i) ? 1 : 0);
    }
    return turns;
  }
  static int64_t Within(const std::vector<int64_t>& turns, size_t begin,
                        size_t end) {
    return turns[end] - turns[begin + 1];
  }

  // Walks both kinds in the order of time.
  int64_t Mixed(const SampleRun& run, const Window& window,
                size_t first) const {
    int64_t turns = 0;
    size_t f = first;
    size_t h = window.histogram_begin;
    std::optional<bool> was_histogram;
    while (f < window.end || h < window.histogram_end) {
      const bool histogram =
          f == window.end || (h < window.histogram_end &&
                              run.histogram_times()[h] < run.times()[f]);
      const size_t at = histogram ? h++ : f++;
      if (was_histogram.has_value()) {
        const auto& own = histogram ? histogram_turns_ : float_turns_;
        turns += *was_histogram != histogram ? 1 : own[at + 1] - own[at];
      }
      was_histogram = histogram;
    }
    return turns;
  }

  static bool FloatReset(const SampleRun& run, size_t i) {
    return run.values()[i] < run.values()[i - 1] ||
           (!run.starts().empty() &&
            IsStartTimeReset(run.starts()[i - 1], run.times()[i - 1],
                             run.starts()[i], run.times()[i]));
  }
  static bool FloatChange(const SampleRun& run, size_t i) {
    const double now = run.values()[i];
    const double before = run.values()[i - 1];
    return now != before && !(std::isnan(now) && std::isnan(before));
  }
  static bool HistogramReset(const SampleRun& run, size_t i) {
    const auto& starts = run.histogram_starts();
    const auto& times = run.histogram_times();
    return IsReset(*run.histograms()[i - 1], *run.histograms()[i]) ||
           (!starts.empty() &&
            IsStartTimeReset(starts[i - 1], times[i - 1], starts[i], times[i]));
  }

  const RangeCall& call_;
  const bool resets_;
  std::vector<int64_t> float_turns_;
  std::vector<int64_t> histogram_turns_;
};

}  // namespace

std::unique_ptr<RangeFunction> MakeTurnsFunction(const RangeCall& call) {
  if (call.name == "resets" || call.name == "changes") {
    return std::make_unique<Turns>(call);
  }
  return nullptr;
}

}  // namespace vigie::query
