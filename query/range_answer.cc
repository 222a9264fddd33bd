#include "query/range_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "base/status_macros.h"

namespace vigie::query {
namespace {

// Where less than a quarter of the steps is kept, one evaluation of all is
// better than two of some, which read the same windows' beginnings.
constexpr int64_t kUsefulPart = 4;
// What is kept may grow to so many times what is asked for.
constexpr int64_t kGrowth = 2;

constexpr Steps kNoSteps{.start_ms = 0, .step_ms = 1, .count = 0};

// Phases do not stand in it: who asks at any millisecond is kept once.
std::string KeyOf(const QueryContext& context) {
  return fmt::format("{} {} {} {}{}", context.top_step_ms, context.lookback_ms,
                     context.tenant.name.size(), context.tenant.name,
                     context.query);
}

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// From the `first`th to the `last`th step.
Steps Slice(const Steps& steps, int64_t first, int64_t last) {
  if (first > last) return kNoSteps;
  return {.start_ms = steps.At(first),
          .step_ms = steps.step_ms,
          .count = last - first + 1};
}

// Those of `steps` that are among `others`, which are as far apart.
Steps Common(const Steps& steps, const Steps& others) {
  if (steps.count == 0 || others.count == 0) return kNoSteps;
  if ((steps.start_ms - others.start_ms) % steps.step_ms != 0) return kNoSteps;
  const int64_t shift = (others.start_ms - steps.start_ms) / steps.step_ms;
  return Slice(steps, std::max<int64_t>(shift, 0),
               std::min(shift + others.count, steps.count) - 1);
}

// Those of `steps` that see nothing that has changed since `version`.
Steps Unchanged(const QueryContext& context, const Reach& reach,
                const Steps& steps, uint64_t version) {
  if (steps.count == 0) return kNoSteps;
  const TimeRange range{.min_ms = steps.start_ms + reach.min_ms,
                        .max_ms = steps.end_ms() + reach.max_ms};
  const TimeRange unchanged =
      context.queryable.UnchangedSince(context.tenant, version, range);
  if (unchanged.empty()) return kNoSteps;
  const int64_t before =
      CeilDivide(unchanged.min_ms - range.min_ms, steps.step_ms);
  const int64_t after =
      CeilDivide(range.max_ms - unchanged.max_ms, steps.step_ms);
  return Slice(steps, before, steps.count - 1 - after);
}

// A matrix, and which steps of it are meant.
struct Piece {
  const Matrix* matrix = nullptr;
  Steps steps = kNoSteps;
};
using Pieces = std::array<Piece, 3>;  // one after the other in time

struct Floats {
  const Sample* begin = nullptr;
  const Sample* end = nullptr;
};

Floats Within(const std::vector<Sample>& floats, const Steps& steps) {
  if (floats.empty() || steps.count == 0) return {};
  const Sample* first = floats.data();
  const Sample* last = first + floats.size();
  const auto before = [](const Sample& sample, int64_t time_ms) {
    return sample.time_ms < time_ms;
  };
  if (first->time_ms < steps.start_ms) {
    first = std::lower_bound(first, last, steps.start_ms, before);
  }
  if (first < last && (last - 1)->time_ms > steps.end_ms()) {
    last = std::lower_bound(first, last, steps.end_ms() + 1, before);
  }
  return {first, last};
}

// What they have together. Charged while it is made.
absl::StatusOr<Matrix> Joined(QueryContext* context, const Pieces& pieces) {
  Charge charge(&context->account);
  std::array<size_t, 3> next{};
  Matrix joined;
  while (true) {
    const Labels* labels = nullptr;  // the least of those that come next
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      if (piece.steps.count == 0 || next[i] == piece.matrix->size()) continue;
      const Labels& of_piece = (*piece.matrix)[next[i]].labels;
      if (labels == nullptr || of_piece < *labels) labels = &of_piece;
    }
    if (labels == nullptr) return joined;
    std::array<Floats, 3> floats{};
    int64_t samples = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      if (piece.steps.count == 0 || next[i] == piece.matrix->size()) continue;
      const MatrixSeries& series = (*piece.matrix)[next[i]];
      if (&series.labels != labels && !(series.labels == *labels)) continue;
      floats[i] = Within(series.floats, piece.steps);
      samples += floats[i].end - floats[i].begin;
      ++next[i];
    }
    if (samples == 0) continue;
    VIGIE_RETURN_IF_ERROR(
        context->CheckNowAndThen(static_cast<size_t>(samples)));
    VIGIE_RETURN_IF_ERROR(ChargeResult(&charge, *labels, samples));
    MatrixSeries& out = joined.emplace_back();
    out.labels = *labels;
    out.floats.reserve(static_cast<size_t>(samples));
    for (const Floats& some : floats) {
      out.floats.insert(out.floats.end(), some.begin, some.end);
    }
  }
}

// Whether steps that were evaluated may be put beside others, and kept.
bool StepsStandAlone(const QueryContext& context) {
  return context.annotations.empty() && !context.order_decided &&
         context.stats.histograms_read == 0;
}

class RangeAnswer {
 public:
  RangeAnswer(QueryContext* context, ResultCache* cache, const Reach& reach,
              uint64_t version, EvaluateSteps evaluate)
      : context_(*context),
        cache_(*cache),
        reach_(reach),
        version_(version),
        evaluate_(evaluate),
        asked_(context->top),
        key_(KeyOf(*context)) {}

  absl::StatusOr<Matrix> Get() {
    std::optional<KeptAnswer> kept = cache_.Find(key_);
    if (!kept.has_value()) return All(asked_.count);
    kept->steps = Unchanged(context_, reach_, kept->steps, kept->version);
    const Steps used = Common(asked_, kept->steps);
    const int64_t asked_steps = std::max(asked_.count, kept->asked_steps);
    if (used.count == 0 || used.count * kUsefulPart < asked_.count) {
      return All(asked_steps);
    }
    absl::StatusOr<Matrix> matrix = Part(*kept, used, asked_steps);
    const bool stopped = absl::IsCancelled(matrix.status()) ||
                         absl::IsDeadlineExceeded(matrix.status());
    if (stopped || (matrix.ok() && StepsStandAlone(context_))) return matrix;
    // What there is to say, or what went wrong, is that of the whole.
    cache_.Forget(key_);
    context_.annotations = {};
    return All(asked_steps);
  }

 private:
  // From what is kept at `used` steps, and evaluated at the others.
  absl::StatusOr<Matrix> Part(const KeptAnswer& kept, const Steps& used,
                              int64_t asked_steps) {
    const int64_t before = (used.start_ms - asked_.start_ms) / asked_.step_ms;
    const Steps front = Slice(asked_, 0, before - 1);
    const Steps rest = Slice(asked_, before + used.count, asked_.count - 1);
    Matrix of_front;
    Matrix of_rest;
    if (front.count > 0) {
      VIGIE_ASSIGN_OR_RETURN(of_front, evaluate_(front));
    }
    if (rest.count > 0) {
      VIGIE_ASSIGN_OR_RETURN(of_rest, evaluate_(rest));
    }
    if (!StepsStandAlone(context_)) return Matrix();
    VIGIE_ASSIGN_OR_RETURN(Matrix answer,
                           Joined(&context_, {{{&of_front, front},
                                               {kept.matrix.get(), used},
                                               {&of_rest, rest}}}));
    const bool nothing_new = used.count == asked_.count;
    cache_.Count(nothing_new ? CacheResult::kHit : CacheResult::kPartial);
    if (nothing_new) {
      cache_.Keep(key_, {kept.steps, version_, asked_steps, kept.matrix});
    } else {
      KeepWith(kept, asked_steps, answer);
    }
    return answer;
  }

  absl::StatusOr<Matrix> All(int64_t asked_steps) {
    cache_.Count(CacheResult::kMiss);
    VIGIE_ASSIGN_OR_RETURN(Matrix answer, evaluate_(asked_));
    if (StepsStandAlone(context_)) Keep(asked_, asked_steps, answer);
    return answer;
  }

  // The answer, with what is kept on both sides of it.
  void KeepWith(const KeptAnswer& kept, int64_t asked_steps,
                const Matrix& answer) {
    const Steps& old = kept.steps;
    const Steps front =
        Slice(old, 0, (asked_.start_ms - old.start_ms) / old.step_ms - 1);
    const int64_t behind = std::max<int64_t>(
        (asked_.end_ms() - old.start_ms) / old.step_ms + 1, 0);
    const Steps rest = Slice(old, behind, old.count - 1);
    const int64_t count = front.count + asked_.count + rest.count;
    const int64_t bytes = BytesOf(*kept.matrix) + BytesOf(answer);
    if (front.count + rest.count == 0 || count > kGrowth * asked_steps ||
        bytes > cache_.answer_bytes_max()) {
      return Keep(asked_, asked_steps, answer);
    }
    const Steps all{
        .start_ms = front.count > 0 ? front.start_ms : asked_.start_ms,
        .step_ms = asked_.step_ms,
        .count = count};
    absl::StatusOr<Matrix> both =
        Joined(&context_, {{{kept.matrix.get(), front},
                            {&answer, asked_},
                            {kept.matrix.get(), rest}}});
    // There may be no room for it; the answer is there all the same.
    if (both.ok()) KeepOwn(all, asked_steps, *std::move(both));
  }

  void Keep(const Steps& steps, int64_t asked_steps, const Matrix& answer) {
    if (BytesOf(answer) > cache_.answer_bytes_max()) {
      cache_.Forget(key_);
    } else {
      KeepOwn(steps, asked_steps, answer);
    }
  }

  void KeepOwn(const Steps& steps, int64_t asked_steps, Matrix matrix) {
    // What changed while it was evaluated may be in it or not. And what the
    // horizon hid may come back with the clock.
    const Steps known = Unchanged(context_, reach_, steps, version_);
    if (known.count == 0) return cache_.Forget(key_);
    cache_.Keep(key_, {known, version_, asked_steps,
                       std::make_shared<const Matrix>(std::move(matrix))});
  }

  QueryContext& context_;
  ResultCache& cache_;
  const Reach reach_;
  const uint64_t version_;
  const EvaluateSteps evaluate_;
  const Steps asked_;
  const std::string key_;
};

}  // namespace

absl::Status ChargeResult(Charge* charge, const Labels& labels,
                          int64_t samples) {
  return charge->Add(
      samples * static_cast<int64_t>(sizeof(Sample)) +
          static_cast<int64_t>(labels.bytes().size() + sizeof(MatrixSeries)),
      samples);
}

absl::StatusOr<Matrix> AnswerRange(QueryContext* context, ResultCache* cache,
                                   const Reach& reach, EvaluateSteps evaluate) {
  const std::optional<uint64_t> version =
      context->queryable.ChangeVersion(context->tenant);
  if (!version.has_value()) {
    cache->Count(CacheResult::kBypass);
    return evaluate(context->top);
  }
  return RangeAnswer(context, cache, reach, *version, evaluate).Get();
}

}  // namespace vigie::query
