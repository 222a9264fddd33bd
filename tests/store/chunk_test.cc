#include "store/chunk.h"

#include <gmock/gmock.h>

#include <bit>
#include <limits>
#include <map>
#include <random>

#include "tests/store/random_samples.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// Sink and source in one: columns by their bytes.
class SharedColumns : public TimeColumnSink, public TimeColumnSource {
 public:
  uint32_t Intern(std::string_view packed) override {
    const auto [it, added] = numbers_.try_emplace(
        std::string(packed), static_cast<uint32_t>(columns_.size()));
    if (added) columns_.emplace_back(packed);
    return it->second;
  }
  absl::StatusOr<std::shared_ptr<const TimeOffsets>> Column(
      uint32_t number) override {
    if (number >= columns_.size()) return absl::DataLossError("no such column");
    auto offsets = UnpackTimeColumn(columns_[number]);
    if (!offsets.ok()) return offsets.status();
    return std::make_shared<const TimeOffsets>(*std::move(offsets));
  }
  size_t size() const { return columns_.size(); }

 private:
  std::map<std::string, uint32_t, std::less<>> numbers_;
  std::vector<std::string> columns_;
};

SampleColumns Columns(const std::vector<Sample>& samples) {
  SampleColumns columns;
  for (const Sample& s : samples) columns.PushBack(s.time_ms, s.value, 0);
  return columns;
}

SampleColumns Slice(const SampleColumns& in, size_t begin, size_t end) {
  SampleColumns out;
  out.kind = in.kind;
  out.AppendSlice(in, begin, end);
  return out;
}

// `bytes` are the chunk of `columns`: the newest up to some times.
void ExpectNewest(const std::string& bytes, TimeColumnSource* source,
                  const SampleColumns& columns) {
  for (const size_t i : {size_t{0}, columns.size() / 3, columns.size() - 1}) {
    for (const int64_t max_ms :
         {columns.times_ms[i],
          i + 1 < columns.size() ? columns.times_ms[i + 1] - 1 : kMax}) {
      const auto newest = ReadNewestFloat(bytes, max_ms, source);
      ASSERT_THAT(newest, IsOk());
      ASSERT_EQ(newest->has_value(), columns.kind == SampleKind::kFloat &&
                                         columns.starts_ms.empty());
      if (!newest->has_value()) continue;
      ASSERT_EQ((*newest)->time_ms, columns.times_ms[i]);
      ASSERT_EQ(std::bit_cast<uint64_t>((*newest)->value),
                std::bit_cast<uint64_t>(columns.values[i]));
    }
  }
  if (columns.times_ms.front() == kMin) return;
  const auto none =
      ReadNewestFloat(bytes, columns.times_ms.front() - 1, source);
  ASSERT_THAT(none, IsOk());
  ASSERT_FALSE(none->has_value());
}

void ExpectRoundTrip(const SampleColumns& in) {
  SharedColumns shared;
  for (size_t begin = 0; begin < in.size();) {
    const size_t end = ChunkEnd(in, begin, 512);
    SampleColumns out;
    ASSERT_THAT(DecodeChunk(EncodeChunk(in, begin, end), &out), IsOk());
    ASSERT_TRUE(SameBits(out, Slice(in, begin, end)));
    ASSERT_THAT(
        DecodeChunk(EncodeChunk(in, begin, end, &shared), &shared, &out),
        IsOk());
    ASSERT_TRUE(SameBits(out, Slice(in, begin, end)));
    ASSERT_NO_FATAL_FAILURE(
        ExpectNewest(EncodeChunk(in, begin, end, &shared), &shared, out));
    begin = end;
  }
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
  ExpectRoundTrip(Columns({{kMin, 1}, {0, 2}, {kMax, 3}}));
  ExpectRoundTrip(Columns({{kMin, 1}, {kMax, 3}}));
}

// Floats of all sorts, with and without start times, regular and not.
TEST(ChunkTest, RandomFloatsComeBack) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    SampleColumns columns;
    int64_t time_ms = static_cast<int64_t>(random() >> 2) - (int64_t{1} << 61);
    const size_t count = 1 + random() % 700;
    const uint64_t jitter = seed % 3 == 0 ? 0 : 1ull << seed % 50;
    uint64_t sort = random();
    double value = 0;
    for (size_t i = 0; i < count && time_ms < (int64_t{1} << 62); ++i) {
      if (random() % (1 + seed % 97) == 0) sort = random();
      value = RandomDouble(sort, value, &random);
      const int64_t start_ms =
          seed % 4 == 0 ? static_cast<int64_t>(random() >> random() % 64)
          : seed % 4 == 1 && !columns.empty() ? columns.times_ms.back()
                                              : 0;
      columns.PushBack(time_ms, value, start_ms);
      time_ms +=
          15'000 + (jitter == 0 ? 0 : static_cast<int64_t>(random() % jitter));
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(columns));
  }
}

TEST(ChunkTest, RandomHistogramsComeBack) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    SampleColumns integers, floats;
    IntegerHistogram integer;
    FloatHistogram real;
    for (int i = 0; i < 100; ++i) {
      // Mostly of the layout before, so that chunks are longer than a sample.
      do {
        integer = RandomHistogram(integer, &random);
      } while (random() % 4 != 0 && !integers.empty() &&
               integer.positive_spans !=
                   integers.integer_histograms.back().positive_spans);
      real = RandomHistogram(real, &random);
      integers.PushBack(i * 1000, integer, i % 5);
      floats.PushBack(i * 1000, real, 0);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(integers));
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(floats));
  }
}

TEST(ChunkTest, AChangeOfLayoutEndsAChunkAndOneOfTheResetHintDoesNot) {
  SampleColumns columns;
  IntegerHistogram h;
  h.positive_spans = {{0, 1}};
  h.positive_buckets = {5};
  for (int i = 0; i < 6; ++i) {
    h.reset_hint =
        i == 1 ? CounterResetHint::kReset : CounterResetHint::kNotReset;
    h.zero_threshold = i < 4 ? 0 : 1e-100;
    columns.PushBack(i, h, 0);
  }

  EXPECT_EQ(ChunkEnd(columns, 0, 512), 4u);
  EXPECT_EQ(ChunkEnd(columns, 4, 512), 6u);
  EXPECT_EQ(ChunkEnd(columns, 0, 3), 3u);
  ExpectRoundTrip(columns);
}

// 8 counters' worth of buckets: what a histogram costs is what its parts cost.
TEST(ChunkTest, AHistogramTakesAboutAByteForABucketThatMoves) {
  std::mt19937_64 random(5);
  SampleColumns columns;
  IntegerHistogram h;
  h.positive_spans = {{0, 8}};
  h.positive_buckets.resize(8);
  for (int i = 0; i < 512; ++i) {
    for (uint64_t& bucket : h.positive_buckets) {
      const uint64_t more = random() % 100;
      bucket += more;
      h.count += more;
    }
    h.sum += 0.5;
    columns.PushBack(i * 15'000, h, 0);
  }

  EXPECT_LT(EncodeChunk(columns, 0, 512).size(), 512 * 8);
}

TEST(ChunkTest, ARegularCounterTakesLessThanAByteASample) {
  SampleColumns columns;
  double value = 1000;
  std::mt19937_64 random(7);
  for (int i = 0; i < 512; ++i) {
    value += static_cast<double>(random() % 50);
    columns.PushBack(1'700'000'000'000 + i * 15'000, value, 0);
  }

  EXPECT_LT(EncodeChunk(columns, 0, 512).size(), 512 * 6 / 8 + 40);
}

TEST(ChunkTest, SeriesOfOneScrapeShareTheirTimes) {
  std::mt19937_64 random(7);
  SampleColumns one, other;
  for (int i = 0; i < 100; ++i) {
    const int64_t time_ms = i * 15'000 + static_cast<int64_t>(random() % 10);
    one.PushBack(time_ms, 1, 0);
    other.PushBack(time_ms, i, 0);
  }
  SharedColumns shared;

  const std::string first = EncodeChunk(one, 0, 100, &shared);
  const std::string second = EncodeChunk(other, 0, 100, &shared);

  EXPECT_EQ(shared.size(), 1u);
  EXPECT_LT(first.size(), 24u);
  EXPECT_EQ(ReadSharedTimeColumn(second).value(), 0u);
  EXPECT_EQ(ReadSharedTimeColumn(EncodeChunk(one, 0, 100)).value(),
            std::nullopt);
  SampleColumns out;
  EXPECT_THAT(DecodeChunk(first, &out), HasCode(absl::StatusCode::kDataLoss));
  // A column of another length, as a lost or swapped row would give.
  SharedColumns swapped;
  const uint64_t offsets[] = {0, 1};
  swapped.Intern(PackTimeColumn(offsets));
  EXPECT_THAT(DecodeChunk(first, &swapped, &out),
              HasCode(absl::StatusCode::kDataLoss));
}

TEST(ChunkTest, RegularTimesAreNotWorthSharing) {
  SampleColumns columns;
  for (int i = 0; i < 100; ++i) columns.PushBack(7 + i * 15'000, i, 0);
  SharedColumns shared;

  EncodeChunk(columns, 0, 100, &shared);

  EXPECT_EQ(shared.size(), 0u);
}

TEST(ChunkTest, StartsThatFollowTheSampleBeforeTakeAFewBytes) {
  SampleColumns deltas, plain;
  std::mt19937_64 random(3);
  int64_t last_ms = 5;
  for (int i = 0; i < 200; ++i) {
    const int64_t time_ms =
        last_ms + 10'000 + static_cast<int64_t>(random() % 999);
    deltas.PushBack(time_ms, i, last_ms);
    plain.PushBack(time_ms, i, 0);
    last_ms = time_ms;
  }

  EXPECT_LT(EncodeChunk(deltas, 0, 200).size(),
            EncodeChunk(plain, 0, 200).size() + 20);
}

TEST(ChunkTest, HeaderTellsKindCountAndTimesWithoutDecoding) {
  const auto header = ReadChunkHeader(
      EncodeChunk(Columns({{1, 1}, {5, 2}, {9, 3}, {12, 4}}), 1, 3));

  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header->kind, SampleKind::kFloat);
  EXPECT_EQ(header->samples, 2u);
  EXPECT_EQ(header->first_ms, 5);
  EXPECT_EQ(header->last_ms, 9);
}

TEST(ChunkTest, EveryTruncationIsRefused) {
  SampleColumns histograms;
  std::mt19937_64 random(1);
  histograms.PushBack(1, RandomHistogram(IntegerHistogram(), &random), 0);
  for (const SampleColumns& columns :
       {Columns({{1, 1.5}, {5, 2.25}, {9, 3}}), histograms}) {
    const std::string bytes = EncodeChunk(columns, 0, columns.size());
    SampleColumns out;
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(DecodeChunk(bytes.substr(0, size), &out),
                  HasCode(absl::StatusCode::kDataLoss))
          << size;
    }
    EXPECT_THAT(DecodeChunk(bytes + "x", &out),
                HasCode(absl::StatusCode::kDataLoss));
  }
}

TEST(ChunkTest, RandomDamageNeverCrashesNorBreaksTheOrderOfTimes) {
  std::mt19937_64 random(11);
  SampleColumns columns = Columns({{1, 1.5}, {5, 2.25}, {9, 3}, {11, 7}});
  SampleColumns histograms;
  FloatHistogram h = RandomHistogram(FloatHistogram(), &random);
  for (int i = 0; i < 3; ++i) histograms.PushBack(i * i, h, 0);
  for (const SampleColumns& in : {columns, histograms}) {
    const std::string bytes = EncodeChunk(in, 0, in.size());
    for (int round = 0; round < 20'000; ++round) {
      std::string damaged = bytes;
      for (int i = 0; i < 3; ++i) {
        damaged[random() % damaged.size()] = static_cast<char>(random());
      }
      SampleColumns out;
      ReadNewestFloat(damaged, static_cast<int64_t>(random() % 12), nullptr)
          .IgnoreError();
      if (!DecodeChunk(damaged, &out).ok()) continue;
      ASSERT_EQ(out.values.size() + out.float_histograms.size() +
                    out.integer_histograms.size(),
                out.size());
      for (size_t i = 1; i < out.size(); ++i) {
        ASSERT_LT(out.times_ms[i - 1], out.times_ms[i]);
      }
    }
  }
}

TEST(ChunkTest, AnotherVersionIsRefusedByName) {
  std::string bytes = EncodeChunk(Columns({{1, 1}}), 0, 1);
  bytes[0] = 1;
  SampleColumns out;

  EXPECT_THAT(DecodeChunk(bytes, &out),
              ::vigie::testing::HasError(
                  absl::StatusCode::kFailedPrecondition,
                  ::testing::HasSubstr("version 1, this program knows 2")));
}

// The examples of docs/formats/chunk.md.
TEST(ChunkTest, BytesAreThoseOfTheFormatPage) {
  const auto hex = [](std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[c & 15];
    }
    return out;
  };
  SampleColumns columns;
  for (const double v : {1.5, 1.7, 1.6, 2.0}) {
    columns.PushBack(1000 + 500 * static_cast<int64_t>(columns.size()), v, 0);
  }

  EXPECT_EQ(hex(EncodeChunk(columns, 0, 4)), "020004d00fdc0b000911031e014301");
}

TEST(ChunkStatisticsTest, NanIsAValueAndAStalenessMarkerIsNot) {
  const ChunkStatistics s = StatisticsOf(std::vector<double>{
      StaleMarker(), 5, 3, NormalNan(), 4, StaleMarker(), 2, 8});

  EXPECT_EQ(s.count, 6u);
  EXPECT_EQ(s.first, 5);
  EXPECT_EQ(s.last, 8);
  EXPECT_EQ(s.min, 2);
  EXPECT_EQ(s.max, 8);
  EXPECT_TRUE(std::isnan(s.sum));
  // 5 to 3 and, over the marker, 4 to 2; nothing is below a NaN.
  EXPECT_EQ(s.resets, 2u);
  EXPECT_EQ(StatisticsOf(std::vector<double>{StaleMarker()}).count, 0u);
  EXPECT_TRUE(std::isnan(StatisticsOf(std::vector<double>{NormalNan()}).min));
}

TEST(ChunkStatisticsTest, SumsAreCompensated) {
  EXPECT_EQ(StatisticsOf(std::vector<double>{1, 1e100, 1, -1e100}).sum, 2);
}

TEST(ChunkStatisticsTest, AreReadFromTheHeadOrByDecoding) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    SampleColumns columns;
    double value = 0;
    for (int i = 0; i < 300; ++i) {
      value = RandomDouble(seed, value, &random);
      columns.PushBack(i * 1000 + static_cast<int64_t>(random() % 2), value,
                       static_cast<int64_t>(seed % 2));
    }
    for (const size_t size : {1u, 60u, 120u, 300u}) {
      const auto got = ReadChunkStatistics(EncodeChunk(columns, 0, size));
      ASSERT_THAT(got, IsOk());
      ASSERT_EQ(*got, StatisticsOf({columns.values.data(), size}));
    }
  }
}

TEST(ChunkStatisticsTest, OfDecimalsTakeAboutADozenBytes) {
  std::vector<double> values;
  for (int i = 0; i < 512; ++i) values.push_back(1e6 + i * 0.25);
  std::string bytes;

  PutStatistics(StatisticsOf(values), &bytes);

  EXPECT_LE(bytes.size(), 20u);
}

TEST(SampleColumnsTest, MergeLetsTheFirstWinAndCountsOtherValues) {
  uint64_t conflicts = 0;

  const SampleColumns merged = Merged(
      Columns({{1, 1}, {3, 3}}), Columns({{1, 9}, {2, 2}, {3, 3}}), &conflicts);

  EXPECT_THAT(merged.times_ms, ElementsAre(1, 2, 3));
  EXPECT_THAT(merged.values, ElementsAre(1, 2, 3));
  EXPECT_EQ(conflicts, 1u);
}

}  // namespace
}  // namespace vigie::store
