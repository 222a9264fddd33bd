// What the judge refuses to begin.
#include <cmath>
#include <limits>

#include "canary/judge.h"
#include "tests/canary/judge_fixture.h"

namespace vigie::canary {
namespace {

using ::testing::HasSubstr;
using vigie::testing::HasCode;
using vigie::testing::HasError;
using vigie::testing::JudgeFixture;
using vigie::testing::kNowMs;
using vigie::testing::kSamples;
using vigie::testing::Metric;
using vigie::testing::Requests;

class BadRequestTest : public JudgeFixture {
 protected:
  absl::Status StatusOf(const JudgeRequest& request) {
    return judge_.Run(request, {}).status();
  }
  JudgeRequest Good() {
    return Request(Metric(MetricKind::kRatio, "requests_total"));
  }
  void ExpectRefused(const JudgeRequest& request, const std::string& text) {
    EXPECT_THAT(StatusOf(request),
                HasError(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
};

TEST_F(BadRequestTest, WindowsAreRefusedByName) {
  const auto refused = [&](WindowRequest window, const std::string& text) {
    JudgeRequest request = Good();
    request.window = window;
    ExpectRefused(request, "window: " + text);
  };
  refused({}, "needs a duration");
  refused({.duration_ms = 0}, "duration must be positive");
  refused({.duration_ms = -5}, "duration must be positive");
  refused({.duration_ms = std::numeric_limits<int64_t>::max()}, "is ");
  refused({.duration_ms = int64_t{365} * 24 * 3'600'000}, "is 1y long");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs - 20}, "is swapped");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs - 10}, "is empty");
  refused({.start_ms = kNowMs - 10, .end_ms = kNowMs + 1},
          "ends in the future");
  refused({.start_ms = 0, .end_ms = kNowMs}, "is ");
  refused({.start_ms = -5, .end_ms = kNowMs}, "starts before the epoch");
  refused({.start_ms = 5, .duration_ms = 5}, "give start or duration");
}

TEST_F(BadRequestTest, WindowsThatContradictEachOtherAreRefused) {
  JudgeRequest request = Good();
  request.window = {.end_ms = kNowMs - 3'600'000, .duration_ms = 600'000};
  request.baseline_window = WindowRequest{.duration_ms = 600'000};
  ExpectRefused(request, "baseline_window: is after window");

  request = Good();
  request.baseline_window =
      WindowRequest{.end_ms = kNowMs - 60'000, .duration_ms = 600'000};
  ExpectRefused(request, "baseline_window: overlaps window");
}

TEST_F(BadRequestTest, FieldsAreRefusedByTheirPath) {
  const auto refused = [&](auto change, const std::string& text) {
    JudgeRequest request = Good();
    change(request);
    ExpectRefused(request, text);
  };
  const double nan = std::nan("");
  refused([](auto& r) { r.metrics[0].canary = "up{"; },
          "metrics[0].canary: 1:4: parse error");
  refused([](auto& r) { r.metrics[0].canary = r.metrics[0].baseline; },
          "metrics[0].canary: is the baseline");
  refused([](auto& r) { r.metrics[0].events = ""; }, "metrics[0].events");
  refused([](auto& r) { r.metrics[0].kind = MetricKind::kGauge; },
          "metrics[0].events: belongs to a ratio");
  refused([](auto& r) { r.metrics.clear(); }, "metrics: is empty");
  refused([](auto& r) { r.metrics.resize(51, r.metrics[0]); },
          "metrics: has 51");
  refused([](auto& r) { r.metrics.push_back(r.metrics[0]); },
          "metrics[1].name: is given twice");
  refused([](auto& r) { r.alpha = 0; }, "alpha: ");
  refused([&](auto& r) { r.alpha = nan; }, "alpha: ");
  refused([](auto& r) { r.looks = 0; }, "looks: ");
  refused([](auto& r) { r.metrics[0].tolerance = -1; }, "tolerance: ");
  refused([&](auto& r) { r.metrics[0].detect = nan; }, "detect: ");
  refused([](auto& r) { r.metrics[0].quantile = 1; }, "quantile: ");
  refused([](auto& r) { r.metrics[0].canary_weight = 0; }, "weights: ");
  refused([](auto& r) { r.metrics[0].canary_weight = 2; },
          "weights: belong to a rate");
  refused([](auto& r) { r.metrics[0].quantile = 0.9; },
          "quantile: belongs to a latency");
  refused(
      [](auto& r) {
        r.metrics[0].kind = MetricKind::kLatency;
        r.metrics[0].events = "";
      },
      "requests_total_bucket");
}

// A release beside itself would always pass.
TEST_F(BadRequestTest, SidesThatShareASeriesAreRefusedByItsName) {
  for (const char* version : {"v1", "v2"}) {
    Add({{"__name__", "requests_total"}, {"version", version}}, 3,
        [](int i) { return i; });
  }
  JudgeRequest request = Good();
  request.metrics[0].baseline = R"(requests_total{version=~"v1|v2"})";
  request.metrics[0].canary = R"(requests_total{version="v2"})";

  EXPECT_THAT(StatusOf(request),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 series in common, in the same window, such "
                                 "as requests_total{version=\"v2\"}")));
}

TEST_F(BadRequestTest, ASelectorThatMatchesTooMuchIsRefused) {
  for (size_t i = 0; i <= kSeriesMax; ++i) {
    Add({{"__name__", "requests_total"},
         {"version", "v1"},
         {"user", std::to_string(i)}},
        1, [](int) { return 1.0; });
  }

  EXPECT_THAT(StatusOf(Good()),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("matches 10001 series, the most is 10000")));
}

TEST_F(BadRequestTest, MoreThanItsBytesIsRefused) {
  Add(Requests("v1", "200"), kSamples, [](int i) { return i; });
  const Judge small(store_, clock_, {.request_bytes_max = 100});

  EXPECT_THAT(small.Run(Good(), {}).status(),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("canary request")));
}

TEST_F(BadRequestTest, AStoppedRequestEnds) {
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(judge_.Run(Good(), stop.get_token()),
              HasCode(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace vigie::canary
