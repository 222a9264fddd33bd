#include "store/batch_record.h"

#include <gmock/gmock.h>

#include <bit>
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
  record.floats.Add(7, 1000, 0, 1.5);
  record.floats.Add(7, 500, 400, StaleMarker());
  record.floats.Add(3, -7, 0, -0.0);
  record.floats.Add(3, std::numeric_limits<int64_t>::min(), 0, 2);
  record.deltas.Add(9, 2000, 1000, 17);
  IntegerHistogram histogram;
  histogram.schema = 3;
  histogram.count = 12;
  histogram.sum = StaleMarker();
  histogram.positive_spans = {{-3, 2}, {1, 1}};
  histogram.positive_buckets = {5, 0, 7};
  record.integer_histograms.Add(7, 1001, 0, histogram);
  FloatHistogram bounds;
  bounds.schema = kCustomBucketsSchema;
  bounds.reset_hint = CounterResetHint::kGauge;
  bounds.count = 0.5;
  bounds.positive_spans = {{0, 1}};
  bounds.positive_buckets = {0.5};
  bounds.custom_values = {-1, 2.5};
  record.float_histograms.Add(3, 1002, 9, bounds);
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
  EXPECT_EQ(out->floats.ids, in.floats.ids);
  EXPECT_EQ(out->floats.times_ms, in.floats.times_ms);
  EXPECT_EQ(out->floats.starts_ms, in.floats.starts_ms);
  ASSERT_EQ(out->floats.size(), in.floats.size());
  for (size_t i = 0; i < in.floats.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint64_t>(out->floats.values[i]),
              std::bit_cast<uint64_t>(in.floats.values[i]));
  }
  EXPECT_EQ(out->deltas.times_ms, in.deltas.times_ms);
  EXPECT_EQ(out->deltas.values, in.deltas.values);
  EXPECT_EQ(out->integer_histograms.ids, in.integer_histograms.ids);
  ASSERT_EQ(out->integer_histograms.size(), 1u);
  IntegerHistogram h = out->integer_histograms.values[0];
  EXPECT_TRUE(IsStaleMarker(h.sum));
  h.sum = 0;
  IntegerHistogram expected = in.integer_histograms.values[0];
  expected.sum = 0;
  EXPECT_EQ(h, expected);
  EXPECT_EQ(out->float_histograms.values, in.float_histograms.values);
  EXPECT_EQ(out->float_histograms.starts_ms, in.float_histograms.starts_ms);
  EXPECT_EQ(out->exemplars[0].exemplar, in.exemplars[0].exemplar);
  EXPECT_EQ(out->metadata[0].metadata, in.metadata[0].metadata);
}

TEST(BatchRecordTest, DefinitionsToldByDifferencesComeBackInEveryOrder) {
  const std::vector<Labels> sets = {
      Labels{{"__name__", "a"}, {"job", "x"}, {"pod", "1"}},
      Labels{{"__name__", "a"}, {"job", "x"}, {"pod", "2"}},
      Labels{{"__name__", "a"}},
      Labels{{"__name__", "a"}, {"instance", "x"}, {"job", "x"}},
      Labels{{"__name__", "b"}, {"job", "x"}, {"pod", "1"}, {"zone", "z"}}};
  BatchRecord record;
  record.floats.Add(1, 1, 0, 1);
  for (size_t i = 0; i < sets.size(); ++i) {
    for (size_t j = 0; j < sets.size(); ++j) {
      record.definitions.push_back({i * 100 + j, sets[i]});
      record.definitions.push_back({1000 - i * 100 - j, sets[j]});
    }
  }

  const auto out = DecodeBatchRecord(EncodeBatchRecord(record));

  ASSERT_THAT(out, IsOk());
  ASSERT_EQ(out->definitions.size(), record.definitions.size());
  for (size_t i = 0; i < record.definitions.size(); ++i) {
    EXPECT_EQ(out->definitions[i].id, record.definitions[i].id);
    EXPECT_EQ(out->definitions[i].labels, record.definitions[i].labels);
  }
}

TEST(BatchRecordTest, FloatsOfEveryLengthComeBack) {
  for (size_t size = 1; size < 40; ++size) {
    BatchRecord record;
    for (size_t i = 0; i < size; ++i) {
      const int zeros = static_cast<int>(i * 7 % 65);
      record.floats.Add(
          i, 1, 0,
          std::bit_cast<double>(zeros == 64 ? 0 : 0xC1C2C3C4C5C6C7C9 << zeros));
    }

    const auto out = DecodeBatchRecord(EncodeBatchRecord(record));

    ASSERT_THAT(out, IsOk());
    ASSERT_EQ(out->floats.size(), size);
    for (size_t i = 0; i < size; ++i) {
      EXPECT_EQ(std::bit_cast<uint64_t>(out->floats.values[i]),
                std::bit_cast<uint64_t>(record.floats.values[i]))
          << i << " of " << size;
    }
  }
}

TEST(BatchRecordTest, ALengthThatNoFloatHasIsDamage) {
  BatchRecord record;
  record.floats.Add(1, 1, 0, 1.5);
  std::string bytes = EncodeBatchRecord(record);
  const size_t at = bytes.find("\x02\xF8\x3F");  // its length and its bytes
  ASSERT_NE(at, bytes.npos);

  bytes[at] = '\x09';
  EXPECT_THAT(DecodeBatchRecord(bytes), HasCode(absl::StatusCode::kDataLoss));
  bytes[at] = '\x12';  // of a second one, which is not there
  EXPECT_THAT(DecodeBatchRecord(bytes), HasCode(absl::StatusCode::kDataLoss));
}

size_t BytesOfAScrape(double value) {
  BatchRecord record;
  for (uint64_t id = 5'000; id < 7'000; ++id) {
    record.floats.Add(id, 1'700'000'000'000, 0, value);
  }
  return EncodeBatchRecord(record).size();
}

TEST(BatchRecordTest, AScrapeTakesWhatItsValuesDo) {
  EXPECT_LT(BytesOfAScrape(0.1), 2'000 * 8.5 + 64);
  EXPECT_LT(BytesOfAScrape(60'001), 2'000 * 4.5 + 64);
  EXPECT_LT(BytesOfAScrape(1), 2'000 * 2.5 + 64);
  EXPECT_LT(BytesOfAScrape(0), 2'000 * 0.5 + 64);
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
