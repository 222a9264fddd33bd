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

using Snapshot = std::shared_ptr<const store::SeriesSnapshot>;

absl::StatusOr<Snapshot> SnapshotOf(QueryContext* context,
                                    const VectorSelector& selector,
                                    TimeRange range,
                                    std::optional<store::WindowHint> hint) {
  store::SelectRequest request;
  request.tenant = context->tenant;
  request.range = range;
  request.matchers = selector.matchers;
  request.hint = hint;
  store::ReadContext read;
  read.account = &context->account.bytes();
  read.stop = context->stop;
  const int64_t bytes_before = context->account.bytes().bytes();
  VIGIE_ASSIGN_OR_RETURN(Snapshot snapshot,
                         context->queryable.Select(request, read));
  context->account.TallyStore(context->account.bytes().bytes() - bytes_before);
  for (const std::string& warning : snapshot->warnings()) {
    context->annotations.WarnOfStore(warning);
  }
  return snapshot;
}

// Reads one series of a snapshot after another.
class SeriesReader {
 public:
  SeriesReader(QueryContext* context, Snapshot snapshot)
      : context_(*context), snapshot_(std::move(snapshot)) {}

  absl::Status Begin(size_t number) {
    VIGIE_RETURN_IF_ERROR(context_.Check());
    snapshot_->Reuse(number, &samples_);
    labels_ = &snapshot_->labels(number);
    ++context_.stats.series_read;
    return absl::OkStatus();
  }
  const Labels& labels() const { return *labels_; }

  // False at the end of the series; else reads into batch().
  absl::StatusOr<bool> NextBatch() {
    VIGIE_RETURN_IF_ERROR(context_.Check());
    VIGIE_ASSIGN_OR_RETURN(const bool more, samples_->Next(&batch_));
    if (more) {
      const auto samples = static_cast<int64_t>(batch_.times_ms.size());
      context_.stats.samples_read += samples;
      if (batch_.kind != store::SampleKind::kFloat) {
        context_.stats.histograms_read += samples;
      }
    } else {
      for (const std::string& warning : samples_->warnings()) {
        context_.annotations.WarnOfStore(warning);
      }
    }
    return more;
  }
  store::SampleBatch* batch() { return &batch_; }

 private:
  QueryContext& context_;
  const Snapshot snapshot_;
  const Labels* labels_ = nullptr;
  std::unique_ptr<store::SampleIterator> samples_;
  store::SampleBatch batch_;
};

enum class Show { kValues, kTimes, kStartTimes, kInfoTimes };

// At each step the newest sample of (time - lookback, time].
class InstantLeaf final : public SeriesLeaf {
 public:
  InstantLeaf(QueryContext* context, Snapshot snapshot, const TimeShift& shift,
              const Steps& steps, Show show)
      : context_(*context),
        reader_(context, std::move(snapshot)),
        shift_(shift),
        steps_(steps),
        show_(show),
        resets_(*context) {}

  absl::StatusOr<bool> At(size_t number, StepSeries* series) override {
    VIGIE_RETURN_IF_ERROR(reader_.Begin(number));
    VIGIE_RETURN_IF_ERROR(
        series->Init(&context_.account, reader_.labels(), false, steps_.count));
    VIGIE_RETURN_IF_ERROR(Read(series));
    if (context_.step_samples != nullptr) {
      for (int64_t step = 0; step < steps_.count; ++step) {
        context_.step_samples->Add(step, series->present(step) ? 1 : 0);
      }
    }
    return series->AnyPresent();
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
      VIGIE_ASSIGN_OR_RETURN(const bool more, reader_.NextBatch());
      if (!more) break;
      store::SampleBatch* batch = reader_.batch();
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
  SeriesReader reader_;
  const TimeShift& shift_;
  const Steps steps_;
  const Show show_;
  ResetFinder resets_;
};

class SelectedRun final : public RunLeaf {
 public:
  SelectedRun(QueryContext* context, Snapshot snapshot)
      : context_(*context),
        reader_(context, std::move(snapshot)),
        resets_(*context) {}

  absl::Status At(size_t number, SampleRun* run) override {
    VIGIE_RETURN_IF_ERROR(reader_.Begin(number));
    run->Clear(&context_.account, reader_.labels(), false);
    resets_.Begin();
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool another, reader_.NextBatch());
      if (!another) return absl::OkStatus();
      store::SampleBatch* batch = reader_.batch();
      // Start times are a feature that Prometheus has behind a flag.
      const bool starts =
          context_.options.experimental && !batch->starts_ms.empty();
      if (batch->kind == store::SampleKind::kFloat && !starts) {
        resets_.Begin();
        VIGIE_RETURN_IF_ERROR(run->AddFloats(&batch->times_ms, &batch->values));
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
  SeriesReader reader_;
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
      Snapshot snapshot,
      SnapshotOf(context, selector, StoreRange(first, last), hint));
  SeriesLeaves leaves;
  leaves.count = snapshot->size();
  leaves.steps = steps.count;
  leaves.make = [snapshot, &shift = selector.shift, steps,
                 show](QueryContext* own) {
    return std::make_unique<InstantLeaf>(own, snapshot, shift, steps, show);
  };
  return StreamOfLeaves(context, std::move(leaves));
}

RunLeaves RunsOf(Snapshot snapshot) {
  RunLeaves leaves;
  leaves.count = snapshot->size();
  leaves.make = [snapshot](QueryContext* own) {
    return std::make_unique<SelectedRun>(own, snapshot);
  };
  return leaves;
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
        Snapshot snapshot,
        SnapshotOf(context, selector, StoreRange(first, last), std::nullopt));
    return Smoothed(context, selector, steps,
                    StreamOfLeaves(context, RunsOf(std::move(snapshot))));
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

absl::StatusOr<RunLeaves> SelectRange(QueryContext* context,
                                      const MatrixSelector& selector,
                                      const Steps& steps,
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
  VIGIE_ASSIGN_OR_RETURN(
      Snapshot snapshot,
      SnapshotOf(context, *selector.vector, StoreRange(first, last), hint));
  return RunsOf(std::move(snapshot));
}

}  // namespace vigie::query
