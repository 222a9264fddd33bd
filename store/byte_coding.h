// How the store's formats write numbers and strings: LEB128 varints, zigzag
// for signed ones, little-endian fixed words, strings with a length before
// them; big-endian words in keys, so that bytes sort as numbers do.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace vigie::store {

static_assert(std::endian::native == std::endian::little);

inline uint64_t Zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^
         static_cast<uint64_t>(value >> 63);
}
inline int64_t Unzigzag(uint64_t value) {
  return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

inline void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}
inline void PutZigzag(int64_t value, std::string* out) {
  PutVarint(Zigzag(value), out);
}
inline void PutFixed64(uint64_t value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline void PutString(std::string_view value, std::string* out) {
  PutVarint(value.size(), out);
  out->append(value);
}
inline void PutBigEndian32(uint32_t value, std::string* out) {
  value = __builtin_bswap32(value);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline void PutBigEndian64(uint64_t value, std::string* out) {
  value = __builtin_bswap64(value);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Reads what the functions above wrote. Past the end, or at a varint of more
// than 64 bits, it fails for good: ok() turns false and every value is 0 or
// empty. So a decoder may read on and ask once.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  bool empty() const { return at_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }
  int64_t ZigzagVarint() { return Unzigzag(Varint()); }
  uint8_t Byte() { return static_cast<uint8_t>(Fixed<uint8_t>()); }
  uint64_t Fixed64() { return Fixed<uint64_t>(); }
  uint32_t BigEndian32() { return __builtin_bswap32(Fixed<uint32_t>()); }
  uint64_t BigEndian64() { return __builtin_bswap64(Fixed<uint64_t>()); }
  std::string_view Bytes(uint64_t size) {
    if (size > remaining()) {
      Fail();
      return {};
    }
    const std::string_view bytes(at_, static_cast<size_t>(size));
    at_ += size;
    return bytes;
  }
  std::string_view String() { return Bytes(Varint()); }

 private:
  template <class T>
  T Fixed() {
    T value{};
    if (remaining() < sizeof(T)) {
      Fail();
      return value;
    }
    std::memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  void Fail() {
    ok_ = false;
    at_ = end_;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace vigie::store
