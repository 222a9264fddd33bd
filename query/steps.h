// The shapes that flow between the nodes of an expression. A node is evaluated
// for all steps of the query at once, and hands its series on one by one, so
// that an aggregation over a range function holds groups, not series.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "query/charge.h"

namespace vigie::query {

// Times at the edges of int64 stay there instead of wrapping.
inline int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max()
               : std::numeric_limits<int64_t>::min();
}
inline int64_t SaturatingSub(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b < 0 ? std::numeric_limits<int64_t>::max()
               : std::numeric_limits<int64_t>::min();
}

// Evaluation times are within +-kTimeMaxMs, 73 million years.
inline constexpr int64_t kTimeMaxMs = int64_t{1} << 61;

// Evaluation times: start, start + step, ..., `count` of them (0: none).
struct Steps {
  int64_t start_ms = 0;
  int64_t step_ms = 1;
  int64_t count = 1;

  int64_t At(int64_t step) const { return start_ms + step * step_ms; }
  int64_t end_ms() const { return At(count - 1); }

  friend bool operator==(const Steps&, const Steps&) = default;
};

using HistogramRef = std::shared_ptr<const FloatHistogram>;

// What a histogram counts against a query's account.
int64_t BytesOf(const FloatHistogram& histogram);

// The error of the account, or of a column that no memory could hold, if one
// column of `steps` steps does not fit. Charges nothing.
absl::Status ProbeColumn(QueryAccount* account, int64_t steps);

enum class Cell : uint8_t { kAbsent, kFloat, kHistogram };

// One series of an instant vector, over all steps.
class StepSeries {
 public:
  StepSeries() = default;

  // Charges and allocates cells for `steps` steps, all absent. What it held
  // before is released.
  absl::Status Init(QueryAccount* account, Labels labels, bool drop_name,
                    int64_t steps);

  int64_t steps() const { return static_cast<int64_t>(cells_.size()); }
  Cell cell(int64_t step) const { return cells_[step]; }
  bool present(int64_t step) const { return cells_[step] != Cell::kAbsent; }
  double value(int64_t step) const { return values_[step]; }
  const HistogramRef& histogram(int64_t step) const {
    return histograms_[step];
  }

  void SetFloat(int64_t step, double value) {
    cells_[step] = Cell::kFloat;
    values_[step] = value;
  }
  absl::Status SetHistogram(int64_t step, HistogramRef histogram);
  // Charges what `new_labels` take more than those it had.
  absl::Status SetLabels(Labels new_labels);
  void Clear(int64_t step) {
    cells_[step] = Cell::kAbsent;
    if (!histograms_.empty()) histograms_[step].reset();
  }
  // Takes over the cell of `other` at the same step.
  absl::Status Copy(const StepSeries& other, int64_t step) {
    return CopyFrom(other, step, step);
  }
  absl::Status CopyFrom(const StepSeries& other, int64_t from, int64_t to);
  // Becomes a copy of all of `other`, charged apart.
  absl::Status CopyAll(QueryAccount* account, const StepSeries& other);
  bool AnyPresent() const;
  int64_t bytes() const { return charge_.bytes(); }

  Labels labels;
  // The name (with type and unit) is to be dropped when the query ends:
  // label_replace can still see and keep it until then.
  bool drop_name = false;

 private:
  std::vector<Cell> cells_;
  std::vector<double> values_;
  std::vector<HistogramRef> histograms_;  // empty while there is none
  Charge charge_;
};

class SeriesStream {
 public:
  virtual ~SeriesStream() = default;
  // Replaces `*series`. False at the end. Series have at least one cell.
  virtual absl::StatusOr<bool> Next(StepSeries* series) = 0;
};

// A scalar at each step; a constant holds one value.
class ScalarColumn {
 public:
  static ScalarColumn Constant(double value) {
    ScalarColumn column;
    column.values_.push_back(value);
    return column;
  }
  // All NaN until set.
  absl::Status Init(QueryAccount* account, int64_t steps);
  double At(int64_t step) const {
    return values_.size() == 1 ? values_[0] : values_[step];
  }
  void Set(int64_t step, double value) { values_[step] = value; }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<double> values_;
  Charge charge_;
};

// All samples of one series that the windows of a range can see, oldest first,
// staleness markers left out.
class SampleRun {
 public:
  void Clear(QueryAccount* account, Labels labels, bool drop_name);
  absl::Status AddFloat(int64_t time_ms, double value, int64_t start_ms);
  // Those of them that are not staleness markers; starts unknown. What is in
  // the vectors afterwards is of no use.
  absl::Status AddFloats(std::vector<int64_t>* times_ms,
                         std::vector<double>* values);
  absl::Status AddHistogram(int64_t time_ms, HistogramRef histogram,
                            int64_t start_ms);

  const std::vector<int64_t>& times() const { return times_; }
  const std::vector<double>& values() const { return values_; }
  const std::vector<int64_t>& histogram_times() const {
    return histogram_times_;
  }
  const std::vector<HistogramRef>& histograms() const { return histograms_; }
  // Start times (0: unknown) of each float and histogram; empty if none has
  // one.
  const std::vector<int64_t>& starts() const { return starts_; }
  const std::vector<int64_t>& histogram_starts() const {
    return histogram_starts_;
  }

  std::string_view metric_name() const { return labels.metric_name(); }

  Labels labels;
  bool drop_name = false;

 private:
  absl::Status Reserve(size_t more);

  std::vector<int64_t> times_;
  std::vector<double> values_;
  std::vector<int64_t> starts_;
  std::vector<int64_t> histogram_times_;
  std::vector<HistogramRef> histograms_;
  std::vector<int64_t> histogram_starts_;
  size_t charged_samples_ = 0;
  Charge charge_;            // of the columns, which keep their capacity
  Charge histogram_charge_;  // of the histograms of this series
};

class RunStream {
 public:
  virtual ~RunStream() = default;
  virtual absl::StatusOr<bool> Next(SampleRun* run) = 0;
};

// Indices [begin, end) into a run of what a window holds.
struct Window {
  int64_t start_ms = 0;  // open
  int64_t end_ms = 0;    // closed
  size_t begin = 0;
  size_t end = 0;
  size_t histogram_begin = 0;
  size_t histogram_end = 0;

  size_t floats() const { return end - begin; }
  size_t histograms() const { return histogram_end - histogram_begin; }
};

}  // namespace vigie::query
