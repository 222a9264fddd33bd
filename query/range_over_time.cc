// The *_over_time functions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "base/status_macros.h"
#include "query/native_histogram.h"
#include "query/neumaier.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// Tells, for the functions that look at floats alone, whether there are any.
bool OnlyFloats(QueryContext* context, const RangeCall& call,
                const SampleRun& run, const Window& window) {
  if (window.floats() == 0) return false;
  if (window.histograms() > 0) {
    InformOfIgnoredHistograms(context, run, call.argument);
  }
  return true;
}

// sum_over_time and avg_over_time.
class Sum final : public RangeFunction {
 public:
  Sum(QueryContext* context, const RangeCall& call)
      : context_(*context), call_(call), mean_(call.name == "avg_over_time") {}

  // Where all values are whole and all sums stay below 2^53, sums are exact
  // in any order, and a window's is the difference of two of them.
  absl::Status Begin(const SampleRun& run) override {
    constexpr double kExactMax = 9007199254740992.0;
    exact_.clear();
    const auto& values = run.values();
    double total = 0;
    double magnitude = 0;
    for (const double value : values) {
      magnitude += std::abs(value);
      if (!(magnitude < kExactMax) || value != std::trunc(value)) return OK();
    }
    exact_.reserve(values.size() + 1);
    exact_.push_back(0);
    for (const double value : values) exact_.push_back(total += value);
    return OK();
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (window.floats() > 0 && window.histograms() > 0) {
      WarnOfMixedSamples(&context_, run, call_.argument);
      return OK();
    }
    if (window.histograms() > 0) return OfHistograms(run, window, step, out);
    if (!exact_.empty()) {
      const double sum = exact_[window.end] - exact_[window.begin];
      out->SetFloat(step,
                    mean_ ? sum / static_cast<double>(window.floats()) : sum);
      return OK();
    }
    out->SetFloat(step, mean_ ? Mean(run, window) : Total(run, window));
    return OK();
  }

 private:
  static absl::Status OK() { return absl::OkStatus(); }

  absl::Status OfHistograms(const SampleRun& run, const Window& window,
                            int64_t step, StepSeries* out) {
    const auto& histograms = run.histograms();
    const FloatHistogram& first = *histograms[window.histogram_begin];
    if (mean_) {
      HistogramMean mean(first);
      VIGIE_ASSIGN_OR_RETURN(const bool fits, AddAll(run, window, &mean));
      return fits ? Set(mean.sum(), mean.Mean(), step, out) : OK();
    }
    HistogramSum sum(first);
    VIGIE_ASSIGN_OR_RETURN(const bool fits, AddAll(run, window, &sum));
    return fits ? Set(sum, sum.Total(), step, out) : OK();
  }

  // False if buckets of both kinds meet.
  template <class Value>
  absl::StatusOr<bool> AddAll(const SampleRun& run, const Window& window,
                              Value* value) {
    for (size_t i = window.histogram_begin + 1; i < window.histogram_end; ++i) {
      const FloatHistogram& histogram = *run.histograms()[i];
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen(WorkOf(histogram)));
      if (!value->Add(histogram)) {
        context_.annotations.MixedSchemas(run.metric_name(), call_.argument);
        return false;
      }
    }
    return true;
  }

  absl::Status Set(const HistogramSum& sum, FloatHistogram result, int64_t step,
                   StepSeries* out) {
    if (sum.resets_collided()) {
      context_.annotations.ResetsCollided("aggregation", call_.argument);
    }
    if (sum.bounds_reconciled()) {
      context_.annotations.BoundsReconciled("aggregation", call_.argument);
    }
    return out->SetHistogram(
        step, std::make_shared<const FloatHistogram>(std::move(result)));
  }

  static double Total(const SampleRun& run, const Window& window) {
    Neumaier sum;
    for (size_t i = window.begin; i < window.end; ++i) {
      sum.Add(run.values()[i]);
    }
    return std::isinf(sum.sum) ? sum.sum : sum.Total();
  }

  // The sum over the count; the mean kept as it goes once the sum overflows.
  static double Mean(const SampleRun& run, const Window& window) {
    Neumaier sum;
    sum.sum = run.values()[window.begin];
    bool incremental = false;
    double count = 1;
    for (size_t i = window.begin + 1; i < window.end; ++i) {
      const double value = run.values()[i];
      count += 1;
      if (!incremental) {
        Neumaier next = sum;
        next.Add(value);
        if (!std::isinf(next.sum)) {
          sum = next;
          continue;
        }
        incremental = true;
        sum.sum /= count - 1;
        sum.compensation /= count - 1;
      }
      const double share = (count - 1) / count;
      sum.sum *= share;
      sum.compensation *= share;
      sum.Add(value / count);
    }
    if (incremental) return sum.Total();
    return sum.sum / count + sum.compensation / count;
  }

  QueryContext& context_;
  const RangeCall& call_;
  const bool mean_;
  std::vector<double> exact_;  // [i]: the sum of the values below i
};

// min_over_time and max_over_time: a queue of the samples that may still
// become the extreme of a later window.
class Extreme final : public RangeFunction {
 public:
  Extreme(QueryContext* context, const RangeCall& call)
      : context_(*context), call_(call), max_(call.name == "max_over_time") {}

  absl::Status Begin(const SampleRun&) override {
    candidates_.clear();
    next_ = 0;
    return absl::OkStatus();
  }

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (!OnlyFloats(&context_, call_, run, window)) return absl::OkStatus();
    const auto& values = run.values();
    next_ = std::max(next_, window.begin);
    for (; next_ < window.end; ++next_) {
      const double value = values[next_];
      if (std::isnan(value)) continue;
      while (!candidates_.empty() &&
             (max_ ? values[candidates_.back()] < value
                   : values[candidates_.back()] > value)) {
        candidates_.pop_back();
      }
      candidates_.push_back(next_);
    }
    while (!candidates_.empty() && candidates_.front() < window.begin) {
      candidates_.pop_front();
    }
    // NaN only if there is nothing else.
    out->SetFloat(step, candidates_.empty() ? values[window.end - 1]
                                            : values[candidates_.front()]);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool max_;
  std::deque<size_t> candidates_;
  size_t next_ = 0;
};

// ts_of_min_over_time and ts_of_max_over_time: of the latest extreme.
class TimeOfExtreme final : public RangeFunction {
 public:
  TimeOfExtreme(QueryContext* context, const RangeCall& call)
      : context_(*context),
        call_(call),
        max_(call.name == "ts_of_max_over_time") {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (!OnlyFloats(&context_, call_, run, window)) return absl::OkStatus();
    const auto& values = run.values();
    size_t best = window.begin;
    for (size_t i = window.begin; i < window.end; ++i) {
      if ((max_ ? values[i] >= values[best] : values[i] <= values[best]) ||
          std::isnan(values[best])) {
        best = i;
      }
    }
    out->SetFloat(step, static_cast<double>(run.times()[best]) / 1000);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool max_;
};

// count, present, first, last, ts_of_first, ts_of_last: the ends of a window.
class Ends final : public RangeFunction {
 public:
  enum class What { kCount, kPresent, kFirst, kLast, kFirstTime, kLastTime };
  explicit Ends(What what) : what_(what) {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    switch (what_) {
      case What::kCount:
        out->SetFloat(
            step, static_cast<double>(window.floats() + window.histograms()));
        return absl::OkStatus();
      case What::kPresent:
        out->SetFloat(step, 1);
        return absl::OkStatus();
      case What::kFirst:
      case What::kFirstTime: {
        const bool histogram = window.histograms() > 0 &&
                               (window.floats() == 0 ||
                                run.histogram_times()[window.histogram_begin] <=
                                    run.times()[window.begin]);
        return Set(run, histogram, window.begin, window.histogram_begin,
                   what_ == What::kFirstTime, step, out);
      }
      case What::kLast:
      case What::kLastTime: {
        const bool histogram =
            window.histograms() > 0 &&
            (window.floats() == 0 ||
             run.histogram_times()[window.histogram_end - 1] >=
                 run.times()[window.end - 1]);
        return Set(run, histogram, window.end - 1, window.histogram_end - 1,
                   what_ == What::kLastTime, step, out);
      }
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Set(const SampleRun& run, bool histogram, size_t at,
                          size_t histogram_at, bool time, int64_t step,
                          StepSeries* out) {
    if (time) {
      const int64_t time_ms =
          histogram ? run.histogram_times()[histogram_at] : run.times()[at];
      out->SetFloat(step, static_cast<double>(time_ms) / 1000);
      return absl::OkStatus();
    }
    if (histogram) {
      return out->SetHistogram(step, run.histograms()[histogram_at]);
    }
    out->SetFloat(step, run.values()[at]);
    return absl::OkStatus();
  }

  const What what_;
};

// stddev_over_time and stdvar_over_time: Welford's update, compensated.
class Variance final : public RangeFunction {
 public:
  Variance(QueryContext* context, const RangeCall& call)
      : context_(*context),
        call_(call),
        root_(call.name == "stddev_over_time") {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (!OnlyFloats(&context_, call_, run, window)) return absl::OkStatus();
    double count = 0;
    Neumaier mean;
    Neumaier squares;
    for (size_t i = window.begin; i < window.end; ++i) {
      const double value = run.values()[i];
      count += 1;
      const double delta = value - mean.Total();
      mean.Add(delta / count);
      squares.Add(delta * (value - mean.Total()));
    }
    const double variance = squares.Total() / count;
    out->SetFloat(step, root_ ? std::sqrt(variance) : variance);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool root_;
};

// quantile_over_time and mad_over_time.
class Quantile final : public RangeFunction {
 public:
  Quantile(QueryContext* context, const RangeCall& call)
      : context_(*context), call_(call), mad_(call.name == "mad_over_time") {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    if (!OnlyFloats(&context_, call_, run, window)) return absl::OkStatus();
    const auto begin = run.values().begin();
    values_.assign(begin + static_cast<int64_t>(window.begin),
                   begin + static_cast<int64_t>(window.end));
    if (!mad_) {
      const double q = call_.scalars[0].At(step);
      WarnOfQuantile(&context_, q, call_.argument);
      out->SetFloat(step, QuantileOf(q, &values_));
      return absl::OkStatus();
    }
    if (std::any_of(values_.begin(), values_.end(),
                    [](double value) { return std::isnan(value); })) {
      out->SetFloat(step, std::numeric_limits<double>::quiet_NaN());
      return absl::OkStatus();
    }
    const double median = QuantileOf(0.5, &values_);
    for (double& value : values_) value = std::abs(value - median);
    out->SetFloat(step, QuantileOf(0.5, &values_));
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool mad_;
  std::vector<double> values_;
};

}  // namespace

double QuantileOf(double q, std::vector<double>* values) {
  if (values->empty() || std::isnan(q)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  std::sort(values->begin(), values->end(), [](double a, double b) {
    if (std::isnan(a)) return !std::isnan(b);
    return a < b;
  });
  const double n = static_cast<double>(values->size());
  const double rank = q * (n - 1);
  const double lower = std::max(0.0, std::floor(rank));
  const double upper = std::min(n - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  return (*values)[static_cast<size_t>(lower)] * (1 - weight) +
         (*values)[static_cast<size_t>(upper)] * weight;
}

std::unique_ptr<RangeFunction> MakeOverTimeFunction(QueryContext* context,
                                                    const RangeCall& call) {
  const std::string_view name = call.name;
  if (name == "sum_over_time" || name == "avg_over_time") {
    return std::make_unique<Sum>(context, call);
  }
  if (name == "min_over_time" || name == "max_over_time") {
    return std::make_unique<Extreme>(context, call);
  }
  if (name == "ts_of_min_over_time" || name == "ts_of_max_over_time") {
    return std::make_unique<TimeOfExtreme>(context, call);
  }
  if (name == "stddev_over_time" || name == "stdvar_over_time") {
    return std::make_unique<Variance>(context, call);
  }
  if (name == "quantile_over_time" || name == "mad_over_time") {
    return std::make_unique<Quantile>(context, call);
  }
  constexpr std::pair<std::string_view, Ends::What> kEnds[] = {
      {"count_over_time", Ends::What::kCount},
      {"present_over_time", Ends::What::kPresent},
      {"first_over_time", Ends::What::kFirst},
      {"last_over_time", Ends::What::kLast},
      {"ts_of_first_over_time", Ends::What::kFirstTime},
      {"ts_of_last_over_time", Ends::What::kLastTime},
  };
  for (const auto& [ends, what] : kEnds) {
    if (name == ends) return std::make_unique<Ends>(what);
  }
  return nullptr;
}

}  // namespace vigie::query
