// How an open chunk's two streams are read: bits of values upwards, bytes of
// times downwards. They trust what they read, which never left memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "store/byte_coding.h"

namespace vigie::store {

inline uint64_t LowBits(uint64_t word, int count) {
  return count == 64 ? word : word & ((uint64_t{1} << count) - 1);
}

// Values, from the lowest bit of each byte on. Reads up to 8 bytes past the
// last one.
class BitReader {
 public:
  explicit BitReader(const unsigned char* at) : at_(at) {}

  // At least 57 of them.
  uint64_t Peek() const {
    uint64_t word;
    std::memcpy(&word, at_ + (bit_ >> 3), 8);
    return word >> (bit_ & 7);
  }
  void Skip(int count) { bit_ += static_cast<size_t>(count); }
  // At most 64.
  uint64_t Take(int count) {
    if (count <= 57) {
      const uint64_t bits = LowBits(Peek(), count);
      Skip(count);
      return bits;
    }
    const uint64_t low = Take(32);
    return low | Take(count - 32) << 32;
  }
  // From the next whole byte on; the reader says how far it went.
  ByteReader Bytes(size_t size) {
    bit_ = (bit_ + 7) & ~size_t{7};
    return ByteReader(std::string_view(
        reinterpret_cast<const char*>(at_ + bit_ / 8), size - bit_ / 8));
  }
  void SkipTo(const ByteReader& in, size_t size) {
    bit_ = 8 * (size - in.remaining());
  }

 private:
  const unsigned char* at_;
  size_t bit_ = 0;
};

// Times are read from the last byte of the buffer downwards.
class BackwardReader {
 public:
  BackwardReader(const unsigned char* end, size_t size)
      : at_(end), begin_(end - size) {}
  bool empty() const { return at_ == begin_; }
  uint64_t Fixed64() {
    at_ -= 8;
    uint64_t value;
    std::memcpy(&value, at_, 8);
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const unsigned char byte = *--at_;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }

 private:
  const unsigned char* at_;
  const unsigned char* begin_;
};

// The times of a chunk one after the other. A token is a number of samples
// with the step of before (odd), a change of the step (even), or 1 and 8 bytes
// more: a time.
class TimeReader {
 public:
  TimeReader(const unsigned char* end, size_t size) : in_(end, size) {
    time_ms_ = in_.Fixed64();
  }
  int64_t Next() {
    if (first_) {
      first_ = false;
      return static_cast<int64_t>(time_ms_);
    }
    if (run_ == 0 && !in_.empty()) {
      const uint64_t token = in_.Varint();
      if (token == 1) {
        time_ms_ = in_.Fixed64();
        step_ms_ = 0;
        return static_cast<int64_t>(time_ms_);
      }
      if ((token & 1) != 0) {
        run_ = token >> 1;
      } else {
        step_ms_ += static_cast<uint64_t>(Unzigzag(token >> 1));
        return static_cast<int64_t>(time_ms_ += step_ms_);
      }
    }
    // The last run is not among the tokens yet: then it has no end here.
    if (run_ > 0) --run_;
    return static_cast<int64_t>(time_ms_ += step_ms_);
  }

 private:
  BackwardReader in_;
  uint64_t time_ms_;
  uint64_t step_ms_ = 0;
  uint64_t run_ = 0;
  bool first_ = true;
};

}  // namespace vigie::store
