#include "query/aggregate.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

#include "query/grouping.h"
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

struct Group {
  std::vector<State> states;
  bool drop_name = false;
};

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
            return absl::UnimplementedError(
                fmt::format("{} of native histograms is not evaluated yet",
                            AggregateOpText(op)));
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
      const State& state = groups[i].states[step];
      if (state.seen()) results[i].SetFloat(step, ResultOf(op, state));
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
