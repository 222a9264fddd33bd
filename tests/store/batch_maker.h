// What the long tests of the store share: random batches of every kind, and
// what of them must be found again.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/store/store_fixture.h"

namespace vigie::store {

// A sample of any kind as bytes: equal if and only if all of it is.
inline void AddBytes(uint64_t value, std::string* out) {
  for (int i = 0; i < 8; ++i) *out += static_cast<char>(value >> (8 * i));
}
inline void AddBytes(double value, std::string* out) {
  AddBytes(BitsOf(value), out);
}
inline std::string BytesOfFloat(double value, int64_t start_ms = 0) {
  std::string out = "f";
  AddBytes(static_cast<uint64_t>(start_ms), &out);
  AddBytes(value, &out);
  return out;
}
template <class Count>
std::string BytesOfHistogram(const BasicHistogram<Count>& histogram,
                             int64_t start_ms = 0) {
  std::string out = std::is_integral_v<Count> ? "i" : "h";
  AddBytes(static_cast<uint64_t>(start_ms), &out);
  out += static_cast<char>(histogram.reset_hint);
  out += std::to_string(histogram.schema) + ";";
  AddBytes(histogram.zero_threshold, &out);
  AddBytes(histogram.zero_count, &out);
  AddBytes(histogram.count, &out);
  AddBytes(histogram.sum, &out);
  for (const auto* spans :
       {&histogram.positive_spans, &histogram.negative_spans}) {
    for (const BucketSpan& span : *spans) {
      out +=
          std::to_string(span.offset) + "," + std::to_string(span.length) + ";";
    }
    out += "|";
  }
  for (const Count count : histogram.positive_buckets) AddBytes(count, &out);
  out += "|";
  for (const Count count : histogram.negative_buckets) AddBytes(count, &out);
  out += "|";
  for (const double bound : histogram.custom_values) AddBytes(bound, &out);
  return out;
}

// Series -> time -> bytes of the sample.
using Stored = std::map<Labels, std::map<int64_t, std::string>>;

inline void AddSamples(const SampleBatch& batch,
                       std::map<int64_t, std::string>* out) {
  for (size_t i = 0; i < batch.times_ms.size(); ++i) {
    const int64_t start_ms = batch.starts_ms.empty() ? 0 : batch.starts_ms[i];
    std::string bytes;
    switch (batch.kind) {
      case SampleKind::kFloat:
        bytes = BytesOfFloat(batch.values[i], start_ms);
        break;
      case SampleKind::kIntegerHistogram:
        bytes = BytesOfHistogram(batch.integer_histograms[i], start_ms);
        break;
      case SampleKind::kFloatHistogram:
        bytes = BytesOfHistogram(batch.float_histograms[i], start_ms);
        break;
    }
    out->emplace(batch.times_ms[i], std::move(bytes));
  }
}

// Everything that a Select finds. A failure or a warning fails the test,
// unless `losses` takes it.
inline Stored StoredIn(const Queryable& queryable, TimeRange range = {},
                       std::vector<Matcher> matchers = {},
                       std::vector<std::string>* losses = nullptr,
                       std::optional<WindowHint> hint = std::nullopt) {
  Stored stored;
  ByteAccount account("query", int64_t{1} << 32);
  const auto fail = [&](const absl::Status& status) {
    EXPECT_TRUE(losses != nullptr && absl::IsDataLoss(status)) << status;
    if (losses != nullptr) losses->push_back(std::string(status.message()));
  };
  auto snapshot = queryable.Select({{}, range, matchers, hint}, {&account, {}});
  if (!snapshot.ok()) {
    fail(snapshot.status());
    return stored;
  }
  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    const auto samples = (*snapshot)->Samples(i);
    SampleBatch batch;
    std::map<int64_t, std::string> found;
    while (true) {
      const auto more = samples->Next(&batch);
      if (!more.ok()) fail(more.status());
      if (!more.ok() || !*more) break;
      const size_t before = found.size();
      if (before > 0 && !batch.times_ms.empty()) {
        EXPECT_LT(found.rbegin()->first, batch.times_ms.front());
      }
      AddSamples(batch, &found);
      EXPECT_EQ(found.size(), before + batch.times_ms.size())
          << "a time is there twice";
    }
    for (const std::string& warning : samples->warnings()) {
      fail(absl::DataLossError(warning));
    }
    if (!found.empty()) stored[(*snapshot)->labels(i)] = std::move(found);
  }
  for (const std::string& warning : (*snapshot)->warnings()) {
    fail(absl::DataLossError(warning));
  }
  return stored;
}

// A batch and what it is made of.
struct MadeBatch {
  struct Point {
    Labels labels;
    int64_t time_ms = 0;
    std::string bytes;     // of a delta: empty
    double increment = 0;  // of a delta
  };
  AppendBatch batch;
  std::vector<Point> points;
};

// Makes batches whose points all have times of their own.
class BatchMaker {
 public:
  BatchMaker(std::mt19937_64& random, int64_t now_ms)
      : random_(random), now_ms_(now_ms) {}

  // The newest time so far, or later: what the clock should say.
  int64_t now_ms() const { return now_ms_; }
  void Forward(int64_t ms) { now_ms_ += ms; }

  MadeBatch Make(size_t series_max = 6, size_t points_max = 8) {
    MadeBatch made;
    std::map<std::string, bool> taken;
    const size_t series = 1 + Below(series_max);
    for (size_t i = 0; i < series; ++i) {
      const uint64_t kind = Below(6);
      std::string name = std::string("kind") + std::to_string(kind);
      // One in sixteen is new.
      std::string job = Below(16) == 0 ? "new" + std::to_string(++churned_)
                                       : std::to_string(Below(6));
      if (!taken.emplace(name + job, true).second) continue;
      AddSeries(kind, SeriesNamed(name, job), 1 + Below(points_max), &made);
    }
    return made;
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  double RandomValue() {
    switch (Below(5)) {
      case 0:
        return std::bit_cast<double>(random_());
      case 1:
        return StaleMarker();
      case 2:
        return static_cast<double>(Below(1000)) / 10;
      default:
        return static_cast<double>(Below(1'000'000));
    }
  }

  template <class Count>
  BasicHistogram<Count> RandomHistogram(bool custom) {
    BasicHistogram<Count> histogram;
    histogram.reset_hint = static_cast<CounterResetHint>(Below(4));
    histogram.schema =
        custom ? kCustomBucketsSchema : static_cast<int32_t>(Below(5)) - 1;
    uint32_t buckets = 0;
    for (uint64_t i = 0; i <= Below(2); ++i) {
      const auto length = static_cast<uint32_t>(1 + Below(4));
      histogram.positive_spans.push_back(
          {static_cast<int32_t>(custom ? (i == 0 ? 0 : 1) : 1 + Below(5)),
           length});
      buckets += length;
    }
    Count total = 0;
    for (uint32_t i = 0; i < buckets; ++i) {
      const auto count = static_cast<Count>(Below(50));
      histogram.positive_buckets.push_back(count);
      total += count;
    }
    if (custom) {
      // Enough bounds for every bucket of the spans, the gap included.
      for (uint32_t i = 0; i < buckets + 2; ++i) {
        histogram.custom_values.push_back(0.5 * (i + 1));
      }
    } else {
      histogram.zero_threshold = 1e-128;
      histogram.zero_count = static_cast<Count>(Below(3));
      total += histogram.zero_count;
    }
    histogram.count = total;
    histogram.sum = static_cast<double>(Below(100'000)) / 7;
    return histogram;
  }

  void AddSeries(uint64_t kind, const Labels& labels, size_t points,
                 MadeBatch* made) {
    const auto series = static_cast<uint32_t>(made->batch.series.size());
    made->batch.series.push_back({labels, {}});
    int64_t& last_ms = last_ms_.try_emplace(labels, now_ms_).first->second;
    last_ms = std::max(last_ms, now_ms_ - 60'000);
    for (size_t i = 0; i < points; ++i) {
      const int64_t before_ms = last_ms;
      last_ms += 1000 + static_cast<int64_t>(Below(3));
      AddPoint(kind, labels, series, before_ms, made);
    }
    now_ms_ = std::max(now_ms_, last_ms);
  }

  void AddPoint(uint64_t kind, const Labels& labels, uint32_t series,
                int64_t before_ms, MadeBatch* made) {
    int64_t time_ms = last_ms_[labels];
    // Late ones go to odd times, which nothing else has.
    if (kind != 5 && Below(12) == 0) {
      late_ms_ += 2;
      time_ms = (now_ms_ - 1'500'000 + late_ms_ % 1'000'000) | 1;
      if (!late_times_[labels].emplace(time_ms, true).second) return;
    } else if (kind != 5) {
      time_ms &= ~int64_t{1};
    }
    const int64_t start_ms = kind == 1 ? now_ms_ / 1'000'000 * 1'000'000 : 0;
    MadeBatch::Point point{labels, time_ms, {}, 0};
    switch (kind) {
      case 2: {
        auto histogram = RandomHistogram<uint64_t>(Below(4) == 0);
        point.bytes = BytesOfHistogram(histogram);
        made->batch.integer_histograms.push_back(
            {series, time_ms, std::move(histogram), 0});
        break;
      }
      case 3: {
        auto histogram = RandomHistogram<double>(Below(4) == 0);
        point.bytes = BytesOfHistogram(histogram);
        made->batch.float_histograms.push_back(
            {series, time_ms, std::move(histogram), 0});
        break;
      }
      case 5:
        point.increment = static_cast<double>(1 + Below(1000));
        made->batch.deltas.push_back(
            {series, before_ms, time_ms, point.increment});
        break;
      case 4:  // switches kinds
        if (Below(2) == 0) {
          auto histogram = RandomHistogram<uint64_t>(false);
          point.bytes = BytesOfHistogram(histogram);
          made->batch.integer_histograms.push_back(
              {series, time_ms, std::move(histogram), 0});
          break;
        }
        [[fallthrough]];
      default: {
        const double value = RandomValue();
        point.bytes = BytesOfFloat(value, start_ms);
        made->batch.floats.push_back({series, {time_ms, value}, start_ms});
      }
    }
    made->points.push_back(std::move(point));
  }

  std::mt19937_64& random_;
  int64_t now_ms_;
  uint64_t churned_ = 0;
  int64_t late_ms_ = 0;
  std::map<Labels, int64_t> last_ms_;
  std::map<Labels, std::map<int64_t, bool>> late_times_;
};

}  // namespace vigie::store
