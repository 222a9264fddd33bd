// rate, increase, delta.
// Source: Prometheus 3: extrapolation to the edges of the window, and its
// proposal PROM-52 for anchored and smoothed edges.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "query/extrapolation.h"
#include "query/native_histogram.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// Positions of a run where a counter began again, each once: a window sums
// over the few resets within it instead of over all samples.
class ResetList {
 public:
  void BeginFloats(const SampleRun& run) {
    const double* const values = run.values().data();
    const auto fell = [&](size_t i) { return values[i] < values[i - 1]; };
    if (!run.starts().empty()) return Begin(run.times(), run.starts(), fell);
    // Most have none: looks at several at once.
    constexpr size_t kAtOnce = 16;
    resets_.clear();
    first_ = 0;
    size_t i = 1;
    for (; i + kAtOnce <= run.times().size(); i += kAtOnce) {
      int any = 0;
      for (size_t j = 0; j < kAtOnce; ++j) any |= fell(i + j) ? 1 : 0;
      if (any == 0) continue;
      for (size_t j = 0; j < kAtOnce; ++j) {
        if (fell(i + j)) resets_.push_back(i + j);
      }
    }
    for (; i < run.times().size(); ++i) {
      if (fell(i)) resets_.push_back(i);
    }
  }
  void BeginHistograms(const SampleRun& run) {
    Begin(run.histogram_times(), run.histogram_starts(), [&](size_t i) {
      return IsReset(*run.histograms()[i - 1], *run.histograms()[i]);
    });
  }

  // Calls `f` with each position in (begin, end). `begin` never falls.
  template <class F>
  void ForEach(size_t begin, size_t end, F f) {
    while (first_ < resets_.size() && resets_[first_] <= begin) ++first_;
    for (size_t i = first_; i < resets_.size() && resets_[i] < end; ++i) {
      f(resets_[i]);
    }
  }

 private:
  template <class Fell>
  void Begin(const std::vector<int64_t>& times,
             const std::vector<int64_t>& starts, Fell fell) {
    resets_.clear();
    first_ = 0;
    for (size_t i = 1; i < times.size(); ++i) {
      if (fell(i) ||
          (!starts.empty() && IsStartTimeReset(starts[i - 1], times[i - 1],
                                               starts[i], times[i]))) {
        resets_.push_back(i);
      }
    }
  }

  std::vector<size_t> resets_;
  size_t first_ = 0;
};

// What a kind of samples gives to the extrapolation to a window's edges.
struct Sampled {
  const std::vector<int64_t>& times;
  const std::vector<int64_t>& starts;
  size_t begin = 0;
  size_t end = 0;
};

// rate, increase and delta.
class Rate final : public RangeFunction {
 public:
  Rate(QueryContext* context, const RangeCall& call)
      : context_(*context),
        call_(call),
        counter_(call.name != "delta"),
        per_second_(call.name == "rate"),
        extrapolator_(counter_, per_second_, call.range_ms) {}

  absl::Status Begin(const SampleRun& run) override {
    if (counter_) {
      resets_.BeginFloats(run);
      for (const HistogramRef& histogram : run.histograms()) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen(WorkOf(*histogram)));
      }
      histogram_resets_.BeginHistograms(run);
    }
    overlap_warned_ = false;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> EvaluateAll(const SampleRun& run, const WindowGrid& grid,
                                   StepSeries* out) override {
    if (call_.edges != Edges::kPlain || !run.starts().empty() ||
        !run.histograms().empty()) {
      return false;
    }
    VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen(
        run.times().size() + static_cast<size_t>(grid.count)));
    GridWindows windows;
    const AlikeWindows alike = WindowsAlike(run.times(), grid);
    EachAsItLies(run, grid, 0, alike.begin, &windows, out);
    AllAlike(run, grid, alike, out);
    EachAsItLies(run, grid, alike.end, grid.count, &windows, out);
    return true;
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (window.floats() > 0 && window.histograms() > 0) {
      WarnOfMixedSamples(&context_, run, call_.argument);
      return absl::OkStatus();
    }
    if (window.histograms() > 0) {
      return call_.edges == Edges::kPlain
                 ? OfHistograms(run, window, step, out)
                 : ExtendedHistograms(run, window, step, out);
    }
    if (call_.edges == Edges::kPlain) {
      Extrapolated(run, window, step, out);
    } else {
      Extended(run, window, step, out);
    }
    return absl::OkStatus();
  }

 private:
  // Where the windows of a grid lie in a run, one after the other.
  struct GridWindows {
    Edge begins, ends;
    Extrapolation extrapolation;
  };

  // The increase over the samples [begin, end) of a run.
  double Increase(const double* values, size_t begin, size_t end) {
    double result = values[end - 1] - values[begin];
    if (counter_) {
      resets_.ForEach(begin, end, [&](size_t at) { result += values[at - 1]; });
    }
    return result;
  }

  // Steps [from, to), whatever their windows hold.
  void EachAsItLies(const SampleRun& run, const WindowGrid& grid, int64_t from,
                    int64_t to, GridWindows* windows, StepSeries* out) {
    const std::vector<int64_t>& times = run.times();
    const double* const values = run.values().data();
    Extrapolation& extrapolation = windows->extrapolation;
    for (int64_t step = from; step < to; ++step) {
      const int64_t start_ms = grid.first.start_ms + step * grid.step_ms;
      const int64_t end_ms = grid.first.end_ms + step * grid.step_ms;
      const size_t end = windows->ends.MoveTo(end_ms, times);
      const size_t begin = windows->begins.MoveTo(start_ms, times);
      if (end - begin < 2) continue;
      const double result = Increase(values, begin, end);
      const Distances distances = {.to_start_ms = times[begin] - start_ms,
                                   .span_ms = times[end - 1] - times[begin],
                                   .to_end_ms = end_ms - times[end - 1],
                                   .gaps = end - 1 - begin};
      if (distances != extrapolation.distances) {
        extrapolation = extrapolator_.Of(distances);
      }
      out->SetFloat(step, result * extrapolator_.Factor(extrapolation,
                                                        values[begin], result));
    }
  }

  void AllAlike(const SampleRun& run, const WindowGrid& grid,
                const AlikeWindows& alike, StepSeries* out) {
    if (alike.begin == alike.end || alike.samples < 2) return;
    const std::vector<int64_t>& times = run.times();
    const double* const values = run.values().data();
    const size_t last = alike.first + alike.samples - 1;
    const Extrapolation extrapolation = extrapolator_.Of(
        {.to_start_ms = times[alike.first] -
                        (grid.first.start_ms + alike.begin * grid.step_ms),
         .span_ms = times[last] - times[alike.first],
         .to_end_ms =
             grid.first.end_ms + alike.begin * grid.step_ms - times[last],
         .gaps = alike.samples - 1});
    size_t begin = alike.first;
    for (int64_t step = alike.begin; step < alike.end; ++step) {
      const double result = Increase(values, begin, begin + alike.samples);
      out->SetFloat(step, result * extrapolator_.Factor(extrapolation,
                                                        values[begin], result));
      begin += alike.moved;
    }
  }

  void Extrapolated(const SampleRun& run, const Window& window, int64_t step,
                    StepSeries* out) {
    const auto& values = run.values();
    const size_t first = window.begin;
    if (counter_) WarnOfOverlap(run, window);
    double result = Increase(values.data(), first, window.end);
    const Sampled sampled{run.times(), run.starts(), window.begin, window.end};
    const bool begins = BeginsWithin(sampled, window);
    if (begins) result += values[first];
    if (!begins && window.floats() < 2) return;
    out->SetFloat(step,
                  result * Factor(sampled, window, values[first], result));
  }

  absl::Status OfHistograms(const SampleRun& run, const Window& window,
                            int64_t step, StepSeries* out) {
    const auto& histograms = run.histograms();
    const Sampled sampled{run.histogram_times(), run.histogram_starts(),
                          window.histogram_begin, window.histogram_end};
    const bool begins = BeginsWithin(sampled, window);
    if (!begins && window.histograms() < 2) return absl::OkStatus();
    VIGIE_ASSIGN_OR_RETURN(std::optional<FloatHistogram> increase,
                           HistogramIncrease(run, window, begins));
    if (!increase.has_value()) return absl::OkStatus();
    Multiply(&*increase,
             Factor(sampled, window, histograms[sampled.begin]->count,
                    increase->count));
    return out->SetHistogram(
        step, std::make_shared<const FloatHistogram>(*std::move(increase)));
  }

  // From the first histogram of the window to the last, or from nothing to the
  // last if the counter `begins` within; none if their buckets do not fit.
  absl::StatusOr<std::optional<FloatHistogram>> HistogramIncrease(
      const SampleRun& run, const Window& window, bool begins) {
    const auto& histograms = run.histograms();
    const size_t first = window.histogram_begin;
    const size_t last = window.histogram_end - 1;
    WarnOfKind(run, window);
    std::vector<size_t> resets;
    if (counter_) {
      histogram_resets_.ForEach(first, window.histogram_end,
                                [&](size_t at) { resets.push_back(at); });
    }
    // Before a reset right behind it the first is not looked at.
    const bool skips_first = !resets.empty() && resets[0] == first + 1;
    int32_t schema = histograms[last]->schema;
    const bool custom = HasCustomBuckets(*histograms[last]);
    for (size_t i = skips_first ? first + 1 : first; i < last; ++i) {
      if (!counter_ && i > first) break;
      if (HasCustomBuckets(*histograms[i]) != custom) {
        context_.annotations.MixedSchemas(run.metric_name(), call_.argument);
        return std::nullopt;
      }
      schema = std::min(schema, histograms[i]->schema);
    }
    FloatHistogram at_last = *histograms[last];
    ReduceResolution(&at_last, schema);
    HistogramSum increase(at_last);
    if (!skips_first && !begins) {
      increase.Subtract(*histograms[first]);
      if (increase.bounds_reconciled()) {
        context_.annotations.BoundsReconciled("subtraction", call_.argument);
      }
    }
    HistogramSum total(increase.Total());
    for (const size_t at : resets) {
      VIGIE_RETURN_IF_ERROR(
          context_.CheckNowAndThen(WorkOf(*histograms[at - 1])));
      if (at == first + 1 && !begins) continue;
      total.Add(*histograms[at - 1]);
    }
    if (total.bounds_reconciled()) {
      context_.annotations.BoundsReconciled("addition", call_.argument);
    }
    FloatHistogram result = total.Total();
    result.reset_hint = CounterResetHint::kGauge;
    Compact(&result);
    return result;
  }

  // As for floats, by what each pair of neighbours adds: all of it, or the part
  // of it that lies within the window (smoothed).
  absl::Status ExtendedHistograms(const SampleRun& run, const Window& window,
                                  int64_t step, StepSeries* out) {
    const auto& times = run.histogram_times();
    const auto& histograms = run.histograms();
    const bool smoothed = call_.edges == Edges::kSmoothed;
    const auto at = [&](size_t i) {
      return times.begin() + static_cast<int64_t>(i);
    };
    size_t last = window.histogram_end - 1;
    size_t first = std::upper_bound(at(window.histogram_begin), at(last),
                                    window.start_ms) -
                   times.begin();
    if (first > window.histogram_begin) --first;
    if (smoothed) {
      last =
          std::lower_bound(at(first), at(last), window.end_ms) - times.begin();
    }
    if (times[last] <= window.start_ms) return absl::OkStatus();
    if (smoothed && times[first] > window.end_ms) return absl::OkStatus();
    Window looked_at = window;
    looked_at.histogram_begin = first;
    looked_at.histogram_end = last + 1;
    WarnOfKind(run, looked_at);
    FloatHistogram nothing = *histograms[first];
    Multiply(&nothing, 0);
    nothing.reset_hint = CounterResetHint::kUnknown;
    HistogramSum increase(nothing);
    bool fits = true;
    for (size_t i = first; i < last; ++i) {
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen(WorkOf(*histograms[i])));
      double part = 1;
      if (smoothed) {
        const int64_t from = std::max(times[i], window.start_ms);
        const int64_t to = std::min(times[i + 1], window.end_ms);
        part = static_cast<double>(to - from) /
               static_cast<double>(times[i + 1] - times[i]);
      }
      const bool reset =
          counter_ && IsReset(*histograms[i], *histograms[i + 1]);
      FloatHistogram scaled = *histograms[i + 1];
      Multiply(&scaled, part);
      fits = fits && increase.Add(scaled);
      if (reset) continue;
      scaled = *histograms[i];
      Multiply(&scaled, part);
      fits = fits && increase.Subtract(scaled);
    }
    if (!fits) {
      context_.annotations.MixedSchemas(run.metric_name(), call_.argument);
      return absl::OkStatus();
    }
    if (increase.bounds_reconciled()) {
      context_.annotations.BoundsReconciled("subtraction", call_.argument);
    }
    FloatHistogram result = increase.Total();
    if (per_second_) Divide(&result, Seconds(call_.range_ms));
    result.reset_hint = CounterResetHint::kGauge;
    Compact(&result);
    return out->SetHistogram(
        step, std::make_shared<const FloatHistogram>(std::move(result)));
  }

  // A gauge where a counter is expected, or the other way round.
  void WarnOfKind(const SampleRun& run, const Window& window) {
    const auto gauge = [&](size_t i) {
      return run.histograms()[i]->reset_hint == CounterResetHint::kGauge;
    };
    if (!counter_) {
      if (!gauge(window.histogram_begin) || !gauge(window.histogram_end - 1)) {
        context_.annotations.NotAGauge(run.metric_name(), call_.argument);
      }
      return;
    }
    for (size_t i = window.histogram_begin; i < window.histogram_end; ++i) {
      if (gauge(i)) {
        context_.annotations.NotACounter(run.metric_name(), call_.argument);
        return;
      }
    }
  }

  // The counter began within the window, at zero.
  bool BeginsWithin(const Sampled& sampled, const Window& window) const {
    if (!counter_ || sampled.starts.empty()) return false;
    const int64_t start = sampled.starts[sampled.begin];
    return start != 0 && start > window.start_ms &&
           start < sampled.times[sampled.begin];
  }

  // What the increase between the first and the last sample is multiplied
  // with, so that it is that of the window. `first` is the value (of a
  // histogram: its count) that it increased from.
  double Factor(const Sampled& sampled, const Window& window, double first,
                double increase) const {
    const int64_t first_ms = sampled.times[sampled.begin];
    const int64_t last_ms = sampled.times[sampled.end - 1];
    const Extrapolation extrapolation =
        extrapolator_.Of({.to_start_ms = first_ms - window.start_ms,
                          .span_ms = last_ms - first_ms,
                          .to_end_ms = window.end_ms - last_ms,
                          .gaps = sampled.end - 1 - sampled.begin});
    if (BeginsWithin(sampled, window)) {
      const double span = Seconds(last_ms - sampled.starts[sampled.begin]);
      return extrapolator_.Factor(span, 0, extrapolation.to_end);
    }
    return extrapolator_.Factor(extrapolation, first, increase);
  }

  // The value at `time_ms` on the line from sample i to sample i + 1.
  double Interpolated(const SampleRun& run, size_t i, int64_t time_ms) const {
    double from = run.values()[i];
    const double to = run.values()[i + 1];
    if (counter_ && to < from) from = 0;
    return from + (to - from) * static_cast<double>(time_ms - run.times()[i]) /
                      static_cast<double>(run.times()[i + 1] - run.times()[i]);
  }

  // anchored: from the sample at or before the left edge; smoothed: both
  // edges on the lines between the samples around them.
  void Extended(const SampleRun& run, const Window& window, int64_t step,
                StepSeries* out) {
    const auto& times = run.times();
    const auto& values = run.values();
    const bool smoothed = call_.edges == Edges::kSmoothed;
    size_t last = window.end - 1;
    const auto begin = times.begin() + static_cast<int64_t>(window.begin);
    const auto end = times.begin() + static_cast<int64_t>(last);
    size_t first =
        std::upper_bound(begin, end, window.start_ms) - times.begin();
    if (first > window.begin) --first;
    if (smoothed) {
      last = std::lower_bound(begin, end, window.end_ms) - times.begin();
    }
    if (times[last] <= window.start_ms) return;
    if (smoothed && times[first] > window.end_ms) return;
    const double left = smoothed && times[first] < window.start_ms
                            ? Interpolated(run, first, window.start_ms)
                            : values[first];
    const double right =
        smoothed && last > window.begin && times[last] > window.end_ms
            ? Interpolated(run, last - 1, window.end_ms)
            : values[last];
    double result = right - left;
    if (counter_) {
      if (times[first] <= window.start_ms) ++first;
      size_t stop = last + 1;
      if (times[last] >= window.end_ms) --stop;
      double previous = left;
      for (size_t i = first; i < stop; ++i) {
        if (values[i] < previous) result += previous;
        previous = values[i];
      }
      if (right < previous) result += previous;
    }
    if (per_second_) result /= Seconds(call_.range_ms);
    out->SetFloat(step, result);
  }

  // Start times before the sample before, that are not its own, are wrong.
  void WarnOfOverlap(const SampleRun& run, const Window& window) {
    if (overlap_warned_ || run.starts().empty()) return;
    for (size_t i = window.begin + 1; i < window.end; ++i) {
      const int64_t start = run.starts()[i];
      if (start != 0 && start < run.times()[i - 1] &&
          start != run.starts()[i - 1]) {
        overlap_warned_ = true;
        context_.annotations.Warn(
            fmt::format("overlapping start timestamp detected for metric name "
                        "{}",
                        Quoted(run.metric_name())),
            call_.argument);
        return;
      }
    }
  }

  QueryContext& context_;
  const RangeCall& call_;
  const bool counter_;
  const bool per_second_;
  const Extrapolator extrapolator_;
  ResetList resets_;
  ResetList histogram_resets_;
  bool overlap_warned_ = false;
};

}  // namespace

bool IsStartTimeReset(int64_t previous_start, int64_t previous_time,
                      int64_t start, int64_t time) {
  // Unknown, invalid, or OpenTelemetry's "unknown start".
  if (start == 0 || start >= time) return false;
  if (start != previous_time) return start > previous_time;
  // At the sample before: a delta series, unless that one's start is unknown.
  if (previous_start > previous_time) return false;
  return previous_start != 0 && previous_start != previous_time;
}

std::unique_ptr<RangeFunction> MakeRateFunction(QueryContext* context,
                                                const RangeCall& call) {
  if (call.name == "rate" || call.name == "increase" || call.name == "delta") {
    return std::make_unique<Rate>(context, call);
  }
  return nullptr;
}

}  // namespace vigie::query
