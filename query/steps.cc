#include "query/steps.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/sample.h"

namespace vigie::query {
namespace {

// A cell beside its value; labels and bookkeeping of a series.
constexpr int64_t kCellBytes = sizeof(double) + sizeof(Cell);
constexpr int64_t kSeriesBytes = sizeof(StepSeries);
// A sample of a run: time, value, start time, and two columns that functions
// keep beside it.
constexpr size_t kSampleBytes = 3 * sizeof(int64_t) + 2 * sizeof(double);
// More steps than memory can hold, yet far from overflowing an int64.
constexpr int64_t kStepsMax = int64_t{1} << 40;

absl::Status CheckSteps(int64_t steps) {
  if (steps <= kStepsMax) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} evaluation steps in one expression: at most {} can be "
                  "evaluated",
                  steps, kStepsMax));
}

bool AnyStaleMarker(const std::vector<double>& values) {
  // Most have none: looks at several at once.
  constexpr size_t kAtOnce = 16;
  size_t i = 0;
  for (; i + kAtOnce <= values.size(); i += kAtOnce) {
    int any = 0;
    for (size_t j = 0; j < kAtOnce; ++j) {
      any |= IsStaleMarker(values[i + j]) ? 1 : 0;
    }
    if (any != 0) return true;
  }
  return std::any_of(values.begin() + static_cast<std::ptrdiff_t>(i),
                     values.end(), IsStaleMarker);
}

}  // namespace

int64_t BytesOf(const FloatHistogram& h) {
  return static_cast<int64_t>(
      sizeof(FloatHistogram) +
      (h.positive_spans.size() + h.negative_spans.size()) * sizeof(BucketSpan) +
      (h.positive_buckets.size() + h.negative_buckets.size() +
       h.custom_values.size()) *
          sizeof(double));
}

absl::Status ProbeColumn(QueryAccount* account, int64_t steps) {
  VIGIE_RETURN_IF_ERROR(CheckSteps(steps));
  Charge probe(account);
  return probe.Add(steps * kCellBytes);
}

absl::Status StepSeries::Init(QueryAccount* account, Labels new_labels,
                              bool new_drop_name, int64_t steps) {
  VIGIE_RETURN_IF_ERROR(CheckSteps(steps));
  Charge charge(account);
  VIGIE_RETURN_IF_ERROR(
      charge.Add(kSeriesBytes + steps * kCellBytes +
                     static_cast<int64_t>(new_labels.bytes().size()),
                 steps));
  labels = std::move(new_labels);
  drop_name = new_drop_name;
  cells_.assign(steps, Cell::kAbsent);
  values_.assign(steps, 0);
  histograms_.clear();
  charge_ = std::move(charge);
  return absl::OkStatus();
}

absl::Status StepSeries::SetLabels(Labels new_labels) {
  const auto growth = static_cast<int64_t>(new_labels.bytes().size()) -
                      static_cast<int64_t>(labels.bytes().size());
  if (growth > 0) VIGIE_RETURN_IF_ERROR(charge_.Add(growth));
  labels = std::move(new_labels);
  return absl::OkStatus();
}

absl::Status StepSeries::SetHistogram(int64_t step, HistogramRef histogram) {
  if (histograms_.empty()) {
    VIGIE_RETURN_IF_ERROR(charge_.Add(
        static_cast<int64_t>(cells_.size() * sizeof(HistogramRef))));
    histograms_.resize(cells_.size());
  }
  VIGIE_RETURN_IF_ERROR(charge_.Add(BytesOf(*histogram)));
  cells_[step] = Cell::kHistogram;
  histograms_[step] = std::move(histogram);
  return absl::OkStatus();
}

absl::Status StepSeries::CopyFrom(const StepSeries& other, int64_t from,
                                  int64_t to) {
  switch (other.cell(from)) {
    case Cell::kAbsent:
      Clear(to);
      return absl::OkStatus();
    case Cell::kFloat:
      SetFloat(to, other.value(from));
      return absl::OkStatus();
    case Cell::kHistogram:
      return SetHistogram(to, other.histogram(from));
  }
  return absl::OkStatus();
}

absl::Status StepSeries::CopyAll(QueryAccount* account,
                                 const StepSeries& other) {
  Charge charge(account);
  VIGIE_RETURN_IF_ERROR(charge.Add(other.bytes(), other.steps()));
  labels = other.labels;
  drop_name = other.drop_name;
  cells_ = other.cells_;
  values_ = other.values_;
  histograms_ = other.histograms_;
  charge_ = std::move(charge);
  return absl::OkStatus();
}

bool StepSeries::AnyPresent() const {
  return std::any_of(cells_.begin(), cells_.end(),
                     [](Cell cell) { return cell != Cell::kAbsent; });
}

absl::Status ScalarColumn::Init(QueryAccount* account, int64_t steps) {
  VIGIE_RETURN_IF_ERROR(CheckSteps(steps));
  charge_ = Charge(account);
  VIGIE_RETURN_IF_ERROR(
      charge_.Add(steps * static_cast<int64_t>(sizeof(double))));
  values_.assign(steps, std::numeric_limits<double>::quiet_NaN());
  return absl::OkStatus();
}

void SampleRun::Clear(QueryAccount* account, Labels new_labels,
                      bool new_drop_name) {
  labels = std::move(new_labels);
  drop_name = new_drop_name;
  times_.clear();
  values_.clear();
  starts_.clear();
  histogram_times_.clear();
  histograms_.clear();
  histogram_starts_.clear();
  if (charge_.bytes() == 0) charge_ = Charge(account);
  histogram_charge_ = Charge(account);
}

absl::Status SampleRun::Reserve(size_t more) {
  const size_t samples = times_.size() + histogram_times_.size() + more;
  if (samples <= charged_samples_) return absl::OkStatus();
  // Vectors double: charge for what they are going to hold.
  const size_t target = std::max({size_t{64}, samples, 2 * charged_samples_});
  const size_t grown = target - charged_samples_;
  VIGIE_RETURN_IF_ERROR(charge_.Add(static_cast<int64_t>(grown * kSampleBytes),
                                    static_cast<int64_t>(grown)));
  charged_samples_ = target;
  return absl::OkStatus();
}

absl::Status SampleRun::AddFloat(int64_t time_ms, double value,
                                 int64_t start_ms) {
  VIGIE_RETURN_IF_ERROR(Reserve(1));
  if (start_ms != 0 && starts_.empty()) starts_.resize(times_.size());
  times_.push_back(time_ms);
  values_.push_back(value);
  if (start_ms != 0 || !starts_.empty()) starts_.push_back(start_ms);
  return absl::OkStatus();
}

absl::Status SampleRun::AddFloats(std::vector<int64_t>* times_ms,
                                  std::vector<double>* values) {
  VIGIE_RETURN_IF_ERROR(Reserve(times_ms->size()));
  if (!AnyStaleMarker(*values)) {
    if (times_.empty()) {
      times_.swap(*times_ms);
      values_.swap(*values);
    } else {
      times_.insert(times_.end(), times_ms->begin(), times_ms->end());
      values_.insert(values_.end(), values->begin(), values->end());
    }
  } else {
    for (size_t i = 0; i < times_ms->size(); ++i) {
      if (IsStaleMarker((*values)[i])) continue;
      times_.push_back((*times_ms)[i]);
      values_.push_back((*values)[i]);
    }
  }
  if (!starts_.empty()) starts_.resize(times_.size());
  return absl::OkStatus();
}

absl::Status SampleRun::AddHistogram(int64_t time_ms, HistogramRef histogram,
                                     int64_t start_ms) {
  VIGIE_RETURN_IF_ERROR(Reserve(1));
  VIGIE_RETURN_IF_ERROR(histogram_charge_.Add(BytesOf(*histogram)));
  if (start_ms != 0 && histogram_starts_.empty()) {
    histogram_starts_.resize(histogram_times_.size());
  }
  histogram_times_.push_back(time_ms);
  histograms_.push_back(std::move(histogram));
  if (start_ms != 0 || !histogram_starts_.empty()) {
    histogram_starts_.push_back(start_ms);
  }
  return absl::OkStatus();
}

}  // namespace vigie::query
