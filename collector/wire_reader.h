// WireReader walks the fields of one protobuf message in contiguous bytes,
// without allocating and without copying. Nested messages are read by another
// reader over bytes(); how deep that goes is the caller's bound.
// Source: "Protocol Buffers Encoding".
// Stricter than a generated parser: groups (long deprecated) and a known field
// with another wire type are errors, as the latter would lose data silently.
// Thread-compatible. Views point into the bytes given.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

static_assert(std::endian::native == std::endian::little);

namespace vigie::collector {

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5
};

class WireReader {
 public:
  // `origin` is where the whole message begins: offsets count from there.
  WireReader(std::string_view bytes, const char* origin)
      : next_(bytes.data()),
        end_(bytes.data() + bytes.size()),
        origin_(origin) {}

  // Moves to the next field. False at the end and after an error.
  bool Next() {
    if (next_ == end_ || error_ != nullptr) return false;
    start_ = next_;
    uint64_t tag;
    if (!TakeVarint(&tag)) return false;
    if (tag > UINT32_MAX || (tag >> 3) == 0) return Fail("bad field number");
    field_ = static_cast<uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        type_ = WireType::kVarint;
        return TakeVarint(&bits_);
      case 1:
        type_ = WireType::kFixed64;
        return TakeFixed<uint64_t>();
      case 2: {
        type_ = WireType::kBytes;
        uint64_t size;
        if (!TakeVarint(&size)) return false;
        if (size > static_cast<uint64_t>(end_ - next_)) {
          return Fail("length runs past the end");
        }
        bytes_ = {next_, static_cast<size_t>(size)};
        next_ += size;
        return true;
      }
      case 5:
        type_ = WireType::kFixed32;
        return TakeFixed<uint32_t>();
      case 3:
      case 4:
        return Fail("groups are not supported");
      default:
        return Fail("bad wire type");
    }
  }

  uint32_t field() const { return field_; }
  WireType type() const { return type_; }

  // The value of the current field. With another wire type than asked for,
  // nothing is written and the reader fails.
  void Read(std::string_view* out) {
    if (Expect(WireType::kBytes)) *out = bytes_;
  }
  void ReadVarint(uint64_t* out) {
    if (Expect(WireType::kVarint)) *out = bits_;
  }
  void ReadFixed64(uint64_t* out) {
    if (Expect(WireType::kFixed64)) *out = bits_;
  }
  void ReadDouble(double* out) {
    if (Expect(WireType::kFixed64)) *out = std::bit_cast<double>(bits_);
  }

  // Both forms of a repeated number: `add(uint64_t)` for each.
  template <class Add>
  void ReadRepeatedFixed64(Add add) {
    if (type_ == WireType::kFixed64) return add(bits_);
    if (!Expect(WireType::kBytes)) return;
    if (bytes_.size() % 8 != 0) {
      Fail("packed field is no multiple of 8 bytes");
      return;
    }
    for (const char* p = bytes_.data(); p != bytes_.data() + bytes_.size();
         p += 8) {
      uint64_t bits;
      std::memcpy(&bits, p, 8);
      add(bits);
    }
  }
  template <class Add>
  void ReadRepeatedVarint(Add add) {
    if (type_ == WireType::kVarint) return add(bits_);
    if (!Expect(WireType::kBytes)) return;
    WireReader packed(bytes_, origin_);
    packed.start_ = start_;
    while (packed.next_ != packed.end_) {
      uint64_t bits;
      if (!packed.TakeVarint(&bits)) {
        Fail(packed.error_);
        return;
      }
      add(bits);
    }
  }

  // Ends the walk with an error at the current field; false for convenience.
  // `error` is a literal.
  bool Fail(const char* error) {
    if (error_ == nullptr) error_ = error;
    return false;
  }

  const char* error() const { return error_; }  // null if none
  // Where the current field begins.
  size_t offset() const {
    return static_cast<size_t>((start_ != nullptr ? start_ : next_) - origin_);
  }

 private:
  bool Expect(WireType type) {
    return type_ == type || Fail("known field has another wire type");
  }
  bool TakeVarint(uint64_t* out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (next_ == end_) return Fail("cut short within a varint");
      const auto byte = static_cast<uint8_t>(*next_++);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) {
        if (shift == 63 && byte > 1) break;
        *out = value;
        return true;
      }
    }
    return Fail("varint is longer than 64 bits");
  }
  template <class Word>
  bool TakeFixed() {
    if (static_cast<size_t>(end_ - next_) < sizeof(Word)) {
      return Fail("cut short within a fixed-width field");
    }
    Word word;
    std::memcpy(&word, next_, sizeof(Word));
    next_ += sizeof(Word);
    bits_ = word;
    return true;
  }

  const char* start_ = nullptr;  // of the current field
  const char* next_;
  const char* end_;
  const char* origin_;
  const char* error_ = nullptr;
  uint32_t field_ = 0;
  WireType type_ = WireType::kVarint;
  uint64_t bits_ = 0;
  std::string_view bytes_;
};

// Undoes the zigzag of sint32 and sint64.
inline int64_t ZigZag(uint64_t bits) {
  return static_cast<int64_t>((bits >> 1) ^ (~(bits & 1) + 1));
}

}  // namespace vigie::collector
