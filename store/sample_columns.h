// SampleColumns: float samples of one series as columns, in ascending order
// of time, each time once.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/sample.h"

namespace vigie::store {

struct SampleColumns {
  std::vector<int64_t> times_ms;
  std::vector<double> values;
  std::vector<int64_t> starts_ms;  // empty if no sample has a start time

  size_t size() const { return times_ms.size(); }
  bool empty() const { return times_ms.empty(); }

  int64_t bytes() const {
    return static_cast<int64_t>(
        (times_ms.capacity() + values.capacity() + starts_ms.capacity()) * 8);
  }

  void clear() {
    times_ms.clear();
    values.clear();
    starts_ms.clear();
  }

  int64_t start_ms(size_t i) const {
    return starts_ms.empty() ? 0 : starts_ms[i];
  }

  // The index of the first sample not before `time_ms`.
  size_t LowerBound(int64_t time_ms) const {
    return static_cast<size_t>(
        std::lower_bound(times_ms.begin(), times_ms.end(), time_ms) -
        times_ms.begin());
  }

  // The value at exactly `time_ms`, or null.
  const double* Find(int64_t time_ms) const {
    const size_t i = LowerBound(time_ms);
    return i < size() && times_ms[i] == time_ms ? &values[i] : nullptr;
  }

  // Appends; the time must be after the last one.
  void PushBack(int64_t time_ms, double value, int64_t start_ms) {
    if (start_ms != 0 && starts_ms.empty()) starts_ms.resize(size());
    times_ms.push_back(time_ms);
    values.push_back(value);
    if (start_ms != 0 || !starts_ms.empty()) starts_ms.push_back(start_ms);
  }

  // Puts the sample in its place. False, and nothing changes, if there is one
  // at that time already.
  bool Insert(int64_t time_ms, double value, int64_t start_ms) {
    if (empty() || time_ms > times_ms.back()) {
      PushBack(time_ms, value, start_ms);
      return true;
    }
    const size_t i = LowerBound(time_ms);
    if (times_ms[i] == time_ms) return false;
    if (start_ms != 0 && starts_ms.empty()) starts_ms.resize(size());
    const auto at = static_cast<std::ptrdiff_t>(i);
    times_ms.insert(times_ms.begin() + at, time_ms);
    values.insert(values.begin() + at, value);
    if (start_ms != 0 || !starts_ms.empty()) {
      starts_ms.insert(starts_ms.begin() + at, start_ms);
    }
    return true;
  }

  // Appends [begin, end) of `from`, whose times come after ours.
  void AppendSlice(const SampleColumns& from, size_t begin, size_t end) {
    if (!from.starts_ms.empty() && starts_ms.empty()) starts_ms.resize(size());
    const auto b = static_cast<std::ptrdiff_t>(begin);
    const auto e = static_cast<std::ptrdiff_t>(end);
    times_ms.insert(times_ms.end(), from.times_ms.begin() + b,
                    from.times_ms.begin() + e);
    values.insert(values.end(), from.values.begin() + b,
                  from.values.begin() + e);
    if (!from.starts_ms.empty()) {
      starts_ms.insert(starts_ms.end(), from.starts_ms.begin() + b,
                       from.starts_ms.begin() + e);
    } else if (!starts_ms.empty()) {
      starts_ms.resize(times_ms.size());
    }
  }
};

// All samples of both; at the same time that of `first` wins. `*conflicts`
// grows by the times at which the values differ in their bits.
inline SampleColumns Merged(const SampleColumns& first,
                            const SampleColumns& second, uint64_t* conflicts) {
  SampleColumns out;
  out.times_ms.reserve(first.size() + second.size());
  out.values.reserve(first.size() + second.size());
  size_t i = 0, j = 0;
  while (i < first.size() || j < second.size()) {
    if (j == second.size() ||
        (i < first.size() && first.times_ms[i] <= second.times_ms[j])) {
      if (j < second.size() && first.times_ms[i] == second.times_ms[j]) {
        if (std::bit_cast<uint64_t>(first.values[i]) !=
            std::bit_cast<uint64_t>(second.values[j])) {
          ++*conflicts;
        }
        ++j;
      }
      out.PushBack(first.times_ms[i], first.values[i], first.start_ms(i));
      ++i;
    } else {
      out.PushBack(second.times_ms[j], second.values[j], second.start_ms(j));
      ++j;
    }
  }
  return out;
}

}  // namespace vigie::store
