#include "collector/otlp_translate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace vigie::collector {
namespace {

struct NameCase {
  const char* name;
  const char* unit;
  OtlpKind kind;
  const char* want;
};

class MetricNameTest : public ::testing::TestWithParam<NameCase> {};

TEST_P(MetricNameTest, IsTranslatedAsPrometheusDoes) {
  const NameCase& c = GetParam();

  EXPECT_EQ(PrometheusMetricName(c.name, c.unit, c.kind), c.want)
      << c.name << " in " << c.unit;
}

constexpr OtlpKind kGauge = OtlpKind::kGauge;
constexpr OtlpKind kCounter = OtlpKind::kCounter;
constexpr OtlpKind kUpDown = OtlpKind::kUpDownCounter;
constexpr OtlpKind kHistogram = OtlpKind::kHistogram;

INSTANTIATE_TEST_SUITE_P(
    Units, MetricNameTest,
    ::testing::Values(
        NameCase{"http.server.request.duration", "s", kHistogram,
                 "http_server_request_duration_seconds"},
        NameCase{"queue.wait", "ms", kHistogram, "queue_wait_milliseconds"},
        NameCase{"job.age", "d", kGauge, "job_age_days"},
        NameCase{"gc.pause", "us", kHistogram, "gc_pause_microseconds"},
        NameCase{"db.pool.time", "min", kUpDown, "db_pool_time_minutes"},
        NameCase{"memory.used", "By", kUpDown, "memory_used_bytes"},
        NameCase{"memory.used", "KiBy", kUpDown, "memory_used_kibibytes"},
        NameCase{"memory.used", "TiBy", kUpDown, "memory_used_tibibytes"},
        NameCase{"memory.used", "MBy", kUpDown, "memory_used_megabytes"},
        NameCase{"room.temperature", "Cel", kGauge, "room_temperature_celsius"},
        NameCase{"cpu.load", "%", kGauge, "cpu_load_percent"},
        NameCase{"disk.io", "By/s", kGauge, "disk_io_bytes_per_second"},
        NameCase{"car.speed", "km/h", kGauge, "car_speed_km_per_hour"},
        NameCase{"pump.strokes", "{strokes}/m", kGauge,
                 "pump_strokes_per_minute"},
        NameCase{"jobs", "1/s", kGauge, "jobs_per_second"},
        NameCase{"made.up", "fur.long", kGauge, "made_up_fur_long"},
        NameCase{"area", "m\xC2\xB2", kGauge, "area_m_"},
        NameCase{"x", "By/", kGauge, "x_bytes"},
        NameCase{"x", " s ", kGauge, "x_seconds"},
        NameCase{"x", "{thing}", kGauge, "x"}, NameCase{"x", "", kGauge, "x"}));

INSTANTIATE_TEST_SUITE_P(
    Suffixes, MetricNameTest,
    ::testing::Values(
        NameCase{"orders", "", kCounter, "orders_total"},
        NameCase{"orders", "{order}", kCounter, "orders_total"},
        NameCase{"orders.total", "", kCounter, "orders_total"},
        NameCase{"total.orders", "", kCounter, "orders_total"},
        NameCase{"orders.total", "", kUpDown, "orders_total"},
        NameCase{"network.io", "By", kCounter, "network_io_bytes_total"},
        NameCase{"network.bytes", "By", kCounter, "network_bytes_total"},
        NameCase{"cpu.utilization", "1", kGauge, "cpu_utilization_ratio"},
        NameCase{"ratio.of.cpu", "1", kGauge, "of_cpu_ratio"},
        NameCase{"requests", "1", kCounter, "requests_total"},
        NameCase{"inflight", "1", kUpDown, "inflight"},
        NameCase{"size", "1", kHistogram, "size"}));

INSTANTIATE_TEST_SUITE_P(
    Characters, MetricNameTest,
    ::testing::Values(NameCase{"a.b-c/d e", "", kGauge, "a_b_c_d_e"},
                      NameCase{"a___b..c", "", kGauge, "a_b_c"},
                      NameCase{"_a_", "", kGauge, "a"},
                      NameCase{"job:errors:rate5m", "", kGauge,
                               "job:errors:rate5m"},
                      NameCase{"3d.renders", "", kCounter, "_3d_renders_total"},
                      NameCase{"\xC3\xA9t\xC3\xA9", "", kGauge, "t"},
                      NameCase{"...", "", kGauge, ""},
                      NameCase{"", "s", kGauge, ""},
                      NameCase{"\xE6\xB8\xA9\xE5\xBA\xA6", "Cel", kGauge, ""}));

TEST(UnitTest, IsWrittenOut) {
  EXPECT_EQ(PrometheusUnit("s"), "seconds");
  EXPECT_EQ(PrometheusUnit("By/s"), "bytes_per_second");
  EXPECT_EQ(PrometheusUnit("1"), "");
  EXPECT_EQ(PrometheusUnit("1/s"), "per_second");
  EXPECT_EQ(PrometheusUnit("{request}"), "");
  EXPECT_EQ(PrometheusUnit(""), "");
}

TEST(LabelNameTest, IsTranslatedAsPrometheusDoes) {
  EXPECT_EQ(PrometheusLabelName("http.method"), "http_method");
  EXPECT_EQ(PrometheusLabelName("a..b"), "a__b");
  EXPECT_EQ(PrometheusLabelName("1st"), "key_1st");
  EXPECT_EQ(PrometheusLabelName("_hidden"), "key_hidden");
  EXPECT_EQ(PrometheusLabelName(".hidden"), "key_hidden");
  EXPECT_EQ(PrometheusLabelName("__reserved__"), "__reserved__");
  EXPECT_EQ(PrometheusLabelName("caf\xC3\xA9"), "caf_");
  EXPECT_EQ(PrometheusLabelName("a:b"), "a_b");
}

TEST(LabelNameTest, IsEmptyIfNothingIsLeft) {
  EXPECT_EQ(PrometheusLabelName(""), "");
  EXPECT_EQ(PrometheusLabelName("..."), "");
  EXPECT_EQ(PrometheusLabelName("\xC3\xA9"), "");
}

TEST(BoundTextTest, IsTheShortestDecimalWithoutExponent) {
  EXPECT_EQ(BoundText(1), "1");
  EXPECT_EQ(BoundText(0.5), "0.5");
  EXPECT_EQ(BoundText(0.1), "0.1");
  EXPECT_EQ(BoundText(10'000), "10000");
  EXPECT_EQ(BoundText(1e21), "1000000000000000000000");
  EXPECT_EQ(BoundText(1e-7), "0.0000001");
  EXPECT_EQ(BoundText(-2.5), "-2.5");
  EXPECT_EQ(BoundText(HUGE_VAL), "+Inf");
  EXPECT_EQ(BoundText(-HUGE_VAL), "-Inf");
  EXPECT_EQ(
      std::strtod(BoundText(std::numeric_limits<double>::denorm_min()).c_str(),
                  nullptr),
      std::numeric_limits<double>::denorm_min());
}

}  // namespace
}  // namespace vigie::collector
