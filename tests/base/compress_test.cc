#include "base/compress/compress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <random>
#include <string>

#include "tests/support/status_matchers.h"

namespace vigie::compress {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

constexpr int64_t kBytesMax = 1 << 20;

std::string Zstd(std::string_view in) {
  std::string out(ZSTD_compressBound(in.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
  return out;
}
std::string Zlib(std::string_view in) {
  uLongf size = compressBound(in.size());
  std::string out(size, '\0');
  ::compress(reinterpret_cast<Bytef*>(out.data()), &size,
             reinterpret_cast<const Bytef*>(in.data()), in.size());
  out.resize(size);
  return out;
}

struct Codec {
  const char* name;
  std::string (*pack)(std::string_view);
  absl::StatusOr<std::string> (*unpack)(std::string_view, int64_t);
};

class CodecTest : public ::testing::TestWithParam<Codec> {
 protected:
  std::string Pack(std::string_view in) const { return GetParam().pack(in); }
  absl::StatusOr<std::string> Unpack(std::string_view in,
                                     int64_t bytes_max = kBytesMax) const {
    return GetParam().unpack(in, bytes_max);
  }
};

std::string Noise(size_t bytes) {
  std::mt19937 random(7);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST_P(CodecTest, GivesBackWhatWasPacked) {
  for (const std::string& text :
       {std::string(), std::string("a"), std::string(300'000, 'x'),
        Noise(200'000), std::string(kBytesMax, 'y')}) {
    const auto got = Unpack(Pack(text));
    ASSERT_THAT(got, IsOk()) << text.size();
    EXPECT_TRUE(*got == text) << text.size();
  }
}

TEST_P(CodecTest, RefusesOneByteAboveTheBound) {
  const std::string text = Noise(1000);
  EXPECT_THAT(Unpack(Pack(text), 1000), IsOk());
  EXPECT_THAT(Unpack(Pack(text), 999),
              HasError(absl::StatusCode::kOutOfRange, HasSubstr("999 bytes")));
  EXPECT_THAT(Unpack(Pack("x"), 0), HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Unpack(Pack(""), 0), IsOk());
}

TEST_P(CodecTest, RefusesABomb) {
  const std::string bomb = Pack(std::string(50 << 20, '\0'));
  EXPECT_THAT(Unpack(bomb), HasCode(absl::StatusCode::kOutOfRange));
}

TEST_P(CodecTest, RefusesEveryTruncation) {
  const std::string packed = Pack("some text, some text, and some more text");
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THAT(Unpack(packed.substr(0, size)),
                HasError(absl::StatusCode::kInvalidArgument,
                         HasSubstr(GetParam().name)))
        << size;
  }
}

TEST_P(CodecTest, SurvivesEveryFlippedByte) {
  const std::string packed = Pack("some text, some text, and some more text");
  for (size_t i = 0; i < packed.size(); ++i) {
    std::string broken = packed;
    broken[i] = static_cast<char>(broken[i] ^ 0x41);
    const auto got = Unpack(broken);
    EXPECT_TRUE(!got.ok() || got->size() <= static_cast<size_t>(kBytesMax));
  }
}

TEST_P(CodecTest, RefusesJunk) {
  EXPECT_FALSE(Unpack("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").ok());
  EXPECT_FALSE(Unpack(Noise(5000)).ok());
}

INSTANTIATE_TEST_SUITE_P(
    All, CodecTest,
    ::testing::Values(Codec{"snappy", CompressSnappyBlock,
                            DecompressSnappyBlock},
                      Codec{"gzip", CompressGzip, DecompressGzip},
                      Codec{"zstd", Zstd, DecompressZstd},
                      Codec{"deflate", Zlib, DecompressDeflate}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SnappyTest, ChecksTheDeclaredLengthBeforeAnythingIsAllocated) {
  // A varint of 4 GB, then nothing.
  EXPECT_THAT(DecompressSnappyBlock("\xFF\xFF\xFF\xFF\x0F", kBytesMax),
              HasCode(absl::StatusCode::kOutOfRange));
  // Within the bound, but more than so few bytes can hold.
  EXPECT_THAT(DecompressSnappyBlock("\xFF\xFF\x03", kBytesMax),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more bytes than it can hold")));
}

// A block as no compressor writes it: elements of every form and length, most
// of them allowed, and the length that they stand for.
class RandomBlock {
 public:
  explicit RandomBlock(uint32_t seed) : random_(seed) {}

  std::string Make() {
    std::string elements;
    size_ = 0;
    for (int count = Below(60); count >= 0; --count) {
      Below(3) == 0 || size_ == 0 ? AddLiteral(&elements) : AddCopy(&elements);
    }
    std::string block;
    size_t declared = size_ + (Below(50) == 0 ? 1 : 0);
    for (; declared >= 0x80; declared >>= 7) {
      block.push_back(static_cast<char>(declared | 0x80));
    }
    block.push_back(static_cast<char>(declared));
    block += elements;
    if (Below(8) == 0) block[Below(block.size())] ^= 1 << Below(8);
    if (Below(20) == 0) block.resize(Below(block.size()));
    return block;
  }

 private:
  uint32_t Below(size_t bound) {
    return random_() % static_cast<uint32_t>(bound);
  }
  void AddNumber(size_t number, int bytes, std::string* out) {
    for (int i = 0; i < bytes; ++i) {
      out->push_back(static_cast<char>(number >> (8 * i)));
    }
  }
  void AddLiteral(std::string* out) {
    const size_t size = 1 + Below(Below(60) == 0 ? 70'000 : 70);
    const int bytes = size > 65536 ? 3 : size > 256 ? 2 : size > 60 ? 1 : 0;
    out->push_back(
        static_cast<char>((bytes == 0 ? size - 1 : 59 + bytes) << 2));
    AddNumber(size - 1, bytes, out);
    for (size_t i = 0; i < size; ++i) {
      out->push_back(static_cast<char>(random_()));
    }
    size_ += size;
  }
  void AddCopy(std::string* out) {
    size_t offset =
        1 + Below(Below(3) == 0 ? std::min<size_t>(size_, 20) : size_);
    if (Below(300) == 0) offset = size_ + 1;  // before the beginning
    const bool near = offset < 2048 && Below(2) == 0;
    const size_t size = near ? 4 + Below(8) : 1 + Below(64);
    if (near) {
      out->push_back(
          static_cast<char>(1 | (size - 4) << 2 | (offset >> 8) << 5));
      AddNumber(offset, 1, out);
    } else {
      const bool far = offset > 65535 || Below(8) == 0;
      out->push_back(static_cast<char>((far ? 3 : 2) | (size - 1) << 2));
      AddNumber(offset, far ? 4 : 2, out);
    }
    size_ += size;
  }

  std::mt19937 random_;
  size_t size_ = 0;
};

TEST(SnappyTest, ReadsAndRefusesWhatTheLibraryDoes) {
  int read = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 2'000; ++seed) {
    // Of its own size on the heap, so that sanitizers see each byte beyond.
    const std::string made = RandomBlock(seed).Make();
    const std::vector<char> block(made.begin(), made.end());
    std::string expected;
    const bool valid =
        snappy::Uncompress(block.data(), block.size(), &expected);

    const auto got =
        DecompressSnappyBlock({block.data(), block.size()}, 8 << 20);

    ASSERT_EQ(got.ok(), valid) << "seed " << seed;
    ASSERT_TRUE(!valid || *got == expected) << "seed " << seed;
    ++(valid ? read : refused);
  }
  EXPECT_GT(read, 1'000);
  EXPECT_GT(refused, 100);
}

TEST(GzipTest, ReadsSeveralMembers) {
  EXPECT_EQ(*DecompressGzip(CompressGzip("a") + CompressGzip("b"), 2), "ab");
  EXPECT_THAT(DecompressGzip(CompressGzip("a") + "junk", kBytesMax),
              HasCode(absl::StatusCode::kInvalidArgument));
}

// Room used to be cleared anew for each: quadratic work for a small body.
TEST(GzipTest, ReadsManyEmptyMembersInTheTimeOfOne) {
  std::string members;
  for (int i = 0; i < 50'000; ++i) members += CompressGzip("");
  EXPECT_EQ(*DecompressGzip(members, 64 << 20), "");

  std::string frames;
  for (int i = 0; i < 50'000; ++i) frames += Zstd("");
  EXPECT_EQ(*DecompressZstd(frames, 64 << 20), "");
}

TEST(DeflateTest, RefusesBytesAfterTheEnd) {
  EXPECT_THAT(DecompressDeflate(Zlib("a") + "b", kBytesMax),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 bytes after the end")));
}

TEST(ZstdTest, ReadsFramesThatDoNotSayTheirSize) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const std::string text(100'000, 'x');
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress2(context, packed.data(), packed.size(),
                               text.data(), text.size()));
  ZSTD_freeCCtx(context);

  EXPECT_EQ(*DecompressZstd(packed, kBytesMax), text);
  EXPECT_THAT(DecompressZstd(packed, 99'999),
              HasCode(absl::StatusCode::kOutOfRange));
}

TEST(StreamCompressorTest, MakesWhatTheDecompressorsRead) {
  using Format = StreamCompressor::Format;
  for (const Format format : {Format::kGzip, Format::kZlib}) {
    StreamCompressor compressor(format);
    std::string packed, text;
    for (const size_t bytes : {0, 1, 70'000, 0, 300}) {
      const std::string piece = Noise(bytes);
      text += piece;
      compressor.Append(piece, &packed);
    }
    compressor.Finish(&packed);

    const auto got = format == Format::kGzip
                         ? DecompressGzip(packed, kBytesMax)
                         : DecompressDeflate(packed, kBytesMax);
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(*got == text);
  }
}

}  // namespace
}  // namespace vigie::compress
