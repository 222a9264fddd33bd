#include "query/result_cache.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "query/parser/parser.h"
#include "query/plan.h"
#include "query/reach.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using testing::IsOk;

constexpr int64_t kMinute = 60'000;

KeptAnswer AnswerOf(size_t samples, uint64_t version = 1) {
  Matrix matrix(1);
  matrix[0].labels = Labels{{"job", "a"}};
  matrix[0].floats.resize(samples);
  return {.steps = {.count = static_cast<int64_t>(samples)},
          .version = version,
          .asked_steps = 0,
          .matrix = std::make_shared<const Matrix>(std::move(matrix))};
}

TEST(ResultCacheTest, GivesBackWhatItKeeps) {
  ResultCache cache(1 << 20, nullptr);
  const KeptAnswer answer = AnswerOf(10);
  cache.Keep("a", answer);

  EXPECT_FALSE(cache.Find("b").has_value());
  const std::optional<KeptAnswer> found = cache.Find("a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->matrix, answer.matrix);
  EXPECT_EQ(found->steps, answer.steps);
  cache.Forget("a");
  EXPECT_FALSE(cache.Find("a").has_value());
  EXPECT_EQ(cache.bytes(), 0);
}

TEST(ResultCacheTest, WhatWasNotAskedForLongestMakesRoom) {
  prometheus::Registry registry;
  CacheMetrics metrics(registry);
  ResultCache cache(10 * (100 * sizeof(Sample) + 1'000), &metrics);
  for (char key = 'a'; key <= 'h'; ++key) {
    cache.Keep(std::string(1, key), AnswerOf(100));
  }
  ASSERT_TRUE(cache.Find("a").has_value());
  for (char key = 'i'; key <= 'p'; ++key) {
    cache.Keep(std::string(1, key), AnswerOf(100));
    EXPECT_TRUE(cache.Find("a").has_value()) << key;
    EXPECT_LE(cache.bytes(), 10 * (100 * sizeof(Sample) + 1'000));
  }

  EXPECT_FALSE(cache.Find("b").has_value());
  EXPECT_TRUE(cache.Find("p").has_value());
}

TEST(ResultCacheTest, ALargeAnswerIsNotKeptNorWhatItReplaces) {
  ResultCache cache(80'000, nullptr);
  cache.Keep("a", AnswerOf(10));

  cache.Keep("a", AnswerOf(10'000 / sizeof(Sample), 2));

  EXPECT_FALSE(cache.Find("a").has_value());
  EXPECT_EQ(cache.bytes(), 0);
}

TEST(ResultCacheTest, AnEarlierVersionDoesNotReplaceALaterOne) {
  ResultCache cache(1 << 20, nullptr);
  cache.Keep("a", AnswerOf(10, 5));

  cache.Keep("a", AnswerOf(20, 4));
  EXPECT_EQ(cache.Find("a")->steps.count, 10);
  cache.Keep("a", AnswerOf(20, 5));
  EXPECT_EQ(cache.Find("a")->steps.count, 20);
}

// "-300000 0", or "none".
std::string ReachText(std::string_view text) {
  auto expr = ParseExpr(text, {.experimental = true});
  EXPECT_THAT(expr.status(), IsOk()) << text;
  if (!expr.ok()) return "";
  const auto plan =
      Plan::Make(text, expr->get(),
                 {.start_ms = 0, .end_ms = 3'600'000, .step_ms = 60'000});
  EXPECT_THAT(plan.status(), IsOk()) << text;
  const std::optional<Reach> reach = ReachOf(**expr, 5 * kMinute);
  if (!reach.has_value()) return "none";
  return std::to_string(reach->min_ms / 1'000) + " " +
         std::to_string(reach->max_ms / 1'000);
}

TEST(ReachTest, IsAsFarAsTheSelectorsSee) {
  for (const auto& [text, reach] :
       std::initializer_list<std::pair<const char*, const char*>>{
           {"x", "-300 0"},
           {"rate(x_total[2m])", "-120 0"},
           {"x offset 10m", "-900 -600"},
           {"x offset -10m", "300 600"},
           {"rate(x[2m] offset 1m)", "-180 -60"},
           {"max_over_time(x[10m:1m])", "-900 0"},
           {"max_over_time(rate(x[2m])[10m:1m] offset 5m)", "-1020 -300"},
           {"max_over_time(rate(x[2m] offset -1h)[10m:1m])", "2880 3600"},
           {"x + y offset 1h", "-3900 0"},
           {"sum by (job) (rate(x[2m])) / sum by (job) (y)", "-300 0"},
           {"topk(scalar(y offset 1h), x)", "-3900 0"},
           {"clamp_max(x, scalar(y offset 1h))", "-3900 0"},
           {"quantile_over_time(scalar(y offset 1h), x[1m])", "-3900 0"},
           {"histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))",
            "-60 0"},
           {"rate(x[step() * 3])", "-180 0"},
           {"absent(x)", "-300 0"},
           {"sum(x) or vector(0)", "-300 0"},
           {"time() - timestamp(x)", "-300 0"},
           {"count(count by (a) (x))", "-300 0"},
           {"topk(3, sum by (a) (x))", "-300 0"},
           {"sum(x > 1)", "-300 0"},
           {"(-x)", "-300 0"},
       }) {
    EXPECT_EQ(ReachText(text), reach) << text;
  }
}

TEST(ReachTest, WhatDependsOnOtherStepsHasNone) {
  for (const char* text : {
           "1 + 1",
           "time()",
           "vector(1)",
           "x @ 100",
           "x @ start()",
           "sum(x @ end())",
           "max_over_time(x[5m:1m] @ end())",
           "start() + x",
           "scalar(x) + range()",
           "rate(x[range()])",
           "x offset range()",
           "max_over_time(x[range():1m])",
           "max_over_time(x[5m:max_of(range(), 1m)])",
           "{job=\"a\"}",
           "{__name__=~\"x|y\"}",
           "rate({__name__!=\"x\", job=\"a\"}[5m])",
           "limitk(1, x)",
           "limit_ratio(0.5, x)",
           "label_replace(x, \"a\", \"b\", \"c\", \"d\")",
           "label_join(x, \"a\", \"b\", \"c\")",
           "sort(x)",
           "sort_desc(x)",
           "sort_by_label(x, \"a\")",
           "info(x)",
           "rate(x[5m] anchored)",
           "rate(x[5m] smoothed)",
           "mad_over_time(x[5m])",
           "x + fill(0) y",
           // The order of groups shows in sums.
           "sum(sum by (a) (x))",
           "avg by (a) (x / on (a) y)",
           "sum(topk(3, x))",
           "max(sum by (a) (x))",
           "quantile(0.5, x or y)",
           // One series has a name at some steps and none at others.
           "x > 1 or x * 2",
           "sum by (__name__) (x or sum(y))",
           "x * on (a) group_left (__name__) y",
       }) {
    EXPECT_EQ(ReachText(text), "none") << text;
  }
}

}  // namespace
}  // namespace vigie::query
