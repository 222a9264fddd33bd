#include "store/rollup.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <random>

#include "store/chunk_statistics.h"
#include "store/rollup_answer.h"
#include "tests/store/random_samples.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kFive = 5 * kMinute;
constexpr int64_t kHour = 60 * kMinute;

RollupColumns RolledUp(const SampleColumns& floats, int64_t resolution_ms) {
  RollupBuilder builder(resolution_ms);
  builder.Add(floats);
  return builder.Take();
}

// Two days of a counter that starts again, with markers, gaps and NaNs.
SampleColumns RandomCounter(uint64_t seed) {
  std::mt19937_64 random(seed);
  SampleColumns columns;
  int64_t time_ms = static_cast<int64_t>(random() % kHour) - kHour;
  double value = 0;
  while (time_ms < 48 * kHour) {
    const uint64_t event = random() % 400;
    value = event == 0 ? 3 : value + static_cast<double>(random() % 50) / 4;
    if (event == 1) {
      columns.PushBack(time_ms, StaleMarker(), 0);
      time_ms += static_cast<int64_t>(random() % (3 * kHour));
    } else {
      columns.PushBack(time_ms, event == 2 ? NormalNan() : value, 0);
    }
    time_ms += 14'900 + static_cast<int64_t>(random() % 200);
  }
  return columns;
}

// The values in (end_ms - range_ms, end_ms], markers left out, as PromQL has
// it for a range.
SampleColumns Window(const SampleColumns& in, int64_t end_ms,
                     int64_t range_ms) {
  SampleColumns out;
  for (size_t i = in.UpperBound(end_ms - range_ms);
       i < in.size() && in.times_ms[i] <= end_ms; ++i) {
    if (!IsStaleMarker(in.values[i])) {
      out.PushBack(in.times_ms[i], in.values[i], 0);
    }
  }
  return out;
}

// What rate and increase start from: the last less the first, and what resets
// took.
double Increase(const SampleColumns& window) {
  if (window.empty()) return 0;
  double increase = window.values.back() - window.values.front();
  for (size_t i = 1; i < window.size(); ++i) {
    if (window.values[i] < window.values[i - 1]) {
      increase += window.values[i - 1];
    }
  }
  return increase;
}

void ForEachWindow(
    int64_t resolution_ms,
    const std::function<void(const SampleColumns& in, const RollupColumns&,
                             int64_t end_ms, int64_t range_ms)>& check) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const SampleColumns in = RandomCounter(seed);
    const RollupColumns buckets = RolledUp(in, resolution_ms);
    for (const int64_t range_ms : {resolution_ms, 3 * resolution_ms}) {
      for (int64_t end_ms = 0; end_ms <= 49 * kHour; end_ms += resolution_ms) {
        check(in, buckets, end_ms, range_ms);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(RollupTest, MinAndMaxAndCountAreThoseOfTheSamples) {
  ForEachWindow(kFive, [](const SampleColumns& in, const RollupColumns& buckets,
                          int64_t end_ms, int64_t range_ms) {
    const auto raw = StatisticsOf(Window(in, end_ms, range_ms).values);
    const auto of = [&](RollupUse use) {
      return Window(RollupSamples(buckets, use), end_ms, range_ms);
    };
    ASSERT_EQ(StatisticsOf(of(RollupUse::kCount).values).sum, raw.count);
    if (raw.count == 0) return;
    ASSERT_TRUE(
        SameBits(StatisticsOf(of(RollupUse::kMin).values).min, raw.min));
    ASSERT_TRUE(
        SameBits(StatisticsOf(of(RollupUse::kMax).values).max, raw.max));
    const double sum = StatisticsOf(of(RollupUse::kSum).values).sum;
    ASSERT_TRUE(std::isnan(raw.sum)
                    ? std::isnan(sum)
                    : std::fabs(sum - raw.sum) <= 1e-15 * std::fabs(raw.sum));
  });
}

// Also within the lookback, and where the series had ended.
TEST(RollupTest, InstantSelectorsSeeTheVerySampleOrNone) {
  for (const int64_t resolution_ms : {kFive, kHour}) {
    ForEachWindow(resolution_ms, [](const SampleColumns& in,
                                    const RollupColumns& buckets,
                                    int64_t end_ms, int64_t) {
      const auto newest =
          [&](const SampleColumns& from) -> std::optional<Sample> {
        const size_t i = from.UpperBound(end_ms);
        if (i == 0 || from.times_ms[i - 1] <= end_ms - kFive ||
            IsStaleMarker(from.values[i - 1])) {
          return std::nullopt;
        }
        return Sample{from.times_ms[i - 1], from.values[i - 1]};
      };
      ASSERT_EQ(newest(RollupSamples(buckets, RollupUse::kLast)), newest(in));
    });
  }
}

// From the last sample before the window to its last one; what rate itself
// takes begins up to a bucket later, and it extrapolates.
TEST(RollupTest, IncreasesBetweenBucketsAreThoseBetweenTheirLastSamples) {
  ForEachWindow(kFive, [](const SampleColumns& in, const RollupColumns& buckets,
                          int64_t end_ms, int64_t range_ms) {
    const SampleColumns counter =
        Window(RollupSamples(buckets, RollupUse::kCounter), end_ms, range_ms);
    if (counter.size() < 2) return;
    const int64_t first_ms = counter.times_ms.front();
    const double raw = Increase(Window(in, counter.times_ms.back(),
                                       counter.times_ms.back() - first_ms + 1));
    const double rolled = counter.values.back() - counter.values.front();
    ASSERT_TRUE(std::isnan(raw)
                    ? std::isnan(rolled)
                    : std::fabs(rolled - raw) <= 1e-9 * (1 + std::fabs(raw)))
        << raw << " " << rolled;
  });
}

// PromQL's increase: to the edges of the window, or half a step beyond.
double Extrapolated(const SampleColumns& window, int64_t end_ms,
                    int64_t range_ms) {
  const auto span =
      static_cast<double>(window.times_ms.back() - window.times_ms.front());
  const double step = span / static_cast<double>(window.size() - 1);
  double covered = span;
  for (const auto gap : {window.times_ms.front() - (end_ms - range_ms),
                         end_ms - window.times_ms.back()}) {
    covered += static_cast<double>(gap) < step * 1.1 ? static_cast<double>(gap)
                                                     : step / 2;
  }
  return Increase(window) * covered / span;
}

TEST(RollupTest, IncreaseOverADayIsWithinAPercentOfThatOfTheSamples) {
  std::mt19937_64 random(8);
  SampleColumns in;
  double value = 1e6;
  for (int64_t time_ms = 0; time_ms <= 72 * kHour; time_ms += 15'000) {
    in.PushBack(time_ms, value += static_cast<double>(random() % 40), 0);
    if (random() % 2000 == 0) value = 0;
  }
  const SampleColumns rolled =
      RollupSamples(RolledUp(in, kFive), RollupUse::kCounter);
  const int64_t day_ms = 24 * kHour;
  for (int64_t end_ms = day_ms; end_ms <= 3 * day_ms; end_ms += kHour) {
    const double raw = Extrapolated(Window(in, end_ms, day_ms), end_ms, day_ms);
    EXPECT_NEAR(Extrapolated(Window(rolled, end_ms, day_ms), end_ms, day_ms),
                raw, raw / 100);
  }
}

TEST(RollupTest, HoursOfFiveMinutesAreHoursOfSamples) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const SampleColumns in = RandomCounter(seed);
    RollupBuilder hours(kHour);
    hours.Add(RolledUp(in, kFive));

    RollupColumns got = hours.Take();
    RollupColumns expected = RolledUp(in, kHour);

    for (auto* columns : {&got, &expected}) {
      // Sums are added in another order.
      for (double& sum : columns->sums) sum = std::round(sum * 1e6);
    }
    ASSERT_TRUE(got == expected);
  }
}

TEST(RollupTest, ABuilderGoesOnWhereItWasFed) {
  const SampleColumns in = RandomCounter(3);
  RollupBuilder builder(kFive);
  for (size_t begin = 0; begin < in.size(); begin += 100) {
    SampleColumns piece;
    piece.AppendSlice(in, begin, std::min(begin + 100, in.size()));
    builder.Add(piece);
  }

  EXPECT_TRUE(builder.Take() == RolledUp(in, kFive));
}

TEST(RollupTest, ABucketIsOpenOnTheLeftAndBeforeTheEpochToo) {
  SampleColumns in;
  for (const int64_t time_ms :
       {-kFive, int64_t{-1}, int64_t{0}, int64_t{1}, kFive + 0}) {
    in.PushBack(time_ms, 1, 0);
  }

  const RollupColumns buckets = RolledUp(in, kFive);

  EXPECT_THAT(buckets.counts, ElementsAre(1, 2, 2));
  EXPECT_THAT(buckets.times_ms, ElementsAre(-kFive, 0, kFive));
}

TEST(RollupTest, AResetAgainstTheValueBeforeCountsInItsBucket) {
  SampleColumns in;
  in.PushBack(kFive, 2, 0);
  RollupBuilder builder(kFive);
  builder.SetLastValue(9);

  builder.Add(in);

  EXPECT_THAT(builder.Take().resets, ElementsAre(9));
}

TEST(RollupTest, OnlyWindowsOfWholeBucketsFit) {
  EXPECT_TRUE(RollupFits(kFive, 0, kHour, kHour));
  EXPECT_TRUE(RollupFits(kFive, -kFive, kFive, 0));
  EXPECT_FALSE(RollupFits(kFive, 1, kHour, kHour));
  EXPECT_FALSE(RollupFits(kFive, 0, kMinute, kHour));
  EXPECT_FALSE(RollupFits(kHour, 0, kHour, kFive));
}

TEST(RollupTest, FunctionsThatBucketsDoNotTellHaveNoPlan) {
  EXPECT_EQ(PlanRollup("count_over_time")->function, "sum_over_time");
  EXPECT_EQ(PlanRollup("rate")->use, RollupUse::kCounter);
  EXPECT_FALSE(PlanRollup("quantile_over_time").has_value());
  EXPECT_FALSE(PlanRollup("irate").has_value());
}

TEST(RollupChunkTest, ComesBackBitForBit) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    const RollupColumns in = RolledUp(RandomCounter(seed), kFive);
    RollupColumns out;
    ASSERT_THAT(DecodeRollupChunk(EncodeRollupChunk(in, 0, in.size()), &out),
                IsOk());
    ASSERT_TRUE(in == out);
  }
}

TEST(RollupChunkTest, TruncationsAndDamageAreRefusedOrInOrder) {
  const RollupColumns in = RolledUp(RandomCounter(1), 6 * kHour);
  const std::string bytes = EncodeRollupChunk(in, 0, in.size());
  RollupColumns out;
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_THAT(DecodeRollupChunk(bytes.substr(0, size), &out),
                HasCode(absl::StatusCode::kDataLoss));
  }
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    damaged[2 + random() % (bytes.size() - 2)] = static_cast<char>(random());
    if (!DecodeRollupChunk(damaged, &out).ok()) continue;
    for (size_t i = 1; i < out.size(); ++i) {
      ASSERT_LT(out.times_ms[i - 1], out.times_ms[i]);
    }
  }
  std::string other = bytes;
  other[1] = 0;
  EXPECT_THAT(DecodeRollupChunk(other, &out),
              HasCode(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vigie::store
