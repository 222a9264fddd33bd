// SampleColumns: samples of one series and one kind as columns, in ascending
// order of time, each time once. SampleRuns: such columns one after the other,
// for a series whose kind changes.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/histogram.h"
#include "model/sample.h"
#include "store/queryable.h"

namespace vigie::store {

struct SampleColumns {
  SampleKind kind = SampleKind::kFloat;
  std::vector<int64_t> times_ms;
  // Of these three the one of `kind` is as long as times_ms, the others empty.
  std::vector<double> values;
  std::vector<IntegerHistogram> integer_histograms;
  std::vector<FloatHistogram> float_histograms;
  std::vector<int64_t> starts_ms;  // empty if no sample has a start time

  size_t size() const { return times_ms.size(); }
  bool empty() const { return times_ms.empty(); }
  // What it takes in memory, about.
  int64_t bytes() const;
  void clear();

  int64_t start_ms(size_t i) const {
    return starts_ms.empty() ? 0 : starts_ms[i];
  }

  // The index of the first sample not before `time_ms`.
  size_t LowerBound(int64_t time_ms) const {
    return static_cast<size_t>(
        std::lower_bound(times_ms.begin(), times_ms.end(), time_ms) -
        times_ms.begin());
  }
  size_t UpperBound(int64_t time_ms) const {
    return static_cast<size_t>(
        std::upper_bound(times_ms.begin(), times_ms.end(), time_ms) -
        times_ms.begin());
  }

  // The value at exactly `time_ms`, or null. Only of floats.
  const double* Find(int64_t time_ms) const {
    const size_t i = LowerBound(time_ms);
    return i < values.size() && times_ms[i] == time_ms ? &values[i] : nullptr;
  }

  // Appends; the time must be after the last one, and the kind the same unless
  // there is no sample yet.
  void PushBack(int64_t time_ms, double value, int64_t start_ms) {
    kind = SampleKind::kFloat;
    PushTime(time_ms, start_ms);
    values.push_back(value);
  }
  void PushBack(int64_t time_ms, IntegerHistogram histogram, int64_t start_ms) {
    kind = SampleKind::kIntegerHistogram;
    PushTime(time_ms, start_ms);
    integer_histograms.push_back(std::move(histogram));
  }
  void PushBack(int64_t time_ms, FloatHistogram histogram, int64_t start_ms) {
    kind = SampleKind::kFloatHistogram;
    PushTime(time_ms, start_ms);
    float_histograms.push_back(std::move(histogram));
  }

  // Puts a float in its place. False, and nothing changes, if there is a
  // sample at that time already.
  bool Insert(int64_t time_ms, double value, int64_t start_ms);

  // Appends [begin, end) of `from`, whose times come after ours, and whose kind
  // is ours unless we are empty.
  void AppendSlice(const SampleColumns& from, size_t begin, size_t end);

 private:
  void PushTime(int64_t time_ms, int64_t start_ms) {
    if (start_ms != 0 && starts_ms.empty()) starts_ms.resize(size());
    times_ms.push_back(time_ms);
    if (start_ms != 0 || !starts_ms.empty()) starts_ms.push_back(start_ms);
  }
};

// Times ascend from run to run as well; runs are not empty.
using SampleRuns = std::vector<SampleColumns>;

// Whether two samples are the same bit for bit, start times left out.
bool SameValue(const SampleColumns& a, size_t i, const SampleColumns& b,
               size_t j);

// All samples of both, floats only; at the same time that of `first` wins.
// `*conflicts` grows by the times at which the values differ in their bits.
SampleColumns Merged(const SampleColumns& first, const SampleColumns& second,
                     uint64_t* conflicts);
// The same for samples of any kind.
SampleRuns MergedRuns(const SampleRuns& first, const SampleRuns& second,
                      uint64_t* conflicts);

}  // namespace vigie::store
