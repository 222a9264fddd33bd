#include "store/chunk.h"

#include <gmock/gmock.h>

#include <bit>
#include <limits>
#include <random>

#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

SampleColumns Columns(const std::vector<Sample>& samples) {
  SampleColumns columns;
  for (const Sample& s : samples) columns.PushBack(s.time_ms, s.value, 0);
  return columns;
}

std::vector<uint64_t> Bits(const std::vector<double>& values) {
  std::vector<uint64_t> bits;
  for (const double v : values) bits.push_back(std::bit_cast<uint64_t>(v));
  return bits;
}

void ExpectRoundTrip(const SampleColumns& in) {
  SampleColumns out;
  ASSERT_THAT(DecodeChunk(EncodeChunk(in, 0, in.size()), &out), IsOk());
  EXPECT_EQ(out.times_ms, in.times_ms);
  EXPECT_EQ(Bits(out.values), Bits(in.values));
  EXPECT_EQ(out.starts_ms, in.starts_ms);
}

TEST(ChunkTest, BringsEveryBitBack) {
  ExpectRoundTrip(Columns({{-5, 0.0},
                           {0, -0.0},
                           {1, StaleMarker()},
                           {7, NormalNan()},
                           {8, std::bit_cast<double>(~uint64_t{0})},
                           {9, std::numeric_limits<double>::infinity()},
                           {10, std::numeric_limits<double>::denorm_min()},
                           {11, 9007199254740993.0}}));
}

TEST(ChunkTest, TakesTheWholeRangeOfTimes) {
  ExpectRoundTrip(Columns({{std::numeric_limits<int64_t>::min(), 1},
                           {0, 2},
                           {std::numeric_limits<int64_t>::max(), 3}}));
}

TEST(ChunkTest, RandomBitPatternsAndStartTimesComeBack) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    SampleColumns columns;
    int64_t time_ms = static_cast<int64_t>(random() >> 2) - (int64_t{1} << 61);
    const size_t count = 1 + random() % 600;
    for (size_t i = 0; i < count && time_ms < (int64_t{1} << 62); ++i) {
      const double value =
          seed % 3 == 0 ? std::bit_cast<double>(random())
                        : static_cast<double>(random() % (1ull << seed % 40));
      columns.PushBack(
          time_ms, value,
          seed % 4 == 0 ? static_cast<int64_t>(random() >> random() % 64) : 0);
      time_ms += static_cast<int64_t>(1 + random() % (1ull << seed % 50));
    }
    ExpectRoundTrip(columns);
  }
}

TEST(ChunkTest, ARegularCounterTakesLessThanTwoBytesASample) {
  SampleColumns columns;
  double value = 1000;
  std::mt19937_64 random(7);
  for (int i = 0; i < 512; ++i) {
    value += static_cast<double>(random() % 50);
    columns.PushBack(1'700'000'000'000 + i * 15'000, value, 0);
  }

  EXPECT_LT(EncodeChunk(columns, 0, 512).size(), 512 * 2);
}

TEST(ChunkTest, HeaderTellsCountAndTimesWithoutDecoding) {
  const auto header = ReadChunkHeader(
      EncodeChunk(Columns({{1, 1}, {5, 2}, {9, 3}, {12, 4}}), 1, 3));

  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header->samples, 2u);
  EXPECT_EQ(header->first_ms, 5);
  EXPECT_EQ(header->last_ms, 9);
}

TEST(ChunkTest, EveryTruncationIsRefused) {
  const std::string bytes =
      EncodeChunk(Columns({{1, 1.5}, {5, 2.25}, {9, 3}}), 0, 3);
  SampleColumns out;
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeChunk(bytes.substr(0, size), &out),
                HasCode(absl::StatusCode::kDataLoss))
        << size;
  }
  EXPECT_THAT(DecodeChunk(bytes + "x", &out),
              HasCode(absl::StatusCode::kDataLoss));
}

TEST(ChunkTest, RandomDamageNeverCrashesNorBreaksTheOrderOfTimes) {
  const std::string bytes =
      EncodeChunk(Columns({{1, 1.5}, {5, 2.25}, {9, 3}, {11, 7}}), 0, 4);
  std::mt19937_64 random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    SampleColumns out;
    if (!DecodeChunk(damaged, &out).ok()) continue;
    ASSERT_EQ(out.values.size(), out.size());
    for (size_t i = 1; i < out.size(); ++i) {
      ASSERT_LT(out.times_ms[i - 1], out.times_ms[i]);
    }
  }
}

TEST(ChunkTest, AnotherVersionIsRefusedByName) {
  std::string bytes = EncodeChunk(Columns({{1, 1}}), 0, 1);
  bytes[0] = 9;
  SampleColumns out;

  EXPECT_THAT(DecodeChunk(bytes, &out),
              ::vigie::testing::HasError(
                  absl::StatusCode::kFailedPrecondition,
                  ::testing::HasSubstr("version 9, this program knows 1")));
}

TEST(SampleColumnsTest, MergeLetsTheFirstWinAndCountsOtherValues) {
  uint64_t conflicts = 0;

  const SampleColumns merged = Merged(
      Columns({{1, 1}, {3, 3}}), Columns({{1, 9}, {2, 2}, {3, 3}}), &conflicts);

  EXPECT_THAT(merged.times_ms, ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(merged.values, ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(conflicts, 1u);
}

}  // namespace
}  // namespace vigie::store
