// Random numbers that are the same on every machine: the generator is the
// standard's, the distributions are ours, as the standard leaves theirs open.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <random>

namespace vigie::demo {

class Random {
 public:
  // Streams of one seed are independent of each other: more draws in one leave
  // the others as they were.
  Random(uint64_t seed, uint64_t stream);

  // In [0, 1).
  double Fraction();
  bool Chance(double probability) { return Fraction() < probability; }
  // In [low, high], both closed; low <= high.
  int64_t Between(int64_t low, int64_t high);
  // Waiting time of a Poisson process; mean > 0.
  double Exponential(double mean);
  // exp(N(ln median, sigma)): how latencies are spread.
  double LogNormal(double median, double sigma);

 private:
  std::mt19937_64 engine_;
};

}  // namespace vigie::demo
