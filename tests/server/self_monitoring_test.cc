#include "server/self_monitoring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/histogram.h>

#include <map>
#include <string>

#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"

namespace vigie::server {
namespace {

using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

std::map<std::string, double> Values(const store::AppendBatch& batch) {
  std::map<std::string, double> out;
  for (const store::FloatPoint& point : batch.floats) {
    out[batch.series[point.series].labels.ToString()] = point.sample.value;
  }
  return out;
}

class SelfMonitoringTest : public ::testing::Test {
 protected:
  testing::SimulatedClock clock_{1'000'000};
  prometheus::Registry registry_;
  testing::MemoryStore store_;
  ProcessMetrics process_{clock_, registry_};
};

TEST_F(SelfMonitoringTest, ARoundHoldsTheRegistryUnderJobAndInstance) {
  prometheus::BuildCounter()
      .Name("orders_total")
      .Register(registry_)
      .Add({{"shop", "a"}})
      .Increment(3);
  SelfMonitoring monitoring({.enabled = true, .interval_ms = 1'000},
                            "127.0.0.1:9090", process_, store_, clock_,
                            registry_);
  monitoring.Stop();

  const auto values = Values(monitoring.Round(2'000'000));

  EXPECT_THAT(values, Contains(Pair("orders_total{instance=\"127.0.0.1:9090\", "
                                    "job=\"vigie\", shop=\"a\"}",
                                    3)));
  EXPECT_THAT(values, Contains(Pair("up{instance=\"127.0.0.1:9090\", "
                                    "job=\"vigie\"}",
                                    1)));
}

TEST_F(SelfMonitoringTest, AHistogramBecomesCumulativeBucketsWithPlainBounds) {
  auto& histogram =
      prometheus::BuildHistogram()
          .Name("latency_seconds")
          .Register(registry_)
          .Add({}, prometheus::Histogram::BucketBoundaries{0.25, 10});
  histogram.Observe(0.1);
  histogram.Observe(5);
  SelfMonitoring monitoring({}, "i", process_, store_, clock_, registry_);
  monitoring.Stop();

  const auto values = Values(monitoring.Round(2'000'000));

  const std::string rest = "instance=\"i\", job=\"vigie\", le=";
  EXPECT_EQ(values.at("latency_seconds_bucket{" + rest + "\"0.25\"}"), 1);
  EXPECT_EQ(values.at("latency_seconds_bucket{" + rest + "\"10\"}"), 2);
  EXPECT_EQ(values.at("latency_seconds_bucket{" + rest + "\"+Inf\"}"), 2);
  EXPECT_EQ(values.at("latency_seconds_count{instance=\"i\", job=\"vigie\"}"),
            2);
}

TEST_F(SelfMonitoringTest, ASeriesThatIsGoneGetsOneStalenessMarker) {
  auto& family = prometheus::BuildGauge().Name("queue").Register(registry_);
  auto& gauge = family.Add({});
  SelfMonitoring monitoring({}, "i", process_, store_, clock_, registry_);
  monitoring.Stop();
  monitoring.Round(2'000'000);
  family.Remove(&gauge);

  const auto first = Values(monitoring.Round(2'001'000));
  const auto second = Values(monitoring.Round(2'002'000));

  const std::string name = "queue{instance=\"i\", job=\"vigie\"}";
  ASSERT_THAT(first, Contains(Key(name)));
  EXPECT_TRUE(IsStaleMarker(first.at(name)));
  EXPECT_THAT(second, Not(Contains(Key(name))));
}

TEST_F(SelfMonitoringTest, ProcessMetricsAreThoseOfThisProcess) {
  SelfMonitoring monitoring({}, "i", process_, store_, clock_, registry_);
  monitoring.Stop();

  const auto values = Values(monitoring.Round(2'000'000));

  const std::string labels = "{instance=\"i\", job=\"vigie\"}";
  EXPECT_GT(values.at("process_resident_memory_bytes" + labels), 1 << 20);
  EXPECT_GE(values.at("process_open_fds" + labels), 3);
  EXPECT_EQ(values.at("process_start_time_seconds" + labels), 1000);
}

}  // namespace
}  // namespace vigie::server
