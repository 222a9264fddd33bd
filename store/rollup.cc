#include "store/rollup.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "model/sample.h"
#include "store/chunk.h"
#include "store/integer_codec.h"
#include "store/value_codec.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 2;  // that of all chunks
constexpr uint8_t kKindRollup = 3;

// The number of the bucket of a time: it ends at number * resolution.
int64_t BucketOf(int64_t time_ms, int64_t resolution_ms) {
  int64_t bucket = time_ms / resolution_ms;
  if (bucket * resolution_ms < time_ms) ++bucket;
  return bucket;
}

int64_t Before(int64_t time_ms, uint64_t lag_ms) {
  return static_cast<int64_t>(static_cast<uint64_t>(time_ms) - lag_ms);
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint64_t>(a[i]) != std::bit_cast<uint64_t>(b[i])) {
      return false;
    }
  }
  return true;
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("rollup chunk: {}", what));
}

}  // namespace

bool operator==(const RollupColumns& a, const RollupColumns& b) {
  return a.resolution_ms == b.resolution_ms && a.times_ms == b.times_ms &&
         a.marker_lags_ms == b.marker_lags_ms && a.counts == b.counts &&
         SameBits(a.sums, b.sums) && SameBits(a.mins, b.mins) &&
         SameBits(a.maxs, b.maxs) && SameBits(a.lasts, b.lasts) &&
         SameBits(a.resets, b.resets);
}

RollupBuilder::RollupBuilder(int64_t resolution_ms) {
  VIGIE_CHECK(resolution_ms > 0);
  columns_.resolution_ms = resolution_ms;
}

// Makes sure that the newest bucket is that of the time. Whether it is new.
bool RollupBuilder::Begin(int64_t time_ms) {
  RollupColumns& c = columns_;
  if (c.size() > 0) {
    VIGIE_CHECK(time_ms > c.times_ms.back());
    if (BucketOf(time_ms, c.resolution_ms) ==
        BucketOf(c.times_ms.back(), c.resolution_ms)) {
      return false;
    }
  }
  c.times_ms.push_back(time_ms);
  c.marker_lags_ms.push_back(0);
  c.counts.push_back(0);
  for (auto* column : {&c.sums, &c.mins, &c.maxs, &c.lasts, &c.resets}) {
    column->push_back(0);
  }
  sum_ = lost_ = 0;
  return true;
}

// Neumaier's compensated sum.
void RollupBuilder::AddSum(double value) {
  const double sum = sum_ + value;
  if (std::isinf(sum)) {
    lost_ = 0;
  } else if (std::fabs(sum_) >= std::fabs(value)) {
    lost_ += (sum_ - sum) + value;
  } else {
    lost_ += (value - sum) + sum_;
  }
  sum_ = sum;
  columns_.sums.back() = sum_ + lost_;
}

// The newest bucket has a value already, or NaNs in their places.
void RollupBuilder::AddExtremes(double min, double max) {
  double& least = columns_.mins.back();
  double& most = columns_.maxs.back();
  if (min < least || std::isnan(least)) least = min;
  if (max > most || std::isnan(most)) most = max;
}

void RollupBuilder::Add(const SampleColumns& floats) {
  RollupColumns& c = columns_;
  for (size_t i = 0; i < floats.size(); ++i) {
    const int64_t time_ms = floats.times_ms[i];
    const double value = floats.values[i];
    const bool begins = Begin(time_ms);
    const int64_t before_ms = c.times_ms.back();
    c.times_ms.back() = time_ms;
    if (IsStaleMarker(value)) {
      // A bucket of markers alone has had no value to be late after.
      c.marker_lags_ms.back() +=
          begins ? 1 : static_cast<uint64_t>(time_ms - before_ms);
      continue;
    }
    c.marker_lags_ms.back() = 0;
    if (c.counts.back()++ == 0) {
      c.mins.back() = c.maxs.back() = std::numeric_limits<double>::quiet_NaN();
    }
    if (last_value_.has_value() && value < *last_value_) {
      c.resets.back() += *last_value_;
    }
    last_value_ = value;
    AddExtremes(value, value);
    c.lasts.back() = value;
    AddSum(value);
  }
}

void RollupBuilder::Add(const RollupColumns& finer) {
  VIGIE_CHECK(columns_.resolution_ms % finer.resolution_ms == 0);
  RollupColumns& c = columns_;
  for (size_t i = 0; i < finer.size(); ++i) {
    const int64_t time_ms = finer.times_ms[i];
    const bool begins = Begin(time_ms);
    const int64_t before_ms = c.times_ms.back();
    c.times_ms.back() = time_ms;
    if (finer.counts[i] == 0) {
      c.marker_lags_ms.back() +=
          begins ? finer.marker_lags_ms[i]
                 : static_cast<uint64_t>(time_ms - before_ms);
      continue;
    }
    c.marker_lags_ms.back() = finer.marker_lags_ms[i];
    if (c.counts.back() == 0) {
      c.mins.back() = c.maxs.back() = std::numeric_limits<double>::quiet_NaN();
    }
    c.counts.back() += finer.counts[i];
    AddExtremes(finer.mins[i], finer.maxs[i]);
    c.lasts.back() = finer.lasts[i];
    c.resets.back() += finer.resets[i];
    AddSum(finer.sums[i]);
    last_value_ = finer.lasts[i];
  }
}

RollupColumns RollupBuilder::Take() {
  RollupColumns taken = std::move(columns_);
  columns_ = RollupColumns();
  columns_.resolution_ms = taken.resolution_ms;
  return taken;
}

void RemoveBuckets(const TimeRange& range, RollupColumns* buckets) {
  RollupColumns kept;
  const int64_t resolution_ms = kept.resolution_ms = buckets->resolution_ms;
  for (size_t i = 0; i < buckets->size(); ++i) {
    const int64_t end_ms =
        BucketOf(buckets->times_ms[i], resolution_ms) * resolution_ms;
    if (range.Overlaps({end_ms - resolution_ms + 1, end_ms})) continue;
    const auto copy = [&](auto column) {
      (kept.*column).push_back((buckets->*column)[i]);
    };
    copy(&RollupColumns::times_ms);
    copy(&RollupColumns::marker_lags_ms);
    copy(&RollupColumns::counts);
    copy(&RollupColumns::sums);
    copy(&RollupColumns::mins);
    copy(&RollupColumns::maxs);
    copy(&RollupColumns::lasts);
    copy(&RollupColumns::resets);
  }
  *buckets = std::move(kept);
}

std::string EncodeRollupChunk(const RollupColumns& buckets, size_t begin,
                              size_t end) {
  VIGIE_CHECK(begin < end && end <= buckets.size() &&
              end - begin <= kChunkSamplesLimit);
  const size_t count = end - begin;
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(kKindRollup));
  PutVarint(count, &out);
  PutVarint(static_cast<uint64_t>(buckets.resolution_ms), &out);
  std::vector<uint64_t> times;
  for (size_t i = begin; i < end; ++i) {
    times.push_back(static_cast<uint64_t>(buckets.times_ms[i]));
  }
  EncodeIntegers(times, &out);
  for (const auto* column : {&buckets.marker_lags_ms, &buckets.counts}) {
    EncodeIntegers({column->data() + begin, count}, &out);
  }
  for (const auto* column : {&buckets.sums, &buckets.mins, &buckets.maxs,
                             &buckets.lasts, &buckets.resets}) {
    EncodeDoubles({column->data() + begin, count}, &out);
  }
  return out;
}

absl::Status DecodeRollupChunk(std::string_view bytes, RollupColumns* buckets) {
  *buckets = RollupColumns();
  ByteReader in(bytes);
  const uint8_t version = in.Byte();
  const uint8_t kind = in.Byte();
  if (!in.ok()) return Damaged("cut short");
  if (version != kVersion || kind != kKindRollup) {
    return absl::FailedPreconditionError(fmt::format(
        "rollup chunk: version {}, kind {}; this program knows {} and {}",
        version, kind, kVersion, kKindRollup));
  }
  const uint64_t count = in.Varint();
  const uint64_t resolution = in.Varint();
  if (!in.ok() || count == 0 || count > kChunkSamplesLimit || resolution == 0 ||
      resolution > INT64_MAX) {
    return Damaged("header makes no sense");
  }
  buckets->resolution_ms = static_cast<int64_t>(resolution);
  std::vector<uint64_t> times(count);
  bool ok = DecodeIntegers(&in, times);
  for (auto* column : {&buckets->marker_lags_ms, &buckets->counts}) {
    column->resize(count);
    ok = ok && DecodeIntegers(&in, *column);
  }
  for (auto* column : {&buckets->sums, &buckets->mins, &buckets->maxs,
                       &buckets->lasts, &buckets->resets}) {
    column->resize(count);
    ok = ok && DecodeDoubles(&in, *column);
  }
  if (!ok || !in.empty()) return Damaged("a column is damaged");
  for (size_t i = 0; i < count; ++i) {
    const auto time_ms = static_cast<int64_t>(times[i]);
    if (i > 0 &&
        (time_ms <= buckets->times_ms.back() ||
         BucketOf(time_ms, buckets->resolution_ms) ==
             BucketOf(buckets->times_ms.back(), buckets->resolution_ms))) {
      return Damaged("buckets do not ascend");
    }
    // The marker came after the value, in the same bucket.
    const int64_t value_ms = Before(time_ms, buckets->marker_lags_ms[i]);
    if (buckets->counts[i] > 0 &&
        (value_ms > time_ms || BucketOf(value_ms, buckets->resolution_ms) !=
                                   BucketOf(time_ms, buckets->resolution_ms))) {
      return Damaged("a marker is out of its bucket");
    }
    buckets->times_ms.push_back(time_ms);
  }
  return absl::OkStatus();
}

}  // namespace vigie::store
