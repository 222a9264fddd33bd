// Selectors: what the store finds, seen at each step (an instant vector) or
// as runs of samples (a range vector).
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "model/sample.h"
#include "query/evaluator.h"
#include "query/native_histogram.h"

namespace vigie::query {
namespace {

// A sample of either kind on its way through a selector.
struct Seen {
  int64_t time_ms = 0;
  int64_t start_ms = 0;
  double value = 0;
  HistogramRef histogram;
  bool stale = false;
};

FloatHistogram ToFloat(const IntegerHistogram& from) {
  FloatHistogram to;
  to.reset_hint = from.reset_hint;
  to.schema = from.schema;
  to.zero_threshold = from.zero_threshold;
  to.zero_count = static_cast<double>(from.zero_count);
  to.count = static_cast<double>(from.count);
  to.sum = from.sum;
  to.positive_spans = from.positive_spans;
  to.negative_spans = from.negative_spans;
  to.positive_buckets.assign(from.positive_buckets.begin(),
                             from.positive_buckets.end());
  to.negative_buckets.assign(from.negative_buckets.begin(),
                             from.negative_buckets.end());
  to.custom_values = from.custom_values;
  return to;
}

// Takes the `index`th sample out of `batch`.
Seen Take(store::SampleBatch* batch, size_t index) {
  Seen seen;
  seen.time_ms = batch->times_ms[index];
  if (!batch->starts_ms.empty()) seen.start_ms = batch->starts_ms[index];
  switch (batch->kind) {
    case store::SampleKind::kFloat:
      seen.value = batch->values[index];
      seen.stale = IsStaleMarker(seen.value);
      return seen;
    case store::SampleKind::kIntegerHistogram: {
      const IntegerHistogram& histogram = batch->integer_histograms[index];
      seen.stale = IsStaleMarker(histogram.sum);
      if (!seen.stale) {
        seen.histogram =
            std::make_shared<const FloatHistogram>(ToFloat(histogram));
      }
      return seen;
    }
    case store::SampleKind::kFloatHistogram: {
      FloatHistogram& histogram = batch->float_histograms[index];
      seen.stale = IsStaleMarker(histogram.sum);
      if (!seen.stale) {
        seen.histogram =
            std::make_shared<const FloatHistogram>(std::move(histogram));
      }
      return seen;
    }
  }
  return seen;
}

// Finds out, where no hint tells, whether a histogram came after a reset. Knows
// the sample before within one series.
class ResetFinder {
 public:
  explicit ResetFinder(const QueryContext& context)
      : active_(context.finds_resets) {}

  bool active() const { return active_; }
  void Begin() { previous_.reset(); }
  void Look(Seen* seen) {
    if (!active_) return;
    if (seen->histogram == nullptr) {
      previous_.reset();
      return;
    }
    const HistogramRef raw = seen->histogram;
    if (previous_ != nullptr && raw->reset_hint == CounterResetHint::kUnknown) {
      auto hinted = std::make_shared<FloatHistogram>(*raw);
      hinted->reset_hint = IsReset(*previous_, *raw)
                               ? CounterResetHint::kReset
                               : CounterResetHint::kNotReset;
      seen->histogram = std::move(hinted);
    }
    previous_ = raw;
  }

 private:
  const bool active_;
  HistogramRef previous_;
};

// The series that a selector matches, one after the other.
class Selection {
 public:
  static absl::StatusOr<Selection> Make(QueryContext* context,
                                        const VectorSelector& selector,
                                        TimeRange range,
                                        std::optional<store::WindowHint> hint) {
    Selection selection(context);
    store::SelectRequest request;
    request.tenant = context->tenant;
    request.range = range;
    request.matchers = selector.matchers;
    request.hint = hint;
    store::ReadContext read;
    read.account = &context->account;
    read.stop = context->stop;
    VIGIE_ASSIGN_OR_RETURN(selection.snapshot_,
                           context->queryable.Select(request, read));
    for (const std::string& warning : selection.snapshot_->warnings()) {
      context->annotations.WarnOfStore(warning);
    }
    return selection;
  }

  // False when there are no more series.
  absl::StatusOr<bool> NextSeries() {
    samples_.reset();
    VIGIE_RETURN_IF_ERROR(context_->Check());
    if (next_ >= snapshot_->size()) return false;
    samples_ = snapshot_->Samples(next_++);
    ++context_->stats.series_read;
    return true;
  }
  const Labels& labels() const { return snapshot_->labels(next_ - 1); }

  // False at the end of the series; else reads into batch().
  absl::StatusOr<bool> NextBatch() {
    VIGIE_RETURN_IF_ERROR(context_->Check());
    VIGIE_ASSIGN_OR_RETURN(const bool more, samples_->Next(&batch_));
    if (more) {
      context_->stats.samples_read +=
          static_cast<int64_t>(batch_.times_ms.size());
    } else {
      for (const std::string& warning : samples_->warnings()) {
        context_->annotations.WarnOfStore(warning);
      }
    }
    return more;
  }
  store::SampleBatch* batch() { return &batch_; }

 private:
  explicit Selection(QueryContext* context) : context_(context) {}

  QueryContext* context_;
  std::unique_ptr<store::SeriesSnapshot> snapshot_;
  std::unique_ptr<store::SampleIterator> samples_;
  store::SampleBatch batch_;
  size_t next_ = 0;
};

enum class Show { kValues, kTimes, kStartTimes, kInfoTimes };

// At each step the newest sample of (time - lookback, time].
class InstantStream final : public SeriesStream {
 public:
  InstantStream(QueryContext* context, Selection selection,
                const TimeShift& shift, const Steps& steps, Show show)
      : context_(*context),
        selection_(std::move(selection)),
        shift_(shift),
        steps_(steps),
        show_(show),
        resets_(*context) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, selection_.NextSeries());
      if (!more) return false;
      VIGIE_RETURN_IF_ERROR(series->Init(&context_.account, selection_.labels(),
                                         false, steps_.count));
      VIGIE_RETURN_IF_ERROR(Read(series));
      if (series->AnyPresent()) return true;
    }
  }

 private:
  int64_t Reference(int64_t step) const {
    return WindowBounds(shift_, 0, steps_.At(step)).end_ms;
  }

  absl::Status Read(StepSeries* series) {
    resets_.Begin();
    Seen last;
    bool have = false;
    int64_t step = 0;
    // Steps before `time_ms` see `last`.
    const auto settle = [&](int64_t time_ms, bool all) -> absl::Status {
      for (; step < steps_.count; ++step) {
        const int64_t reference = Reference(step);
        if (!all && reference >= time_ms) break;
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        if (!have || last.stale ||
            last.time_ms <= SaturatingSub(reference, context_.lookback_ms)) {
          continue;
        }
        VIGIE_RETURN_IF_ERROR(SetCell(series, step, last));
      }
      return absl::OkStatus();
    };
    while (step < steps_.count) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, selection_.NextBatch());
      if (!more) break;
      store::SampleBatch* batch = selection_.batch();
      const std::vector<int64_t>& times = batch->times_ms;
      // What no step sees is not looked at.
      int64_t sees_ms = step < steps_.count && !resets_.active()
                            ? Reference(step)
                            : std::numeric_limits<int64_t>::min();
      for (size_t i = 0; i < times.size(); ++i) {
        if (i + 1 < times.size() && times[i + 1] <= sees_ms) continue;
        VIGIE_RETURN_IF_ERROR(settle(times[i], false));
        if (step < steps_.count && !resets_.active()) sees_ms = Reference(step);
        last = Take(batch, i);
        resets_.Look(&last);
        have = true;
      }
    }
    return settle(0, true);
  }

  absl::Status SetCell(StepSeries* series, int64_t step, const Seen& seen) {
    switch (show_) {
      case Show::kInfoTimes:
        if (seen.histogram != nullptr) {
          return absl::FailedPreconditionError("info sample should be float");
        }
        [[fallthrough]];
      case Show::kTimes:
        series->SetFloat(step, static_cast<double>(seen.time_ms) / 1000);
        return absl::OkStatus();
      case Show::kStartTimes:
        series->SetFloat(step, static_cast<double>(seen.start_ms) / 1000);
        return absl::OkStatus();
      case Show::kValues:
        break;
    }
    if (seen.histogram != nullptr) {
      return series->SetHistogram(step, seen.histogram);
    }
    series->SetFloat(step, seen.value);
    return absl::OkStatus();
  }

  QueryContext& context_;
  Selection selection_;
  const TimeShift& shift_;
  const Steps steps_;
  const Show show_;
  ResetFinder resets_;
};

class SelectedRuns final : public RunStream {
 public:
  SelectedRuns(QueryContext* context, Selection selection)
      : context_(*context),
        selection_(std::move(selection)),
        resets_(*context) {}

  absl::StatusOr<bool> Next(SampleRun* run) override {
    VIGIE_ASSIGN_OR_RETURN(const bool more, selection_.NextSeries());
    if (!more) return false;
    run->Clear(&context_.account, selection_.labels(), false);
    resets_.Begin();
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool another, selection_.NextBatch());
      if (!another) return true;
      store::SampleBatch* batch = selection_.batch();
      // Start times are a feature that Prometheus has behind a flag.
      const bool starts =
          context_.options.experimental && !batch->starts_ms.empty();
      if (batch->kind == store::SampleKind::kFloat && !starts) {
        resets_.Begin();
        VIGIE_RETURN_IF_ERROR(run->AddFloats(batch->times_ms, batch->values));
        continue;
      }
      for (size_t i = 0; i < batch->times_ms.size(); ++i) {
        Seen seen = Take(batch, i);
        if (seen.stale) continue;
        resets_.Look(&seen);
        const int64_t start = starts ? seen.start_ms : 0;
        VIGIE_RETURN_IF_ERROR(
            seen.histogram == nullptr
                ? run->AddFloat(seen.time_ms, seen.value, start)
                : run->AddHistogram(seen.time_ms, seen.histogram, start));
      }
    }
  }

 private:
  QueryContext& context_;
  Selection selection_;
  ResetFinder resets_;
};

// What the store may know of the windows of `range_ms` (0: of a newest sample),
// the first of which ends at `first_ms`.
store::WindowHint HintOf(std::string_view function, const Steps& steps,
                         int64_t first_ms, int64_t range_ms) {
  return {.function = function,
          .first_ms = first_ms,
          .step_ms = steps.count > 1 ? steps.step_ms : 0,
          .range_ms = range_ms};
}

// Half-open windows (start, end] as the store's closed range.
TimeRange StoreRange(const Window& first, const Window& last) {
  return {.min_ms = SaturatingAdd(first.start_ms, 1), .max_ms = last.end_ms};
}

absl::StatusOr<std::unique_ptr<SeriesStream>> SelectInstant(
    QueryContext* context, const VectorSelector& selector, const Steps& steps,
    Show show) {
  const Window first =
      WindowBounds(selector.shift, context->lookback_ms, steps.At(0));
  const Window last =
      WindowBounds(selector.shift, context->lookback_ms, steps.end_ms());
  std::optional<store::WindowHint> hint;
  if (show == Show::kValues || show == Show::kTimes) {
    hint = HintOf("", steps, first.end_ms, 0);
  }
  VIGIE_ASSIGN_OR_RETURN(
      Selection selection,
      Selection::Make(context, selector, StoreRange(first, last), hint));
  return std::make_unique<InstantStream>(context, std::move(selection),
                                         selector.shift, steps, show);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> SelectVector(
    QueryContext* context, const VectorSelector& selector, const Steps& steps) {
  if (selector.edges == Edges::kAnchored) {
    return absl::FailedPreconditionError(
        "anchored modifier can only be used with a range selector");
  }
  if (selector.edges == Edges::kSmoothed) {
    // Samples on both sides of a step, as far as lookback goes.
    Window first =
        WindowBounds(selector.shift, context->lookback_ms, steps.At(0));
    Window last = WindowBounds(selector.shift, 0, steps.end_ms());
    last.end_ms = SaturatingAdd(last.end_ms, context->lookback_ms);
    VIGIE_ASSIGN_OR_RETURN(
        Selection selection,
        Selection::Make(context, selector, StoreRange(first, last),
                        std::nullopt));
    return Smoothed(
        context, selector, steps,
        std::make_unique<SelectedRuns>(context, std::move(selection)));
  }
  return SelectInstant(context, selector, steps, Show::kValues);
}

absl::StatusOr<std::unique_ptr<SeriesStream>> SelectTimes(
    QueryContext* context, const VectorSelector& selector, const Steps& steps,
    SampleTimes times) {
  Show show = Show::kTimes;
  if (times == SampleTimes::kStarts) show = Show::kStartTimes;
  if (times == SampleTimes::kOfInfo) show = Show::kInfoTimes;
  return SelectInstant(context, selector, steps, show);
}

absl::StatusOr<std::unique_ptr<RunStream>> SelectRange(
    QueryContext* context, const MatrixSelector& selector, const Steps& steps,
    std::string_view function) {
  const TimeShift& shift = selector.vector->shift;
  Window first = WindowBounds(shift, selector.range_ms, steps.At(0));
  Window last = WindowBounds(shift, selector.range_ms, steps.end_ms());
  if (selector.vector->edges != Edges::kPlain) {
    first.start_ms = SaturatingSub(first.start_ms, context->lookback_ms);
  }
  if (selector.vector->edges == Edges::kSmoothed) {
    last.end_ms = SaturatingAdd(last.end_ms, context->lookback_ms);
  }
  std::optional<store::WindowHint> hint;
  if (!function.empty() && selector.vector->edges == Edges::kPlain) {
    hint = HintOf(function, steps, first.end_ms, selector.range_ms);
  }
  VIGIE_ASSIGN_OR_RETURN(Selection selection,
                         Selection::Make(context, *selector.vector,
                                         StoreRange(first, last), hint));
  return std::make_unique<SelectedRuns>(context, std::move(selection));
}

}  // namespace vigie::query
