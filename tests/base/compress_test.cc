#include "base/compress/compress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
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
  for (const Format format : {Format::kGzip, Format::kZlib, Format::kZstd}) {
    StreamCompressor compressor(format);
    std::string packed, text;
    for (const size_t bytes : {0, 1, 70'000, 0, 300}) {
      const std::string piece = Noise(bytes);
      text += piece;
      compressor.Append(piece, &packed);
    }
    compressor.Finish(&packed);

    const auto got = format == Format::kGzip ? DecompressGzip(packed, kBytesMax)
                     : format == Format::kZlib
                         ? DecompressDeflate(packed, kBytesMax)
                         : DecompressZstd(packed, kBytesMax);
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(*got == text);
  }
}

}  // namespace
}  // namespace vigie::compress
