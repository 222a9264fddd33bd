// Histograms are held against the observations they count: whatever is done to
// them must give what counting those observations anew would give.
#include "query/native_histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "model/histogram_buckets.h"
#include "query/native_histogram_values.h"

namespace vigie::query {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr double kInf = std::numeric_limits<double>::infinity();

// The shape of a histogram without observations.
FloatHistogram Exponential(int32_t schema, double zero_threshold) {
  FloatHistogram histogram;
  histogram.schema = schema;
  histogram.zero_threshold = zero_threshold;
  return histogram;
}

FloatHistogram Custom(std::vector<double> bounds) {
  FloatHistogram histogram;
  histogram.schema = kCustomBucketsSchema;
  histogram.custom_values = std::move(bounds);
  return histogram;
}

void SetSide(const std::map<int32_t, double>& counts,
             std::vector<BucketSpan>* spans, std::vector<double>* buckets) {
  int32_t next = 0;
  for (const auto& [index, count] : counts) {
    if (spans->empty() || index != next) {
      spans->push_back({.offset = index - next, .length = 0});
    }
    ++spans->back().length;
    buckets->push_back(count);
    next = index + 1;
  }
}

// Counts `observations` into a histogram of the shape of `histogram`.
FloatHistogram Counted(FloatHistogram histogram,
                       const std::vector<double>& observations) {
  std::map<int32_t, double> positive;
  std::map<int32_t, double> negative;
  for (const double value : observations) {
    histogram.count += 1;
    histogram.sum += value;
    if (histogram.schema == kCustomBucketsSchema) {
      const auto at = std::lower_bound(histogram.custom_values.begin(),
                                       histogram.custom_values.end(), value);
      positive[static_cast<int32_t>(at - histogram.custom_values.begin())] += 1;
      continue;
    }
    if (std::abs(value) <= histogram.zero_threshold) {
      histogram.zero_count += 1;
      continue;
    }
    int32_t index = -200;
    while (HistogramUpperBound(index, histogram) < std::abs(value)) ++index;
    (value > 0 ? positive : negative)[index] += 1;
  }
  SetSide(positive, &histogram.positive_spans, &histogram.positive_buckets);
  SetSide(negative, &histogram.negative_spans, &histogram.negative_buckets);
  return histogram;
}

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  std::vector<double> Observations(size_t count) {
    std::vector<double> values;
    for (size_t i = 0; i < count; ++i) {
      const double magnitude =
          std::exp2(std::uniform_real_distribution<>(-6, 6)(random_));
      values.push_back(random_() % 3 == 0 ? -magnitude : magnitude);
    }
    return values;
  }
  // Of any zero bucket; those of AlignedShape end where a bucket begins.
  FloatHistogram Shape() {
    constexpr double kThresholds[] = {0, 0.015625, 0.02, 0.25, 0.3, 1};
    return Exponential(static_cast<int32_t>(random_() % 6) - 2,
                       kThresholds[random_() % std::size(kThresholds)]);
  }
  FloatHistogram AlignedShape() {
    constexpr double kThresholds[] = {0, 0.0625, 1};
    return Exponential(static_cast<int32_t>(random_() % 6) - 2,
                       kThresholds[random_() % std::size(kThresholds)]);
  }
  uint64_t Below(uint64_t end) { return random_() % end; }

 private:
  std::mt19937_64 random_;
};

// Buckets by index, however they are cut into spans; empty ones left out.
FloatHistogram Normal(FloatHistogram histogram) {
  Compact(&histogram);
  histogram.reset_hint = CounterResetHint::kUnknown;
  return histogram;
}

class NativeHistogramSeedTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(NativeHistogramSeedTest, ASumCountsTheObservationsOfBoth) {
  Dice dice(GetParam());
  const std::vector<double> a = dice.Observations(dice.Below(40));
  const std::vector<double> b = dice.Observations(dice.Below(40));
  const FloatHistogram x = Counted(dice.Shape(), a);
  const FloatHistogram y = Counted(dice.Shape(), b);

  HistogramSum sum(x);
  ASSERT_TRUE(sum.Add(y));
  const FloatHistogram total = Normal(sum.Total());
  EXPECT_EQ(total.schema, std::min(x.schema, y.schema));
  EXPECT_GE(total.zero_threshold, std::max(x.zero_threshold, y.zero_threshold));
  std::vector<double> both = a;
  both.insert(both.end(), b.begin(), b.end());
  FloatHistogram expected =
      Normal(Counted(Exponential(total.schema, total.zero_threshold), both));
  EXPECT_NEAR(total.sum, expected.sum, 1e-9);
  expected.sum = total.sum;
  EXPECT_EQ(total, expected);

  // What was added can be taken away again.
  ASSERT_TRUE(sum.Subtract(y));
  FloatHistogram back = Normal(sum.Total());
  FloatHistogram alone =
      Normal(Counted(Exponential(total.schema, total.zero_threshold), a));
  EXPECT_NEAR(back.sum, alone.sum, 1e-9);
  back.sum = alone.sum;
  EXPECT_EQ(back, alone);
}

TEST_P(NativeHistogramSeedTest, ACounterThatGrowsHasNoReset) {
  Dice dice(GetParam());
  std::vector<double> seen = dice.Observations(1 + dice.Below(30));
  const FloatHistogram before = Counted(Exponential(2, 0.015625), seen);
  const std::vector<double> more = dice.Observations(dice.Below(20));
  std::vector<double> all = seen;
  all.insert(all.end(), more.begin(), more.end());

  // As it was, coarser, with a wider zero bucket that ends where a bucket ends.
  EXPECT_FALSE(IsReset(before, Counted(Exponential(2, 0.015625), all)));
  EXPECT_FALSE(IsReset(before, Counted(Exponential(0, 0.015625), all)));
  EXPECT_FALSE(IsReset(before, Counted(Exponential(2, 0.25), all)));
  // Finer, or with a narrower zero bucket: it must have begun anew.
  EXPECT_TRUE(IsReset(before, Counted(Exponential(3, 0.015625), all)));
  EXPECT_TRUE(IsReset(before, Counted(Exponential(2, 0.0078125), all)));

  // One observation less in a bucket, made up for in another.
  all.assign(seen.begin() + 1, seen.end());
  all.push_back(seen[0] * 64);
  EXPECT_TRUE(IsReset(before, Counted(Exponential(2, 0.015625), all)));
  EXPECT_TRUE(IsReset(before, Counted(Exponential(0, 0.015625), all)));
}

TEST_P(NativeHistogramSeedTest, FractionsUndoQuantiles) {
  Dice dice(GetParam());
  const FloatHistogram histogram =
      Counted(dice.AlignedShape(), dice.Observations(5 + dice.Below(60)));
  for (const double q : {0.05, 0.3, 0.5, 0.77, 0.99}) {
    const NativeQuantile quantile = QuantileOf(q, histogram);
    EXPECT_EQ(quantile.nan, NativeQuantile::Nan::kNone);
    EXPECT_THAT(FractionOf(-kInf, quantile.value, histogram).value,
                DoubleNear(q, 1e-9))
        << HistogramText(histogram);
  }
}

TEST_P(NativeHistogramSeedTest, ATrimKeepsTheFractionOnItsSide) {
  Dice dice(GetParam());
  const FloatHistogram histogram =
      Counted(dice.AlignedShape(), dice.Observations(5 + dice.Below(60)));
  for (const double bound : {-8.0, -1.3, -0.1, 0.0, 0.2, 1.0, 2.5, 40.0}) {
    const FloatHistogram below = TrimmedTo(histogram, bound, true);
    const FloatHistogram above = TrimmedTo(histogram, bound, false);
    EXPECT_NEAR(below.count,
                FractionOf(-kInf, bound, histogram).value * histogram.count,
                1e-9)
        << bound << " of " << HistogramText(histogram);
    EXPECT_NEAR(below.count + above.count, histogram.count, 1e-9);
    double in_buckets = 0;
    for (const HistogramBucket& bucket : BucketsOf(below)) {
      in_buckets += bucket.count;
      EXPECT_LT(bucket.lower, bound);
    }
    EXPECT_NEAR(in_buckets, below.count, 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, NativeHistogramSeedTest,
                         ::testing::Range(uint64_t{1}, uint64_t{200}));

TEST(NativeHistogramTest, CustomBoundsMeetAtThoseThatBothHave) {
  const FloatHistogram x = Counted(Custom({1, 2, 4, 8}), {0.5, 1.5, 3, 7, 9});
  const FloatHistogram y = Counted(Custom({2, 3, 8}), {1, 2.5, 5, 100});
  HistogramSum sum(x);
  ASSERT_TRUE(sum.Add(y));

  EXPECT_TRUE(sum.bounds_reconciled());
  const FloatHistogram total = sum.Total();
  EXPECT_THAT(total.custom_values, ElementsAre(2, 8));
  EXPECT_THAT(total.positive_buckets, ElementsAre(3, 4, 2));
  // The same bounds are not worth a word.
  HistogramSum same(x);
  ASSERT_TRUE(same.Add(x));
  EXPECT_FALSE(same.bounds_reconciled());
  // By the bounds that both have, nothing fell: 2, 2, 1 and then 2, 3, 1.
  EXPECT_FALSE(IsReset(x, Counted(Custom({2, 8}), {0.5, 1.5, 3, 7, 7.5, 9})));
  EXPECT_TRUE(IsReset(x, Counted(Custom({2, 8}), {0.5, 3, 7, 7.5, 9, 9})));
}

TEST(NativeHistogramTest, ExponentialAndCustomBucketsDoNotAddUp) {
  HistogramSum sum(Counted(Exponential(0, 0), {1, 2}));
  EXPECT_FALSE(sum.Add(Counted(Custom({1, 2}), {1})));
  EXPECT_EQ(sum.Total().count, 2);
  HistogramMean mean(Counted(Custom({1, 2}), {1}));
  EXPECT_FALSE(mean.Add(Counted(Exponential(0, 0), {1})));
}

TEST(NativeHistogramTest, SumsAreCompensated) {
  FloatHistogram large = Exponential(0, 0);
  large.count = 1e100;
  FloatHistogram one = Exponential(0, 0);
  one.count = 1;
  HistogramSum sum(large);
  ASSERT_TRUE(sum.Add(one));
  ASSERT_TRUE(sum.Subtract(large));
  EXPECT_EQ(sum.Total().count, 1);
}

TEST(NativeHistogramTest, AMeanDoesNotOverflow) {
  FloatHistogram large = Exponential(0, 0);
  large.count = std::numeric_limits<double>::max();
  large.sum = -std::numeric_limits<double>::max();
  HistogramMean mean(large);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(mean.Add(large));
  EXPECT_NEAR(mean.Mean().count / large.count, 1, 1e-12);
  EXPECT_NEAR(mean.Mean().sum / large.sum, 1, 1e-12);
}

TEST(NativeHistogramTest, HintsThatContradictAreTold) {
  FloatHistogram reset = Counted(Exponential(0, 0), {1});
  reset.reset_hint = CounterResetHint::kReset;
  FloatHistogram none = reset;
  none.reset_hint = CounterResetHint::kNotReset;
  HistogramSum sum(reset);
  ASSERT_TRUE(sum.Add(none));
  EXPECT_TRUE(sum.resets_collided());
  EXPECT_EQ(sum.Total().reset_hint, CounterResetHint::kUnknown);

  FloatHistogram gauge = reset;
  gauge.reset_hint = CounterResetHint::kGauge;
  HistogramSum mixed(reset);
  ASSERT_TRUE(mixed.Add(gauge));
  EXPECT_FALSE(mixed.resets_collided());
  EXPECT_EQ(mixed.Total().reset_hint, CounterResetHint::kGauge);
}

TEST(NativeHistogramTest, DivisionByZeroLeavesNoBuckets) {
  FloatHistogram histogram = Counted(Exponential(0, 0.5), {0.1, 3, -3});
  Divide(&histogram, 0);
  EXPECT_EQ(histogram.count, kInf);
  EXPECT_TRUE(histogram.positive_spans.empty());
  EXPECT_TRUE(histogram.negative_buckets.empty());
}

TEST(NativeHistogramTest, NanObservationsSkewQuantiles) {
  FloatHistogram histogram = Counted(Exponential(0, 0), {1, 2, 4, 8});
  histogram.count += 4;
  histogram.sum = std::nan("");
  EXPECT_EQ(QuantileOf(0.5, histogram).value, 8);
  EXPECT_EQ(QuantileOf(0.5, histogram).nan, NativeQuantile::Nan::kSkews);
  EXPECT_TRUE(std::isnan(QuantileOf(0.6, histogram).value));
  EXPECT_EQ(QuantileOf(0.6, histogram).nan, NativeQuantile::Nan::kIsResult);
  EXPECT_EQ(FractionOf(-kInf, kInf, histogram).value, 0.5);
  EXPECT_TRUE(FractionOf(-kInf, kInf, histogram).nan_left_out);
}

TEST(NativeHistogramTest, ItsTextTellsBoundsAndCounts) {
  EXPECT_EQ(HistogramText(Counted(Exponential(0, 0.5), {0.25, 1.5, -3, 2})),
            "{count:4, sum:0.75, [-4,-2):1, [-0.5,0.5]:1, (1,2]:2}");
  EXPECT_EQ(HistogramText(Counted(Custom({1, 2}), {0.5, 1.5, 8})),
            "{count:3, sum:10, [-Inf,1]:1, (1,2]:1, (2,+Inf]:1}");
}

TEST(NativeHistogramTest, VarianceIsThatOfTheMiddles) {
  // Middles 0.5 and 1.5 around a mean of 1.
  EXPECT_EQ(VarianceOf(Counted(Custom({0, 1, 2}), {0.5, 1.5})), 0.25);
}

}  // namespace
}  // namespace vigie::query
