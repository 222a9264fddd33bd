// How much less a window tells than its count of events suggests. Errors come
// in bursts and latencies in waves: the variance of a sum is then a multiple,
// the inflation, of what independent events would have, and a count divided by
// it is the effective one. Estimated from the window itself, cut into blocks.
// Source: McCullagh and Nelder, "Generalized Linear Models", 4.5 (dispersion);
// Rao and Scott, Biometrics 1992 (dividing counts). Record 0024.
#pragma once

#include <span>

namespace vigie::canary {

// A stretch of the window, in order of time: what may have happened (requests,
// seconds) and what did, as a sum of scores.
struct Block {
  double weight = 0;
  double sum = 0;
};

struct DispersionOptions {
  // Variance of one score if they were independent: p(1-p) for events of a
  // proportion, the rate for Poisson counts. 0: the blocks' own, so that only
  // their autocorrelation inflates.
  double unit_variance = 0;
  // One change of level that lasts a quarter of the window is a change, not a
  // burst, and does not count as dispersion. For the canary's side: a release
  // that breaks half way must not excuse itself by its variance.
  bool allow_step = false;
  // Level of the tests that use it: few blocks estimate the inflation badly,
  // which widens it as Student's t does the normal.
  double alpha = 0.01;
};

struct Dispersion {
  int blocks = 0;              // with any weight
  double mean_weight = 0;      // of those
  double dispersion = 1;       // variance of blocks over the expected one
  double autocorrelation = 0;  // of neighbouring blocks, bias-corrected
  double inflation = 1;        // at least 1
};

// Blocks without weight are left out.
Dispersion MeasureDispersion(std::span<const Block> blocks,
                             const DispersionOptions& options);

// What the baseline's inflation says about the canary, whose blocks weigh
// otherwise: the excess over 1 grows with the events in a block.
double TransferredInflation(const Dispersion& baseline,
                            const Dispersion& canary);

}  // namespace vigie::canary
