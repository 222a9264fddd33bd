#include "query/evaluator.h"

#include <fmt/format.h>

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "query/explain.h"
#include "query/native_histogram.h"

namespace vigie::query {
namespace {

class Collected final : public SeriesStream {
 public:
  explicit Collected(std::vector<StepSeries> series)
      : series_(std::move(series)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (next_ < series_.size()) {
      *series = std::move(series_[next_++]);
      if (series->AnyPresent()) return true;
    }
    return false;
  }

 private:
  std::vector<StepSeries> series_;
  size_t next_ = 0;
};

// Repeats the one cell of each series of a step-invariant expression.
class Repeated final : public SeriesStream {
 public:
  Repeated(QueryContext* context, std::unique_ptr<SeriesStream> once,
           int64_t steps)
      : context_(*context), once_(std::move(once)), steps_(steps) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    StepSeries one;
    VIGIE_ASSIGN_OR_RETURN(const bool more, once_->Next(&one));
    if (!more) return false;
    VIGIE_RETURN_IF_ERROR(
        series->Init(&context_.account, one.labels, one.drop_name, steps_));
    for (int64_t step = 0; step < steps_; ++step) {
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
      VIGIE_RETURN_IF_ERROR(series->CopyFrom(one, 0, step));
    }
    return true;
  }

 private:
  QueryContext& context_;
  const std::unique_ptr<SeriesStream> once_;
  const int64_t steps_;
};

class Negated final : public SeriesStream {
 public:
  explicit Negated(std::unique_ptr<SeriesStream> input)
      : input_(std::move(input)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    VIGIE_ASSIGN_OR_RETURN(const bool more, input_->Next(series));
    if (!more) return false;
    series->drop_name = true;
    for (int64_t step = 0; step < series->steps(); ++step) {
      if (series->cell(step) == Cell::kFloat) {
        series->SetFloat(step, -series->value(step));
      } else if (series->cell(step) == Cell::kHistogram) {
        FloatHistogram negated = *series->histogram(step);
        Multiply(&negated, -1);
        VIGIE_RETURN_IF_ERROR(series->SetHistogram(
            step, std::make_shared<const FloatHistogram>(std::move(negated))));
      }
    }
    return true;
  }

 private:
  const std::unique_ptr<SeriesStream> input_;
};

// The hint tells of the sample before, which a subquery may have stepped over
// or, if a step sees the same sample again, may be the sample itself.
HistogramRef WithHintBetweenSteps(const HistogramRef& histogram,
                                  const HistogramRef& previous) {
  CounterResetHint hint = histogram->reset_hint;
  if (hint == CounterResetHint::kGauge) return histogram;
  if (histogram == previous) {
    hint = CounterResetHint::kNotReset;
  } else if (hint == CounterResetHint::kNotReset) {
    hint = CounterResetHint::kUnknown;
  }
  if (hint == histogram->reset_hint) return histogram;
  auto changed = std::make_shared<FloatHistogram>(*histogram);
  changed->reset_hint = hint;
  return changed;
}

// The results of a subquery's expression as samples of a range.
class SubqueryRuns final : public RunStream {
 public:
  SubqueryRuns(QueryContext* context, std::unique_ptr<SeriesStream> input,
               const Steps& grid)
      : context_(*context), input_(std::move(input)), grid_(grid) {}

  absl::StatusOr<bool> Next(SampleRun* run) override {
    StepSeries series;
    VIGIE_ASSIGN_OR_RETURN(const bool more, input_->Next(&series));
    if (!more) return false;
    VIGIE_RETURN_IF_ERROR(context_.Check());
    run->Clear(&context_.account, std::move(series.labels), series.drop_name);
    HistogramRef previous;
    for (int64_t step = 0; step < series.steps(); ++step) {
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
      if (series.cell(step) == Cell::kFloat) {
        if (IsStaleMarker(series.value(step))) continue;
        VIGIE_RETURN_IF_ERROR(
            run->AddFloat(grid_.At(step), series.value(step), 0));
      } else if (series.cell(step) == Cell::kHistogram) {
        const HistogramRef& histogram = series.histogram(step);
        VIGIE_RETURN_IF_ERROR(run->AddHistogram(
            grid_.At(step), WithHintBetweenSteps(histogram, previous), 0));
        previous = histogram;
      }
    }
    return true;
  }

 private:
  QueryContext& context_;
  const std::unique_ptr<SeriesStream> input_;
  const Steps grid_;
};

absl::StatusOr<std::vector<StepSeries>> AllOf(SeriesStream* stream) {
  std::vector<StepSeries> all;
  while (true) {
    StepSeries series;
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) return all;
    all.push_back(std::move(series));
  }
}

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

}  // namespace

std::unique_ptr<SeriesStream> StreamOf(std::vector<StepSeries> series) {
  return std::make_unique<Collected>(std::move(series));
}

bool IsMetadataLabel(std::string_view name) {
  return name == kMetricName || name == "__type__" || name == "__unit__";
}

Labels WithoutMetadata(const Labels& labels) {
  LabelsBuilder builder(labels);
  builder.Remove(kMetricName).Remove("__type__").Remove("__unit__");
  return builder.Build();
}

absl::Status SameLabelsetError() {
  return absl::FailedPreconditionError(
      "vector cannot contain metrics with the same labelset");
}

absl::StatusOr<std::vector<StepSeries>> MergeEqualLabels(
    QueryContext* context, std::vector<StepSeries> series) {
  absl::flat_hash_map<std::string_view, size_t> first;
  std::vector<StepSeries> merged;
  merged.reserve(series.size());
  for (StepSeries& one : series) {
    const auto [at, inserted] =
        first.try_emplace(one.labels.bytes(), merged.size());
    if (inserted) {
      merged.push_back(std::move(one));
      // The key must outlive the move of short strings.
      const size_t index = at->second;
      first.erase(at);
      first.emplace(merged[index].labels.bytes(), index);
      continue;
    }
    StepSeries& into = merged[at->second];
    into.drop_name = into.drop_name || one.drop_name;
    for (int64_t step = 0; step < one.steps(); ++step) {
      VIGIE_RETURN_IF_ERROR(context->CheckNowAndThen());
      if (!one.present(step)) continue;
      if (into.present(step)) return SameLabelsetError();
      VIGIE_RETURN_IF_ERROR(into.Copy(one, step));
    }
  }
  return merged;
}

Window WindowBounds(const TimeShift& shift, int64_t range_ms, int64_t time_ms) {
  const int64_t reference =
      shift.at == TimeShift::At::kNone ? time_ms : shift.at_ms;
  Window window;
  window.end_ms = SaturatingSub(reference, shift.offset_ms);
  window.start_ms = SaturatingSub(window.end_ms, range_ms);
  return window;
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Evaluator::Vector(
    const Expr& expr, const Steps& steps) {
  VIGIE_RETURN_IF_ERROR(context_.Check());
  if (steps.count == 0) return StreamOf({});
  const Expr& inner = WithoutParens(expr);
  if (node_ != nullptr) return node_->Vector(*this, inner, steps);
  return VectorAsPlanned(inner, steps);
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Evaluator::VectorAsPlanned(
    const Expr& expr, const Steps& steps) {
  Steps evaluated = steps;
  if (plan_.IsStepInvariant(expr)) evaluated.count = 1;
  const auto evaluate = [&] { return VectorOfKind(expr, evaluated); };
  const std::optional<size_t> part = plan_.common_parts().NumberOf(expr);
  VIGIE_ASSIGN_OR_RETURN(
      auto stream, part.has_value()
                       ? shared_.Stream(*part, &context_, evaluated, evaluate)
                       : evaluate());
  if (evaluated.count == steps.count) return stream;
  return std::make_unique<Repeated>(&context_, std::move(stream), steps.count);
}

absl::StatusOr<SharedVectors::Series> Evaluator::CollectShared(
    const Expr& expr, const Steps& steps) {
  VIGIE_RETURN_IF_ERROR(context_.Check());
  if (steps.count == 0) return std::make_shared<std::vector<StepSeries>>();
  const Expr& inner = WithoutParens(expr);
  if (node_ != nullptr) return node_->All(*this, inner, steps);
  return AllAsPlanned(inner, steps);
}

absl::StatusOr<SharedVectors::Series> Evaluator::AllAsPlanned(
    const Expr& expr, const Steps& steps) {
  const std::optional<size_t> part = plan_.common_parts().NumberOf(expr);
  if (part.has_value() && !plan_.IsStepInvariant(expr)) {
    return shared_.All(*part, &context_, steps,
                       [&] { return VectorOfKind(expr, steps); });
  }
  VIGIE_ASSIGN_OR_RETURN(auto stream, VectorAsPlanned(expr, steps));
  VIGIE_ASSIGN_OR_RETURN(auto series, AllOf(stream.get()));
  return std::make_shared<std::vector<StepSeries>>(std::move(series));
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Evaluator::VectorOfKind(
    const Expr& expr, const Steps& steps) {
  switch (expr.kind) {
    case Expr::Kind::kVectorSelector:
      return SelectVector(&context_, expr.As<VectorSelector>(), steps);
    case Expr::Kind::kParen:
      return Vector(*expr.As<ParenExpr>().expr, steps);
    case Expr::Kind::kUnary: {
      const auto& unary = expr.As<UnaryExpr>();
      VIGIE_ASSIGN_OR_RETURN(auto stream, Vector(*unary.expr, steps));
      if (!unary.negate) return stream;
      return std::make_unique<Negated>(std::move(stream));
    }
    case Expr::Kind::kBinary:
      return EvaluateBinary(this, expr.As<BinaryExpr>(), steps);
    case Expr::Kind::kAggregate:
      return EvaluateAggregate(this, expr.As<AggregateExpr>(), steps);
    case Expr::Kind::kCall:
      return EvaluateCall(this, expr.As<CallExpr>(), steps);
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
    case Expr::Kind::kMatrixSelector:
    case Expr::Kind::kSubquery:
    case Expr::Kind::kDuration:
      break;
  }
  return absl::InternalError("an instant vector was expected");
}

absl::StatusOr<ScalarColumn> Evaluator::Scalar(const Expr& expr,
                                               const Steps& steps) {
  VIGIE_RETURN_IF_ERROR(context_.Check());
  const Expr& inner = WithoutParens(expr);
  if (const std::optional<double> value = plan_.ConstantOf(inner)) {
    return ScalarColumn::Constant(*value);
  }
  if (steps.count == 0) return ScalarColumn::Constant(0);
  if (node_ != nullptr) return node_->Scalar(*this, inner, steps);
  return ScalarAsPlanned(inner, steps);
}

absl::StatusOr<ScalarColumn> Evaluator::ScalarAsPlanned(const Expr& expr,
                                                        const Steps& steps) {
  Steps evaluated = steps;
  if (plan_.IsStepInvariant(expr)) evaluated.count = 1;
  return ScalarOfKind(expr, evaluated);
}

absl::StatusOr<ScalarColumn> Evaluator::ScalarOfKind(const Expr& expr,
                                                     const Steps& steps) {
  switch (expr.kind) {
    case Expr::Kind::kParen:
      return Scalar(*expr.As<ParenExpr>().expr, steps);
    case Expr::Kind::kUnary: {
      const auto& unary = expr.As<UnaryExpr>();
      VIGIE_ASSIGN_OR_RETURN(ScalarColumn inner, Scalar(*unary.expr, steps));
      if (!unary.negate) return inner;
      ScalarColumn out;
      VIGIE_RETURN_IF_ERROR(out.Init(&context_.account, steps.count));
      for (int64_t step = 0; step < steps.count; ++step) {
        out.Set(step, -inner.At(step));
      }
      return out;
    }
    case Expr::Kind::kBinary: {
      const auto& binary = expr.As<BinaryExpr>();
      VIGIE_ASSIGN_OR_RETURN(ScalarColumn lhs, Scalar(*binary.lhs, steps));
      VIGIE_ASSIGN_OR_RETURN(ScalarColumn rhs, Scalar(*binary.rhs, steps));
      ScalarColumn out;
      VIGIE_RETURN_IF_ERROR(out.Init(&context_.account, steps.count));
      for (int64_t step = 0; step < steps.count; ++step) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        out.Set(step, ScalarBinary(binary.op, lhs.At(step), rhs.At(step)));
      }
      return out;
    }
    case Expr::Kind::kCall:
      return EvaluateScalarCall(this, expr.As<CallExpr>(), steps);
    case Expr::Kind::kNumber:
      return ScalarColumn::Constant(expr.As<NumberLiteral>().value);
    default:
      break;
  }
  return absl::InternalError("a scalar was expected");
}

absl::StatusOr<std::unique_ptr<RunStream>> Evaluator::Range(
    const Expr& expr, const Steps& steps, std::string_view function) {
  const Expr& inner = WithoutParens(expr);
  if (inner.kind == Expr::Kind::kMatrixSelector) {
    VIGIE_ASSIGN_OR_RETURN(
        RunLeaves leaves,
        SelectRange(&context_, inner.As<MatrixSelector>(), steps, function));
    return StreamOfLeaves(&context_, std::move(leaves));
  }
  if (inner.kind != Expr::Kind::kSubquery) {
    return absl::InternalError("a range vector was expected");
  }
  const auto& subquery = inner.As<SubqueryExpr>();
  Steps grid;
  grid.step_ms = subquery.step_ms > 0
                     ? subquery.step_ms
                     : context_.options.default_subquery_step_ms;
  const Window first =
      WindowBounds(subquery.shift, subquery.range_ms, steps.At(0));
  const Window last =
      WindowBounds(subquery.shift, subquery.range_ms, steps.end_ms());
  // Absolute multiples of the step within (start, end].
  const int64_t from = FloorDivide(first.start_ms, grid.step_ms) + 1;
  const int64_t to = FloorDivide(last.end_ms, grid.step_ms);
  grid.count = to < from ? 0 : SaturatingAdd(SaturatingSub(to, from), 1);
  grid.start_ms = from * grid.step_ms;
  // What cannot hold one column of the grid is refused here, before anything
  // makes buffers as long as it.
  VIGIE_RETURN_IF_ERROR(ProbeColumn(&context_.account, grid.count));
  // Samples are counted as the windows see them.
  StepSamples* const samples = std::exchange(context_.step_samples, nullptr);
  auto stream = Vector(*subquery.expr, grid);
  context_.step_samples = samples;
  if (!stream.ok()) return stream.status();
  return std::make_unique<SubqueryRuns>(&context_, *std::move(stream), grid);
}

absl::StatusOr<std::vector<StepSeries>> Evaluator::Collect(const Expr& expr,
                                                           const Steps& steps) {
  VIGIE_ASSIGN_OR_RETURN(auto stream, Vector(expr, steps));
  return AllOf(stream.get());
}

}  // namespace vigie::query
