// topk, bottomk, limitk and limit_ratio: some of the series of each group, as
// they are.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "query/aggregate.h"
#include "query/grouping.h"
#include "query/number_text.h"

namespace vigie::query {
namespace {

// Where a series falls in [0, 1): the same in every process and query, so that
// ratios r and r - 1 are complements.
double RatioPoint(const Labels& labels) {
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const char c : labels.bytes()) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
  }
  // FNV leaves the high bits of similar labels alike; mix them (splitmix64).
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  hash ^= hash >> 31;
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

bool IsRatioMember(double ratio, double point) {
  if (ratio >= 0) return point < ratio;
  return point >= 1 + ratio;
}

// The parameter of each step, checked as Prometheus does.
absl::Status CheckCount(const ScalarColumn& k) {
  for (const double value : k.values()) {
    if (std::isnan(value)) {
      return absl::FailedPreconditionError("Parameter value is NaN");
    }
    // The largest double below 2^63.
    if (value > 9223372036854774784.0) {
      return absl::FailedPreconditionError(
          fmt::format("Scalar value {} overflows int64", GeneralText(value)));
    }
    if (value < -9223372036854775808.0) {
      return absl::FailedPreconditionError(
          fmt::format("Scalar value {} underflows int64", GeneralText(value)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRatio(QueryContext* context, const ScalarColumn& ratio,
                        PositionRange position) {
  double min = 0;
  double max = 0;
  for (const double value : ratio.values()) {
    if (std::isnan(value)) {
      return absl::FailedPreconditionError("Ratio value is NaN");
    }
    min = std::min(min, value);
    max = std::max(max, value);
  }
  const auto warn = [&](double value, std::string_view to) {
    context->annotations.Warn(
        fmt::format("ratio value should be between -1 and 1, got {}, capping "
                    "to {}",
                    GeneralText(value), to),
        position);
  };
  if (max > 1) warn(max, "1");
  if (min < -1) warn(min, "-1");
  return absl::OkStatus();
}

// Picks within one group at one step.
class Picker {
 public:
  Picker(QueryContext* context, const AggregateExpr& aggregate,
         const std::vector<StepSeries>& series)
      : context_(*context), aggregate_(aggregate), series_(series) {
    for (const StepSeries& one : series) {
      points_.push_back(aggregate.op == AggregateOp::kLimitRatio
                            ? RatioPoint(one.labels)
                            : 0);
    }
  }

  // Numbers of the picked ones among `members`; best first for topk and
  // bottomk.
  const std::vector<size_t>& Pick(const std::vector<size_t>& members,
                                  int64_t step, double parameter) {
    picked_.clear();
    const bool ranked = aggregate_.op == AggregateOp::kTopk ||
                        aggregate_.op == AggregateOp::kBottomk;
    if (aggregate_.op == AggregateOp::kLimitRatio) {
      const double ratio = std::clamp(parameter, -1.0, 1.0);
      if (ratio == 0) return picked_;
      for (const size_t member : members) {
        if (series_[member].present(step) &&
            IsRatioMember(ratio, points_[member])) {
          picked_.push_back(member);
        }
      }
      return picked_;
    }
    if (parameter < 1) return picked_;
    const size_t k = static_cast<size_t>(
        std::min(parameter, static_cast<double>(series_.size())));
    for (const size_t member : members) {
      if (!series_[member].present(step)) continue;
      if (ranked && series_[member].cell(step) == Cell::kHistogram) {
        InformOfIgnoredHistogram(&context_, aggregate_, aggregate_.position);
        continue;
      }
      picked_.push_back(member);
      if (!ranked && picked_.size() == k) return picked_;
    }
    if (!ranked) return picked_;
    // Of equal values the earlier series wins.
    const auto better = [&](size_t a, size_t b) {
      const double x = series_[a].value(step);
      const double y = series_[b].value(step);
      if (std::isnan(x) || std::isnan(y)) {
        if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
      } else if (x != y) {
        return aggregate_.op == AggregateOp::kTopk ? x > y : x < y;
      }
      return a < b;
    };
    if (picked_.size() > k) {
      std::nth_element(picked_.begin(),
                       picked_.begin() + static_cast<int64_t>(k) - 1,
                       picked_.end(), better);
      NoteTies(k, step);
      picked_.resize(k);
    }
    std::sort(picked_.begin(), picked_.end(), better);
    return picked_;
  }

 private:
  // Whether the last one that is picked is as good as the first that is not.
  void NoteTies(size_t k, int64_t step) {
    if (context_.order_decided) return;
    const double last = series_[picked_[k - 1]].value(step);
    for (size_t i = k; i < picked_.size(); ++i) {
      const double value = series_[picked_[i]].value(step);
      if (value == last || (std::isnan(value) && std::isnan(last))) {
        context_.order_decided = true;
        return;
      }
    }
  }

  QueryContext& context_;
  const AggregateExpr& aggregate_;
  const std::vector<StepSeries>& series_;
  std::vector<double> points_;
  std::vector<size_t> picked_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> AggregatePick(
    Evaluator* evaluator, const AggregateExpr& aggregate, const Steps& steps) {
  QueryContext& context = evaluator->context();
  VIGIE_ASSIGN_OR_RETURN(ScalarColumn parameter,
                         evaluator->Scalar(*aggregate.param, steps));
  if (aggregate.op == AggregateOp::kLimitRatio) {
    VIGIE_RETURN_IF_ERROR(CheckRatio(&context, parameter,
                                     WithoutParens(*aggregate.param).position));
  } else {
    VIGIE_RETURN_IF_ERROR(CheckCount(parameter));
  }
  VIGIE_ASSIGN_OR_RETURN(auto all, evaluator->Collect(*aggregate.expr, steps));
  Charge charge(&context.account);
  VIGIE_RETURN_IF_ERROR(
      charge.Add(static_cast<int64_t>(all.size() * 4 * sizeof(size_t))));
  Grouping grouping(&context.account, aggregate);
  std::vector<std::vector<size_t>> members;
  for (size_t i = 0; i < all.size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(const size_t number,
                           grouping.GroupOf(all[i].labels));
    if (number == members.size()) members.emplace_back();
    members[number].push_back(i);
  }
  Picker picker(&context, aggregate, all);
  if (steps.count == 1) {
    // An instant query shows groups one after the other, ranked within.
    std::vector<StepSeries> results;
    for (const std::vector<size_t>& group : members) {
      VIGIE_RETURN_IF_ERROR(context.Check());
      for (const size_t member : picker.Pick(group, 0, parameter.At(0))) {
        results.push_back(std::move(all[member]));
      }
    }
    return StreamOf(std::move(results));
  }
  std::vector<StepSeries> results(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    VIGIE_RETURN_IF_ERROR(results[i].Init(&context.account, all[i].labels,
                                          all[i].drop_name, steps.count));
  }
  for (const std::vector<size_t>& group : members) {
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen(group.size()));
      for (const size_t member : picker.Pick(group, step, parameter.At(step))) {
        VIGIE_RETURN_IF_ERROR(results[member].Copy(all[member], step));
      }
    }
  }
  return StreamOf(std::move(results));
}

}  // namespace vigie::query
