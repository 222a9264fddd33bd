#include "deploy/demo/random.h"

#include <cmath>
#include <numbers>

namespace vigie::demo {
namespace {

// One step of SplitMix64 (Steele et al., "Fast splittable pseudorandom number
// generators", OOPSLA 2014): near seeds give far streams.
uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream)
    : engine_(Mixed(Mixed(seed) + stream)) {}

double Random::Fraction() {
  return static_cast<double>(engine_() >> 11) * 0x1p-53;
}

int64_t Random::Between(int64_t low, int64_t high) {
  const double width = static_cast<double>(high - low + 1);
  return low + static_cast<int64_t>(Fraction() * width);
}

double Random::Exponential(double mean) {
  return -mean * std::log1p(-Fraction());
}

double Random::LogNormal(double median, double sigma) {
  // Box and Muller; the second number is thrown away for simplicity.
  const double radius = std::sqrt(-2 * std::log1p(-Fraction()));
  const double angle = 2 * std::numbers::pi * Fraction();
  return median * std::exp(sigma * radius * std::cos(angle));
}

}  // namespace vigie::demo
