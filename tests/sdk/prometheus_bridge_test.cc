#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/summary.h>

#include <map>

#include "sdk/prometheus/bridge.h"

namespace vigie::sdk {
namespace {

using ::testing::ElementsAre;

class PrometheusBridgeTest : public ::testing::Test {
 protected:
  Metric CollectOne() {
    auto collection =
        PrometheusBridge(Resource("old", "old-0"), registry_).Collect(5);
    EXPECT_EQ(collection.metrics.size(), 1u);
    return std::move(collection.metrics.at(0));
  }
  std::shared_ptr<prometheus::Registry> registry_ =
      std::make_shared<prometheus::Registry>();
};

TEST_F(PrometheusBridgeTest, ACounterKeepsItsNameLabelsAndValue) {
  prometheus::BuildCounter()
      .Name("requests_total")
      .Help("Requests.")
      .Register(*registry_)
      .Add({{"code", "200"}})
      .Increment(2.5);

  const Metric metric = CollectOne();

  EXPECT_EQ(metric.name, "requests_total");
  EXPECT_EQ(metric.description, "Requests.");
  EXPECT_EQ(metric.kind, Kind::kCounter);
  ASSERT_EQ(metric.points.size(), 1u);
  EXPECT_EQ(*metric.points[0].attributes, (Attributes{{"code", "200"}}));
  EXPECT_EQ(metric.points[0].time_ns, 5);
  EXPECT_EQ(std::get<double>(metric.points[0].value), 2.5);
}

TEST_F(PrometheusBridgeTest, AGaugeStaysAGauge) {
  prometheus::BuildGauge().Name("g").Register(*registry_).Add({}).Set(-1);

  const Metric metric = CollectOne();
  EXPECT_EQ(metric.kind, Kind::kGauge);
  EXPECT_EQ(std::get<double>(metric.points.at(0).value), -1);
}

TEST_F(PrometheusBridgeTest, AHistogramsBucketsCountAlone) {
  auto& histogram = prometheus::BuildHistogram()
                        .Name("h")
                        .Register(*registry_)
                        .Add({}, prometheus::Histogram::BucketBoundaries{1, 2});
  for (const double value : {0.5, 1.5, 1.7, 9.0}) histogram.Observe(value);

  const auto value = std::get<HistogramValue>(CollectOne().points.at(0).value);
  EXPECT_THAT(*value.bounds, ElementsAre(1, 2));
  EXPECT_THAT(value.counts, ElementsAre(1, 2, 1));
  EXPECT_DOUBLE_EQ(value.sum, 12.7);
}

TEST_F(PrometheusBridgeTest, ASummaryStaysASummary) {
  auto& summary = prometheus::BuildSummary()
                      .Name("s")
                      .Register(*registry_)
                      .Add({}, prometheus::Summary::Quantiles{{0.5, 0.01}});
  for (int i = 1; i <= 9; ++i) summary.Observe(i);

  const Metric metric = CollectOne();
  EXPECT_EQ(metric.kind, Kind::kSummary);
  const auto value = std::get<SummaryValue>(metric.points.at(0).value);
  EXPECT_EQ(value.count, 9u);
  EXPECT_EQ(value.sum, 45);
  ASSERT_EQ(value.quantiles.size(), 1u);
  EXPECT_EQ(value.quantiles[0].first, 0.5);
  EXPECT_EQ(value.quantiles[0].second,
            summary.Collect().summary.quantile.at(0).value);
}

}  // namespace
}  // namespace vigie::sdk
