// Instant selectors with `smoothed`: a value between two samples is on the line
// between them.
// Source: Prometheus's proposal PROM-52.
#include <algorithm>
#include <utility>
#include <vector>

#include "query/evaluator.h"
#include "query/native_histogram.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

class SmoothedStream final : public SeriesStream {
 public:
  SmoothedStream(QueryContext* context, const VectorSelector& selector,
                 const Steps& steps, std::unique_ptr<RunStream> runs)
      : context_(*context),
        selector_(selector),
        steps_(steps),
        runs_(std::move(runs)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, runs_->Next(&run_));
      if (!more) return false;
      VIGIE_RETURN_IF_ERROR(
          series->Init(&context_.account, run_.labels, false, steps_.count));
      for (int64_t step = 0; step < steps_.count; ++step) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        VIGIE_RETURN_IF_ERROR(SetCell(step, series));
      }
      if (series->AnyPresent()) return true;
    }
  }

 private:
  // The samples around a time, within lookback on both sides.
  struct Around {
    size_t before = 0;  // at or before the time, if has_before
    size_t after = 0;   // behind the time, if has_after
    bool has_before = false;
    bool has_after = false;
    bool any() const { return has_before || has_after; }
  };

  Around Find(const std::vector<int64_t>& times, int64_t time_ms) const {
    Around around;
    around.after = static_cast<size_t>(
        std::upper_bound(times.begin(), times.end(), time_ms) - times.begin());
    around.has_after =
        around.after < times.size() &&
        times[around.after] <= SaturatingAdd(time_ms, context_.lookback_ms);
    if (around.after > 0) {
      around.before = around.after - 1;
      around.has_before =
          times[around.before] > SaturatingSub(time_ms, context_.lookback_ms);
    }
    return around;
  }

  // How far `time_ms` is from the sample before to the one behind.
  static double Part(const std::vector<int64_t>& times, const Around& around,
                     int64_t time_ms) {
    return static_cast<double>(time_ms - times[around.before]) /
           static_cast<double>(times[around.after] - times[around.before]);
  }

  absl::Status SetCell(int64_t step, StepSeries* series) {
    const int64_t time_ms =
        WindowBounds(selector_.shift, 0, steps_.At(step)).end_ms;
    const Around floats = Find(run_.times(), time_ms);
    const Around histograms = Find(run_.histogram_times(), time_ms);
    if (floats.any() && histograms.any()) {
      WarnOfMixedSamples(&context_, run_, selector_.position);
      return absl::OkStatus();
    }
    if (floats.has_before) {
      series->SetFloat(step, FloatAt(floats, time_ms));
    } else if (histograms.has_before) {
      return SetHistogram(histograms, time_ms, step, series);
    }
    return absl::OkStatus();
  }

  double FloatAt(const Around& around, int64_t time_ms) const {
    const double before = run_.values()[around.before];
    if (!around.has_after || run_.times()[around.before] == time_ms) {
      return before;
    }
    const double after = run_.values()[around.after];
    return before + (after - before) * Part(run_.times(), around, time_ms);
  }

  absl::Status SetHistogram(const Around& around, int64_t time_ms, int64_t step,
                            StepSeries* series) {
    const HistogramRef& before = run_.histograms()[around.before];
    if (!around.has_after || run_.histogram_times()[around.before] == time_ms) {
      return series->SetHistogram(step, before);
    }
    const HistogramRef& after = run_.histograms()[around.after];
    const double part = Part(run_.histogram_times(), around, time_ms);
    // A counter that began again counts from nothing.
    const bool counter = before->reset_hint != CounterResetHint::kGauge &&
                         after->reset_hint != CounterResetHint::kGauge;
    const bool reset = counter && IsReset(*before, *after);
    FloatHistogram share = *after;
    Multiply(&share, part);
    HistogramSum sum(share);
    FloatHistogram rest = *before;
    Multiply(&rest, reset ? 0 : 1 - part);
    if (!sum.Add(rest)) {
      context_.annotations.MixedSchemas(run_.metric_name(), selector_.position);
      return absl::OkStatus();
    }
    FloatHistogram between = sum.Total();
    Compact(&between);
    return series->SetHistogram(
        step, std::make_shared<const FloatHistogram>(std::move(between)));
  }

  QueryContext& context_;
  const VectorSelector& selector_;
  const Steps steps_;
  const std::unique_ptr<RunStream> runs_;
  SampleRun run_;
};

}  // namespace

std::unique_ptr<SeriesStream> Smoothed(QueryContext* context,
                                       const VectorSelector& selector,
                                       const Steps& steps,
                                       std::unique_ptr<RunStream> runs) {
  return std::make_unique<SmoothedStream>(context, selector, steps,
                                          std::move(runs));
}

}  // namespace vigie::query
