#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "store/decimal.h"
#include "store/integer_codec.h"
#include "store/value_codec.h"
#include "tests/store/random_samples.h"

namespace vigie::store {
namespace {

// Calls `f` with where a part of `size` begins and how long it is: single ones
// and long ones, at both ends and between.
template <class F>
void ForParts(size_t size, F f) {
  for (const size_t begin :
       {size_t{0}, size_t{1}, size_t{2}, size / 3, size / 2, size - 1}) {
    if (begin >= size) continue;
    for (const size_t length :
         {size_t{1}, size_t{2}, (size - begin) / 2, size - begin}) {
      if (length > 0 && length <= size - begin) f(begin, length);
    }
  }
}

void ExpectRoundTrip(const std::vector<uint64_t>& in) {
  std::string bytes;
  EncodeIntegers(in, &bytes);
  std::vector<uint64_t> out(in.size());
  ByteReader reader(bytes);
  ASSERT_TRUE(DecodeIntegers(&reader, out));
  ASSERT_TRUE(reader.empty());
  ASSERT_EQ(out, in);
  ForParts(in.size(), [&](size_t begin, size_t length) {
    ByteReader again(bytes);
    std::vector<uint64_t> part(length);
    ASSERT_TRUE(DecodeIntegers(&again, in.size(), begin, part));
    ASSERT_TRUE(again.empty());
    ASSERT_TRUE(std::equal(part.begin(), part.end(),
                           in.begin() + static_cast<std::ptrdiff_t>(begin)))
        << length << " from " << begin;
  });
}

void ExpectRoundTrip(const std::vector<double>& in) {
  std::string bytes;
  EncodeDoubles(in, &bytes);
  std::vector<double> out(in.size());
  ByteReader reader(bytes);
  ASSERT_TRUE(DecodeDoubles(&reader, out));
  ASSERT_TRUE(reader.empty());
  for (size_t i = 0; i < in.size(); ++i) ASSERT_TRUE(SameBits(in[i], out[i]));
  ForParts(in.size(), [&](size_t begin, size_t length) {
    ByteReader again(bytes);
    std::vector<double> part(length);
    ASSERT_TRUE(DecodeDoubles(&again, in.size(), begin, part));
    ASSERT_TRUE(again.empty());
    for (size_t i = 0; i < length; ++i) {
      ASSERT_TRUE(SameBits(in[begin + i], part[i]))
          << length << " from " << begin;
    }
  });
}

size_t PackedSize(const std::vector<double>& values) {
  std::string bytes;
  EncodeDoubles(values, &bytes);
  return bytes.size();
}

// Every width, at every length up to two words and some longer ones.
TEST(IntegerCodecTest, EveryWidthAndLengthComesBack) {
  std::mt19937_64 random(1);
  for (int width = 0; width <= 64; ++width) {
    for (const size_t size : {1, 2, 3, 7, 8, 9, 63, 64, 65, 130, 517}) {
      SCOPED_TRACE(::testing::Message() << width << " bits, " << size);
      std::vector<uint64_t> column;
      for (size_t i = 0; i < size; ++i) {
        column.push_back(width == 0 ? 7 : random() >> (64 - width));
      }
      ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(column));
    }
  }
}

// Walks of order 0 to 2 with leaps, multiples, and wrapping around.
TEST(IntegerCodecTest, RandomWalksComeBack) {
  for (uint64_t seed = 1; seed <= 2'000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::vector<uint64_t> column;
    const size_t size = 1 + random() % 300;
    const uint64_t factor = seed % 5 == 0 ? random() >> random() % 64 : 1;
    const int width = static_cast<int>(random() % 64);
    uint64_t value = random() >> random() % 64, speed = 0;
    for (size_t i = 0; i < size; ++i) {
      const uint64_t step = random() >> (63 - width);
      if (seed % 3 == 0) speed += step;
      if (seed % 3 == 1) speed = step;
      value += speed;
      if (random() % 40 == 0) value = random() >> random() % 64;
      column.push_back((seed % 3 == 2 ? step : value) * factor);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(column));
  }
}

TEST(IntegerCodecTest, TheEdgesOfTheRangeComeBack) {
  const uint64_t low = 1ull << 63, high = low - 1;
  ExpectRoundTrip(std::vector<uint64_t>{low, high, low, high, 0, ~0ull});
  ExpectRoundTrip(std::vector<uint64_t>{high, low});
  ExpectRoundTrip(std::vector<uint64_t>{0, low, 0});
  ExpectRoundTrip(std::vector<uint64_t>(4096, ~0ull));
}

TEST(IntegerCodecTest, AConstantTakesThreeBytesMoreOrLess) {
  std::string bytes;

  EncodeIntegers(std::vector<uint64_t>(512, 1), &bytes);

  EXPECT_LE(bytes.size(), 3u);
}

TEST(IntegerCodecTest, RandomBytesNeverCrash) {
  std::mt19937_64 random(3);
  std::vector<uint64_t> out(100);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes;
    const size_t size = random() % 200;
    for (size_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<char>(random() >> random() % 56));
    }
    ByteReader reader(bytes);
    ASSERT_TRUE(!DecodeIntegers(&reader, out) || reader.ok());
  }
}

TEST(ValueCodecTest, RandomDoublesComeBack) {
  for (uint64_t seed = 1; seed <= 2'000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::vector<double> column;
    const size_t size = 1 + random() % 300;
    uint64_t sort = seed;
    double value = static_cast<double>(random() % 1000);
    for (size_t i = 0; i < size; ++i) {
      value = RandomDouble(sort, value, &random);
      column.push_back(value);
      // A few strays in a column of one sort, or many sorts.
      if (random() % (1 + seed % 60) == 0) sort = random();
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrip(column));
  }
}

// Ratchets: what each sort of series takes at 512 samples. Lower them when the
// codec gets better.
TEST(ValueCodecTest, SizesOfCommonSeriesDoNotGrow) {
  std::mt19937_64 random(9);
  std::vector<double> constant(512, 1763690000.37), counter, cents, pages, sum,
      sparse, stale, random_bits;
  double c = 1e6, s = 0, p = 4096e5, n = 0, x = 0.1;
  for (int i = 0; i < 512; ++i) {
    counter.push_back(c += static_cast<double>(random() % 64));
    cents.push_back(std::round(4000 + 100 * std::sin(i / 9.0)) / 100);
    pages.push_back(p += 4096.0 * static_cast<double>(random() % 16) - 32768);
    sum.push_back(s += static_cast<double>(random() % 1000) / 1000);
    sparse.push_back(n += random() % 50 == 0 ? 3 : 0);
    stale.push_back(i % 100 == 99 ? StaleMarker() : i * 2.0);
    random_bits.push_back(x = 4 * x * (1 - x));  // chaos in (0, 1)
  }

  EXPECT_LE(PackedSize(constant), 20u);
  EXPECT_LE(PackedSize(counter), 512 * 6 / 8 + 16);
  EXPECT_LE(PackedSize(cents), 512 * 5 / 8 + 16);
  EXPECT_LE(PackedSize(pages), 512 * 4 / 8 + 16);
  EXPECT_LE(PackedSize(sum), 512 * 16 / 8);
  EXPECT_LE(PackedSize(sparse), 40u);
  EXPECT_LE(PackedSize(stale), 80u);
  EXPECT_LE(PackedSize(random_bits), 512 * 60 / 8 + 16);
}

TEST(DecimalTest, GivesBackTheVeryDoubleOrNothing) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 100'000; ++round) {
    const int exponent = static_cast<int>(random() % 16);
    const double value = RandomDouble(random(), 0.7, &random);
    int64_t integer;
    if (!ToDecimal(value, exponent, &integer)) continue;
    ASSERT_TRUE(SameBits(FromDecimal(integer, exponent), value));
  }
  int64_t integer;
  EXPECT_FALSE(ToDecimal(-0.0, 0, &integer));
  EXPECT_FALSE(ToDecimal(NormalNan(), 3, &integer));
  EXPECT_TRUE(ToDecimal(0.07, 2, &integer));
  EXPECT_EQ(integer, 7);
}

}  // namespace
}  // namespace vigie::store
