// info(v, {matchers}): adds the data labels of info metrics (target_info) that
// describe the same instance and job.
// Source: Prometheus 3, documentation of info().
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "query/evaluator.h"
#include "query/grouping.h"

namespace vigie::query {
namespace {

// What an info series and those it describes have in common.
const std::vector<std::string>& IdentifyingLabels() {
  static const auto* const kLabels =
      new std::vector<std::string>{"instance", "job"};
  return *kLabels;
}

bool IsPositive(const Matcher& matcher) {
  return matcher.type() == Matcher::Type::kEqual ||
         matcher.type() == Matcher::Type::kRegex;
}

// Which info metrics to take labels from, and which labels.
struct InfoSelector {
  std::vector<Matcher> names;
  std::vector<Matcher> labels;

  // Info series themselves are not described by others.
  bool IsInfoMetric(const Labels& series) const {
    return MatchesAll(names, series);
  }
  bool Takes(std::string_view label) const {
    if (labels.empty()) return true;
    return std::any_of(
        labels.begin(), labels.end(),
        [&](const Matcher& matcher) { return matcher.name() == label; });
  }
  // Whether a series that nothing describes is kept.
  bool KeepsUndescribed() const {
    return std::all_of(
        labels.begin(), labels.end(),
        [](const Matcher& matcher) { return matcher.MatchesEmpty(); });
  }
};

absl::StatusOr<InfoSelector> SelectorOf(const CallExpr& call) {
  InfoSelector selector;
  if (call.args.size() > 1) {
    for (const Matcher& matcher :
         WithoutParens(*call.args[1]).As<VectorSelector>().matchers) {
      (matcher.name() == kMetricName ? selector.names : selector.labels)
          .push_back(matcher);
    }
  }
  if (selector.names.empty()) {
    selector.names.push_back(Matcher::Equal(kMetricName, "target_info"));
  } else if (std::none_of(selector.names.begin(), selector.names.end(),
                          IsPositive)) {
    VIGIE_ASSIGN_OR_RETURN(
        Matcher any,
        Matcher::Create(Matcher::Type::kRegex, kMetricName, ".+_info"));
    selector.names.push_back(std::move(any));
  }
  return selector;
}

// Adds `inner` to a shift: what is pinned inside forgets what is outside.
void Compose(const TimeShift& inner, TimeShift* shift) {
  if (inner.at == TimeShift::At::kNone) {
    shift->offset_ms = SaturatingAdd(shift->offset_ms, inner.offset_ms);
    return;
  }
  shift->at = TimeShift::At::kTime;
  shift->at_ms = inner.at_ms;
  shift->offset_ms = inner.offset_ms;
}

// Finds the first selector below `expr`, and how its time is shifted: the
// info series are looked up at the time that the samples are from.
bool FindShift(const Expr& expr, TimeShift* shift) {
  switch (expr.kind) {
    case Expr::Kind::kVectorSelector:
      Compose(expr.As<VectorSelector>().shift, shift);
      return true;
    case Expr::Kind::kMatrixSelector:
      return FindShift(*expr.As<MatrixSelector>().vector, shift);
    case Expr::Kind::kSubquery: {
      TimeShift inner;
      inner.at = shift->at;
      inner.at_ms = shift->at_ms;
      inner.offset_ms = shift->offset_ms;
      Compose(expr.As<SubqueryExpr>().shift, &inner);
      if (!FindShift(*expr.As<SubqueryExpr>().expr, &inner)) return false;
      *shift = std::move(inner);
      return true;
    }
    case Expr::Kind::kParen:
      return FindShift(*expr.As<ParenExpr>().expr, shift);
    case Expr::Kind::kUnary:
      return FindShift(*expr.As<UnaryExpr>().expr, shift);
    case Expr::Kind::kBinary:
      return FindShift(*expr.As<BinaryExpr>().lhs, shift) ||
             FindShift(*expr.As<BinaryExpr>().rhs, shift);
    case Expr::Kind::kAggregate:
      return FindShift(*expr.As<AggregateExpr>().expr, shift);
    case Expr::Kind::kCall:
      return std::any_of(
          expr.As<CallExpr>().args.begin(), expr.As<CallExpr>().args.end(),
          [&](const ExprPtr& arg) { return FindShift(*arg, shift); });
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
    case Expr::Kind::kDuration:
      break;
  }
  return false;
}

class InfoJoin {
 public:
  InfoJoin(QueryContext* context, const InfoSelector& selector,
           std::vector<StepSeries> info, const Steps& steps)
      : context_(*context),
        selector_(selector),
        info_(std::move(info)),
        steps_(steps) {
    for (size_t i = 0; i < info_.size(); ++i) {
      by_identity_[KeepLabels(info_[i].labels, IdentifyingLabels())].push_back(
          i);
    }
  }

  absl::Status Add(const StepSeries& base) {
    const Labels identity = KeepLabels(base.labels, IdentifyingLabels());
    const auto found = by_identity_.find(identity);
    const bool described = !identity.empty() && found != by_identity_.end() &&
                           !selector_.IsInfoMetric(base.labels);
    const bool passes = selector_.IsInfoMetric(base.labels);
    // Steps mostly see the same info series one after the other.
    std::vector<size_t> last;
    size_t output = 0;
    bool have_output = false;
    for (int64_t step = 0; step < steps_.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
      if (!base.present(step)) continue;
      std::vector<size_t> chosen;
      if (described) {
        VIGIE_ASSIGN_OR_RETURN(chosen, Newest(found->second, step));
      }
      if (chosen.empty() && !passes && !selector_.KeepsUndescribed()) continue;
      if (!have_output || chosen != last) {
        VIGIE_ASSIGN_OR_RETURN(Labels labels, Describe(base.labels, chosen));
        VIGIE_ASSIGN_OR_RETURN(output,
                               OutputOf(std::move(labels), base.drop_name));
        have_output = true;
        last = std::move(chosen);
      }
      if (outputs_[output].present(step)) return SameLabelsetError();
      VIGIE_RETURN_IF_ERROR(outputs_[output].Copy(base, step));
    }
    return absl::OkStatus();
  }

  std::vector<StepSeries> Take() { return std::move(outputs_); }

 private:
  // Of each info metric the series with the newest sample.
  absl::StatusOr<std::vector<size_t>> Newest(
      const std::vector<size_t>& candidates, int64_t step) const {
    std::map<std::string_view, size_t> newest;
    for (const size_t i : candidates) {
      if (!info_[i].present(step)) continue;
      const std::string_view name = info_[i].labels.metric_name();
      const auto [at, inserted] = newest.try_emplace(name, i);
      if (inserted) continue;
      const double mine = info_[i].value(step);
      const double other = info_[at->second].value(step);
      if (mine == other) {
        return absl::FailedPreconditionError(
            fmt::format("found duplicate series for info metric {}", name));
      }
      if (mine > other) at->second = i;
    }
    std::vector<size_t> chosen;
    for (const auto& [name, i] : newest) chosen.push_back(i);
    return chosen;
  }

  absl::StatusOr<Labels> Describe(const Labels& base,
                                  const std::vector<size_t>& chosen) const {
    LabelsBuilder added;
    for (const size_t i : chosen) {
      for (const LabelView& label : info_[i].labels) {
        if (label.name == kMetricName || !selector_.Takes(label.name) ||
            base.Has(label.name)) {
          continue;
        }
        const std::string_view before = added.Get(label.name);
        if (!before.empty() && before != label.value) {
          return absl::FailedPreconditionError(
              fmt::format("conflicting label: {}", label.name));
        }
        added.Set(label.name, label.value);
      }
    }
    LabelsBuilder all(base);
    for (const LabelView& label : added.Build()) {
      all.Set(label.name, label.value);
    }
    return all.Build();
  }

  absl::StatusOr<size_t> OutputOf(Labels labels, bool drop_name) {
    const auto [at, inserted] = by_labels_.try_emplace(labels, outputs_.size());
    if (inserted) {
      VIGIE_RETURN_IF_ERROR(outputs_.emplace_back().Init(
          &context_.account, std::move(labels), drop_name, steps_.count));
    }
    outputs_[at->second].drop_name =
        outputs_[at->second].drop_name || drop_name;
    return at->second;
  }

  QueryContext& context_;
  const InfoSelector& selector_;
  const std::vector<StepSeries> info_;  // cells: times of the samples
  const Steps steps_;
  absl::flat_hash_map<Labels, std::vector<size_t>> by_identity_;
  absl::flat_hash_map<Labels, size_t> by_labels_;
  std::vector<StepSeries> outputs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateInfo(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps) {
  QueryContext& context = evaluator->context();
  VIGIE_ASSIGN_OR_RETURN(const InfoSelector selector, SelectorOf(call));
  VectorSelector info_selector;
  info_selector.matchers = selector.names;
  info_selector.matchers.insert(info_selector.matchers.end(),
                                selector.labels.begin(), selector.labels.end());
  FindShift(*call.args[0], &info_selector.shift);
  VIGIE_ASSIGN_OR_RETURN(auto stream, SelectTimes(&context, info_selector,
                                                  steps, SampleTimes::kOfInfo));
  std::vector<StepSeries> info;
  while (true) {
    StepSeries series;
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) break;
    info.push_back(std::move(series));
  }
  InfoJoin join(&context, selector, std::move(info), steps);
  VIGIE_ASSIGN_OR_RETURN(auto base, evaluator->Vector(*call.args[0], steps));
  StepSeries series;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, base->Next(&series));
    if (!more) return StreamOf(join.Take());
    VIGIE_RETURN_IF_ERROR(join.Add(series));
  }
}

}  // namespace vigie::query
