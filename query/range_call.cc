// Calls of functions of range vectors: the windows of each series slide over
// the steps, and a function sees them one by one.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "query/evaluator.h"
#include "query/number_text.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// What a range argument is, beside its samples.
struct RangeArgument {
  const Expr* expr = nullptr;
  const TimeShift* shift = nullptr;
  int64_t range_ms = 0;
  const VectorSelector* selector = nullptr;  // null for a subquery
};

RangeArgument DescribeRange(const Expr& expr) {
  RangeArgument argument;
  argument.expr = &WithoutParens(expr);
  if (argument.expr->kind == Expr::Kind::kMatrixSelector) {
    const auto& matrix = argument.expr->As<MatrixSelector>();
    argument.selector = matrix.vector.get();
    argument.shift = &matrix.vector->shift;
    argument.range_ms = matrix.range_ms;
  } else {
    const auto& subquery = argument.expr->As<SubqueryExpr>();
    argument.shift = &subquery.shift;
    argument.range_ms = subquery.range_ms;
  }
  return argument;
}

// Moves the ends of a window forward over the times of a run.
void Slide(const std::vector<int64_t>& times, int64_t start_ms, int64_t end_ms,
           size_t* begin, size_t* end) {
  while (*end < times.size() && times[*end] <= end_ms) ++*end;
  while (*begin < *end && times[*begin] <= start_ms) ++*begin;
}

// None if windows stand still or are cut off.
std::optional<WindowGrid> GridOf(const TimeShift& shift, int64_t range_ms,
                                 const Steps& steps) {
  if (shift.at != TimeShift::At::kNone || steps.count < 1) return std::nullopt;
  const Window first = WindowBounds(shift, range_ms, steps.At(0));
  const Window last = WindowBounds(shift, range_ms, steps.end_ms());
  const int64_t distance_ms = steps.end_ms() - steps.At(0);
  if (SaturatingSub(last.start_ms, first.start_ms) != distance_ms ||
      SaturatingSub(last.end_ms, first.end_ms) != distance_ms) {
    return std::nullopt;
  }
  return WindowGrid{
      .first = first, .step_ms = steps.step_ms, .count = steps.count};
}

bool LooksLikeCounter(std::string_view name) {
  return name.ends_with("_total") || name.ends_with("_sum") ||
         name.ends_with("_count") || name.ends_with("_bucket");
}

std::unique_ptr<RangeFunction> MakeFunction(QueryContext* context,
                                            const RangeCall& call) {
  std::unique_ptr<RangeFunction> function = MakeRateFunction(context, call);
  if (function == nullptr) function = MakeLastTwoFunction(context, call);
  if (function == nullptr) function = MakeTurnsFunction(call);
  if (function == nullptr) function = MakeOverTimeFunction(context, call);
  if (function == nullptr) function = MakeTrendFunction(context, call);
  return function;
}

// A function over all windows of one series after another. Belongs to one
// thread; the call is shared.
class WindowedFunction {
 public:
  WindowedFunction(QueryContext* context, std::shared_ptr<const RangeCall> call,
                   const TimeShift& shift, const Steps& steps)
      : context_(*context),
        call_(std::move(call)),
        function_(MakeFunction(context, *call_)),
        shift_(shift),
        steps_(steps),
        grid_(GridOf(shift, call_->range_ms, steps)) {}

  // Replaces `*series`.
  absl::Status Evaluate(const SampleRun& run, StepSeries* series) {
    // These two give back samples as they are, so the name stays true.
    const bool keeps_name =
        call_->name == "last_over_time" || call_->name == "first_over_time";
    VIGIE_RETURN_IF_ERROR(series->Init(&context_.account, run.labels,
                                       run.drop_name || !keeps_name,
                                       steps_.count));
    if (context_.step_samples != nullptr) CountSamples(run);
    VIGIE_RETURN_IF_ERROR(function_->Begin(run));
    bool floats = false;
    bool all = false;
    if (grid_.has_value()) {
      VIGIE_ASSIGN_OR_RETURN(all, function_->EvaluateAll(run, *grid_, series));
    }
    if (all) {
      floats = series->AnyPresent();
    } else {
      VIGIE_ASSIGN_OR_RETURN(floats, WindowByWindow(run, series));
    }
    if ((call_->name == "rate" || call_->name == "increase") && floats &&
        !run.metric_name().empty() && !LooksLikeCounter(run.metric_name())) {
      context_.annotations.Inform(
          fmt::format("metric might not be a counter, name does not end in "
                      "_total/_sum/_count/_bucket: {}",
                      Quoted(run.metric_name())),
          call_->argument);
    }
    return absl::OkStatus();
  }

 private:
  // What each window has, for who asks.
  void CountSamples(const SampleRun& run) {
    size_t begin = 0;
    size_t end = 0;
    size_t histogram_begin = 0;
    size_t histogram_end = 0;
    for (int64_t step = 0; step < steps_.count; ++step) {
      const Window window =
          WindowBounds(shift_, call_->range_ms, steps_.At(step));
      Slide(run.times(), window.start_ms, window.end_ms, &begin, &end);
      Slide(run.histogram_times(), window.start_ms, window.end_ms,
            &histogram_begin, &histogram_end);
      context_.step_samples->Add(
          step,
          static_cast<int64_t>(end - begin + histogram_end - histogram_begin));
    }
  }

  // Whether a float came of any of them.
  absl::StatusOr<bool> WindowByWindow(const SampleRun& run,
                                      StepSeries* series) {
    size_t begin = 0;
    size_t end = 0;
    size_t histogram_begin = 0;
    size_t histogram_end = 0;
    const int64_t before =
        call_->edges == Edges::kPlain ? 0 : context_.lookback_ms;
    const int64_t after =
        call_->edges == Edges::kSmoothed ? context_.lookback_ms : 0;
    bool floats = false;
    for (int64_t step = 0; step < steps_.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
      Window window = WindowBounds(shift_, call_->range_ms, steps_.At(step));
      const int64_t from = SaturatingSub(window.start_ms, before);
      const int64_t to = SaturatingAdd(window.end_ms, after);
      Slide(run.times(), from, to, &begin, &end);
      Slide(run.histogram_times(), from, to, &histogram_begin, &histogram_end);
      window.begin = begin;
      window.end = end;
      window.histogram_begin = histogram_begin;
      window.histogram_end = histogram_end;
      if (window.floats() + window.histograms() == 0) continue;
      VIGIE_RETURN_IF_ERROR(
          context_.CheckNowAndThen(window.floats() + window.histograms()));
      VIGIE_RETURN_IF_ERROR(
          function_->Evaluate(run, window, step, steps_.At(step), series));
      floats = floats || series->cell(step) == Cell::kFloat;
    }
    return floats;
  }

  QueryContext& context_;
  const std::shared_ptr<const RangeCall> call_;  // the function refers to it
  std::unique_ptr<RangeFunction> function_;
  const TimeShift& shift_;
  const Steps steps_;
  const std::optional<WindowGrid> grid_;
};

// Over the results of a subquery.
class RangeCallStream final : public SeriesStream {
 public:
  RangeCallStream(WindowedFunction function, std::unique_ptr<RunStream> runs)
      : function_(std::move(function)), runs_(std::move(runs)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, runs_->Next(&run_));
      if (!more) return false;
      VIGIE_RETURN_IF_ERROR(function_.Evaluate(run_, series));
      if (series->AnyPresent()) return true;
    }
  }

 private:
  WindowedFunction function_;
  const std::unique_ptr<RunStream> runs_;
  SampleRun run_;
};

// Over what a selector finds.
class RangeCallLeaf final : public SeriesLeaf {
 public:
  RangeCallLeaf(WindowedFunction function, std::unique_ptr<RunLeaf> runs)
      : function_(std::move(function)), runs_(std::move(runs)) {}

  absl::StatusOr<bool> At(size_t number, StepSeries* series) override {
    VIGIE_RETURN_IF_ERROR(runs_->At(number, &run_));
    if (run_.times().empty() && run_.histograms().empty()) return false;
    VIGIE_RETURN_IF_ERROR(function_.Evaluate(run_, series));
    return series->AnyPresent();
  }

 private:
  WindowedFunction function_;
  const std::unique_ptr<RunLeaf> runs_;
  SampleRun run_;
};

// Labels that `=` matchers fix, for absent() and absent_over_time().
absl::StatusOr<std::unique_ptr<SeriesStream>> AbsentOverTime(
    QueryContext* context, const RangeArgument& argument,
    std::unique_ptr<RunStream> runs, const Steps& steps) {
  Charge charge(&context->account);
  VIGIE_RETURN_IF_ERROR(charge.Add(steps.count / 8 + 1));
  std::vector<bool> found(static_cast<size_t>(steps.count));
  SampleRun run;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, runs->Next(&run));
    if (!more) break;
    size_t begin = 0;
    size_t end = 0;
    size_t histogram_begin = 0;
    size_t histogram_end = 0;
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context->CheckNowAndThen());
      const Window window =
          WindowBounds(*argument.shift, argument.range_ms, steps.At(step));
      Slide(run.times(), window.start_ms, window.end_ms, &begin, &end);
      Slide(run.histogram_times(), window.start_ms, window.end_ms,
            &histogram_begin, &histogram_end);
      if (end > begin || histogram_end > histogram_begin) found[step] = true;
      if (context->step_samples != nullptr) {
        context->step_samples->Add(
            step, static_cast<int64_t>(end - begin + histogram_end -
                                       histogram_begin));
      }
    }
  }
  StepSeries series;
  VIGIE_RETURN_IF_ERROR(
      series.Init(&context->account,
                  argument.selector == nullptr
                      ? Labels()
                      : LabelsOfAbsent(argument.selector->matchers),
                  true, steps.count));
  for (int64_t step = 0; step < steps.count; ++step) {
    if (!found[step]) series.SetFloat(step, 1);
  }
  std::vector<StepSeries> one;
  one.push_back(std::move(series));
  return StreamOf(std::move(one));
}

absl::Status CheckEdges(std::string_view function, Edges edges) {
  constexpr std::string_view kAnchored[] = {"changes", "delta", "increase",
                                            "rate", "resets"};
  constexpr std::string_view kSmoothed[] = {"delta", "increase", "rate"};
  if (edges == Edges::kAnchored &&
      std::find(std::begin(kAnchored), std::end(kAnchored), function) ==
          std::end(kAnchored)) {
    return absl::FailedPreconditionError(
        fmt::format("anchored modifier can only be used with: {} - not with {}",
                    fmt::join(kAnchored, ", "), function));
  }
  if (edges == Edges::kSmoothed &&
      std::find(std::begin(kSmoothed), std::end(kSmoothed), function) ==
          std::end(kSmoothed)) {
    return absl::FailedPreconditionError(
        fmt::format("smoothed modifier can only be used with: {} - not with {}",
                    fmt::join(kSmoothed, ", "), function));
  }
  return absl::OkStatus();
}

}  // namespace

void WarnOfMixedSamples(QueryContext* context, const SampleRun& run,
                        PositionRange position) {
  context->annotations.Warn(
      fmt::format(
          "encountered a mix of histograms and floats for metric name {}",
          Quoted(run.metric_name())),
      position);
}

void InformOfIgnoredHistograms(QueryContext* context, const SampleRun& run,
                               PositionRange position) {
  context->annotations.Inform(
      fmt::format("ignored histograms in a range containing both floats and "
                  "histograms for metric name {}",
                  Quoted(run.metric_name())),
      position);
}

void WarnOfQuantile(QueryContext* context, double q, PositionRange position) {
  if (q >= 0 && q <= 1) return;
  context->annotations.Warn(
      fmt::format("quantile value should be between 0 and 1, got {}",
                  GeneralText(q)),
      position);
}

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateRangeCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps) {
  QueryContext& context = evaluator->context();
  auto range_call = std::make_shared<RangeCall>();
  range_call->name = call.function->name;
  const Expr* range = nullptr;
  for (const ExprPtr& arg : call.args) {
    if (arg->type == ValueType::kMatrix) {
      range = arg.get();
      continue;
    }
    VIGIE_ASSIGN_OR_RETURN(ScalarColumn scalar, evaluator->Scalar(*arg, steps));
    range_call->scalars.push_back(std::move(scalar));
  }
  if (range == nullptr) {
    return absl::InternalError(
        fmt::format("{}: no range vector", call.function->name));
  }
  const RangeArgument argument = DescribeRange(*range);
  range_call->argument = argument.expr->position;
  range_call->range_ms = argument.range_ms;
  range_call->offset_ms = argument.shift->offset_ms;
  if (argument.selector != nullptr) {
    range_call->edges = argument.selector->edges;
  }
  VIGIE_RETURN_IF_ERROR(CheckEdges(call.function->name, range_call->edges));
  if (call.function->name == "absent_over_time") {
    VIGIE_ASSIGN_OR_RETURN(
        auto runs, evaluator->Range(*range, steps, call.function->name));
    return AbsentOverTime(&context, argument, std::move(runs), steps);
  }
  if (MakeFunction(&context, *range_call) == nullptr) {
    return absl::UnimplementedError(
        fmt::format("function {} is not evaluated yet", call.function->name));
  }
  if (argument.selector == nullptr) {
    VIGIE_ASSIGN_OR_RETURN(
        auto runs, evaluator->Range(*range, steps, call.function->name));
    return std::make_unique<RangeCallStream>(
        WindowedFunction(&context, std::move(range_call), *argument.shift,
                         steps),
        std::move(runs));
  }
  VIGIE_ASSIGN_OR_RETURN(
      RunLeaves runs, SelectRange(&context, argument.expr->As<MatrixSelector>(),
                                  steps, call.function->name));
  SeriesLeaves leaves;
  leaves.count = runs.count;
  leaves.steps = steps.count;
  leaves.make = [runs = std::move(runs), range_call, shift = argument.shift,
                 steps](QueryContext* own) {
    return std::make_unique<RangeCallLeaf>(
        WindowedFunction(own, range_call, *shift, steps), runs.make(own));
  };
  return StreamOfLeaves(&context, std::move(leaves));
}

}  // namespace vigie::query
