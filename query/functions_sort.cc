// sort, sort_desc, sort_by_label and sort_by_label_desc: an order for the
// vector of an instant query.
#include <algorithm>
#include <cmath>
#include <utility>

#include "query/evaluator.h"
#include "query/natural_order.h"

namespace vigie::query {
namespace {

const std::string& TextOf(const Expr& expr) {
  return WithoutParens(expr).As<StringLiteral>().value;
}

// NaN comes last in both directions.
void SortByValue(std::vector<StepSeries>* series, bool descending) {
  std::erase_if(*series, [](const StepSeries& one) {
    return one.cell(0) != Cell::kFloat;
  });
  std::stable_sort(series->begin(), series->end(),
                   [&](const StepSeries& a, const StepSeries& b) {
                     const double x = a.value(0);
                     const double y = b.value(0);
                     if (std::isnan(x) || std::isnan(y)) {
                       return !std::isnan(x) && std::isnan(y);
                     }
                     return descending ? x > y : x < y;
                   });
}

void SortByLabels(std::vector<StepSeries>* series,
                  const std::vector<std::string>& names, bool descending) {
  const auto before = [&](const StepSeries& a, const StepSeries& b) {
    for (const std::string& name : names) {
      const std::string_view x = a.labels.Get(name);
      const std::string_view y = b.labels.Get(name);
      if (x != y) return NaturallyBefore(x, y);
    }
    return a.labels < b.labels;
  };
  std::stable_sort(series->begin(), series->end(),
                   [&](const StepSeries& a, const StepSeries& b) {
                     return descending ? before(b, a) : before(a, b);
                   });
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateSort(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps) {
  const std::string_view name = call.function->name;
  if (steps.count > 1) {
    evaluator->context().annotations.Warn(
        "sort is ineffective for range queries since results are always "
        "ordered by labels",
        call.position);
    return evaluator->Vector(*call.args[0], steps);
  }
  VIGIE_ASSIGN_OR_RETURN(auto series, evaluator->Collect(*call.args[0], steps));
  if (name == "sort" || name == "sort_desc") {
    SortByValue(&series, name == "sort_desc");
  } else {
    std::vector<std::string> names;
    for (size_t i = 1; i < call.args.size(); ++i) {
      names.push_back(TextOf(*call.args[i]));
    }
    SortByLabels(&series, names, name == "sort_by_label_desc");
  }
  return StreamOf(std::move(series));
}

}  // namespace vigie::query
