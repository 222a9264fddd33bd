// What the writer and the reader of packed integers know of their form: see
// integer_codec.h. No state.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigie::store {

inline constexpr size_t kColumnMax = 4096;

// First byte: bits 0 and 1 the order, then what is there.
inline constexpr uint8_t kLine = 3;  // as order 0, after a straight line
inline constexpr uint8_t kOrderMask = 3;
inline constexpr uint8_t kHasFactor = 1 << 2;
inline constexpr uint8_t kHasPatches = 1 << 3;
inline constexpr uint8_t kHasWidth = 1 << 4;  // else all differences are bases
inline constexpr uint8_t kPackedPatches = 1 << 5;  // as columns of their own
inline constexpr uint8_t kHeadEnd = 1 << 6;

inline uint64_t Mask(int width) {
  return width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

// The first integer that has something left once the order is taken off.
inline size_t FirstLeft(uint8_t order) { return order == 2 ? 2 : 1; }

}  // namespace vigie::store
