#include "canary/judge_json.h"

#include <nlohmann/json.hpp>

#include "tests/canary/judge_fixture.h"

namespace vigie::canary {
namespace {

using ::testing::HasSubstr;
using vigie::testing::HasError;
using vigie::testing::IsOk;
using vigie::testing::JudgeFixture;
using vigie::testing::Metric;

std::string With(const std::string& metric_fields) {
  return R"({"window":"10m","metrics":[{"kind":"ratio","direction":"increase",
    "baseline":"a","canary":"b","events":"{c=\"d\"}")" +
         metric_fields + "}]}";
}

TEST(JudgeJsonTest, ReadsEveryField) {
  const auto request = ParseJudgeRequest(R"({
    "window": {"start": "2026-11-21T10:00:00Z", "end": 1795255200.5},
    "baseline_window": {"end": 1795248000, "duration": "1h"},
    "alpha": 0.02, "looks": 5,
    "metrics": [{"name": "p99", "kind": "latency", "direction": "either",
      "baseline": "a_bucket", "canary": "b_bucket", "tolerance": 0.1,
      "tolerance_absolute": 0.002, "detect": 0.3, "detect_absolute": 0.01,
      "quantile": 0.99, "baseline_weight": 90, "canary_weight": 10,
      "critical": true}]})");

  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->window.start_ms, 1'795'255'200'000);
  EXPECT_EQ(request->window.end_ms, 1'795'255'200'500);
  EXPECT_EQ(request->baseline_window->duration_ms, 3'600'000);
  EXPECT_EQ(request->looks, 5);
  const MetricRequest& metric = request->metrics.at(0);
  EXPECT_EQ(metric.kind, MetricKind::kLatency);
  EXPECT_EQ(metric.direction, Direction::kEither);
  EXPECT_EQ(metric.quantile, 0.99);
  EXPECT_EQ(metric.detect_absolute, 0.01);
  EXPECT_EQ(metric.canary_weight, 10);
  EXPECT_TRUE(metric.critical);
}

TEST(JudgeJsonTest, ASmallRequestIsEnough) {
  const auto request = ParseJudgeRequest(With(""));

  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->window.duration_ms, 600'000);
  EXPECT_EQ(request->metrics.at(0).name, "ratio");
  EXPECT_EQ(request->alpha, 0.01);
}

TEST(JudgeJsonTest, ErrorsNameThePath) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "request: parse error at line 1, column 1"},
      {"{\"window\":", "request: parse error"},
      {"[]", "request: must be an object"},
      {"\xff", "request: parse error"},
      {"{}", "window: is missing"},
      {R"({"window":"10m"})", "metrics: must be an array"},
      {R"({"window":"10m","metrics":{}})", "metrics: must be an array"},
      {R"({"window":"10m","metrics":[3]})", "metrics[0]: must be an object"},
      {R"({"window":10,"metrics":[]})", "window: must be an object"},
      {R"({"window":"soon","metrics":[]})", "window: "},
      {R"({"window":{"start":"noon"},"metrics":[]})",
       "window.start: must be seconds since the epoch or RFC 3339"},
      {R"({"window":{"start":1e300},"metrics":[]})",
       "window.start: is no time"},
      {R"({"window":{"from":1},"metrics":[]})", "window.from: is not known"},
      {R"({"window":"10m","metrics":[],"window":"1m"})",
       "window: is given twice"},
      {R"({"window":"10m","metrics":[],"looks":1.5})",
       "looks: must be a whole number"},
      {R"({"window":"10m","metrics":[],"alpha":"x"})",
       "alpha: must be a number"},
      {R"({"window":"10m","metrics":[],"metric":[]})", "metric: is not known"},
      {R"({"window":"10m","metrics":[{}]})", "metrics[0].kind: must be ratio"},
      {R"({"window":"10m","metrics":[{"kind":"ratio"}]})",
       "metrics[0].direction: must be increase"},
      {With(R"(,"canary":3)"), "canary: is given twice"},
      {With(R"(,"critical":1)"), "metrics[0].critical: must be true or false"},
      {With(R"(,"tolerence":1)"), "metrics[0].tolerence: is not known"},
      {std::string(kRequestBytesMax + 1, ' '), "request: 262145 bytes"},
      {std::string(100'000, '['), "request: parse error"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_THAT(ParseJudgeRequest(text),
                HasError(absl::StatusCode::kInvalidArgument, HasSubstr(error)))
        << text.substr(0, 80);
  }
}

using VerdictJsonTest = JudgeFixture;

TEST_F(VerdictJsonTest, HasEveryNumberAndNullForWhatIsNotKnown) {
  for (const char* version : {"v1", "v2"}) {
    Add({{"__name__", "memory_bytes"}, {"version", version}}, 121,
        [](int i) { return 100.0 + i * 37 % 11; });
  }
  JudgeRequest request = Request(Metric(MetricKind::kGauge, "memory_bytes"));
  MetricRequest absent = Metric(MetricKind::kGauge, "absent");
  request.metrics.push_back(absent);

  const auto json = nlohmann::json::parse(VerdictJson(Run(request)));

  EXPECT_EQ(json["verdict"], "inconclusive");
  EXPECT_EQ(json["window"]["end"], "2023-11-14T22:13:20.000Z");
  const auto& gauge = json["metrics"][0];
  EXPECT_EQ(gauge["verdict"], "pass");
  EXPECT_EQ(gauge["effect"]["difference"], 0.0);
  EXPECT_EQ(gauge["tests"][0]["name"], "mann_whitney");
  EXPECT_EQ(gauge["canary"]["total"], 120.0);
  EXPECT_TRUE(gauge["canary"]["events"].is_null());
  EXPECT_EQ(json["metrics"][1]["reasons"][0]["code"], "no_series");
  EXPECT_TRUE(json["metrics"][1]["p"].is_null());
}

}  // namespace
}  // namespace vigie::canary
