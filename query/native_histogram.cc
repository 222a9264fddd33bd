#include "query/native_histogram.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/histogram_buckets.h"

namespace vigie::query {
namespace {

struct IndexedCount {
  int32_t index = 0;
  double count = 0;
};

std::vector<IndexedCount> Unpack(const std::vector<BucketSpan>& spans,
                                 const std::vector<double>& counts) {
  std::vector<IndexedCount> buckets;
  buckets.reserve(counts.size());
  int32_t index = 0;
  for (const BucketSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && buckets.size() < counts.size();
         ++i) {
      buckets.push_back({index++, counts[buckets.size()]});
    }
  }
  return buckets;
}

void Append(int32_t index, double count, int32_t* next,
            std::vector<BucketSpan>* spans, std::vector<double>* counts) {
  if (spans->empty() || index != *next) {
    spans->push_back(
        {.offset = spans->empty() ? index : index - *next, .length = 0});
  }
  ++spans->back().length;
  counts->push_back(count);
  *next = index + 1;
}

void CompactSide(std::vector<BucketSpan>* spans, std::vector<double>* counts) {
  const std::vector<IndexedCount> buckets = Unpack(*spans, *counts);
  spans->clear();
  counts->clear();
  int32_t next = 0;
  for (const auto& [index, count] : buckets) {
    if (count != 0) Append(index, count, &next, spans, counts);
  }
}

// The bucket of a schema lower by `levels` that holds bucket `index`.
int32_t FoldedIndex(int32_t index, int levels) {
  return ((index - 1) >> levels) + 1;
}

bool SameSpans(const std::vector<BucketSpan>& a,
               const std::vector<BucketSpan>& b) {
  // Empty spans and adjacent ones say the same as one.
  std::vector<double> ones;
  const auto indices = [&](const std::vector<BucketSpan>& spans) {
    size_t length = 0;
    for (const BucketSpan& span : spans) length += span.length;
    ones.assign(length, 1);
    return Unpack(spans, ones);
  };
  const auto x = indices(a);
  const auto y = indices(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                    [](const IndexedCount& i, const IndexedCount& j) {
                      return i.index == j.index;
                    });
}

// A count of `before` that is missing or lower in `after`. Both ascend.
template <class Side>
bool AnyFell(const Side& before, const Side& after) {
  auto now = after.begin();
  for (const auto& bucket : before) {
    while (now != after.end() && now->index < bucket.index) ++now;
    const double count =
        now != after.end() && now->index == bucket.index ? now->count : 0;
    if (count < bucket.count) return true;
  }
  return false;
}

std::vector<IndexedCount> FoldedSide(const std::vector<BucketSpan>& spans,
                                     const std::vector<double>& counts,
                                     int levels) {
  std::vector<IndexedCount> folded;
  for (const auto& [index, count] : Unpack(spans, counts)) {
    const int32_t to = FoldedIndex(index, levels);
    if (folded.empty() || folded.back().index != to) folded.push_back({to, 0});
    folded.back().count += count;
  }
  return folded;
}

std::vector<double> CommonBounds(const std::vector<double>& a,
                                 const std::vector<double>& b) {
  std::vector<double> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                        std::back_inserter(common));
  return common;
}

// Which bucket of `bounds` holds the one that ends at `upper`.
int32_t IndexAmong(const std::vector<double>& bounds, double upper) {
  return static_cast<int32_t>(
      std::lower_bound(bounds.begin(), bounds.end(), upper) - bounds.begin());
}

std::vector<IndexedCount> MappedTo(const std::vector<double>& bounds,
                                   const FloatHistogram& histogram) {
  std::vector<IndexedCount> mapped;
  for (const auto& [index, count] :
       Unpack(histogram.positive_spans, histogram.positive_buckets)) {
    const int32_t to =
        IndexAmong(bounds, HistogramUpperBound(index, histogram));
    if (mapped.empty() || mapped.back().index != to) mapped.push_back({to, 0});
    mapped.back().count += count;
  }
  return mapped;
}

struct ZeroBucket {
  double count = 0;
  double threshold = 0;
};

// What the zero bucket would hold at a larger threshold, which moves to the
// end of a populated bucket that it falls into.
template <class Side, class CountOf>
ZeroBucket Widened(const FloatHistogram& shape, double zero_count,
                   const Side& positive, const Side& negative, double threshold,
                   CountOf count_of) {
  while (true) {
    ZeroBucket zero{.count = zero_count, .threshold = threshold};
    for (const Side* side : {&positive, &negative}) {
      for (const auto& bucket : *side) {
        if (HistogramUpperBound(bucket.index - 1, shape) >= zero.threshold) {
          break;
        }
        zero.count += count_of(bucket);
        const double upper = HistogramUpperBound(bucket.index, shape);
        if (upper > zero.threshold) {
          if (count_of(bucket) != 0) zero.threshold = upper;
          break;
        }
      }
    }
    // The negative side may have widened what the positive one has to give.
    if (zero.threshold == threshold) return zero;
    threshold = zero.threshold;
  }
}

}  // namespace

void Multiply(FloatHistogram* histogram, double factor) {
  histogram->zero_count *= factor;
  histogram->count *= factor;
  histogram->sum *= factor;
  for (double& count : histogram->positive_buckets) count *= factor;
  for (double& count : histogram->negative_buckets) count *= factor;
  if (factor < 0) histogram->reset_hint = CounterResetHint::kGauge;
}

void Divide(FloatHistogram* histogram, double divisor) {
  histogram->zero_count /= divisor;
  histogram->count /= divisor;
  histogram->sum /= divisor;
  if (divisor == 0) {
    histogram->positive_spans.clear();
    histogram->positive_buckets.clear();
    histogram->negative_spans.clear();
    histogram->negative_buckets.clear();
    return;
  }
  for (double& count : histogram->positive_buckets) count /= divisor;
  for (double& count : histogram->negative_buckets) count /= divisor;
  if (divisor < 0) histogram->reset_hint = CounterResetHint::kGauge;
}

void Compact(FloatHistogram* histogram) {
  CompactSide(&histogram->positive_spans, &histogram->positive_buckets);
  CompactSide(&histogram->negative_spans, &histogram->negative_buckets);
}

void ReduceResolution(FloatHistogram* histogram, int32_t schema) {
  if (HasCustomBuckets(*histogram) || schema >= histogram->schema) return;
  const int levels = histogram->schema - schema;
  const auto reduce = [levels](std::vector<BucketSpan>* spans,
                               std::vector<double>* counts) {
    const std::vector<IndexedCount> folded =
        FoldedSide(*spans, *counts, levels);
    spans->clear();
    counts->clear();
    int32_t next = 0;
    for (const auto& [index, count] : folded) {
      Append(index, count, &next, spans, counts);
    }
  };
  reduce(&histogram->positive_spans, &histogram->positive_buckets);
  reduce(&histogram->negative_spans, &histogram->negative_buckets);
  histogram->schema = schema;
}

bool SameSamples(const FloatHistogram& a, const FloatHistogram& b) {
  return a.schema == b.schema && a.zero_threshold == b.zero_threshold &&
         a.zero_count == b.zero_count && a.count == b.count && a.sum == b.sum &&
         a.custom_values == b.custom_values &&
         a.positive_buckets == b.positive_buckets &&
         a.negative_buckets == b.negative_buckets &&
         SameSpans(a.positive_spans, b.positive_spans) &&
         SameSpans(a.negative_spans, b.negative_spans);
}

bool IsReset(const FloatHistogram& before, const FloatHistogram& after) {
  if (after.reset_hint == CounterResetHint::kReset) return true;
  if (after.reset_hint == CounterResetHint::kNotReset) return false;
  if (after.count < before.count) return true;
  if (HasCustomBuckets(after) && HasCustomBuckets(before)) {
    const std::vector<double> bounds =
        CommonBounds(before.custom_values, after.custom_values);
    return AnyFell(MappedTo(bounds, before), MappedTo(bounds, after));
  }
  // A producer gets coarser as it goes, finer only from the beginning.
  if (after.schema > before.schema || HasCustomBuckets(after) ||
      after.zero_threshold < before.zero_threshold) {
    return true;
  }
  // At the schema that it has itself: the threshold is compared first.
  const auto own_positive =
      Unpack(before.positive_spans, before.positive_buckets);
  const auto own_negative =
      Unpack(before.negative_spans, before.negative_buckets);
  ZeroBucket zero{.count = before.zero_count,
                  .threshold = before.zero_threshold};
  if (after.zero_threshold > before.zero_threshold) {
    zero = Widened(before, before.zero_count, own_positive, own_negative,
                   after.zero_threshold,
                   [](const IndexedCount& bucket) { return bucket.count; });
  }
  if (zero.threshold != after.zero_threshold) return true;
  if (after.zero_count < zero.count) return true;
  const int levels = before.schema - after.schema;
  const auto fell = [&](const std::vector<IndexedCount>& own,
                        const std::vector<BucketSpan>& spans,
                        const std::vector<double>& counts) {
    std::vector<IndexedCount> outside;
    for (const auto& [index, count] : own) {
      if (HistogramUpperBound(index, before) <= zero.threshold) continue;
      const int32_t to = FoldedIndex(index, levels);
      if (outside.empty() || outside.back().index != to) {
        outside.push_back({to, 0});
      }
      outside.back().count += count;
    }
    return AnyFell(outside, Unpack(spans, counts));
  };
  return fell(own_positive, after.positive_spans, after.positive_buckets) ||
         fell(own_negative, after.negative_spans, after.negative_buckets);
}

HistogramSum::HistogramSum(const FloatHistogram& first)
    : zero_count_{.sum = first.zero_count},
      count_{.sum = first.count},
      sum_{.sum = first.sum},
      positive_(SideOf(first.positive_spans, first.positive_buckets)),
      negative_(SideOf(first.negative_spans, first.negative_buckets)) {
  shape_.reset_hint = first.reset_hint;
  shape_.schema = first.schema;
  shape_.zero_threshold = first.zero_threshold;
  shape_.custom_values = first.custom_values;
  LookAtHint(first.reset_hint);
}

void HistogramSum::LookAtHint(CounterResetHint hint) {
  reset_ = reset_ || hint == CounterResetHint::kReset;
  not_reset_ = not_reset_ || hint == CounterResetHint::kNotReset;
}

HistogramSum::Side HistogramSum::SideOf(const std::vector<BucketSpan>& spans,
                                        const std::vector<double>& counts) {
  Side side;
  side.reserve(counts.size());
  for (const auto& [index, count] : Unpack(spans, counts)) {
    side.push_back({.index = index, .count = {.sum = count}});
  }
  return side;
}

void HistogramSum::Fold(Side* side, int levels) {
  Side folded;
  for (const Bucket& bucket : *side) {
    const int32_t to = FoldedIndex(bucket.index, levels);
    if (folded.empty() || folded.back().index != to) {
      folded.push_back({.index = to, .count = bucket.count});
      continue;
    }
    folded.back().count.Add(bucket.count.sum);
    folded.back().count.compensation += bucket.count.compensation;
  }
  *side = std::move(folded);
}

void HistogramSum::AddSide(const Side& from, double sign, Side* to) {
  Side merged;
  merged.reserve(to->size() + from.size());
  auto own = to->begin();
  for (const Bucket& bucket : from) {
    while (own != to->end() && own->index < bucket.index) {
      merged.push_back(*own++);
    }
    if (own != to->end() && own->index == bucket.index) {
      merged.push_back(*own++);
    } else {
      merged.push_back({.index = bucket.index, .count = {}});
    }
    merged.back().count.Add(sign * bucket.count.sum);
  }
  merged.insert(merged.end(), own, to->end());
  *to = std::move(merged);
}

bool HistogramSum::AddTimes(const FloatHistogram& other, double sign) {
  if (HasCustomBuckets(other) != HasCustomBuckets(shape_)) return false;
  MeetHints(other.reset_hint);
  HistogramSum addend(other);
  if (HasCustomBuckets(shape_)) {
    MeetBounds(&addend);
  } else {
    // Thresholds at each one's own schema, as bounds of buckets move them.
    while (shape_.zero_threshold != addend.shape_.zero_threshold) {
      WidenZeroBucket(addend.shape_.zero_threshold);
      addend.WidenZeroBucket(shape_.zero_threshold);
    }
    const int32_t schema = std::min(shape_.schema, addend.shape_.schema);
    for (HistogramSum* sum : {this, &addend}) {
      if (sum->shape_.schema == schema) continue;
      Fold(&sum->positive_, sum->shape_.schema - schema);
      Fold(&sum->negative_, sum->shape_.schema - schema);
      sum->shape_.schema = schema;
    }
    zero_count_.Add(sign * addend.zero_count_.sum);
  }
  count_.Add(sign * addend.count_.sum);
  sum_.Add(sign * addend.sum_.sum);
  AddSide(addend.positive_, sign, &positive_);
  AddSide(addend.negative_, sign, &negative_);
  return true;
}

void HistogramSum::MeetHints(CounterResetHint other) {
  LookAtHint(other);
  CounterResetHint& own = shape_.reset_hint;
  if (own == other || own == CounterResetHint::kGauge) return;
  if (other == CounterResetHint::kGauge) {
    own = other;
    return;
  }
  own = CounterResetHint::kUnknown;
}

void HistogramSum::MeetBounds(HistogramSum* other) {
  if (shape_.custom_values == other->shape_.custom_values) return;
  bounds_reconciled_ = true;
  const std::vector<double> bounds =
      CommonBounds(shape_.custom_values, other->shape_.custom_values);
  MapTo(bounds);
  other->MapTo(bounds);
}

void HistogramSum::MapTo(const std::vector<double>& bounds) {
  Side mapped;
  for (const Bucket& bucket : positive_) {
    const int32_t to =
        IndexAmong(bounds, HistogramUpperBound(bucket.index, shape_));
    if (mapped.empty() || mapped.back().index != to) {
      mapped.push_back({.index = to, .count = bucket.count});
      continue;
    }
    mapped.back().count.Add(bucket.count.sum);
    mapped.back().count.compensation += bucket.count.compensation;
  }
  positive_ = std::move(mapped);
  shape_.custom_values = bounds;
}

void HistogramSum::WidenZeroBucket(double threshold) {
  if (threshold <= shape_.zero_threshold) return;
  const ZeroBucket zero =
      Widened(shape_, zero_count_.sum, positive_, negative_, threshold,
              [](const Bucket& bucket) { return bucket.count.sum; });
  shape_.zero_threshold = zero.threshold;
  for (Side* side : {&positive_, &negative_}) {
    std::erase_if(*side, [&](const Bucket& bucket) {
      if (HistogramUpperBound(bucket.index - 1, shape_) >= zero.threshold) {
        return false;
      }
      zero_count_.Add(bucket.count.sum);
      zero_count_.compensation += bucket.count.compensation;
      return true;
    });
  }
}

void HistogramSum::Scale(double factor) {
  const auto scale = [factor](Neumaier* sum) {
    sum->sum *= factor;
    sum->compensation *= factor;
  };
  scale(&zero_count_);
  scale(&count_);
  scale(&sum_);
  for (Bucket& bucket : positive_) scale(&bucket.count);
  for (Bucket& bucket : negative_) scale(&bucket.count);
}

FloatHistogram HistogramSum::Total() const {
  FloatHistogram total = shape_;
  total.zero_count = zero_count_.Total();
  total.count = count_.Total();
  total.sum = sum_.Total();
  int32_t next = 0;
  for (const Bucket& bucket : positive_) {
    Append(bucket.index, bucket.count.Total(), &next, &total.positive_spans,
           &total.positive_buckets);
  }
  next = 0;
  for (const Bucket& bucket : negative_) {
    Append(bucket.index, bucket.count.Total(), &next, &total.negative_spans,
           &total.negative_buckets);
  }
  return total;
}

bool HistogramSum::Overflows() const {
  const auto any = [](const Side& side) {
    return std::any_of(side.begin(), side.end(), [](const Bucket& bucket) {
      return std::isinf(bucket.count.sum);
    });
  };
  return std::isinf(zero_count_.sum) || std::isinf(count_.sum) ||
         std::isinf(sum_.sum) || any(positive_) || any(negative_);
}

bool HistogramMean::Add(const FloatHistogram& other) {
  count_ += 1;
  if (!incremental_) {
    HistogramSum next = sum_;
    if (!next.Add(other)) return false;
    if (!next.Overflows()) {
      sum_ = std::move(next);
      return true;
    }
    incremental_ = true;
    sum_.Scale(1 / (count_ - 1));
  }
  sum_.Scale((count_ - 1) / count_);
  FloatHistogram share = other;
  Divide(&share, count_);
  return sum_.Add(share);
}

FloatHistogram HistogramMean::Mean() const {
  FloatHistogram mean = sum_.Total();
  if (!incremental_) Divide(&mean, count_);
  return mean;
}

}  // namespace vigie::query
