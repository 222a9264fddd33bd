#include "base/compress/snappy_block.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace vigie::compress {
namespace {

// The lower two bits of a tag.
enum Kind : uint8_t { kLiteral = 0, kCopyNear = 1, kCopy = 2, kCopyFar = 3 };

// What a copy's tag says: its length, the offset's upper bits, and which of the
// bytes that follow are its lower ones. Length 0: not one for the quick way.
struct CopyTag {
  uint8_t size;
  uint16_t offset_high;
  uint32_t offset_mask;
};
constexpr std::array<CopyTag, 256> MakeCopyTags() {
  std::array<CopyTag, 256> tags{};
  for (unsigned tag = 0; tag < 256; ++tag) {
    if ((tag & 3) == kCopyNear) {
      tags[tag] = {static_cast<uint8_t>(4 + (tag >> 2 & 7)),
                   static_cast<uint16_t>(tag >> 5 << 8), 0xFF};
    } else if ((tag & 3) == kCopy) {
      tags[tag] = {static_cast<uint8_t>((tag >> 2) + 1), 0, 0xFFFF};
    }
  }
  return tags;
}
constexpr std::array<CopyTag, 256> kCopyTags = MakeCopyTags();

// Longer literals say how long in bytes of their own.
constexpr size_t kLiteralShort = 60;
constexpr size_t kElementMax = 64;  // bytes that one quick element stands for
// Of an element, and as much again as is copied whatever its length.
constexpr size_t kInputAhead = 8 + kElementMax;

inline void Copy16(const char* from, char* to) {
  char bytes[16];
  std::memcpy(bytes, from, 16);
  std::memcpy(to, bytes, 16);
}

uint8_t ByteAt(const char* at) { return static_cast<uint8_t>(*at); }

// Little-endian, of `size` bytes.
uint32_t NumberAt(const char* at, size_t size) {
  uint32_t number = 0;
  for (size_t i = 0; i < size; ++i) {
    number |= static_cast<uint32_t>(ByteAt(at + i)) << (8 * i);
  }
  return number;
}

class Decoder {
 public:
  Decoder(std::string_view in, char* out, size_t size)
      : in_(in.data()),
        in_end_(in.data() + in.size()),
        begin_(out),
        out_(out),
        out_end_(out + size) {}

  bool Run() {
    while (InLeft() > kInputAhead && OutLeft() > kElementMax) {
      RunQuickly();
      if (!One()) return false;
    }
    while (in_ != in_end_) {
      if (!One()) return false;
    }
    return out_ == out_end_;
  }

 private:
  size_t InLeft() const { return static_cast<size_t>(in_end_ - in_); }
  size_t OutLeft() const { return static_cast<size_t>(out_end_ - out_); }

  // Short elements far from both ends, up to one that is not, or is wrong; that
  // is left to One(). Copies whole words: what is too much is overwritten by
  // what follows. At least one byte is left.
  void RunQuickly() {
    const char* in = in_;
    char* out = out_;
    const char* const in_end = in_end_ - kInputAhead;
    const char* const out_end = out_end_ - kElementMax;
    while (in < in_end && out < out_end) {
      const uint8_t tag = ByteAt(in);
      if ((tag & 3) == kLiteral) {
        const size_t size = (tag >> 2) + 1u;
        if (size > kLiteralShort) break;
        ++in;
        Copy16(in, out);
        if (size > 16) {
          Copy16(in + 16, out + 16);
          Copy16(in + 32, out + 32);
          Copy16(in + 48, out + 48);
        }
        in += size;
        out += size;
        continue;
      }
      const CopyTag copy = kCopyTags[tag];
      uint16_t low;
      std::memcpy(&low, in + 1, 2);
      if constexpr (std::endian::native == std::endian::big) {
        low = __builtin_bswap16(low);
      }
      const size_t offset = copy.offset_high | (low & copy.offset_mask);
      // Nearer than a word, a copy repeats what it has just written.
      if (copy.size == 0 || offset < 16 ||
          offset > static_cast<size_t>(out - begin_)) {
        break;
      }
      in += (tag & 3) + 1;
      const char* const from = out - offset;
      Copy16(from, out);
      Copy16(from + 16, out + 16);
      if (copy.size > 32) {
        Copy16(from + 32, out + 32);
        Copy16(from + 48, out + 48);
      }
      out += copy.size;
    }
    in_ = in;
    out_ = out;
  }

  // Any element anywhere.
  bool One() {
    const uint8_t tag = ByteAt(in_++);
    return (tag & 3) == kLiteral ? Literal(tag) : Copy(tag);
  }

  bool Literal(uint8_t tag) {
    uint64_t size = (tag >> 2) + 1u;
    if (size > kLiteralShort) {
      const size_t bytes = size - kLiteralShort;
      if (InLeft() < bytes) return false;
      size = uint64_t{NumberAt(in_, bytes)} + 1;
      in_ += bytes;
    }
    if (size > InLeft() || size > OutLeft()) return false;
    std::memcpy(out_, in_, size);
    in_ += size;
    out_ += size;
    return true;
  }

  bool Copy(uint8_t tag) {
    const size_t bytes = (tag & 3) == kCopyFar ? 4 : tag & 3;
    if (InLeft() < bytes) return false;
    size_t offset = NumberAt(in_, bytes);
    in_ += bytes;
    size_t size = (tag >> 2) + 1u;
    if ((tag & 3) == kCopyNear) {
      size = 4 + (tag >> 2 & 7);
      offset |= static_cast<size_t>(tag >> 5) << 8;
    }
    if (offset == 0 || offset > static_cast<size_t>(out_ - begin_) ||
        size > OutLeft()) {
      return false;
    }
    const char* from = out_ - offset;
    for (; size > 0; --size) *out_++ = *from++;
    return true;
  }

  const char* in_;
  const char* const in_end_;
  char* const begin_;
  char* out_;
  char* const out_end_;
};

}  // namespace

bool DecodeSnappyElements(std::string_view elements, char* out, size_t size) {
  return Decoder(elements, out, size).Run();
}

}  // namespace vigie::compress
