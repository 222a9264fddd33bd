// Tests and intervals on counts and on ranks. Pure functions; sources are the
// papers named below, and R is the oracle (tests/canary/tables).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vigie::canary {

// Beyond this many events a tail is too long to add up exactly.
inline constexpr int64_t kCountMax = 1'000'000'000'000;

struct Interval {
  double low = 0;
  double high = 0;
};

// Of the first against the second: kGreater asks whether the first is larger.
enum class Alternative { kLess, kGreater, kTwoSided };

// P value of Fisher's exact test: `events1` of `total1` against `events2` of
// `total2`. Two-sided adds up what is no likelier, as R's fisher.test does.
// All in [0, kCountMax], events at most totals.
double FisherTest(int64_t events1, int64_t total1, int64_t events2,
                  int64_t total2, Alternative alternative);

// P value of the exact test of two Poisson rates, conditional on their sum;
// exposures are positive. As R's poisson.test.
double PoissonTest(int64_t events1, double exposure1, int64_t events2,
                   double exposure2, Alternative alternative);

// Of rate1 / rate2, exact (Clopper and Pearson 1934); `level` such as 0.98.
Interval PoissonRatioInterval(int64_t events1, double exposure1,
                              int64_t events2, double exposure2, double level);

// Of one proportion (Wilson 1927). `total` need not be whole, is positive.
Interval WilsonInterval(double events, double total, double level);

// Of proportion1 - proportion2 (Newcombe 1998, method 10).
Interval NewcombeInterval(double events1, double total1, double events2,
                          double total2, double level);

struct RankTest {
  double u = 0;  // of the first: pairs in which it is larger, ties half
  double p = 1;
  bool exact = false;
};

// Mann and Whitney 1947. Exact below 50 values a side without ties, else
// normal with tie-corrected variance and continuity correction, as R's
// wilcox.test. Neither side is empty; no NaN.
RankTest MannWhitney(std::span<const double> x, std::span<const double> y,
                     Alternative alternative);

struct Shift {
  double estimate = 0;  // Hodges and Lehmann 1963: median of all differences
  Interval interval;
};

// How much larger x is than y. The interval is exact where MannWhitney is and
// `variance_factor` is 1; the factor widens it for dependent values.
Shift HodgesLehmann(std::span<const double> x, std::span<const double> y,
                    double level, double variance_factor = 1);

// What both sides have of one value, or of one histogram bucket.
struct TieGroup {
  double first = 0;
  double second = 0;
};

// P(first > second), ties half, from groups in ascending order, with what its
// variance is made of. Both sides have a positive sum.
struct Superiority {
  double theta = 0.5;
  double tie_factor = 1;  // 1 without ties, 0 if all is one tie
  double placement1 = 0;  // variance of the placement of one of the first
  double placement2 = 0;
};
Superiority CompareGroups(std::span<const TieGroup> groups);

// Standard error of theta for so many independent values a side: the larger
// of the one under equal distributions and the one that the placements show
// (DeLong et al. 1988), which holds when the spreads differ.
double StandardError(const Superiority& superiority, double n1, double n2);

// Correlation of neighbours around their mean, corrected for the bias of
// short series (Marriott and Pope 1954); 0 for less than three values or for
// constant ones; at most 0.999.
double Lag1Autocorrelation(std::span<const double> values);

// The q-quantile of a classic histogram, interpolated as PromQL does:
// `bounds` ascend and end with +Inf, `counts` are per bucket.
double HistogramQuantile(double q, std::span<const double> bounds,
                         std::span<const double> counts);

// Holm 1979: p values for which "all at once at most alpha" can be read off
// each one, in the order given.
std::vector<double> HolmAdjusted(std::span<const double> p);

// Quantiles of the standard normal and of Student's distribution.
double NormalQuantile(double p);
double NormalTail(double z);  // P(Z > z)
double StudentQuantile(double p, double degrees);
double StudentTail(double t, double degrees);

}  // namespace vigie::canary
