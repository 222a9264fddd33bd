#include "query/parser/functions.h"

#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/strings.h"

namespace vigie::query {
namespace {

constexpr ValueType kScalar = ValueType::kScalar;
constexpr ValueType kVector = ValueType::kVector;
constexpr ValueType kMatrix = ValueType::kMatrix;
constexpr ValueType kString = ValueType::kString;

Function Of(std::string_view name, std::vector<ValueType> args,
            ValueType result = kVector, int variadic = 0) {
  return {name, std::move(args), variadic, result, false};
}
Function Experimental(Function function) {
  function.experimental = true;
  return function;
}

std::vector<Function> MakeFunctions() {
  std::vector<Function> all;
  for (const std::string_view name : {"abs",
                                      "absent",
                                      "acos",
                                      "acosh",
                                      "asin",
                                      "asinh",
                                      "atan",
                                      "atanh",
                                      "ceil",
                                      "cos",
                                      "cosh",
                                      "deg",
                                      "exp",
                                      "floor",
                                      "histogram_avg",
                                      "histogram_count",
                                      "histogram_stddev",
                                      "histogram_stdvar",
                                      "histogram_sum",
                                      "ln",
                                      "log10",
                                      "log2",
                                      "rad",
                                      "sgn",
                                      "sin",
                                      "sinh",
                                      "sort",
                                      "sort_desc",
                                      "sqrt",
                                      "tan",
                                      "tanh",
                                      "timestamp"}) {
    all.push_back(Of(name, {kVector}));
  }
  for (const std::string_view name :
       {"absent_over_time", "avg_over_time", "changes", "count_over_time",
        "delta", "deriv", "idelta", "increase", "irate", "last_over_time",
        "max_over_time", "min_over_time", "present_over_time", "rate", "resets",
        "stddev_over_time", "stdvar_over_time", "sum_over_time"}) {
    all.push_back(Of(name, {kMatrix}));
  }
  for (const std::string_view name :
       {"first_over_time", "mad_over_time", "ts_of_first_over_time",
        "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time"}) {
    all.push_back(Experimental(Of(name, {kMatrix})));
  }
  // Without an argument they take vector(time()).
  for (const std::string_view name :
       {"day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour",
        "minute", "month", "year"}) {
    all.push_back(Of(name, {kVector}, kVector, 1));
  }
  all.push_back(Of("clamp", {kVector, kScalar, kScalar}));
  all.push_back(Of("clamp_max", {kVector, kScalar}));
  all.push_back(Of("clamp_min", {kVector, kScalar}));
  all.push_back(Of("histogram_fraction", {kScalar, kScalar, kVector}));
  all.push_back(Of("histogram_quantile", {kScalar, kVector}));
  all.push_back(
      Of("label_join", {kVector, kString, kString, kString}, kVector, -1));
  all.push_back(
      Of("label_replace", {kVector, kString, kString, kString, kString}));
  all.push_back(Of("pi", {}, kScalar));
  all.push_back(Of("predict_linear", {kMatrix, kScalar}));
  all.push_back(Of("quantile_over_time", {kScalar, kMatrix}));
  all.push_back(Of("round", {kVector, kScalar}, kVector, 1));
  all.push_back(Of("scalar", {kVector}, kScalar));
  all.push_back(Of("time", {}, kScalar));
  all.push_back(Of("vector", {kScalar}));
  all.push_back(Experimental(
      Of("double_exponential_smoothing", {kMatrix, kScalar, kScalar})));
  all.push_back(
      Experimental(Of("histogram_quantiles",
                      {kVector, kString, kScalar, kScalar}, kVector, 9)));
  all.push_back(Experimental(Of("info", {kVector, kVector}, kVector, 1)));
  all.push_back(
      Experimental(Of("sort_by_label", {kVector, kString}, kVector, -1)));
  all.push_back(
      Experimental(Of("sort_by_label_desc", {kVector, kString}, kVector, -1)));
  all.push_back(Experimental(Of("start_timestamp", {kVector})));
  for (const std::string_view name : {"start", "end", "step", "range"}) {
    all.push_back(Experimental(Of(name, {}, kScalar)));
  }
  for (const std::string_view name : {"max_of", "min_of"}) {
    all.push_back(Experimental(Of(name, {kScalar, kScalar}, kScalar)));
  }
  return all;
}

const std::vector<Function>& Functions() {
  static const auto* const functions =
      new std::vector<Function>(MakeFunctions());
  return *functions;
}

}  // namespace

const Function* FindFunction(std::string_view name) {
  static const auto* const by_name = [] {
    auto* const map = new absl::flat_hash_map<std::string_view, const Function*,
                                              StringViewHash>;
    for (const Function& function : Functions()) {
      map->emplace(function.name, &function);
    }
    return map;
  }();
  const auto it = by_name->find(name);
  return it == by_name->end() ? nullptr : it->second;
}

std::vector<const Function*> AllFunctions() {
  std::vector<const Function*> all;
  for (const Function& function : Functions()) all.push_back(&function);
  std::sort(all.begin(), all.end(), [](const Function* a, const Function* b) {
    return a->name < b->name;
  });
  return all;
}

}  // namespace vigie::query
