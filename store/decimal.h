// Decimal integers of doubles: most measured values were written down with a
// few digits after the point, so they are an integer divided by a power of ten.
// A quotient of two doubles is rounded once, so the division brings back the
// very double, where a multiplication by 0.01 would not.
// Source: Afroozeh et al., "ALP", SIGMOD 2024, section 2; shared idea only.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace vigie::store {

// Above it a power of ten has more digits than a double's value leaves room.
inline constexpr int kDecimalExponentMax = 15;

inline constexpr double kPowersOfTen[kDecimalExponentMax + 1] = {
    1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

// Integers of this size and below are doubles, each of them.
inline constexpr double kDecimalMax = 9007199254740992.0;  // 2^53

inline double FromDecimal(int64_t integer, int exponent) {
  const auto value = static_cast<double>(integer);
  return exponent == 0 ? value : value / kPowersOfTen[exponent];
}

// Whether FromDecimal gives back the bits of `value`; -0, infinities and NaNs
// are none.
inline bool ToDecimal(double value, int exponent, int64_t* integer) {
  if (exponent == 0) {
    if (!(std::fabs(value) < kDecimalMax)) return false;
    *integer = static_cast<int64_t>(value);
    return std::bit_cast<uint64_t>(static_cast<double>(*integer)) ==
           std::bit_cast<uint64_t>(value);
  }
  const double scaled = value * kPowersOfTen[exponent];
  if (!(std::fabs(scaled) < kDecimalMax)) return false;
  *integer = static_cast<int64_t>(scaled + std::copysign(0.5, scaled));
  return std::bit_cast<uint64_t>(FromDecimal(*integer, exponent)) ==
         std::bit_cast<uint64_t>(value);
}

}  // namespace vigie::store
