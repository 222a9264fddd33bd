// irate and idelta.
#include <memory>
#include <utility>

#include "query/native_histogram.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

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
      if (histograms_last) return OfHistograms(run, window, step, out);
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
  absl::Status OfHistograms(const SampleRun& run, const Window& window,
                            int64_t step, StepSeries* out) {
    const size_t last = window.histogram_end - 1;
    const auto& starts = run.histogram_starts();
    const auto& times = run.histogram_times();
    const FloatHistogram& before = *run.histograms()[last - 1];
    const FloatHistogram& now = *run.histograms()[last];
    const bool gauges = before.reset_hint == CounterResetHint::kGauge &&
                        now.reset_hint == CounterResetHint::kGauge;
    const bool any_gauge = before.reset_hint == CounterResetHint::kGauge ||
                           now.reset_hint == CounterResetHint::kGauge;
    if (rate_ && any_gauge)
      context_.annotations.NotACounter(run.metric_name(), call_.argument);
    if (!rate_ && !gauges)
      context_.annotations.NotAGauge(run.metric_name(), call_.argument);
    const bool reset =
        rate_ &&
        (IsReset(before, now) ||
         (!starts.empty() && IsStartTimeReset(starts[last - 1], times[last - 1],
                                              starts[last], times[last])));
    HistogramSum difference(now);
    if (!reset && !difference.Subtract(before)) {
      context_.annotations.MixedSchemas(run.metric_name(), call_.argument);
      return absl::OkStatus();
    }
    if (difference.bounds_reconciled()) {
      context_.annotations.BoundsReconciled("subtraction", call_.argument);
    }
    FloatHistogram result = difference.Total();
    result.reset_hint = CounterResetHint::kGauge;
    Compact(&result);
    if (rate_) Divide(&result, Seconds(times[last] - times[last - 1]));
    return out->SetHistogram(
        step, std::make_shared<const FloatHistogram>(std::move(result)));
  }

  QueryContext& context_;
  const RangeCall& call_;
  const bool rate_;
};

}  // namespace

std::unique_ptr<RangeFunction> MakeLastTwoFunction(QueryContext* context,
                                                   const RangeCall& call) {
  if (call.name == "irate" || call.name == "idelta") {
    return std::make_unique<LastTwo>(context, call);
  }
  return nullptr;
}

}  // namespace vigie::query
