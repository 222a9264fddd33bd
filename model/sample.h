// Sample: a value at a time. Values are carried bit for bit: one NaN payload
// is the staleness marker, every other NaN is a value.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace vigie {

struct Sample {
  int64_t time_ms = 0;
  double value = 0;

  // Bit equality: NaN equals the same NaN, 0 differs from -0.
  friend bool operator==(const Sample& a, const Sample& b) {
    return a.time_ms == b.time_ms &&
           std::bit_cast<uint64_t>(a.value) == std::bit_cast<uint64_t>(b.value);
  }
};

// Source: prometheus/model/value, StaleNaN and NormalNaN.
inline constexpr uint64_t kStaleNanBits = 0x7ff0000000000002;
inline constexpr uint64_t kNormalNanBits = 0x7ff8000000000001;

inline double StaleMarker() { return std::bit_cast<double>(kStaleNanBits); }
inline double NormalNan() { return std::bit_cast<double>(kNormalNanBits); }
inline bool IsStaleMarker(double value) {
  return std::bit_cast<uint64_t>(value) == kStaleNanBits;
}

}  // namespace vigie
