// Neumaier's compensated sum, as PromQL's sums and averages need it. The
// compensation is dropped once the sum is infinite, so that Inf stays Inf.
// Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation
// endlicher Summen", ZAMM 54, 1974. Needs -ffp-contract=off.
#pragma once

#include <cmath>

namespace vigie::query {

struct Neumaier {
  double sum = 0;
  double compensation = 0;

  void Add(double value) {
    const double total = sum + value;
    if (std::isinf(total)) {
      compensation = 0;
    } else if (std::abs(sum) >= std::abs(value)) {
      compensation += (sum - total) + value;
    } else {
      compensation += (value - total) + sum;
    }
    sum = total;
  }
  double Total() const { return sum + compensation; }
};

}  // namespace vigie::query
