#include "query/aggregate.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "query/grouping.h"
#include "query/native_histogram.h"
#include "query/neumaier.h"

namespace vigie::query {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What a group knows at one step.
struct State {
  Neumaier value;  // the sum, the extreme, or the sum of squares
  Neumaier mean;
  double count = 0;
  bool floats = false;
  bool histograms = false;
  bool incremental = false;  // avg: the sum would overflow

  bool seen() const { return floats || histograms; }
};

void AddToMean(State* state, double value) {
  state->count += 1;
  if (!state->floats) {
    state->value.sum = value;
    return;
  }
  if (!state->incremental) {
    Neumaier next = state->value;
    next.Add(value);
    if (!std::isinf(next.sum)) {
      state->value = next;
      return;
    }
    // The mean as it goes from here on: the sum does not fit.
    state->incremental = true;
    state->mean.sum = state->value.sum / (state->count - 1);
    state->mean.compensation = state->value.compensation / (state->count - 1);
  }
  const double share = (state->count - 1) / state->count;
  state->mean.sum *= share;
  state->mean.compensation *= share;
  state->mean.Add(value / state->count);
}

void AddToVariance(State* state, double value) {
  state->count += 1;
  if (!state->floats) {
    state->value.sum = std::isfinite(value) ? 0 : kNan;
    state->mean.sum = value;
    return;
  }
  const double delta = value - state->mean.Total();
  state->mean.Add(delta / state->count);
  state->value.Add(delta * (value - state->mean.Total()));
}

void AddFloat(AggregateOp op, State* state, double value) {
  switch (op) {
    case AggregateOp::kSum:
      if (state->floats) {
        state->value.Add(value);
      } else {
        state->value.sum = value;
      }
      break;
    case AggregateOp::kAvg:
      AddToMean(state, value);
      break;
    case AggregateOp::kCount:
      state->count += 1;
      break;
    case AggregateOp::kMin:
      if (!state->floats || state->value.sum > value ||
          std::isnan(state->value.sum)) {
        state->value.sum = value;
      }
      break;
    case AggregateOp::kMax:
      if (!state->floats || state->value.sum < value ||
          std::isnan(state->value.sum)) {
        state->value.sum = value;
      }
      break;
    case AggregateOp::kStddev:
    case AggregateOp::kStdvar:
      AddToVariance(state, value);
      break;
    default:
      break;  // group: being there is all
  }
  state->floats = true;
}

double ResultOf(AggregateOp op, const State& state) {
  switch (op) {
    case AggregateOp::kSum:
      return state.value.Total();
    case AggregateOp::kAvg:
      if (state.incremental) return state.mean.Total();
      return state.value.sum / state.count +
             state.value.compensation / state.count;
    case AggregateOp::kCount:
      return state.count;
    case AggregateOp::kStdvar:
      return state.value.Total() / state.count;
    case AggregateOp::kStddev:
      return std::sqrt(state.value.Total() / state.count);
    case AggregateOp::kMin:
    case AggregateOp::kMax:
      return state.value.sum;
    default:
      return 1;
  }
}

// What sum or avg knows of a group's histograms at one step.
class HistogramState {
 public:
  HistogramState(AggregateOp op, const FloatHistogram& first)
      : value_(op == AggregateOp::kAvg ? Value(HistogramMean(first))
                                       : Value(HistogramSum(first))) {}

  // False if custom and exponential buckets meet: there is no result then.
  bool Add(const FloatHistogram& histogram) {
    const auto add = [&](auto& value) { return value.Add(histogram); };
    return compatible_ = compatible_ && std::visit(add, value_);
  }

  bool compatible() const { return compatible_; }
  const HistogramSum& sum() const {
    return std::holds_alternative<HistogramMean>(value_)
               ? std::get<HistogramMean>(value_).sum()
               : std::get<HistogramSum>(value_);
  }
  int64_t bytes() const {
    return static_cast<int64_t>(sizeof(*this)) + sum().bytes();
  }
  FloatHistogram Result() const {
    FloatHistogram result = std::holds_alternative<HistogramMean>(value_)
                                ? std::get<HistogramMean>(value_).Mean()
                                : sum().Total();
    Compact(&result);
    return result;
  }

 private:
  using Value = std::variant<HistogramSum, HistogramMean>;

  Value value_;
  bool compatible_ = true;
};

struct Group {
  std::vector<State> states;
  // Empty while there is none; for sum and avg only.
  std::vector<std::unique_ptr<HistogramState>> histograms;
  bool drop_name = false;
};

// What it takes is charged.
absl::Status AddHistogram(AggregateOp op, const FloatHistogram& histogram,
                          int64_t step, Group* group, Charge* charge) {
  if (group->histograms.empty()) {
    VIGIE_RETURN_IF_ERROR(charge->Add(static_cast<int64_t>(
        group->states.size() * sizeof(group->histograms[0]))));
    group->histograms.resize(group->states.size());
  }
  std::unique_ptr<HistogramState>& state = group->histograms[step];
  const int64_t before = state == nullptr ? 0 : state->bytes();
  if (state == nullptr) {
    state = std::make_unique<HistogramState>(op, histogram);
  } else if (state->compatible()) {
    state->Add(histogram);
  }
  group->states[step].histograms = true;
  const int64_t grown = state->bytes() - before;
  return grown > 0 ? charge->Add(grown) : absl::OkStatus();
}

// The cell of a group at a step, with what is to be said of it.
absl::Status SetResult(QueryContext* context, AggregateOp op,
                       PositionRange inner, const Group& group, int64_t step,
                       StepSeries* result) {
  const State& state = group.states[step];
  const HistogramState* histograms =
      group.histograms.empty() ? nullptr : group.histograms[step].get();
  if (histograms == nullptr) {
    if (state.seen()) result->SetFloat(step, ResultOf(op, state));
    return absl::OkStatus();
  }
  if (state.floats) {
    context->annotations.Warn(
        "encountered a mix of histograms and floats for aggregation", inner);
    return absl::OkStatus();
  }
  if (!histograms->compatible()) return absl::OkStatus();
  if (histograms->sum().resets_collided()) {
    context->annotations.ResetsCollided("aggregation", inner);
  }
  if (histograms->sum().bounds_reconciled()) {
    context->annotations.BoundsReconciled("aggregation", inner);
  }
  return result->SetHistogram(
      step, std::make_shared<const FloatHistogram>(histograms->Result()));
}

}  // namespace

void InformOfIgnoredHistogram(QueryContext* context,
                              const AggregateExpr& aggregate,
                              PositionRange position) {
  context->annotations.Inform(fmt::format("ignored histogram in {} aggregation",
                                          AggregateOpText(aggregate.op)),
                              position);
}

absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateStates(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps) {
  QueryContext& context = evaluator->context();
  const AggregateOp op = aggregate.op;
  const PositionRange inner = WithoutParens(*aggregate.expr).position;
  Grouping grouping(&context.account, aggregate);
  std::vector<Group> groups;
  Charge charge(&context.account);
  VIGIE_ASSIGN_OR_RETURN(auto stream,
                         evaluator->Vector(*aggregate.expr, steps));
  StepSeries series;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) break;
    VIGIE_RETURN_IF_ERROR(context.Check());
    VIGIE_ASSIGN_OR_RETURN(const size_t number,
                           grouping.GroupOf(series.labels));
    if (number == groups.size()) {
      VIGIE_RETURN_IF_ERROR(charge.Add(
          steps.count * static_cast<int64_t>(sizeof(State)) + sizeof(Group)));
      groups.emplace_back().states.resize(steps.count);
    }
    Group& group = groups[number];
    group.drop_name = group.drop_name || series.drop_name;
    for (int64_t step = 0; step < steps.count; ++step) {
      State& state = group.states[step];
      switch (series.cell(step)) {
        case Cell::kAbsent:
          break;
        case Cell::kFloat:
          AddFloat(op, &state, series.value(step));
          break;
        case Cell::kHistogram:
          if (op == AggregateOp::kCount || op == AggregateOp::kGroup) {
            state.count += 1;
            state.histograms = true;
          } else if (op == AggregateOp::kSum || op == AggregateOp::kAvg) {
            VIGIE_RETURN_IF_ERROR(
                context.CheckNowAndThen(WorkOf(*series.histogram(step))));
            VIGIE_RETURN_IF_ERROR(AddHistogram(op, *series.histogram(step),
                                               step, &group, &charge));
            if (!group.histograms[step]->compatible()) {
              context.annotations.MixedSchemas(series.labels.metric_name(),
                                               inner);
            }
          } else {
            InformOfIgnoredHistogram(&context, aggregate, inner);
          }
          break;
      }
    }
  }
  std::vector<StepSeries> results(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    VIGIE_RETURN_IF_ERROR(results[i].Init(&context.account, grouping.labels(i),
                                          groups[i].drop_name, steps.count));
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
      VIGIE_RETURN_IF_ERROR(
          SetResult(&context, op, inner, groups[i], step, &results[i]));
    }
  }
  return StreamOf(std::move(results));
}

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateAggregate(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps) {
  switch (aggregate.op) {
    case AggregateOp::kSum:
    case AggregateOp::kAvg:
    case AggregateOp::kCount:
    case AggregateOp::kMin:
    case AggregateOp::kMax:
    case AggregateOp::kGroup:
    case AggregateOp::kStddev:
    case AggregateOp::kStdvar:
      return AggregateStates(evaluator, aggregate, steps);
    case AggregateOp::kQuantile:
      return AggregateQuantile(evaluator, aggregate, steps);
    case AggregateOp::kCountValues:
      return AggregateCountValues(evaluator, aggregate, steps);
    case AggregateOp::kTopk:
    case AggregateOp::kBottomk:
    case AggregateOp::kLimitk:
    case AggregateOp::kLimitRatio:
      return AggregatePick(evaluator, aggregate, steps);
  }
  return absl::InternalError("unknown aggregation");
}

}  // namespace vigie::query
