#include <cmath>

#include "query/histogram_quantile.h"
#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class EngineHistogramTest : public EngineFixture {
 protected:
  void LoadBucket(std::string_view le, double count) {
    Load({{"__name__", "h_bucket"}, {"le", le}}, 60'000, {count});
  }
};

TEST_F(EngineHistogramTest, QuantilesAreLinearWithinABucket) {
  LoadBucket("1", 10);
  LoadBucket("2", 30);
  LoadBucket("+Inf", 40);

  EXPECT_EQ(At(0, "histogram_quantile(0.5, h_bucket)"), "{} 1.5");
  EXPECT_EQ(At(0, "histogram_quantile(0.125, h_bucket)"), "{} 0.5");
  // In the last bucket: the highest bound that is known.
  EXPECT_EQ(At(0, "histogram_quantile(0.9, h_bucket)"), "{} 2");
  EXPECT_EQ(At(0, "histogram_fraction(0, 1.5, h_bucket)"), "{} 0.5");
  EXPECT_EQ(At(0, "histogram_fraction(-Inf, +Inf, h_bucket)"), "{} 1");
}

TEST_F(EngineHistogramTest, AQuantileOutsideIsInfiniteAndWarns) {
  LoadBucket("1", 10);
  LoadBucket("+Inf", 10);
  const auto result = Instant("histogram_quantile(-1, h_bucket)", 0);

  EXPECT_EQ(Text(result), "{} -inf");
  EXPECT_THAT(Warnings(result),
              ElementsAre("PromQL warning: quantile value should be between 0 "
                          "and 1, got -1 (1:20)"));
}

TEST_F(EngineHistogramTest, WithoutTheInfiniteBucketItIsNan) {
  LoadBucket("1", 10);
  LoadBucket("2", 20);

  EXPECT_EQ(At(0, "histogram_quantile(0.5, h_bucket)"), "{} nan");
}

TEST_F(EngineHistogramTest, AMalformedBoundIsLeftOutAndTold) {
  LoadBucket("1", 10);
  LoadBucket("+Inf", 10);
  LoadBucket("low", 3);
  const auto result = Instant("histogram_quantile(0.5, h_bucket)", 0);

  EXPECT_EQ(Text(result), "{} 0.5");
  EXPECT_THAT(Warnings(result),
              ElementsAre("PromQL warning: bucket label \"le\" is missing or "
                          "has a malformed value of \"low\" for metric name "
                          "\"h_bucket\" (1:25)"));
}

TEST_F(EngineHistogramTest, EqualBoundsAreOneBucket) {
  LoadBucket("0.1", 5);
  LoadBucket("1e-1", 5);
  LoadBucket("+Inf", 20);

  EXPECT_EQ(At(0, "histogram_quantile(0.25, h_bucket)"), "{} 0.05");
}

TEST_F(EngineHistogramTest, FallingCountsAreRaisedAndTold) {
  LoadBucket("1", 10);
  LoadBucket("2", 5);
  LoadBucket("+Inf", 20);
  const auto result = Instant("histogram_quantile(0.25, h_bucket)", 0);

  EXPECT_EQ(Text(result), "{} 0.5");
  EXPECT_THAT(
      Infos(result),
      ElementsAre(StartsWith("PromQL info: input to histogram_quantile needed "
                             "to be fixed for monotonicity")));
}

TEST_F(EngineHistogramTest, FallingByRoundingIsNotTold) {
  LoadBucket("1", 10);
  LoadBucket("2", 10 - 1e-12);
  LoadBucket("+Inf", 20);
  const auto result = Instant("histogram_quantile(0.25, h_bucket)", 0);

  EXPECT_EQ(Text(result), "{} 0.5");
  EXPECT_THAT(Infos(result), IsEmpty());
}

TEST(ClassicBucketsTest, NegativeBoundsStartAtTheFirstBound) {
  std::vector<query::ClassicBucket> buckets = {
      {.upper_bound = -1, .count = 5},
      {.upper_bound = 0, .count = 10},
      {.upper_bound = INFINITY, .count = 10}};

  EXPECT_EQ(query::QuantileOfBuckets(0.25, &buckets).value, -1);
  EXPECT_EQ(query::QuantileOfBuckets(0.75, &buckets).value, -0.5);
}

TEST(ClassicBucketsTest, WithoutObservationsThereIsNoFraction) {
  std::vector<query::ClassicBucket> buckets = {
      {.upper_bound = 1, .count = 0}, {.upper_bound = INFINITY, .count = 0}};

  EXPECT_TRUE(std::isnan(query::FractionOfBuckets(0, 1, &buckets)));
}

}  // namespace
}  // namespace vigie::testing
