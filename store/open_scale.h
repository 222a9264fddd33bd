// Scales: which integers stand for the floats of an open chunk, so that their
// differences are small. In memory only.
#pragma once

#include <bit>
#include <cstdint>
#include <iterator>

#include "store/decimal.h"

namespace vigie::store {

// What the integer of a float stands for, by scale: multiples of a power of two
// (memory comes in pages), then decimals with more and more digits after the
// point, then bit patterns, which is every double. A scale gets finer and, but
// for bit patterns, never coarser again.
struct Scale {
  uint64_t unit;      // the value of integer 1, if exponent is 0
  int exponent;       // else 10^-exponent
  uint64_t per_page;  // integers in kPage
};
inline constexpr uint64_t kPage = 4096;
inline constexpr Scale kScales[] = {
    {4096, 0, 1},
    {1024, 0, 4},
    {512, 0, 8},
    {8, 0, 512},
    {1, 0, kPage},
    {0, 1, kPage * 10},
    {0, 2, kPage * 100},
    {0, 3, kPage * 1'000},
    {0, 4, kPage * 10'000},
    {0, 5, kPage * 100'000},
    {0, 6, kPage * 1'000'000},
    {0, 7, kPage * 10'000'000},
    {0, 8, kPage * 100'000'000},
    {0, 9, kPage * 1'000'000'000},
};
inline constexpr int kWhole = 4;
inline constexpr int kBitPatterns = std::size(kScales);
// Smaller multiples are not worth a change of scale.
inline constexpr double kPagesMin = 65536;

inline uint64_t ToBits(double value) { return std::bit_cast<uint64_t>(value); }

inline double FromInteger(uint64_t integer, int scale) {
  if (scale == kBitPatterns) return std::bit_cast<double>(integer);
  if (scale > kWhole) {
    return FromDecimal(static_cast<int64_t>(integer), kScales[scale].exponent);
  }
  return static_cast<double>(
      static_cast<int64_t>(integer * kScales[scale].unit));
}

inline bool ToInteger(double value, int scale, uint64_t* integer) {
  if (scale == kBitPatterns) {
    *integer = ToBits(value);
    return true;
  }
  int64_t decimal;
  if (!ToDecimal(value, kScales[scale].exponent, &decimal)) return false;
  *integer = static_cast<uint64_t>(decimal);
  if (scale >= kWhole) return true;
  const auto unit = static_cast<int64_t>(kScales[scale].unit);
  *integer = static_cast<uint64_t>(decimal / unit);
  return decimal % unit == 0;
}

// What the last integer is at a finer scale. It may wrap around, on both sides
// alike.
inline uint64_t Rescaled(uint64_t last, int from, int to) {
  if (from == kBitPatterns || to == kBitPatterns || to < from) return 0;
  return last * (kScales[to].per_page / kScales[from].per_page);
}

}  // namespace vigie::store
