#include <gmock/gmock.h>

#include "store/store.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

absl::StatusOr<StoreOptions> Parse(std::string_view text) {
  const auto node = yaml::Node::Parse(text, "vigie.yml");
  if (!node.ok()) return node.status();
  return ParseStoreOptions(*node);
}

TEST(StoreOptionsTest, ReadsEveryKey) {
  const auto options = Parse(
      "retention: 15d\ntenant_retention: {acme: 7d, all: 0}\n"
      "retention_bytes: 10GiB\nout_of_order_window: 1h\nfuture_window: 5m\n"
      "seal_interval: 10m\nchunk_samples_max: 120\n"
      "inflight_bytes_max: 128MiB\ndurability: os\n");

  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->retention_ms, 15 * 86'400'000LL);
  EXPECT_EQ(options->tenant_retention_ms,
            (std::map<std::string, int64_t, std::less<>>{
                {"acme", 7 * 86'400'000LL}, {"all", 0}}));
  EXPECT_EQ(options->retention_bytes, uint64_t{10} << 30);
  EXPECT_EQ(options->out_of_order_window_ms, 3'600'000);
  EXPECT_EQ(options->future_window_ms, 300'000);
  EXPECT_EQ(options->seal_interval_ms, 600'000);
  EXPECT_EQ(options->chunk_samples_max, 120u);
  EXPECT_EQ(options->inflight_bytes_max, 128 << 20);
  EXPECT_EQ(options->durability, StoreOptions::Durability::kOs);
}

TEST(StoreOptionsTest, ReadsRollupsWithTheirTenants) {
  const auto options = Parse(
      "rollups:\n"
      "- {resolution: 5m, retention: 1y, tenant_retention: {acme: 90d}}\n"
      "- {resolution: 1h, retention: 0}\n");

  ASSERT_THAT(options, IsOk());
  ASSERT_EQ(options->rollups.size(), 2u);
  EXPECT_EQ(options->rollups[0].resolution_ms, 300'000);
  EXPECT_EQ(options->rollups[0].retention_ms, 365 * 86'400'000LL);
  EXPECT_EQ(options->rollups[0].tenant_retention_ms.at("acme"),
            90 * 86'400'000LL);
  EXPECT_EQ(options->rollups[1].resolution_ms, 3'600'000);
  EXPECT_EQ(options->rollups[1].retention_ms, 0);
}

TEST(StoreOptionsTest, AbsentKeysKeepTheirDefaultsAndZeroKeepsEverything) {
  EXPECT_EQ(Parse("{}")->retention_ms, 30LL * 86'400'000);
  EXPECT_EQ(Parse("retention: 0")->retention_ms, 0);
}

TEST(StoreOptionsTest, WhatIsOutOfBoundsOrUnknownIsNamedWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"retention: 5m", "vigie.yml:1:12: retention must be 0 or between 1h"},
      {"tenant_retention: {acme: 5m}", "vigie.yml:1:26: tenant_retention must"},
      {"retention_bytes: 1KB", "vigie.yml:1:18: retention_bytes must be 0 or"},
      {"seal_interval: 1ms", "vigie.yml:1:16: seal_interval must be between"},
      {"chunk_samples_max: 513", "vigie.yml:1:20: chunk_samples_max must be"},
      {"inflight_bytes_max: 1", "vigie.yml:1:21: inflight_bytes_max must be"},
      {"durability: maybe", "vigie.yml:1:13: durability must be"},
      {"rollups: [{retention: 1y}]",
       "vigie.yml:1:11: key \"resolution\" is missing"},
      {"rollups: [{resolution: 5m}]",
       "vigie.yml:1:11: key \"retention\" is missing"},
      {"rollups: [{resolution: 7m, retention: 1y}]",
       "vigie.yml:1:24: resolution must be a part of a day"},
      {"rollups:\n- {resolution: 1h, retention: 1y}\n"
       "- {resolution: 5m, retention: 1y}",
       "vigie.yml:3:16: resolution must be coarser"},
      {"rollups: [{resolution: 5m, retention: 29d}]",
       "vigie.yml:1:39: retention of a rollup must not be shorter"},
      {"retention: 1d\nrollups: [{resolution: 5m, retention: 1y}]",
       "vigie.yml:1:12: retention must be 0 or at least 2d where"},
      {"rollups: [{resolution: 5m, retention: 1y, keep: 1}]", "vigie.yml:1:43"},
      {"retentoin: 5d", "vigie.yml:1:1"},
      {"retention: soon", "vigie.yml:1:12"}};
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(
        Parse(text).status(),
        HasError(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
}

}  // namespace
}  // namespace vigie::store
