// Any block is read as the library reads it, or refused as the library does;
// and what the library makes of any bytes comes back.
#include <snappy.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/compress/compress.h"

namespace {

constexpr int64_t kBytesMax = 1 << 20;

void Read(std::string_view block) {
  size_t size;
  std::string expected;
  const bool valid =
      snappy::GetUncompressedLength(block.data(), block.size(), &size) &&
      static_cast<int64_t>(size) <= kBytesMax &&
      snappy::Uncompress(block.data(), block.size(), &expected);
  const auto got = vigie::compress::DecompressSnappyBlock(block, kBytesMax);
  VIGIE_CHECK(got.ok() == valid);
  VIGIE_CHECK(!valid || *got == expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Read(bytes);
  Read(vigie::compress::CompressSnappyBlock(bytes));
  return 0;
}
