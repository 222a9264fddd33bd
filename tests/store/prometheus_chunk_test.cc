// Chunks of Prometheus's blocks. The encoder below writes what tsdb/chunkenc
// writes; blocks of the real one are read in tests/e2e/store_import_test.py.
#include "store/prometheus_chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "model/sample.h"

namespace vigie::store {
namespace {

class BitWriter {
 public:
  void Bits(uint64_t value, unsigned count) {
    for (unsigned i = count; i-- > 0;) {
      if (used_ % 8 == 0) bytes_ += '\0';
      if (value >> i & 1) {
        bytes_.back() = static_cast<char>(bytes_.back() | 0x80 >> used_ % 8);
      }
      ++used_;
    }
  }
  void Double(double value) { Bits(std::bit_cast<uint64_t>(value), 64); }
  void Uvarint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) Bits((value & 0x7f) | 0x80, 8);
    Bits(value, 8);
  }
  void Varint(int64_t value) {
    Uvarint(static_cast<uint64_t>(value) << 1 ^
            static_cast<uint64_t>(value >> 63));
  }
  // The size is chosen by the caller: each must be read.
  void Varbit(int64_t value, unsigned ones) {
    constexpr unsigned kSizes[] = {0, 3, 6, 9, 12, 18, 25, 56, 64};
    for (unsigned i = 0; i < ones; ++i) Bits(1, 1);
    if (ones < 8) Bits(0, 1);
    Bits(static_cast<uint64_t>(value), kSizes[ones]);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  unsigned used_ = 0;
};

TEST(PrometheusChunkTest, ReadsEverySizeOfATimeStep) {
  BitWriter writer;
  const std::vector<std::pair<int64_t, unsigned>> steps = {
      {0, 0},      {8192, 14},    {-8191, 14},
      {65536, 17}, {-524287, 20}, {1 << 21, 64}};
  constexpr unsigned kOnes[] = {1, 2, 3, 4};
  writer.Bits(2 + steps.size(), 16);
  writer.Varint(-5);
  writer.Double(1.5);
  writer.Uvarint(1'000'000);
  writer.Bits(0, 1);  // the same value
  std::vector<int64_t> times = {-5, 999'995};
  int64_t step = 1'000'000;
  for (const auto& [change, bits] : steps) {
    const size_t kind = bits == 14 ? 0 : bits == 17 ? 1 : bits == 20 ? 2 : 3;
    if (bits == 0) {
      writer.Bits(0, 1);
    } else {
      for (unsigned i = 0; i < kOnes[kind]; ++i) writer.Bits(1, 1);
      if (kOnes[kind] < 4) writer.Bits(0, 1);
      writer.Bits(static_cast<uint64_t>(change), bits);
    }
    writer.Bits(0, 1);
    step += change;
    times.push_back(times.back() + step);
  }

  const auto batch = DecodePrometheusChunk(kPrometheusXor, writer.bytes());

  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->times_ms, times);
  EXPECT_EQ(batch->values, std::vector<double>(times.size(), 1.5));
}

TEST(PrometheusChunkTest, ReadsValuesByXorBitForBit) {
  BitWriter writer;
  const uint64_t first = std::bit_cast<uint64_t>(12.0);
  writer.Bits(4, 16);
  writer.Varint(0);
  writer.Bits(first, 64);
  writer.Uvarint(1);
  writer.Bits(0b11, 2);  // 12 leading zeros, 8 bits
  writer.Bits(12, 5);
  writer.Bits(8, 6);
  writer.Bits(0xa5, 8);
  writer.Bits(0, 1);
  writer.Bits(0b10, 2);  // as before
  writer.Bits(0x81, 8);
  writer.Bits(0, 1);
  writer.Bits(0b11, 2);  // all 64
  writer.Bits(0, 5);
  writer.Bits(0, 6);
  const uint64_t third = first ^ 0xa5ULL << 44 ^ 0x81ULL << 44;
  writer.Bits(third ^ kStaleNanBits, 64);

  const auto batch = DecodePrometheusChunk(kPrometheusXor, writer.bytes());

  ASSERT_TRUE(batch.ok()) << batch.status();
  std::vector<uint64_t> bits;
  for (const double v : batch->values) {
    bits.push_back(std::bit_cast<uint64_t>(v));
  }
  EXPECT_EQ(bits, (std::vector<uint64_t>{first, first ^ 0xa5ULL << 44, third,
                                         kStaleNanBits}));
}

// The layout of the histogram tests: schema 3, a zero threshold of 2^-128 and
// three positive buckets in two spans.
void WriteLayout(BitWriter* writer) {
  writer->Bits(116, 8);
  writer->Varbit(3, 1);
  writer->Varbit(2, 1);  // spans
  writer->Varbit(2, 1);
  writer->Varbit(-20, 2);
  writer->Varbit(1, 1);
  writer->Varbit(4, 1);
  writer->Varbit(0, 0);  // none negative
}

TEST(PrometheusChunkTest, ReadsIntegerHistograms) {
  BitWriter writer;
  writer.Bits(3, 16);
  writer.Bits(0x80, 8);  // after a reset
  WriteLayout(&writer);
  writer.Varbit(1'700'000'000'000, 7);
  writer.Varbit(10, 3);
  writer.Varbit(1, 1);
  writer.Double(2.5);
  for (const int64_t delta : {4, -1, -1}) writer.Varbit(delta, 1);  // 4 3 2
  // The second: 15 s later, three more, two of them in the last bucket.
  writer.Varbit(15'000, 5);
  writer.Varbit(3, 1);
  writer.Varbit(0, 0);
  writer.Bits(0, 1);
  for (const int64_t change : {1, -1, 2}) writer.Varbit(change, 1);  // 5 3 4
  // The third ends the series.
  writer.Varbit(0, 0);
  writer.Varbit(0, 0);
  writer.Varbit(0, 0);
  writer.Bits(0b11, 2);
  writer.Bits(0, 5);
  writer.Bits(0, 6);
  writer.Bits(std::bit_cast<uint64_t>(2.5) ^ kStaleNanBits, 64);

  const auto batch =
      DecodePrometheusChunk(kPrometheusHistogram, writer.bytes());

  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->integer_histograms.size(), 3u);
  EXPECT_EQ(batch->times_ms,
            (std::vector<int64_t>{1'700'000'000'000, 1'700'000'015'000,
                                  1'700'000'030'000}));
  const IntegerHistogram& first = batch->integer_histograms[0];
  EXPECT_EQ(first.reset_hint, CounterResetHint::kReset);
  EXPECT_EQ(first.schema, 3);
  EXPECT_EQ(first.zero_threshold, 0x1p-128);
  EXPECT_EQ(first.count, 10u);
  EXPECT_EQ(first.zero_count, 1u);
  EXPECT_EQ(first.sum, 2.5);
  EXPECT_EQ(first.positive_spans, (std::vector<BucketSpan>{{-20, 2}, {4, 1}}));
  EXPECT_EQ(first.positive_buckets, (std::vector<uint64_t>{4, 3, 2}));
  const IntegerHistogram& second = batch->integer_histograms[1];
  EXPECT_EQ(second.reset_hint, CounterResetHint::kNotReset);
  EXPECT_EQ(second.count, 13u);
  EXPECT_EQ(second.positive_buckets, (std::vector<uint64_t>{5, 3, 4}));
  EXPECT_TRUE(IsStaleMarker(batch->integer_histograms[2].sum));
}

TEST(PrometheusChunkTest, ReadsFloatHistogramsWithBoundsOfTheirOwn) {
  BitWriter writer;
  writer.Bits(2, 16);
  writer.Bits(0xc0, 8);  // a gauge
  writer.Bits(0, 8);
  writer.Varbit(kCustomBucketsSchema, 3);
  writer.Varbit(1, 1);
  writer.Varbit(2, 1);
  writer.Varbit(0, 0);
  writer.Varbit(0, 0);
  writer.Varbit(2, 1);    // bounds
  writer.Varbit(101, 3);  // 0.1
  writer.Varbit(0, 0);    // in full
  writer.Double(1e9);
  writer.Varbit(1'000, 4);
  for (const double value : {3.5, 0.0, 7.25, 1.5, 2.0}) writer.Double(value);
  writer.Varbit(10, 3);
  for (int i = 0; i < 5; ++i) writer.Bits(0, 1);  // as before

  const auto batch =
      DecodePrometheusChunk(kPrometheusFloatHistogram, writer.bytes());

  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->float_histograms.size(), 2u);
  EXPECT_EQ(batch->float_histograms[0], batch->float_histograms[1]);
  const FloatHistogram& one = batch->float_histograms[0];
  EXPECT_EQ(one.reset_hint, CounterResetHint::kGauge);
  EXPECT_EQ(one.schema, kCustomBucketsSchema);
  EXPECT_EQ(one.custom_values, (std::vector<double>{0.1, 1e9}));
  EXPECT_EQ(one.positive_buckets, (std::vector<double>{1.5, 2.0}));
  EXPECT_EQ(one.count, 3.5);
}

TEST(PrometheusChunkTest, RefusesWhatIsCutShort) {
  BitWriter writer;
  writer.Bits(2, 16);
  writer.Bits(0x80, 8);
  WriteLayout(&writer);
  writer.Varbit(1, 1);
  writer.Varbit(6, 2);
  writer.Varbit(1, 1);
  writer.Double(2.5);
  for (int i = 0; i < 3; ++i) writer.Varbit(2, 1);
  writer.Varbit(15'000, 5);
  writer.Varbit(1'000, 4);
  writer.Varbit(0, 0);
  writer.Bits(0, 1);
  for (int i = 0; i < 3; ++i) writer.Varbit(1'000, 4);
  ASSERT_TRUE(DecodePrometheusChunk(kPrometheusHistogram, writer.bytes()).ok());

  for (size_t bytes = 1; bytes < writer.bytes().size(); ++bytes) {
    EXPECT_EQ(DecodePrometheusChunk(kPrometheusHistogram,
                                    writer.bytes().substr(0, bytes))
                  .status()
                  .code(),
              absl::StatusCode::kDataLoss)
        << bytes;
  }
}

TEST(PrometheusChunkTest, RefusesWhatIsDamaged) {
  // Times that stand still; a count without samples; a schema of no kind.
  BitWriter still;
  still.Bits(2, 16);
  still.Varint(7);
  still.Double(1);
  still.Uvarint(0);
  still.Bits(0, 1);
  EXPECT_EQ(
      DecodePrometheusChunk(kPrometheusXor, still.bytes()).status().code(),
      absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodePrometheusChunk(kPrometheusXor, "\xff\xff").status().code(),
            absl::StatusCode::kDataLoss);
  BitWriter schema;
  schema.Bits(1, 16);
  schema.Bits(0, 16);
  schema.Varbit(9, 2);
  schema.Bits(0, 64);
  EXPECT_THAT(
      std::string(DecodePrometheusChunk(kPrometheusHistogram, schema.bytes())
                      .status()
                      .message()),
      ::testing::HasSubstr("schema 9"));
  EXPECT_EQ(DecodePrometheusChunk(9, "").status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace vigie::store
