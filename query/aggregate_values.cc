// quantile and count_values.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/strings.h"
#include "query/aggregate.h"
#include "query/grouping.h"
#include "query/native_histogram_values.h"
#include "query/number_text.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// Warns once each of the largest, the smallest and a NaN parameter.
void WarnOfQuantiles(QueryContext* context, const ScalarColumn& column,
                     PositionRange position) {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  for (const double q : column.values()) {
    if (std::isnan(q)) {
      WarnOfQuantile(context, q, position);
      continue;
    }
    min = std::min(min, q);
    max = std::max(max, q);
  }
  if (max > 1) WarnOfQuantile(context, max, position);
  if (min < 0) WarnOfQuantile(context, min, position);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateQuantile(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps) {
  QueryContext& context = evaluator->context();
  VIGIE_ASSIGN_OR_RETURN(ScalarColumn q,
                         evaluator->Scalar(*aggregate.param, steps));
  WarnOfQuantiles(&context, q, WithoutParens(*aggregate.param).position);
  VIGIE_ASSIGN_OR_RETURN(auto all, evaluator->Collect(*aggregate.expr, steps));
  Grouping grouping(&context.account, aggregate);
  std::vector<std::vector<const StepSeries*>> members;
  for (const StepSeries& series : all) {
    VIGIE_ASSIGN_OR_RETURN(const size_t number,
                           grouping.GroupOf(series.labels));
    if (number == members.size()) members.emplace_back();
    members[number].push_back(&series);
  }
  Charge charge(&context.account);
  VIGIE_RETURN_IF_ERROR(
      charge.Add(static_cast<int64_t>(all.size() * 2 * sizeof(double))));
  std::vector<StepSeries> results(members.size());
  std::vector<double> values;
  for (size_t i = 0; i < members.size(); ++i) {
    bool drop_name = false;
    for (const StepSeries* member : members[i]) {
      drop_name = drop_name || member->drop_name;
    }
    VIGIE_RETURN_IF_ERROR(results[i].Init(&context.account, grouping.labels(i),
                                          drop_name, steps.count));
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen(members[i].size()));
      values.clear();
      for (const StepSeries* member : members[i]) {
        if (member->cell(step) == Cell::kFloat) {
          values.push_back(member->value(step));
        } else if (member->cell(step) == Cell::kHistogram) {
          InformOfIgnoredHistogram(&context, aggregate,
                                   WithoutParens(*aggregate.expr).position);
        }
      }
      if (values.empty()) continue;
      results[i].SetFloat(step, QuantileOf(q.At(step), &values));
    }
  }
  return StreamOf(std::move(results));
}

absl::StatusOr<std::unique_ptr<SeriesStream>> AggregateCountValues(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps) {
  QueryContext& context = evaluator->context();
  const std::string& label =
      WithoutParens(*aggregate.param).As<StringLiteral>().value;
  if (label.empty() || !IsValidUtf8(label)) {
    return absl::FailedPreconditionError(
        fmt::format("invalid label name {}", Quoted(label)));
  }
  Grouping grouping(&context.account, aggregate);
  grouping.AlsoBy(label);
  std::vector<StepSeries> results;
  VIGIE_ASSIGN_OR_RETURN(auto stream,
                         evaluator->Vector(*aggregate.expr, steps));
  StepSeries series;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) break;
    // Series mostly keep a few values: the group of each is found once.
    absl::flat_hash_map<uint64_t, size_t> group_of_value;
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
      const auto group_of =
          [&](const std::string& value) -> absl::StatusOr<size_t> {
        LabelsBuilder builder(series.labels);
        VIGIE_ASSIGN_OR_RETURN(
            const size_t group,
            grouping.GroupOf(builder.Set(label, value).Build()));
        if (group == results.size()) {
          VIGIE_RETURN_IF_ERROR(results.emplace_back().Init(
              &context.account, grouping.labels(group), false, steps.count));
        }
        return group;
      };
      size_t group = 0;
      if (series.cell(step) == Cell::kHistogram) {
        VIGIE_ASSIGN_OR_RETURN(
            group, group_of(HistogramText(*series.histogram(step))));
      } else if (series.cell(step) == Cell::kFloat) {
        const double value = series.value(step);
        const auto [at, inserted] =
            group_of_value.try_emplace(std::bit_cast<uint64_t>(value), 0);
        if (inserted) {
          VIGIE_ASSIGN_OR_RETURN(at->second, group_of(FixedText(value)));
        }
        group = at->second;
      } else {
        continue;
      }
      StepSeries& result = results[group];
      result.SetFloat(step, result.present(step) ? result.value(step) + 1 : 1);
    }
  }
  return StreamOf(std::move(results));
}

}  // namespace vigie::query
