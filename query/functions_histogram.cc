// histogram_quantile, histogram_quantiles and histogram_fraction on classic
// histograms, and the functions of native ones.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "query/evaluator.h"
#include "query/histogram_quantile.h"
#include "query/number_text.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

constexpr std::string_view kBucketLabel = "le";

// The buckets of one histogram, as series.
struct ClassicHistogram {
  Labels labels;  // without le
  std::vector<std::pair<double, StepSeries>> buckets;
};

struct Histograms {
  std::vector<ClassicHistogram> classic;
  Charge charge;
};

absl::StatusOr<Histograms> CollectHistograms(Evaluator* evaluator,
                                             const Expr& arg,
                                             const Steps& steps) {
  QueryContext& context = evaluator->context();
  Histograms histograms;
  histograms.charge = Charge(&context.account);
  absl::flat_hash_map<Labels, size_t> by_labels;
  VIGIE_ASSIGN_OR_RETURN(auto stream, evaluator->Vector(arg, steps));
  while (true) {
    StepSeries series;
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) return histograms;
    bool floats = false;
    for (int64_t step = 0; step < steps.count; ++step) {
      if (series.cell(step) == Cell::kHistogram) {
        return absl::UnimplementedError(
            "functions of native histograms are not evaluated yet");
      }
      floats = floats || series.cell(step) == Cell::kFloat;
    }
    if (!floats) continue;
    const std::string_view le = series.labels.Get(kBucketLabel);
    const std::optional<double> bound = ParseFloatText(le);
    if (!bound.has_value()) {
      context.annotations.Warn(
          fmt::format("bucket label \"le\" is missing or has a malformed value "
                      "of {}{}",
                      Quoted(le), ForMetricName(series.labels.metric_name())),
          WithoutParens(arg).position);
      continue;
    }
    LabelsBuilder builder(series.labels);
    Labels labels = builder.Remove(kBucketLabel).Build();
    const auto [at, inserted] =
        by_labels.try_emplace(labels, histograms.classic.size());
    if (inserted) {
      VIGIE_RETURN_IF_ERROR(histograms.charge.Add(static_cast<int64_t>(
          2 * labels.bytes().size() + sizeof(ClassicHistogram) + 64)));
      histograms.classic.emplace_back().labels = std::move(labels);
    }
    histograms.classic[at->second].buckets.emplace_back(*bound,
                                                        std::move(series));
  }
}

// What the histogram holds at a step.
void BucketsAt(const ClassicHistogram& histogram, int64_t step,
               std::vector<ClassicBucket>* buckets) {
  buckets->clear();
  for (const auto& [bound, series] : histogram.buckets) {
    if (series.cell(step) != Cell::kFloat) continue;
    buckets->push_back({.upper_bound = bound, .count = series.value(step)});
  }
}

struct QuantileArgument {
  ScalarColumn q;
  PositionRange position;
};

// One series for each histogram and quantile; `label`, if not empty, tells
// them apart.
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
  std::vector<StepSeries> results;
  std::vector<ClassicBucket> buckets;
  absl::flat_hash_map<Labels, size_t> by_labels;
  for (const QuantileArgument& quantile : quantiles) {
    for (const ClassicHistogram& histogram : histograms.classic) {
      for (int64_t step = 0; step < steps.count; ++step) {
        VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
        BucketsAt(histogram, step, &buckets);
        if (buckets.empty()) continue;
        const double q = quantile.q.At(step);
        const ClassicQuantile result = QuantileOfBuckets(q, &buckets);
        if (result.forced_monotonic) {
          context.annotations.Monotonicity(
              histogram.labels.metric_name(), WithoutParens(arg).position,
              {.time_ms = steps.At(step),
               .bucket_min = result.repaired_min,
               .bucket_max = result.repaired_max,
               .difference_max = result.difference_max});
        }
        LabelsBuilder builder(histogram.labels);
        if (!label.empty()) builder.Set(label, OpenMetricsText(q));
        Labels labels = builder.Build();
        const auto [at, inserted] =
            by_labels.try_emplace(labels, results.size());
        if (inserted) {
          VIGIE_RETURN_IF_ERROR(results.emplace_back().Init(
              &context.account, std::move(labels), true, steps.count));
        }
        if (results[at->second].present(step)) return SameLabelsetError();
        results[at->second].SetFloat(step, result.value);
      }
    }
  }
  return StreamOf(std::move(results));
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
  std::vector<StepSeries> results(histograms.classic.size());
  std::vector<ClassicBucket> buckets;
  for (size_t i = 0; i < results.size(); ++i) {
    const ClassicHistogram& histogram = histograms.classic[i];
    VIGIE_RETURN_IF_ERROR(
        results[i].Init(&context.account, histogram.labels, true, steps.count));
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
      BucketsAt(histogram, step, &buckets);
      if (buckets.empty()) continue;
      results[i].SetFloat(
          step, FractionOfBuckets(lower.At(step), upper.At(step), &buckets));
    }
  }
  return StreamOf(std::move(results));
}

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
  // histogram_count, _sum, _avg, _stddev, _stdvar: floats are left out.
  VIGIE_ASSIGN_OR_RETURN(auto stream, evaluator->Vector(*call.args[0], steps));
  StepSeries series;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) return StreamOf({});
    for (int64_t step = 0; step < steps.count; ++step) {
      if (series.cell(step) == Cell::kHistogram) {
        return absl::UnimplementedError(
            fmt::format("{}: native histograms are not evaluated yet", name));
      }
    }
  }
}

}  // namespace vigie::query
