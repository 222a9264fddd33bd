// Prints how often the judge alarms: canary_table [RUNS [SEED]]. Rows without
// an effect are false alarms, rows with one are power. Tolerance is 0, which
// the default of 5 % only makes quieter.
#include <fmt/format.h>

#include <cstdlib>

#include "tests/canary/simulation.h"

namespace vigie::testing {
namespace {

void Print(const std::string& name, const Tally& tally, int runs) {
  const auto share = [&](int count) { return 100.0 * count / runs; };
  fmt::print("{:<52} {:>6.1f} {:>8.1f} {:>6.1f} {:>12.1f}\n", name,
             share(tally.fail), share(tally.marginal), share(tally.pass),
             share(tally.inconclusive));
  std::fflush(stdout);
}

void Main(int runs, uint64_t seed) {
  fmt::print(
      "{} runs a row, seed {}; per cent\n{:<52} {:>6} {:>8} {:>6} "
      "{:>12}\n",
      runs, seed, "", "fail", "marginal", "pass", "inconclusive");
  for (const double shift : {0.0, 10.0}) {
    for (const double rho : {0.0, 0.5, 0.8, 0.95}) {
      for (const int points : {20, 40, 60, 120, 240, 480, 960}) {
        Print(fmt::format("gauge 100, deviation 10, {:+.0f} %, rho {}, n {}",
                          shift, rho, points),
              SimulateGauges({.rho = rho, .shift = shift, .points = points},
                             runs, seed),
              runs);
      }
    }
  }
  for (const double factor : {1.0, 1.1, 2.0}) {
    for (const double spread : {0.0, 1.0}) {
      for (const double rho : {0.0, 0.8}) {
        if (spread == 0 && rho > 0) continue;
        for (const int requests : {25, 250, 2'500}) {
          Print(fmt::format("errors 1 % x {}, bursts {}, rho {}, {} requests",
                            factor, spread, rho, requests * 40),
                SimulateRatios({.factor = factor,
                                .rho = rho,
                                .spread = spread,
                                .requests = requests,
                                .baseline_times = 4},
                               runs, seed),
                runs);
        }
      }
    }
  }
}

}  // namespace
}  // namespace vigie::testing

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 500;
  if (runs < 1) {
    fmt::print(stderr, "usage: canary_table [RUNS [SEED]]\n");
    return 2;
  }
  vigie::testing::Main(
      runs, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20261121);
  return 0;
}
