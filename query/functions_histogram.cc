// histogram_quantile, histogram_quantiles and histogram_fraction on classic and
// native histograms, and the functions of native ones.
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "query/evaluator.h"
#include "query/histogram_quantile.h"
#include "query/native_histogram.h"
#include "query/native_histogram_values.h"
#include "query/number_text.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

constexpr std::string_view kBucketLabel = "le";

// The buckets of one classic histogram: bounds, and which series they are.
struct ClassicHistogram {
  Labels labels;  // without le
  std::vector<std::pair<double, size_t>> buckets;
};

// What an argument holds of both kinds. A series may be a bucket at some steps
// and a native histogram at others.
struct Histograms {
  std::vector<StepSeries> series;
  std::vector<ClassicHistogram> classic;
  std::vector<size_t> native;
  Charge charge;
};

// Where a native and a classic histogram have the same labels at a step,
// neither is evaluated.
absl::Status DropConflicts(
    QueryContext* context, PositionRange position,
    const absl::flat_hash_map<Labels, size_t>& classic_by_labels,
    Histograms* histograms) {
  for (const size_t n : histograms->native) {
    StepSeries& native = histograms->series[n];
    const auto classic = classic_by_labels.find(native.labels);
    if (classic == classic_by_labels.end()) continue;
    const auto& buckets = histograms->classic[classic->second].buckets;
    for (int64_t step = 0; step < native.steps(); ++step) {
      VIGIE_RETURN_IF_ERROR(context->CheckNowAndThen(buckets.size()));
      if (native.cell(step) != Cell::kHistogram) continue;
      bool both = false;
      for (const auto& [bound, bucket] : buckets) {
        if (histograms->series[bucket].cell(step) != Cell::kFloat) continue;
        both = true;
        histograms->series[bucket].Clear(step);
      }
      if (!both) continue;
      native.Clear(step);
      context->annotations.Warn(
          fmt::format("vector contains a mix of classic and native "
                      "histograms{}",
                      ForMetricName(native.labels.metric_name())),
          position);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Histograms> CollectHistograms(Evaluator* evaluator,
                                             const Expr& arg,
                                             const Steps& steps) {
  QueryContext& context = evaluator->context();
  const PositionRange position = WithoutParens(arg).position;
  Histograms histograms;
  histograms.charge = Charge(&context.account);
  absl::flat_hash_map<Labels, size_t> by_labels;
  const bool finds_resets = std::exchange(context.finds_resets, false);
  auto stream = evaluator->Vector(arg, steps);
  context.finds_resets = finds_resets;
  if (!stream.ok()) return stream.status();
  while (true) {
    StepSeries series;
    VIGIE_ASSIGN_OR_RETURN(const bool more, (*stream)->Next(&series));
    if (!more) break;
    bool floats = false;
    bool native = false;
    for (int64_t step = 0; step < steps.count; ++step) {
      floats = floats || series.cell(step) == Cell::kFloat;
      native = native || series.cell(step) == Cell::kHistogram;
    }
    const size_t number = histograms.series.size();
    if (native) histograms.native.push_back(number);
    if (floats) {
      const std::string_view le = series.labels.Get(kBucketLabel);
      const std::optional<double> bound = ParseFloatText(le);
      if (!bound.has_value()) {
        context.annotations.Warn(
            fmt::format("bucket label \"le\" is missing or has a malformed "
                        "value of {}{}",
                        Quoted(le), ForMetricName(series.labels.metric_name())),
            position);
        if (!native) continue;
      } else {
        if (std::isnan(*bound)) context.order_decided = true;
        LabelsBuilder builder(series.labels);
        Labels labels = builder.Remove(kBucketLabel).Build();
        const auto [at, inserted] =
            by_labels.try_emplace(labels, histograms.classic.size());
        if (inserted) {
          VIGIE_RETURN_IF_ERROR(histograms.charge.Add(static_cast<int64_t>(
              2 * labels.bytes().size() + sizeof(ClassicHistogram) + 64)));
          histograms.classic.emplace_back().labels = std::move(labels);
        }
        histograms.classic[at->second].buckets.emplace_back(*bound, number);
      }
    }
    histograms.series.push_back(std::move(series));
  }
  VIGIE_RETURN_IF_ERROR(
      DropConflicts(&context, position, by_labels, &histograms));
  return histograms;
}

// What the histogram holds at a step.
void BucketsAt(const Histograms& histograms, const ClassicHistogram& histogram,
               int64_t step, std::vector<ClassicBucket>* buckets) {
  buckets->clear();
  for (const auto& [bound, number] : histogram.buckets) {
    const StepSeries& series = histograms.series[number];
    if (series.cell(step) != Cell::kFloat) continue;
    buckets->push_back({.upper_bound = bound, .count = series.value(step)});
  }
}

struct QuantileArgument {
  ScalarColumn q;
  PositionRange position;
};

// Results of quantiles: one series for each histogram and quantile, told apart
// by `label` if it is not empty.
class QuantileResults {
 public:
  QuantileResults(QueryContext* context, const Steps& steps,
                  const std::string& label)
      : context_(*context), steps_(steps), label_(label) {}

  absl::Status Set(const Labels& histogram, double q, int64_t step,
                   double value) {
    LabelsBuilder builder(histogram);
    if (!label_.empty()) builder.Set(label_, OpenMetricsText(q));
    Labels labels = builder.Build();
    const auto [at, inserted] = by_labels_.try_emplace(labels, results_.size());
    if (inserted) {
      VIGIE_RETURN_IF_ERROR(results_.emplace_back().Init(
          &context_.account, std::move(labels), true, steps_.count));
    }
    if (results_[at->second].present(step)) return SameLabelsetError();
    results_[at->second].SetFloat(step, value);
    return absl::OkStatus();
  }

  std::vector<StepSeries> Take() { return std::move(results_); }

 private:
  QueryContext& context_;
  const Steps steps_;
  const std::string& label_;
  std::vector<StepSeries> results_;
  absl::flat_hash_map<Labels, size_t> by_labels_;
};

double NativeQuantileAt(QueryContext* context, double q,
                        const FloatHistogram& histogram,
                        std::string_view metric_name, PositionRange position) {
  const NativeQuantile result = QuantileOf(q, histogram);
  if (result.nan != NativeQuantile::Nan::kNone) {
    context->annotations.Inform(
        fmt::format(
            "input to histogram_quantile has NaN observations, result "
            "is {}{}",
            result.nan == NativeQuantile::Nan::kSkews ? "skewed higher" : "NaN",
            ForMetricName(metric_name)),
        position);
  }
  return result.value;
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Quantiles(
    Evaluator* evaluator, const Expr& arg, const Steps& steps,
    const std::vector<QuantileArgument>& quantiles, const std::string& label) {
  QueryContext& context = evaluator->context();
  for (const QuantileArgument& quantile : quantiles) {
    for (const double q : quantile.q.values()) {
      WarnOfQuantile(&context, q, quantile.position);
    }
  }
  VIGIE_ASSIGN_OR_RETURN(Histograms histograms,
                         CollectHistograms(evaluator, arg, steps));
  QuantileResults results(&context, steps, label);
  std::vector<ClassicBucket> buckets;
  for (const QuantileArgument& quantile : quantiles) {
    for (const size_t number : histograms.native) {
      const StepSeries& native = histograms.series[number];
      for (int64_t step = 0; step < steps.count; ++step) {
        if (native.cell(step) != Cell::kHistogram) continue;
        VIGIE_RETURN_IF_ERROR(
            context.CheckNowAndThen(WorkOf(*native.histogram(step))));
        const double q = quantile.q.At(step);
        VIGIE_RETURN_IF_ERROR(results.Set(
            native.labels, q, step,
            NativeQuantileAt(&context, q, *native.histogram(step),
                             native.labels.metric_name(), quantile.position)));
      }
    }
    for (const ClassicHistogram& histogram : histograms.classic) {
      for (int64_t step = 0; step < steps.count; ++step) {
        VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
        BucketsAt(histograms, histogram, step, &buckets);
        if (buckets.empty()) continue;
        const double q = quantile.q.At(step);
        const ClassicQuantile result = QuantileOfBuckets(q, &buckets);
        if (result.coalesced) context.order_decided = true;
        if (result.forced_monotonic) {
          context.annotations.Monotonicity(
              histogram.labels.metric_name(), WithoutParens(arg).position,
              {.time_ms = steps.At(step),
               .bucket_min = result.repaired_min,
               .bucket_max = result.repaired_max,
               .difference_max = result.difference_max});
        }
        VIGIE_RETURN_IF_ERROR(
            results.Set(histogram.labels, q, step, result.value));
      }
    }
  }
  return StreamOf(results.Take());
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Fraction(Evaluator* evaluator,
                                                       const CallExpr& call,
                                                       const Steps& steps) {
  QueryContext& context = evaluator->context();
  VIGIE_ASSIGN_OR_RETURN(ScalarColumn lower,
                         evaluator->Scalar(*call.args[0], steps));
  VIGIE_ASSIGN_OR_RETURN(ScalarColumn upper,
                         evaluator->Scalar(*call.args[1], steps));
  VIGIE_ASSIGN_OR_RETURN(Histograms histograms,
                         CollectHistograms(evaluator, *call.args[2], steps));
  const auto begin = [&](const Labels& labels) -> absl::StatusOr<StepSeries> {
    StepSeries result;
    VIGIE_RETURN_IF_ERROR(
        result.Init(&context.account, labels, true, steps.count));
    return result;
  };
  std::vector<StepSeries> results;
  for (const size_t number : histograms.native) {
    const StepSeries& native = histograms.series[number];
    VIGIE_ASSIGN_OR_RETURN(StepSeries result, begin(native.labels));
    for (int64_t step = 0; step < steps.count; ++step) {
      if (native.cell(step) != Cell::kHistogram) continue;
      VIGIE_RETURN_IF_ERROR(
          context.CheckNowAndThen(WorkOf(*native.histogram(step))));
      const NativeFraction fraction =
          FractionOf(lower.At(step), upper.At(step), *native.histogram(step));
      if (fraction.nan_left_out) {
        context.annotations.Inform(
            fmt::format("input to histogram_fraction has NaN observations, "
                        "which are excluded from all fractions{}",
                        ForMetricName(native.labels.metric_name())),
            WithoutParens(*call.args[0]).position);
      }
      result.SetFloat(step, fraction.value);
    }
    results.push_back(std::move(result));
  }
  std::vector<ClassicBucket> buckets;
  for (const ClassicHistogram& histogram : histograms.classic) {
    VIGIE_ASSIGN_OR_RETURN(StepSeries result, begin(histogram.labels));
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
      BucketsAt(histograms, histogram, step, &buckets);
      if (buckets.empty()) continue;
      result.SetFloat(
          step, FractionOfBuckets(lower.At(step), upper.At(step), &buckets));
    }
    results.push_back(std::move(result));
  }
  VIGIE_ASSIGN_OR_RETURN(results,
                         MergeEqualLabels(&context, std::move(results)));
  return StreamOf(std::move(results));
}

// histogram_count, _sum, _avg, _stddev, _stdvar: floats are left out.
class HistogramValues final : public SeriesStream {
 public:
  HistogramValues(QueryContext* context, double (*value)(const FloatHistogram&),
                  std::unique_ptr<SeriesStream> input)
      : context_(*context), value_(value), input_(std::move(input)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, input_->Next(series));
      if (!more) return false;
      series->drop_name = true;
      for (int64_t step = 0; step < series->steps(); ++step) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        if (series->cell(step) == Cell::kHistogram) {
          const double value = value_(*series->histogram(step));
          series->Clear(step);
          series->SetFloat(step, value);
        } else {
          series->Clear(step);
        }
      }
      if (series->AnyPresent()) return true;
    }
  }

 private:
  QueryContext& context_;
  double (*const value_)(const FloatHistogram&);
  const std::unique_ptr<SeriesStream> input_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateHistogramCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps) {
  const std::string_view name = call.function->name;
  if (name == "histogram_fraction") return Fraction(evaluator, call, steps);
  std::vector<QuantileArgument> quantiles;
  const auto add = [&](const Expr& arg) -> absl::Status {
    QuantileArgument& quantile = quantiles.emplace_back();
    quantile.position = WithoutParens(arg).position;
    VIGIE_ASSIGN_OR_RETURN(quantile.q, evaluator->Scalar(arg, steps));
    return absl::OkStatus();
  };
  if (name == "histogram_quantile") {
    VIGIE_RETURN_IF_ERROR(add(*call.args[0]));
    return Quantiles(evaluator, *call.args[1], steps, quantiles, "");
  }
  if (name == "histogram_quantiles") {
    for (size_t i = 2; i < call.args.size(); ++i) {
      VIGIE_RETURN_IF_ERROR(add(*call.args[i]));
    }
    return Quantiles(evaluator, *call.args[0], steps, quantiles,
                     WithoutParens(*call.args[1]).As<StringLiteral>().value);
  }
  double (*value)(const FloatHistogram&) = nullptr;
  if (name == "histogram_count") {
    value = [](const FloatHistogram& h) { return h.count; };
  } else if (name == "histogram_sum") {
    value = [](const FloatHistogram& h) { return h.sum; };
  } else if (name == "histogram_avg") {
    value = [](const FloatHistogram& h) { return h.sum / h.count; };
  } else if (name == "histogram_stddev") {
    value = [](const FloatHistogram& h) { return std::sqrt(VarianceOf(h)); };
  } else if (name == "histogram_stdvar") {
    value = VarianceOf;
  } else {
    return absl::UnimplementedError(
        fmt::format("function {} is not evaluated yet", name));
  }
  QueryContext& context = evaluator->context();
  // Of the totals, which resets touch; not of what the buckets look like.
  const bool finds_resets =
      std::exchange(context.finds_resets, name == "histogram_count" ||
                                              name == "histogram_sum" ||
                                              name == "histogram_avg");
  auto input = evaluator->Vector(*call.args[0], steps);
  context.finds_resets = finds_resets;
  if (!input.ok()) return input.status();
  return std::make_unique<HistogramValues>(&context, value, *std::move(input));
}

}  // namespace vigie::query
