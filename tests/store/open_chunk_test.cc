#include "store/open_chunk.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>
#include <variant>

#include "tests/store/random_samples.h"

namespace vigie::store {
namespace {

using AnyValue = std::variant<double, IntegerHistogram, FloatHistogram>;

struct AnySample {
  int64_t time_ms = 0;
  int64_t start_ms = 0;
  AnyValue value;
};

void Append(const AnySample& sample, OpenChunk* chunk) {
  std::visit(
      [&](const auto& value) {
        chunk->Append(sample.time_ms, sample.start_ms, value);
      },
      sample.value);
}

OpenChunk Packed(const std::vector<AnySample>& samples) {
  OpenChunk chunk;
  for (const AnySample& sample : samples) Append(sample, &chunk);
  return chunk;
}

// What Decode gives is what went in, and runs are as long as they can be.
void ExpectHolds(const OpenChunk& chunk, const std::vector<AnySample>& in) {
  SampleRuns runs;
  chunk.Decode(&runs);
  ASSERT_EQ(chunk.size(), in.size());
  size_t at = 0;
  for (size_t r = 0; r < runs.size(); ++r) {
    const SampleColumns& run = runs[r];
    ASSERT_TRUE(r == 0 || run.kind != runs[r - 1].kind);
    for (size_t i = 0; i < run.size(); ++i, ++at) {
      ASSERT_LT(at, in.size());
      ASSERT_EQ(run.times_ms[i], in[at].time_ms);
      ASSERT_EQ(run.start_ms(i), in[at].start_ms);
      ASSERT_EQ(static_cast<size_t>(run.kind), in[at].value.index());
      if (run.kind == SampleKind::kFloat) {
        ASSERT_TRUE(SameBits(run.values[i], std::get<double>(in[at].value)));
      } else if (run.kind == SampleKind::kIntegerHistogram) {
        ASSERT_TRUE(SameBits(run.integer_histograms[i],
                             std::get<IntegerHistogram>(in[at].value)));
      } else {
        ASSERT_TRUE(SameBits(run.float_histograms[i],
                             std::get<FloatHistogram>(in[at].value)));
      }
    }
  }
  ASSERT_EQ(at, in.size());
}

std::vector<AnySample> RandomSamples(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<AnySample> samples;
  int64_t time_ms = static_cast<int64_t>(random() >> 2) - (int64_t{1} << 61);
  int64_t step_ms = 15'000;
  uint64_t sort = random();
  double last = 0;
  IntegerHistogram integer;
  FloatHistogram floats;
  int64_t start_ms = 0;
  size_t kind = 0;
  const uint64_t kinds = seed % 3 == 0 ? 3 : 1;
  for (size_t i = 0; i < count; ++i) {
    if (random() % 16 == 0) sort = random();
    if (random() % 8 == 0) kind = random() % kinds;
    if (random() % 16 == 0) {
      step_ms = static_cast<int64_t>(1 + random() % (1ull << random() % 40));
    }
    if (seed % 4 == 0 && random() % 8 == 0) {
      start_ms = static_cast<int64_t>(random() >> random() % 64);
    }
    AnySample sample{time_ms, start_ms, 0.0};
    if (kind == 0) {
      sample.value = last = RandomDouble(sort, last, &random);
    } else if (kind == 1) {
      sample.value = integer = RandomHistogram(integer, &random);
    } else {
      sample.value = floats = RandomHistogram(floats, &random);
    }
    samples.push_back(std::move(sample));
    time_ms +=
        seed % 5 == 0 ? step_ms + static_cast<int64_t>(random() % 10) : step_ms;
  }
  return samples;
}

TEST(OpenChunkTest, AnEmptyOneTakesNothingOnTheHeap) {
  const OpenChunk chunk;
  SampleRuns runs;
  chunk.Decode(&runs);

  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(chunk.bytes(), 0u);
  EXPECT_TRUE(runs.empty());
}

TEST(OpenChunkTest, WhatGoesInComesOutBitForBit) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<AnySample> in = RandomSamples(seed, 1 + seed * 7 % 200);
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(Packed(in), in));
  }
}

TEST(OpenChunkTest, TellsTheLastSampleOfEveryKindAsItGoes) {
  for (uint64_t seed = 3; seed <= 60; seed += 3) {
    SCOPED_TRACE(seed);
    OpenChunk chunk;
    const std::vector<AnySample> in = RandomSamples(seed, 60);
    for (const AnySample& sample : in) {
      Append(sample, &chunk);
      ASSERT_EQ(chunk.first_time_ms(), in[0].time_ms);
      ASSERT_EQ(chunk.last_time_ms(), sample.time_ms);
      ASSERT_EQ(chunk.last_start_ms(), sample.start_ms);
      ASSERT_EQ(static_cast<size_t>(chunk.last_kind()), sample.value.index());
      if (const auto* value = std::get_if<double>(&sample.value)) {
        ASSERT_TRUE(SameBits(chunk.last_value(), *value));
        ASSERT_EQ(chunk.last_integer_histogram(), nullptr);
      } else if (const auto* h = std::get_if<IntegerHistogram>(&sample.value)) {
        ASSERT_TRUE(SameBits(*chunk.last_integer_histogram(), *h));
        ASSERT_EQ(chunk.last_float_histogram(), nullptr);
      } else {
        ASSERT_TRUE(SameBits(*chunk.last_float_histogram(),
                             std::get<FloatHistogram>(sample.value)));
      }
    }
  }
}

TEST(OpenChunkTest, TakesTheWholeRangeOfTimesAndStarts) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const std::vector<AnySample> in = {
      {kMin, kMax, 1.0}, {0, kMin, 2.0}, {1, 0, 3.0}, {kMax, kMax, 4.0}};

  ExpectHolds(Packed(in), in);
}

TEST(OpenChunkTest, ACopyStaysAsItIsWhileTheOtherGrows) {
  for (const uint64_t seed : {1u, 2u, 3u, 12u}) {
    SCOPED_TRACE(seed);
    const std::vector<AnySample> in = RandomSamples(seed, 100);
    std::vector<AnySample> half(in.begin(), in.begin() + 50);
    OpenChunk chunk = Packed(half);

    OpenChunk copy = chunk.Copy();
    for (size_t i = 50; i < in.size(); ++i) Append(in[i], &chunk);

    ASSERT_NO_FATAL_FAILURE(ExpectHolds(copy, half));
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(chunk, in));
    for (size_t i = 50; i < in.size(); ++i) Append(in[i], &copy);
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(copy, in));
  }
}

TEST(OpenChunkTest, MovesLeaveAnEmptyOneThatTakesSamplesAgain) {
  const std::vector<AnySample> in = RandomSamples(3, 40);
  OpenChunk chunk = Packed(in);

  OpenChunk moved = std::move(chunk);
  chunk = OpenChunk();
  chunk.Append(1, 0, 5.5);

  ASSERT_NO_FATAL_FAILURE(ExpectHolds(moved, in));
  ExpectHolds(chunk, {{1, 0, 5.5}});
  moved.Clear();
  EXPECT_EQ(moved.bytes(), 0u);
}

TEST(OpenChunkTest, DecodeGoesOnWithTheLastRunOfItsKind) {
  SampleRuns runs(1);
  runs[0].PushBack(1, 1.0, 0);

  Packed({{2, 0, 2.0}, {3, 0, IntegerHistogram()}}).Decode(&runs);

  ASSERT_EQ(runs.size(), 2u);
  EXPECT_THAT(runs[0].values, ::testing::ElementsAre(1, 2));
  EXPECT_THAT(runs[1].times_ms, ::testing::ElementsAre(3));
}

// Ratchets: what series take in memory as they are scraped. Lower them when the
// stream gets better.
TEST(OpenChunkTest, SizesOfCommonSeriesDoNotGrow) {
  std::mt19937_64 random(9);
  OpenChunk nine, constant, counter, cents, pages, jittered, bits;
  double c = 1e6, p = 1 << 30, x = 0.1;
  for (int i = 0; i < 120; ++i) {
    const int64_t time_ms = 1'763'700'000'123 + i * 15'000;
    c += static_cast<double>(random() % 64);
    p += 4096.0 * static_cast<double>(random() % 16) - 32768;
    x = 4 * x * (1 - x);  // chaos in (0, 1)
    if (i < 9) nine.Append(time_ms, 0, c);
    constant.Append(time_ms, 0, 1763690000.37);
    counter.Append(time_ms, 0, c);
    cents.Append(time_ms, 0, std::round(4000 + 100 * std::sin(i / 9.0)) / 100);
    pages.Append(time_ms, 0, p);
    jittered.Append(time_ms + static_cast<int64_t>(random() % 10), 0, 1);
    bits.Append(time_ms, 0, x);
  }

  EXPECT_LE(nine.bytes(), 40u);
  EXPECT_LE(constant.bytes(), 56u);
  EXPECT_LE(counter.bytes(), 136u);
  EXPECT_LE(cents.bytes(), 120u);
  EXPECT_LE(pages.bytes(), 120u);
  EXPECT_LE(jittered.bytes(), 168u);
  EXPECT_LE(bits.bytes(), 1000u);
}

TEST(OpenChunkTest, AStartThatStaysTakesNothingASample) {
  OpenChunk with, without;
  for (int i = 0; i < 100; ++i) {
    with.Append(5'000'000'000 + i * 15'000, 5'000'000'000 - 1, i);
    without.Append(5'000'000'000 + i * 15'000, 0, i);
  }

  EXPECT_LE(with.bytes(), without.bytes() + 32);
}

TEST(OpenChunkDeathTest, ATimeNotAfterTheLastIsABrokenInvariant) {
  OpenChunk chunk = Packed({{5, 0, 1.0}});

  EXPECT_DEATH(chunk.Append(5, 0, 2.0), "broken invariant");
}

}  // namespace
}  // namespace vigie::store
