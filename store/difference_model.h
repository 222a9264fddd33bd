// DifferenceModel: what the next difference of a series will be about, and how
// far off that guess will be, from those before it: a running mean, and a
// running width in bits. Writer and reader keep the same one.
// Source: the adaptive Rice codes of lossless audio and image coding;
// Weinberger et al., "The LOCO-I lossless image compression algorithm",
// 2000, 3.3.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace vigie::store {

class DifferenceModel {
 public:
  // The difference to expect.
  int64_t guess() const { return static_cast<int64_t>(mean_); }
  // Bits that most zigzagged errors of the guess fit into, about.
  int width() const { return std::max(width_ - kWidthBias, 0) / kWidthUnit; }

  // The samples before this one decide how much it counts.
  void Learn(uint32_t samples, int64_t difference, uint64_t zigzag_error) {
    if (std::fabs(static_cast<float>(difference)) < kMeanMax) {
      mean_ += (static_cast<float>(difference) - mean_) *
               kRates[std::min<uint32_t>(samples, kRatesMax)];
    }
    LearnWidth(zigzag_error);
  }
  void LearnWidth(uint64_t zigzag_error) {
    const int width = std::bit_width(zigzag_error) * kWidthUnit;
    width_ = static_cast<uint8_t>(width_ + ((width - width_ + 2) >> 2));
  }
  // The guess was off beyond measure: once may be a reset of a counter.
  void LearnEscape() {
    width_ = static_cast<uint8_t>(
        std::min(width_ + 2 * kWidthUnit, kWidthMax * kWidthUnit));
  }
  void Forget() { *this = DifferenceModel(); }

 private:
  // In parts of a bit.
  static constexpr int kWidthUnit = 3;
  static constexpr int kWidthBias = 2;
  static constexpr int kWidthMax = 64;
  static constexpr float kMeanMax = 1e15f;
  static constexpr uint32_t kRatesMax = 7;
  static constexpr float kRates[kRatesMax + 1] = {0,     1.f,  0.5f,  0.34f,
                                                  0.25f, 0.2f, 0.16f, 0.125f};

  float mean_ = 0;
  uint8_t width_ = 4 * kWidthUnit;
};

}  // namespace vigie::store
