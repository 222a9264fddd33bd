#include "deploy/demo/rhythm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace vigie::demo {
namespace {

// On the hour; straight lines between. Invented, after the shape that shops
// report: few at four, most at nine in the evening.
constexpr std::array<double, 24> kHours = {3, 2,   1.5, 1.2, 1,  1.2,  2,   4,
                                           6, 7.5, 8,   8.5, 9,  8,    7.5, 7,
                                           7, 7.5, 8.5, 10,  12, 12.5, 9.5, 6};

double Mean() {
  return std::accumulate(kHours.begin(), kHours.end(), 0.0) / kHours.size();
}

}  // namespace

double Rhythm(double at_s, const RhythmOptions& options) {
  const double hour =
      std::fmod(options.start_hour + at_s / options.day_s * 24, 24.0);
  const auto before = static_cast<size_t>(hour) % kHours.size();
  const double part = hour - std::floor(hour);
  const double weight =
      kHours[before] * (1 - part) + kHours[(before + 1) % kHours.size()] * part;
  return weight / Mean();
}

double RhythmMax() {
  return *std::max_element(kHours.begin(), kHours.end()) / Mean();
}

}  // namespace vigie::demo
