// rate, increase, delta, irate, idelta, resets, changes.
// Source: Prometheus 3: extrapolation to the edges of the window, and its
// proposal PROM-52 for anchored and smoothed edges.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "query/range_function.h"

namespace vigie::query {
namespace {

absl::Status HistogramsUnimplemented(std::string_view function) {
  return absl::UnimplementedError(
      fmt::format("{}: native histograms are not evaluated yet", function));
}

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

// Positions of a run where a counter fell, each once: a window sums over the
// few resets within it instead of over all samples.
class ResetList {
 public:
  void Begin(const SampleRun& run) {
    resets_.clear();
    first_ = 0;
    const auto& values = run.values();
    for (size_t i = 1; i < values.size(); ++i) {
      if (values[i] < values[i - 1] ||
          (!run.starts().empty() &&
           IsStartTimeReset(run.starts()[i - 1], run.times()[i - 1],
                            run.starts()[i], run.times()[i]))) {
        resets_.push_back(i);
      }
    }
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
  std::vector<size_t> resets_;
  size_t first_ = 0;
};

// rate, increase and delta.
class Rate final : public RangeFunction {
 public:
  Rate(QueryContext* context, const RangeCall& call)
      : context_(*context),
        call_(call),
        counter_(call.name != "delta"),
        per_second_(call.name == "rate") {}

  absl::Status Begin(const SampleRun& run) override {
    if (counter_) resets_.Begin(run);
    overlap_warned_ = false;
    return absl::OkStatus();
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (window.floats() > 0 && window.histograms() > 0) {
      WarnOfMixedSamples(&context_, run, call_.argument);
      return absl::OkStatus();
    }
    if (window.histograms() > 0) return HistogramsUnimplemented(call_.name);
    if (call_.edges == Edges::kPlain) {
      Extrapolated(run, window, step, out);
    } else {
      Extended(run, window, step, out);
    }
    return absl::OkStatus();
  }

 private:
  void Extrapolated(const SampleRun& run, const Window& window, int64_t step,
                    StepSeries* out) {
    const auto& times = run.times();
    const auto& values = run.values();
    const size_t first = window.begin;
    const size_t last = window.end - 1;
    double result = values[last] - values[first];
    if (counter_) {
      WarnOfOverlap(run, window);
      resets_.ForEach(first, window.end,
                      [&](size_t at) { result += values[at - 1]; });
    }
    double to_start = Seconds(times[first] - window.start_ms);
    double to_end = Seconds(window.end_ms - times[last]);
    double sampled = Seconds(times[last] - times[first]);
    const double gaps = static_cast<double>(last - first);
    const double gap = gaps > 0 ? sampled / gaps : 0;
    // Farther away than this from an edge, the series is taken to begin or
    // end within the window.
    const double threshold = gap * 1.1;
    const int64_t start = run.starts().empty() ? 0 : run.starts()[first];
    if (counter_ && start != 0 && start > window.start_ms &&
        start < times[first]) {
      // The counter began within the window, at zero.
      to_start = 0;
      sampled = Seconds(times[last] - start);
      result += values[first];
    } else if (first == last) {
      return;
    } else {
      if (to_start >= threshold) to_start = gap / 2;
      if (counter_) {
        double to_zero = to_start;
        if (result > 0 && values[first] >= 0) {
          to_zero = sampled * (values[first] / result);
        }
        to_start = std::min(to_start, to_zero);
      }
    }
    if (to_end >= threshold) to_end = gap / 2;
    double factor = 1;
    if (sampled != 0) factor = (sampled + to_start + to_end) / sampled;
    if (per_second_) factor /= Seconds(call_.range_ms);
    out->SetFloat(step, result * factor);
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
  ResetList resets_;
  bool overlap_warned_ = false;
};

// irate and idelta: of the last two samples.
class LastTwo final : public RangeFunction {
 public:
  LastTwo(QueryContext* context, const RangeCall& call)
      : context_(*context), call_(call), rate_(call.name == "irate") {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (window.floats() + window.histograms() < 2) return absl::OkStatus();
    if (window.histograms() > 0) {
      // Of which kind are the last two?
      const auto& times = run.times();
      const auto& histogram_times = run.histogram_times();
      const size_t h = window.histogram_end;
      const bool floats_last = window.floats() >= 2 &&
                               times[window.end - 2] > histogram_times[h - 1];
      const bool histograms_last =
          window.histograms() >= 2 &&
          (window.floats() == 0 ||
           histogram_times[h - 2] > times[window.end - 1]);
      if (histograms_last) return HistogramsUnimplemented(call_.name);
      if (!floats_last) {
        WarnOfMixedSamples(&context_, run, call_.argument);
        return absl::OkStatus();
      }
    }
    const size_t last = window.end - 1;
    const int64_t interval = run.times()[last] - run.times()[last - 1];
    const double previous = run.values()[last - 1];
    double result = run.values()[last];
    const bool reset =
        rate_ &&
        (result < previous ||
         (!run.starts().empty() &&
          IsStartTimeReset(run.starts()[last - 1], run.times()[last - 1],
                           run.starts()[last], run.times()[last])));
    if (!reset) result -= previous;
    if (rate_) result /= Seconds(interval);
    out->SetFloat(step, result);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool rate_;
};

// resets and changes: counts of positions, known for the whole run at once.
class Turns final : public RangeFunction {
 public:
  explicit Turns(const RangeCall& call)
      : call_(call), resets_(call.name == "resets") {}

  absl::Status Begin(const SampleRun& run) override {
    const auto& values = run.values();
    turns_before_.assign(values.size() + 1, 0);
    for (size_t i = 1; i < values.size(); ++i) {
      turns_before_[i + 1] = turns_before_[i] + (IsTurn(run, i) ? 1 : 0);
    }
    return absl::OkStatus();
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (window.histograms() > 0) return HistogramsUnimplemented(call_.name);
    size_t first = window.begin;
    if (call_.edges == Edges::kAnchored) {
      const auto& times = run.times();
      if (times[window.end - 1] <= window.start_ms) return absl::OkStatus();
      while (first + 1 < window.end && times[first + 1] <= window.start_ms) {
        ++first;
      }
    }
    out->SetFloat(step, static_cast<double>(turns_before_[window.end] -
                                            turns_before_[first + 1]));
    return absl::OkStatus();
  }

 private:
  bool IsTurn(const SampleRun& run, size_t i) const {
    const double now = run.values()[i];
    const double before = run.values()[i - 1];
    if (resets_) {
      return now < before ||
             (!run.starts().empty() &&
              IsStartTimeReset(run.starts()[i - 1], run.times()[i - 1],
                               run.starts()[i], run.times()[i]));
    }
    return now != before && !(std::isnan(now) && std::isnan(before));
  }

  const RangeCall& call_;
  const bool resets_;
  std::vector<int64_t> turns_before_;  // [i]: turns at positions below i
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
  if (call.name == "irate" || call.name == "idelta") {
    return std::make_unique<LastTwo>(context, call);
  }
  if (call.name == "resets" || call.name == "changes") {
    return std::make_unique<Turns>(call);
  }
  return nullptr;
}

}  // namespace vigie::query
