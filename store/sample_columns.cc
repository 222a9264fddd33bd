#include "store/sample_columns.h"

#include <bit>

namespace vigie::store {
namespace {

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}
bool SameBits(uint64_t a, uint64_t b) { return a == b; }

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return SameBits(x, y); });
}

template <class Count>
bool SameBits(const BasicHistogram<Count>& a, const BasicHistogram<Count>& b) {
  return a.reset_hint == b.reset_hint && a.schema == b.schema &&
         SameBits(a.zero_threshold, b.zero_threshold) &&
         SameBits(a.zero_count, b.zero_count) && SameBits(a.count, b.count) &&
         SameBits(a.sum, b.sum) && a.positive_spans == b.positive_spans &&
         a.negative_spans == b.negative_spans &&
         SameBits(a.positive_buckets, b.positive_buckets) &&
         SameBits(a.negative_buckets, b.negative_buckets) &&
         SameBits(a.custom_values, b.custom_values);
}

template <class Count>
size_t BytesOf(const std::vector<BasicHistogram<Count>>& histograms) {
  size_t bytes = histograms.capacity() * sizeof(BasicHistogram<Count>);
  for (const BasicHistogram<Count>& one : histograms) {
    bytes += (one.positive_spans.capacity() + one.negative_spans.capacity() +
              one.positive_buckets.capacity() +
              one.negative_buckets.capacity() + one.custom_values.capacity()) *
             8;
  }
  return bytes;
}

template <class T>
void AppendPart(const std::vector<T>& from, size_t begin, size_t end,
                std::vector<T>* to) {
  to->insert(to->end(), from.begin() + static_cast<std::ptrdiff_t>(begin),
             from.begin() + static_cast<std::ptrdiff_t>(end));
}

// Walks the samples of a list of runs.
struct RunCursor {
  explicit RunCursor(const SampleRuns& of) : runs(of) {}
  bool at_end() const { return run == runs.size(); }
  int64_t time_ms() const { return runs[run].times_ms[i]; }
  void Next() {
    if (++i == runs[run].size()) {
      ++run;
      i = 0;
    }
  }
  const SampleRuns& runs;
  size_t run = 0, i = 0;
};

void Push(const RunCursor& cursor, SampleRuns* out) {
  const SampleColumns& run = cursor.runs[cursor.run];
  if (out->empty() || out->back().kind != run.kind) {
    out->emplace_back().kind = run.kind;
  }
  out->back().AppendSlice(run, cursor.i, cursor.i + 1);
}

}  // namespace

int64_t SampleColumns::bytes() const {
  return static_cast<int64_t>(
      (times_ms.capacity() + values.capacity() + starts_ms.capacity()) * 8 +
      BytesOf(integer_histograms) + BytesOf(float_histograms));
}

void SampleColumns::clear() {
  times_ms.clear();
  values.clear();
  integer_histograms.clear();
  float_histograms.clear();
  starts_ms.clear();
}

bool SampleColumns::Insert(int64_t time_ms, double value, int64_t start_ms) {
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

void SampleColumns::AppendSlice(const SampleColumns& from, size_t begin,
                                size_t end) {
  if (empty()) kind = from.kind;
  if (!from.starts_ms.empty() && starts_ms.empty()) starts_ms.resize(size());
  AppendPart(from.times_ms, begin, end, &times_ms);
  switch (from.kind) {
    case SampleKind::kFloat:
      AppendPart(from.values, begin, end, &values);
      break;
    case SampleKind::kIntegerHistogram:
      AppendPart(from.integer_histograms, begin, end, &integer_histograms);
      break;
    case SampleKind::kFloatHistogram:
      AppendPart(from.float_histograms, begin, end, &float_histograms);
      break;
  }
  if (!from.starts_ms.empty()) {
    AppendPart(from.starts_ms, begin, end, &starts_ms);
  } else if (!starts_ms.empty()) {
    starts_ms.resize(times_ms.size());
  }
}

bool SameValue(const SampleColumns& a, size_t i, const SampleColumns& b,
               size_t j) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case SampleKind::kFloat:
      return SameBits(a.values[i], b.values[j]);
    case SampleKind::kIntegerHistogram:
      return SameBits(a.integer_histograms[i], b.integer_histograms[j]);
    case SampleKind::kFloatHistogram:
      return SameBits(a.float_histograms[i], b.float_histograms[j]);
  }
  return false;
}

SampleColumns Merged(const SampleColumns& first, const SampleColumns& second,
                     uint64_t* conflicts) {
  SampleColumns out;
  out.times_ms.reserve(first.size() + second.size());
  out.values.reserve(first.size() + second.size());
  size_t i = 0, j = 0;
  while (i < first.size() || j < second.size()) {
    if (j == second.size() ||
        (i < first.size() && first.times_ms[i] <= second.times_ms[j])) {
      if (j < second.size() && first.times_ms[i] == second.times_ms[j]) {
        if (!SameBits(first.values[i], second.values[j])) ++*conflicts;
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

SampleRuns MergedRuns(const SampleRuns& first, const SampleRuns& second,
                      uint64_t* conflicts) {
  SampleRuns out;
  RunCursor a(first), b(second);
  while (!a.at_end() || !b.at_end()) {
    if (b.at_end() || (!a.at_end() && a.time_ms() <= b.time_ms())) {
      if (!b.at_end() && a.time_ms() == b.time_ms()) {
        if (!SameValue(a.runs[a.run], a.i, b.runs[b.run], b.i)) ++*conflicts;
        b.Next();
      }
      Push(a, &out);
      a.Next();
    } else {
      Push(b, &out);
      b.Next();
    }
  }
  return out;
}

}  // namespace vigie::store
