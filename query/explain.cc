#include "query/explain.h"

#include <utility>

namespace vigie::query {
namespace {

constexpr size_t kTextBytesMax = 200;

std::string_view KindOf(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kVectorSelector:
      return "selector";
    case Expr::Kind::kMatrixSelector:
      return "range selector";
    case Expr::Kind::kSubquery:
      return "subquery";
    case Expr::Kind::kUnary:
      return "unary";
    case Expr::Kind::kBinary:
      return "binary";
    case Expr::Kind::kAggregate:
      return "aggregation";
    case Expr::Kind::kCall:
      return "call";
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
    case Expr::Kind::kParen:
    case Expr::Kind::kDuration:
      break;
  }
  return "constant";
}

// A cut never splits a character.
std::string TextOf(std::string_view query, PositionRange position) {
  std::string_view text =
      query.substr(static_cast<size_t>(position.begin),
                   static_cast<size_t>(position.end - position.begin));
  if (text.size() <= kTextBytesMax) return std::string(text);
  size_t size = kTextBytesMax;
  while (size > 0 && (text[size] & 0xC0) == 0x80) --size;
  return std::string(text.substr(0, size)) + "...";
}

int64_t SamplesOf(const StepSeries& series) {
  int64_t samples = 0;
  for (int64_t step = 0; step < series.steps(); ++step) {
    samples += series.present(step) ? 1 : 0;
  }
  return samples;
}

}  // namespace

// While it lives, the node works; then its asker hears what it had to say.
class ExplainedNode::Watch {
 public:
  Watch(ExplainedNode* node, QueryContext* asker)
      : node_(*node),
        asker_(*asker),
        begun_ns_(node->context_.clock.MonotonicNs()) {}
  ~Watch() {
    node_.seen_.time_ns += node_.context_.clock.MonotonicNs() - begun_ns_;
    if (node_.context_.annotations.empty()) return;
    asker_.annotations.Take(
        std::exchange(node_.context_.annotations, Annotations()));
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  ExplainedNode& node_;
  QueryContext& asker_;
  const int64_t begun_ns_;
};

class ExplainedNode::Measured final : public SeriesStream {
 public:
  Measured(ExplainedNode* node, QueryContext* asker,
           std::unique_ptr<SeriesStream> input)
      : node_(*node), asker_(*asker), input_(std::move(input)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    const Watch watch(&node_, &asker_);
    VIGIE_ASSIGN_OR_RETURN(const bool more, input_->Next(series));
    if (!more) return false;
    ++node_.seen_.series;
    node_.seen_.samples += SamplesOf(*series);
    return true;
  }

 private:
  ExplainedNode& node_;
  QueryContext& asker_;
  const std::unique_ptr<SeriesStream> input_;
};

ExplainedNode::ExplainedNode(QueryContext* context)
    : account_(&context->account), context_(context->ForThread()) {}

ExplainedNode::ExplainedNode(const Evaluator& parent, const Expr& expr,
                             const Steps& steps)
    : account_(&parent.context().account),
      context_(parent.context().ForPart(&account_)),
      evaluator_(std::make_unique<Evaluator>(parent, &context_, this)) {
  const Plan& plan = parent.plan();
  seen_.text = TextOf(context_.query, expr.position);
  seen_.kind = plan.ConstantOf(expr).has_value() ? "constant" : KindOf(expr);
  seen_.once = steps.count > 1 && plan.IsStepInvariant(expr);
  seen_.steps = seen_.once ? 1 : steps.count;
  seen_.part = plan.common_parts().NumberOf(expr);
  if (seen_.part.has_value()) {
    Steps evaluated = steps;
    evaluated.count = seen_.steps;
    seen_.reused = parent.shared().Holds(*seen_.part, context_, evaluated);
  }
  if (seen_.once && context_.step_samples != nullptr) {
    samples_of_all_ = std::exchange(context_.step_samples, &once_samples_);
  }
}

ExplainedNode::~ExplainedNode() = default;

ExplainedNode* ExplainedNode::Add(const Evaluator& parent, const Expr& expr,
                                  const Steps& steps) {
  children_.push_back(std::make_unique<ExplainedNode>(parent, expr, steps));
  return children_.back().get();
}

absl::StatusOr<std::unique_ptr<SeriesStream>> ExplainedNode::Vector(
    const Evaluator& parent, const Expr& expr, const Steps& steps) {
  ExplainedNode* child = Add(parent, expr, steps);
  const Watch watch(child, &parent.context());
  VIGIE_ASSIGN_OR_RETURN(auto stream,
                         child->evaluator_->VectorAsPlanned(expr, steps));
  return std::make_unique<Measured>(child, &parent.context(),
                                    std::move(stream));
}

absl::StatusOr<SharedVectors::Series> ExplainedNode::All(
    const Evaluator& parent, const Expr& expr, const Steps& steps) {
  ExplainedNode* child = Add(parent, expr, steps);
  const Watch watch(child, &parent.context());
  VIGIE_ASSIGN_OR_RETURN(auto series,
                         child->evaluator_->AllAsPlanned(expr, steps));
  child->seen_.series += static_cast<int64_t>(series->size());
  for (const StepSeries& one : *series) {
    child->seen_.samples += SamplesOf(one);
  }
  return series;
}

absl::StatusOr<ScalarColumn> ExplainedNode::Scalar(const Evaluator& parent,
                                                   const Expr& expr,
                                                   const Steps& steps) {
  ExplainedNode* child = Add(parent, expr, steps);
  const Watch watch(child, &parent.context());
  return child->evaluator_->ScalarAsPlanned(expr, steps);
}

PlanNode ExplainedNode::Finish(QueryStats* stats) {
  seen_.series_read = context_.stats.series_read;
  seen_.samples_read = context_.stats.samples_read;
  seen_.bytes_peak = account_.bytes_peak();
  if (evaluator_ != nullptr) {
    stats->series_read += seen_.series_read;
    stats->samples_read += seen_.samples_read;
  }
  for (const auto& child : children_) {
    seen_.children.push_back(child->Finish(stats));
  }
  if (samples_of_all_ != nullptr) {
    for (int64_t step = 0; step < samples_of_all_->steps(); ++step) {
      samples_of_all_->Add(step, once_samples_.At(0));
    }
  }
  return std::move(seen_);
}

}  // namespace vigie::query
