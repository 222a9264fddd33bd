// Binary operators between two vectors: series meet by the labels they share.
// Source: Prometheus 3, "Vector matching" in its documentation of operators.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "query/binary.h"
#include "query/grouping.h"

namespace vigie::query {
namespace {

// A label set as errors show it: the name among the other labels.
std::string BracedText(const Labels& labels) {
  std::string text = "{";
  for (const LabelView& label : labels) {
    if (text.size() > 1) text += ", ";
    text += IsLegacyLabelName(label.name) ? std::string(label.name)
                                          : Quoted(label.name);
    text += "=";
    text += Quoted(label.value);
  }
  return text + "}";
}

Labels SignatureOf(const Labels& labels, const VectorMatching& matching) {
  return matching.on ? KeepLabels(labels, matching.labels)
                     : DropLabels(labels, matching.labels);
}

// Series of both sides by the labels they meet on.
struct MatchGroup {
  std::vector<size_t> lhs;
  std::vector<size_t> rhs;
};

struct Sides {
  // Others may hold them too, unless the operation sets cells.
  std::shared_ptr<std::vector<StepSeries>> lhs;
  std::shared_ptr<std::vector<StepSeries>> rhs;
  std::vector<MatchGroup> groups;
  Charge charge;
};

absl::StatusOr<std::shared_ptr<std::vector<StepSeries>>> Own(
    Evaluator* evaluator, const Expr& expr, const Steps& steps) {
  VIGIE_ASSIGN_OR_RETURN(auto series, evaluator->Collect(expr, steps));
  return std::make_shared<std::vector<StepSeries>>(std::move(series));
}

absl::StatusOr<Sides> CollectSides(Evaluator* evaluator,
                                   const BinaryExpr& binary,
                                   const Steps& steps) {
  Sides sides;
  sides.charge = Charge(&evaluator->context().account);
  const auto collect = [&](const Expr& expr) {
    return IsSetOperator(binary.op) ? Own(evaluator, expr, steps)
                                    : evaluator->CollectShared(expr, steps);
  };
  VIGIE_ASSIGN_OR_RETURN(sides.lhs, collect(*binary.lhs));
  VIGIE_ASSIGN_OR_RETURN(sides.rhs, collect(*binary.rhs));
  absl::flat_hash_map<Labels, size_t> group_of;
  const auto place = [&](const StepSeries& series) -> absl::StatusOr<size_t> {
    Labels signature = SignatureOf(series.labels, *binary.matching);
    const int64_t bytes = static_cast<int64_t>(
        signature.bytes().size() + sizeof(Labels) + sizeof(MatchGroup) + 64);
    const auto [at, inserted] =
        group_of.try_emplace(std::move(signature), sides.groups.size());
    if (inserted) {
      VIGIE_RETURN_IF_ERROR(sides.charge.Add(bytes));
      sides.groups.emplace_back();
    }
    return at->second;
  };
  for (size_t i = 0; i < sides.lhs->size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(const size_t group, place((*sides.lhs)[i]));
    sides.groups[group].lhs.push_back(i);
  }
  for (size_t i = 0; i < sides.rhs->size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(const size_t group, place((*sides.rhs)[i]));
    sides.groups[group].rhs.push_back(i);
  }
  return sides;
}

// Steps at which any of `series` has a cell.
std::vector<bool> StepsOfAny(const std::vector<StepSeries>& all,
                             const std::vector<size_t>* some, int64_t steps) {
  std::vector<bool> any(static_cast<size_t>(steps));
  const size_t count = some == nullptr ? all.size() : some->size();
  for (size_t i = 0; i < count; ++i) {
    const StepSeries& series = all[some == nullptr ? i : (*some)[i]];
    for (int64_t step = 0; step < steps; ++step) {
      if (series.present(step)) any[step] = true;
    }
  }
  return any;
}

// and, or, unless: keep cells as they are.
absl::StatusOr<std::unique_ptr<SeriesStream>> SetOperation(
    QueryContext* context, BinaryOp op, Sides sides, const Steps& steps) {
  std::vector<StepSeries>& lhs = *sides.lhs;
  std::vector<StepSeries>& rhs = *sides.rhs;
  for (const MatchGroup& group : sides.groups) {
    VIGIE_RETURN_IF_ERROR(context->Check());
    // `or` looks at what is on the left, the others at the right.
    const std::vector<bool> other =
        op == BinaryOp::kOr ? StepsOfAny(lhs, &group.lhs, steps.count)
                            : StepsOfAny(rhs, &group.rhs, steps.count);
    std::vector<StepSeries>& kept = op == BinaryOp::kOr ? rhs : lhs;
    for (const size_t i : op == BinaryOp::kOr ? group.rhs : group.lhs) {
      for (int64_t step = 0; step < steps.count; ++step) {
        VIGIE_RETURN_IF_ERROR(context->CheckNowAndThen());
        if (other[step] != (op == BinaryOp::kAnd)) kept[i].Clear(step);
      }
    }
  }
  if (op != BinaryOp::kOr) return StreamOf(std::move(lhs));
  std::vector<StepSeries> all = std::move(lhs);
  for (StepSeries& series : rhs) {
    if (series.AnyPresent()) all.push_back(std::move(series));
  }
  // A series may come from the left at some steps, from the right at others.
  VIGIE_ASSIGN_OR_RETURN(all, MergeEqualLabels(context, std::move(all)));
  return StreamOf(std::move(all));
}

Operand OperandOf(const StepSeries& series, int64_t step) {
  if (series.cell(step) != Cell::kHistogram) {
    return {.value = series.value(step)};
  }
  return {.histogram = series.histogram(step).get()};
}

// Arithmetic and comparisons. "Many" is the left side unless group_right says
// otherwise; of the "one" side at most one series a group may have a cell.
class VectorMatcher {
 public:
  VectorMatcher(QueryContext* context, const BinaryExpr& binary, Sides* sides,
                const Steps& steps)
      : context_(*context),
        binary_(binary),
        matching_(*binary.matching),
        swapped_(matching_.cardinality == Cardinality::kOneToMany),
        many_(swapped_ ? *sides->rhs : *sides->lhs),
        one_(swapped_ ? *sides->lhs : *sides->rhs),
        groups_(sides->groups),
        steps_(steps),
        charge_(&context->account) {}

  absl::StatusOr<std::unique_ptr<SeriesStream>> Run() {
    const std::optional<double>& fill_one =
        swapped_ ? matching_.fill_lhs : matching_.fill_rhs;
    const std::optional<double>& fill_many =
        swapped_ ? matching_.fill_rhs : matching_.fill_lhs;
    const bool fills = fill_one.has_value() || fill_many.has_value();
    const std::vector<bool> any_many = StepsOfAny(many_, nullptr, steps_.count);
    const std::vector<bool> any_one = StepsOfAny(one_, nullptr, steps_.count);
    for (size_t g = 0; g < groups_.size(); ++g) {
      VIGIE_RETURN_IF_ERROR(context_.Check());
      const std::vector<size_t>& many =
          swapped_ ? groups_[g].rhs : groups_[g].lhs;
      const std::vector<size_t>& one =
          swapped_ ? groups_[g].lhs : groups_[g].rhs;
      for (int64_t step = 0; step < steps_.count; ++step) {
        VIGIE_RETURN_IF_ERROR(
            context_.CheckNowAndThen(many.size() + one.size()));
        if (!fills && !(any_many[step] && any_one[step])) continue;
        VIGIE_ASSIGN_OR_RETURN(const StepSeries* single, Single(one, step));
        bool matched = false;
        for (const size_t i : many) {
          if (!many_[i].present(step)) continue;
          Operand right;
          const Labels* right_labels = nullptr;
          if (single != nullptr) {
            right = OperandOf(*single, step);
            right_labels = &single->labels;
          } else if (fill_one.has_value()) {
            right.value = *fill_one;
          } else {
            continue;
          }
          VIGIE_ASSIGN_OR_RETURN(
              const bool done,
              Combine(g, step, many_[i].labels, many_[i].drop_name,
                      OperandOf(many_[i], step), right_labels, right, matched));
          matched = matched || done;
        }
        if (single != nullptr && !matched && fill_many.has_value()) {
          const Labels left = SignatureOf(single->labels, matching_);
          VIGIE_RETURN_IF_ERROR(Combine(g, step, left, false,
                                        {.value = *fill_many}, &single->labels,
                                        OperandOf(*single, step), false)
                                    .status());
        }
      }
    }
    std::vector<StepSeries> results;
    for (Output& output : outputs_) {
      if (output.series.steps() > 0)
        results.push_back(std::move(output.series));
    }
    return StreamOf(std::move(results));
  }

 private:
  struct Output {
    Labels labels;
    bool drop_name = false;
    StepSeries series;  // without cells until the first one
    size_t group = 0;   // where and when it was last matched
    int64_t step = -1;
  };

  // The one series of `one` with a cell, or null.
  absl::StatusOr<const StepSeries*> Single(const std::vector<size_t>& one,
                                           int64_t step) const {
    const StepSeries* found = nullptr;
    for (const size_t i : one) {
      if (!one_[i].present(step)) continue;
      if (found != nullptr) {
        return absl::FailedPreconditionError(fmt::format(
            "found duplicate series for the match group {} on the {} "
            "hand-side of the operation: [{}, {}];many-to-many matching not "
            "allowed: matching labels must be unique on one side",
            BracedText(SignatureOf(found->labels, matching_)),
            swapped_ ? "left" : "right", BracedText(one_[i].labels),
            BracedText(found->labels)));
      }
      found = &one_[i];
    }
    return found;
  }

  // False if the types do not fit, so that nothing was matched.
  absl::StatusOr<bool> Combine(size_t group, int64_t step,
                               const Labels& many_labels, bool drop_name,
                               Operand many, const Labels* one_labels,
                               Operand one, bool matched) {
    const Operand& lhs = swapped_ ? one : many;
    const Operand& rhs = swapped_ ? many : one;
    FloatResult result;
    HistogramRef histogram;
    if (lhs.histogram == nullptr && rhs.histogram == nullptr &&
        !IsTrim(binary_.op)) {
      result = FloatBinary(binary_.op, lhs.value, rhs.value);
    } else {
      HistogramResult of_histograms =
          HistogramBinary(&context_, binary_, lhs, rhs);
      if (!of_histograms.fits) return false;
      result.keep = of_histograms.keep;
      histogram = std::move(of_histograms.histogram);
    }
    VIGIE_ASSIGN_OR_RETURN(Output * output,
                           Find(many_labels, one_labels, drop_name));
    if (matching_.cardinality == Cardinality::kOneToOne) {
      if (matched) {
        return absl::FailedPreconditionError(
            "multiple matches for labels: many-to-one matching must be "
            "explicit (group_left/group_right)");
      }
    } else if (output->group == group && output->step == step) {
      return absl::FailedPreconditionError(
          "multiple matches for labels: grouping labels must ensure unique "
          "matches");
    }
    output->group = group;
    output->step = step;
    if (!result.keep && !binary_.return_bool) return true;
    if (output->series.steps() == 0) {
      VIGIE_RETURN_IF_ERROR(output->series.Init(
          &context_.account, output->labels, output->drop_name, steps_.count));
    }
    if (output->series.present(step)) return SameLabelsetError();
    output->series.drop_name = output->series.drop_name || output->drop_name;
    if (histogram != nullptr) {
      VIGIE_RETURN_IF_ERROR(
          output->series.SetHistogram(step, std::move(histogram)));
    } else {
      output->series.SetFloat(
          step, binary_.return_bool ? (result.keep ? 1 : 0) : result.value);
    }
    return true;
  }

  // What the element of a pair is called. `one` is null if it was filled in.
  Labels ResultLabels(const Labels& many, const Labels* one) const {
    LabelsBuilder builder(many);
    if (!IsComparison(binary_.op) && !IsFilter(binary_)) {
      builder.Remove(kMetricName).Remove("__type__").Remove("__unit__");
    }
    if (matching_.cardinality == Cardinality::kOneToOne) {
      if (matching_.on) {
        builder = LabelsBuilder(KeepLabels(builder.Build(), matching_.labels));
      } else {
        for (const std::string& name : matching_.labels) builder.Remove(name);
      }
    }
    for (const std::string& name : matching_.include) {
      builder.Set(name,
                  one == nullptr ? FilledLabel(many, name) : one->Get(name));
    }
    return builder.Build();
  }

  // A filled side has the labels that the sides meet on, and no others.
  std::string_view FilledLabel(const Labels& many,
                               const std::string& name) const {
    const bool listed =
        std::find(matching_.labels.begin(), matching_.labels.end(), name) !=
        matching_.labels.end();
    if (name == kMetricName || listed != matching_.on) return "";
    return many.Get(name);
  }

  absl::StatusOr<Output*> Find(const Labels& many, const Labels* one,
                               bool drop_name) {
    // Only labels that are taken from the one side make a pair special.
    const std::pair<std::string_view, std::string_view> pair(
        many.bytes(), one == nullptr || matching_.include.empty()
                          ? std::string_view()
                          : std::string_view(one->bytes()));
    std::string key = fmt::format("{} {}", pair.first.size(), pair.first);
    key.append(pair.second);
    if (one == nullptr && !matching_.include.empty()) key.append(" filled");
    const auto known = by_pair_.find(key);
    if (known != by_pair_.end()) return &outputs_[known->second];
    Labels labels = ResultLabels(many, one);
    VIGIE_RETURN_IF_ERROR(charge_.Add(static_cast<int64_t>(
        key.size() + 2 * labels.bytes().size() + sizeof(Output) + 128)));
    const auto [at, inserted] = by_labels_.try_emplace(labels, outputs_.size());
    if (inserted) outputs_.emplace_back().labels = std::move(labels);
    Output& output = outputs_[at->second];
    output.drop_name = output.drop_name || binary_.return_bool ||
                       (IsFilter(binary_) && drop_name);
    by_pair_.emplace(std::move(key), at->second);
    return &output;
  }

  QueryContext& context_;
  const BinaryExpr& binary_;
  const VectorMatching& matching_;
  const bool swapped_;
  const std::vector<StepSeries>& many_;
  const std::vector<StepSeries>& one_;
  const std::vector<MatchGroup>& groups_;
  const Steps steps_;
  Charge charge_;
  std::vector<Output> outputs_;
  absl::flat_hash_map<Labels, size_t> by_labels_;
  absl::flat_hash_map<std::string, size_t> by_pair_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> MatchVectors(
    Evaluator* evaluator, const BinaryExpr& binary, const Steps& steps) {
  if (!binary.matching.has_value()) {
    return absl::InternalError("vectors without a matching");
  }
  VIGIE_ASSIGN_OR_RETURN(Sides sides, CollectSides(evaluator, binary, steps));
  if (IsSetOperator(binary.op)) {
    return SetOperation(&evaluator->context(), binary.op, std::move(sides),
                        steps);
  }
  VectorMatcher matcher(&evaluator->context(), binary, &sides, steps);
  return matcher.Run();
}

}  // namespace vigie::query
