#include "query/shared_vectors.h"

#include <utility>

#include "query/evaluator.h"

namespace vigie::query {
namespace {

// Runs `what` and adds to `*said` what the context heard meanwhile.
template <typename What>
auto Listen(QueryContext* context, Annotations* said, What what) {
  Annotations before = std::exchange(context->annotations, {});
  auto result = what();
  Annotations heard = std::exchange(context->annotations, std::move(before));
  if (!heard.empty()) {
    said->Take(heard);
    context->annotations.Take(std::move(heard));
  }
  return result;
}

// Hands on copies of series that others use too.
class Copies final : public SeriesStream {
 public:
  Copies(QueryContext* context, SharedVectors::Series series)
      : context_(*context), series_(std::move(series)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    if (next_ == series_->size()) return false;
    VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen(
        static_cast<size_t>((*series_)[next_].steps())));
    VIGIE_RETURN_IF_ERROR(
        series->CopyAll(&context_.account, (*series_)[next_++]));
    return true;
  }

 private:
  QueryContext& context_;
  const SharedVectors::Series series_;
  size_t next_ = 0;
};

}  // namespace

// Hands on what it reads and keeps copies for the uses to come.
class Keeping final : public SeriesStream {
 public:
  Keeping(QueryContext* context, SharedVectors::Part* part, int64_t bytes_max,
          std::unique_ptr<SeriesStream> input)
      : context_(*context),
        part_(*part),
        bytes_max_(bytes_max),
        input_(std::move(input)),
        kept_(std::make_shared<std::vector<StepSeries>>()) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    VIGIE_ASSIGN_OR_RETURN(const bool more,
                           Listen(&context_, &part_.annotations,
                                  [&] { return input_->Next(series); }));
    if (more) {
      Keep(*series);
    } else {
      part_.evaluating = false;
      if (kept_ != nullptr) part_.series = std::move(kept_);
    }
    return more;
  }

 private:
  void Keep(const StepSeries& series) {
    if (kept_ == nullptr) return;
    StepSeries copy;
    bytes_ += series.bytes();
    if (bytes_ > bytes_max_ || !copy.CopyAll(&context_.account, series).ok()) {
      kept_ = nullptr;  // evaluating again is better than being refused
      return;
    }
    kept_->push_back(std::move(copy));
  }

  QueryContext& context_;
  SharedVectors::Part& part_;
  const int64_t bytes_max_;
  const std::unique_ptr<SeriesStream> input_;
  SharedVectors::Series kept_;  // null: too much, or handed over
  int64_t bytes_ = 0;
};

SharedVectors::SharedVectors(const CommonParts& parts, int64_t bytes_max)
    : parts_(parts.uses().size()), bytes_max_(bytes_max) {
  for (size_t i = 0; i < parts_.size(); ++i) parts_[i].left = parts.uses()[i];
}

bool SharedVectors::Holds(size_t number, const QueryContext& context,
                          const Steps& steps) const {
  const Part& part = parts_[number];
  return (part.series != nullptr || !part.held.expired()) &&
         part.steps == steps && part.finds_resets == context.finds_resets;
}

SharedVectors::Series SharedVectors::Use(Part* part, QueryContext* context,
                                         const Steps& steps) {
  if (part->left > 0) --part->left;
  if (!Holds(static_cast<size_t>(part - parts_.data()), *context, steps)) {
    return nullptr;
  }
  context->annotations.Take(part->annotations);
  if (part->series == nullptr) return part->held.lock();
  return part->left > 0 ? part->series : std::move(part->series);
}

absl::StatusOr<std::unique_ptr<SeriesStream>> SharedVectors::Stream(
    size_t number, QueryContext* context, const Steps& steps,
    Evaluate evaluate) {
  Part& part = parts_[number];
  if (Series series = Use(&part, context, steps)) {
    if (series.use_count() > 1) {
      return std::make_unique<Copies>(context, std::move(series));
    }
    return StreamOf(std::move(*series));
  }
  if (part.left == 0 || part.evaluating || part.series != nullptr) {
    return evaluate();
  }
  part.evaluating = true;
  part.steps = steps;
  part.finds_resets = context->finds_resets;
  part.annotations = {};
  VIGIE_ASSIGN_OR_RETURN(auto stream,
                         Listen(context, &part.annotations, evaluate));
  return std::make_unique<Keeping>(context, &part, bytes_max_,
                                   std::move(stream));
}

absl::StatusOr<SharedVectors::Series> SharedVectors::All(size_t number,
                                                         QueryContext* context,
                                                         const Steps& steps,
                                                         Evaluate evaluate) {
  Part& part = parts_[number];
  if (Series series = Use(&part, context, steps)) return series;
  const bool keep = part.left > 0 && !part.evaluating && part.series == nullptr;
  Annotations said;
  int64_t bytes = 0;
  auto series = std::make_shared<std::vector<StepSeries>>();
  VIGIE_ASSIGN_OR_RETURN(auto stream, Listen(context, &said, evaluate));
  while (true) {
    StepSeries one;
    VIGIE_ASSIGN_OR_RETURN(const bool more, Listen(context, &said, [&] {
                             return stream->Next(&one);
                           }));
    if (!more) break;
    bytes += one.bytes();
    series->push_back(std::move(one));
  }
  if (keep) {
    part.steps = steps;
    part.finds_resets = context->finds_resets;
    part.annotations = std::move(said);
    part.held = series;
    if (bytes <= bytes_max_) part.series = series;
  }
  return series;
}

}  // namespace vigie::query
