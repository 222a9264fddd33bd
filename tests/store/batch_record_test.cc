#include "store/batch_record.h"

#include <gmock/gmock.h>

#include <random>

#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

BatchRecord Example() {
  BatchRecord record;
  record.decided_ms = 1'700'000'000'000;
  record.tenant = "acme";
  record.definitions = {{7, Labels{{"__name__", "up"}}},
                        {3, Labels{{"__name__", "down"}, {"job", "x"}}}};
  record.floats = {{{1000, 1.5}, 0},
                   {{500, StaleMarker()}, 400},
                   {{-7, -0.0}, 0},
                   {{std::numeric_limits<int64_t>::min(), 2}, 0}};
  record.runs = {{7, 0, 2}, {3, 2, 4}};
  record.exemplars = {{7, {Labels{{"trace_id", "abc"}}, 2.5, 999}}};
  record.metadata = {{"up", {MetricType::kGauge, "Is it up?", "bool"}}};
  return record;
}

TEST(BatchRecordTest, BringsEverythingBack) {
  const BatchRecord in = Example();

  const auto out = DecodeBatchRecord(EncodeBatchRecord(in));

  ASSERT_THAT(out, IsOk());
  EXPECT_EQ(out->decided_ms, in.decided_ms);
  EXPECT_EQ(out->tenant, in.tenant);
  ASSERT_EQ(out->definitions.size(), 2u);
  EXPECT_EQ(out->definitions[1].id, 3u);
  EXPECT_EQ(out->definitions[1].labels, in.definitions[1].labels);
  ASSERT_EQ(out->runs.size(), 2u);
  EXPECT_EQ(out->runs[1].id, 3u);
  ASSERT_EQ(out->floats.size(), in.floats.size());
  for (size_t i = 0; i < in.floats.size(); ++i) {
    EXPECT_EQ(out->floats[i].sample, in.floats[i].sample);
    EXPECT_EQ(out->floats[i].start_ms, in.floats[i].start_ms);
  }
  EXPECT_EQ(out->exemplars[0].exemplar, in.exemplars[0].exemplar);
  EXPECT_EQ(out->metadata[0].metadata, in.metadata[0].metadata);
}

TEST(BatchRecordTest, EveryTruncationIsRefused) {
  const std::string bytes = EncodeBatchRecord(Example());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeBatchRecord(bytes.substr(0, size)),
                HasCode(absl::StatusCode::kDataLoss))
        << size;
  }
}

TEST(BatchRecordTest, RandomDamageNeverCrashes) {
  const std::string bytes = EncodeBatchRecord(Example());
  std::mt19937_64 random(3);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    damaged[random() % damaged.size()] = static_cast<char>(random());
    refused += DecodeBatchRecord(damaged).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace vigie::store
