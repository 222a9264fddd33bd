#include <gtest/gtest.h>

#include "query/engine.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using ::testing::HasSubstr;
using vigie::testing::HasError;
using vigie::testing::IsOk;

absl::StatusOr<EngineOptions> Parse(std::string_view text) {
  const auto node = yaml::Node::Parse(text, "vigie.yml");
  if (!node.ok()) return node.status();
  return ParseEngineOptions(*node);
}

TEST(EngineOptionsTest, ReadsEveryKeyAndKeepsDefaults) {
  const auto options = Parse(
      "lookback: 1m\ntimeout: 10s\ndefault_subquery_step: 30s\n"
      "query_bytes_max: 64MiB\nprocess_bytes_max: 1GiB\n"
      "points_per_series_max: 500\nslow_query: 3s\nthreads: 3\n"
      "query_samples_max: 1000\nquery_text_bytes_max: 4KiB\n"
      "regex_bytes_max: 1KiB\nnesting_max: 50\ncache_bytes_max: 2MiB\n"
      "rules: {process_bytes_max: 1MiB, concurrent_max: 5, "
      "query_bytes_max: 2KiB, query_samples_max: 7, timeout: 3s}\n"
      "experimental: true\n");

  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->lookback_ms, 60'000);
  EXPECT_EQ(options->timeout_ms, 10'000);
  EXPECT_EQ(options->default_subquery_step_ms, 30'000);
  EXPECT_EQ(options->query_bytes_max, 64 << 20);
  EXPECT_EQ(options->process_bytes_max, 1 << 30);
  EXPECT_EQ(options->points_per_series_max, 500);
  EXPECT_EQ(options->slow_query_ms, 3'000);
  EXPECT_EQ(options->threads, 3);
  EXPECT_TRUE(options->experimental);
  EXPECT_EQ(options->query_samples_max, 1'000);
  EXPECT_EQ(options->query_text_bytes_max, 4 << 10);
  EXPECT_EQ(options->regex_bytes_max, 1 << 10);
  EXPECT_EQ(options->nesting_max, 50);
  EXPECT_EQ(options->ForParser().nesting_max, 50);
  EXPECT_EQ(options->cache_bytes_max, 2 << 20);
  const EngineOptions rules = options->ForRules();
  EXPECT_EQ(rules.process_bytes_max, 1 << 20);
  EXPECT_EQ(rules.rules.concurrent_max, 5);
  EXPECT_EQ(rules.query_bytes_max, 2 << 10);
  EXPECT_EQ(rules.query_samples_max, 7);
  EXPECT_EQ(rules.timeout_ms, 3'000);
  EXPECT_EQ(rules.nesting_max, 50);
  EXPECT_EQ(rules.cache_bytes_max, 0);
  ASSERT_THAT(Parse("{}"), IsOk());
  EXPECT_EQ(Parse("{}")->lookback_ms, 300'000);
  EXPECT_EQ(Parse("{}")->slow_query_ms, 10'000);
  EXPECT_EQ(Parse("slow_query: 0s")->slow_query_ms, 0);
  EXPECT_FALSE(Parse("{}")->experimental);
}

TEST(EngineOptionsTest, RefusesByPlace) {
  EXPECT_THAT(
      Parse("lookback: 1m\nlokback: 2m\n"),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("vigie.yml:2:1")));
  EXPECT_THAT(Parse("timeout: soon\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vigie.yml:1:10")));
  EXPECT_THAT(Parse("points_per_series_max: 0\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must be greater than 0")));
  EXPECT_THAT(Parse("nesting_max: 401\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vigie.yml:1:14: nesting_max must be at most "
                                 "400")));
  EXPECT_THAT(Parse("regex_bytes_max: 1MiB\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must be at most 16384")));
  EXPECT_THAT(Parse("rules: {concurrent_max: 0}\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("concurrent_max must be greater than 0")));
  EXPECT_THAT(
      Parse("rules: {lookback: 1m}\n"),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("vigie.yml:1:9")));
}

}  // namespace
}  // namespace vigie::query
