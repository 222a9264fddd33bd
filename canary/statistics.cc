#include "canary/statistics.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace vigie::canary {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What counts as equally likely in two-sided tests; R's figure.
constexpr double kTieMargin = 1 + 1e-7;
// What adds nothing any more. Not 0: a product of denormal numbers stands still
// before it gets there.
constexpr double kNothing = 1e-300;
// Below this many values a side, without ties, ranks are counted exactly.
constexpr size_t kExactMax = 50;

// No exceptions: what lies outside a domain is a NaN or the limit.
using Policy = boost::math::policies::policy<
    boost::math::policies::domain_error<boost::math::policies::ignore_error>,
    boost::math::policies::overflow_error<boost::math::policies::ignore_error>,
    boost::math::policies::evaluation_error<
        boost::math::policies::ignore_error>>;
using Normal = boost::math::normal_distribution<double, Policy>;
using Student = boost::math::students_t_distribution<double, Policy>;
using Binomial = boost::math::binomial_distribution<double, Policy>;

// A distribution on [low, high] with one hump, given by its mode and by
// up(x) = P(x + 1) / P(x). Weights are relative to the mode's, so that tails
// keep their relative precision without a logarithm of a factorial.
template <class Up>
double TailOf(int64_t x, int64_t low, int64_t high, int64_t mode, Up up,
              Alternative alternative) {
  mode = std::clamp(mode, low, high);
  const auto walk = [&](auto visit) {
    double weight = 1;
    for (int64_t k = mode;; ++k) {
      visit(k, weight);
      if (k == high) break;
      weight *= up(k);
      if (weight < kNothing) break;
    }
    weight = 1;
    for (int64_t k = mode; k > low; --k) {
      weight /= up(k - 1);
      if (weight < kNothing) break;
      visit(k - 1, weight);
    }
  };
  double all = 0;
  double below = 0;  // at most x
  double above = 0;  // at least x
  double at = 0;
  walk([&](int64_t k, double weight) {
    all += weight;
    if (k <= x) below += weight;
    if (k >= x) above += weight;
    if (k == x) at = weight;
  });
  if (alternative == Alternative::kLess) return std::min(1.0, below / all);
  if (alternative == Alternative::kGreater) return std::min(1.0, above / all);
  double unlikely = 0;
  walk([&](int64_t, double weight) {
    if (weight <= at * kTieMargin) unlikely += weight;
  });
  return std::min(1.0, unlikely / all);
}

// counts[u]: in how many orders of m + n values the first m have that U.
std::vector<double> RankCounts(size_t m, size_t n) {
  // f(i, j, u) = f(i - 1, j, u - j) + f(i, j - 1, u), row i kept per j.
  std::vector<std::vector<double>> rows(m + 1, std::vector<double>(m * n + 1));
  for (auto& row : rows) row[0] = 1;
  for (size_t j = 1; j <= n; ++j) {
    for (size_t i = 1; i <= m; ++i) {
      for (size_t u = j; u <= m * n; ++u) rows[i][u] += rows[i - 1][u - j];
    }
  }
  return std::move(rows[m]);
}

double SumOf(const std::vector<double>& counts, size_t end) {
  return std::accumulate(
      counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
}

// Sum of t^3 - t over runs of equal values; `values` are sorted.
double TieSum(const std::vector<double>& values) {
  double sum = 0;
  for (size_t i = 0; i < values.size();) {
    size_t end = i;
    while (end < values.size() && values[end] == values[i]) ++end;
    const auto t = static_cast<double>(end - i);
    sum += t * t * t - t;
    i = end;
  }
  return sum;
}

std::vector<double> Pooled(std::span<const double> x,
                           std::span<const double> y) {
  std::vector<double> pooled(x.begin(), x.end());
  pooled.insert(pooled.end(), y.begin(), y.end());
  std::sort(pooled.begin(), pooled.end());
  return pooled;
}

double SigmaOfU(double m, double n, double tie_sum) {
  return std::sqrt(m * n / 12 *
                   ((m + n + 1) - tie_sum / ((m + n) * (m + n - 1))));
}

// How many of sorted `diffs` from its ends the interval leaves out: exact.
size_t ExactCut(size_t m, size_t n, double tail) {
  const std::vector<double> counts = RankCounts(m, n);
  const double all = SumOf(counts, counts.size());
  double sum = 0;
  for (size_t u = 0; u < counts.size(); ++u) {
    sum += counts[u];
    if (sum / all >= tail) return std::max<size_t>(u, 1);
  }
  return counts.size() - 1;
}

}  // namespace

double NormalQuantile(double p) { return quantile(Normal(), p); }
double NormalTail(double z) { return cdf(complement(Normal(), z)); }
double StudentQuantile(double p, double degrees) {
  return quantile(Student(degrees), p);
}
double StudentTail(double t, double degrees) {
  return cdf(complement(Student(degrees), t));
}

double FisherTest(int64_t events1, int64_t total1, int64_t events2,
                  int64_t total2, Alternative alternative) {
  const int64_t events = events1 + events2;
  const auto up = [=](int64_t k) {
    return static_cast<double>(total1 - k) * static_cast<double>(events - k) /
           (static_cast<double>(k + 1) *
            static_cast<double>(total2 - events + k + 1));
  };
  const double mode = (static_cast<double>(events) + 1) *
                      (static_cast<double>(total1) + 1) /
                      (static_cast<double>(total1 + total2) + 2);
  return TailOf(events1, std::max<int64_t>(0, events - total2),
                std::min(events, total1), static_cast<int64_t>(mode), up,
                alternative);
}

double PoissonTest(int64_t events1, double exposure1, int64_t events2,
                   double exposure2, Alternative alternative) {
  const int64_t events = events1 + events2;
  const double odds = exposure1 / exposure2;
  const auto up = [=](int64_t k) {
    return static_cast<double>(events - k) / static_cast<double>(k + 1) * odds;
  };
  const double mode = (static_cast<double>(events) + 1) * odds / (1 + odds);
  return TailOf(events1, 0, events, static_cast<int64_t>(mode), up,
                alternative);
}

Interval PoissonRatioInterval(int64_t events1, double exposure1,
                              int64_t events2, double exposure2, double level) {
  const double tail = (1 - level) / 2;
  const auto trials = static_cast<double>(events1 + events2);
  const auto ratio = [&](double share) {
    return share >= 1 ? kInfinity : share / (1 - share) * exposure2 / exposure1;
  };
  Interval interval{0, kInfinity};
  if (events1 > 0) {
    interval.low = ratio(Binomial::find_lower_bound_on_p(
        trials, static_cast<double>(events1), tail));
  }
  if (events2 > 0) {
    interval.high = ratio(Binomial::find_upper_bound_on_p(
        trials, static_cast<double>(events1), tail));
  }
  return interval;
}

Interval WilsonInterval(double events, double total, double level) {
  const double z = NormalQuantile((1 + level) / 2);
  const double p = events / total;
  const double centre = p + z * z / (2 * total);
  const double reach =
      z * std::sqrt(p * (1 - p) / total + z * z / (4 * total * total));
  const double scale = 1 + z * z / total;
  return {std::max(0.0, (centre - reach) / scale),
          std::min(1.0, (centre + reach) / scale)};
}

Interval NewcombeInterval(double events1, double total1, double events2,
                          double total2, double level) {
  const double p1 = events1 / total1;
  const double p2 = events2 / total2;
  const Interval one = WilsonInterval(events1, total1, level);
  const Interval two = WilsonInterval(events2, total2, level);
  return {p1 - p2 - std::hypot(p1 - one.low, two.high - p2),
          p1 - p2 + std::hypot(one.high - p1, p2 - two.low)};
}

RankTest MannWhitney(std::span<const double> x, std::span<const double> y,
                     Alternative alternative) {
  std::vector<double> sorted(y.begin(), y.end());
  std::sort(sorted.begin(), sorted.end());
  RankTest test;
  for (const double value : x) {
    const auto [low, high] =
        std::equal_range(sorted.begin(), sorted.end(), value);
    test.u += static_cast<double>(low - sorted.begin()) +
              static_cast<double>(high - low) / 2;
  }
  const double tie_sum = TieSum(Pooled(x, y));
  const auto m = static_cast<double>(x.size());
  const auto n = static_cast<double>(y.size());
  test.exact = x.size() < kExactMax && y.size() < kExactMax && tie_sum == 0;
  double less = 1;
  double greater = 1;
  if (test.exact) {
    const std::vector<double> counts = RankCounts(x.size(), y.size());
    const double all = SumOf(counts, counts.size());
    const auto u = static_cast<size_t>(test.u);
    less = SumOf(counts, u + 1) / all;
    // The distribution is symmetric: adding up the small end keeps its digits.
    greater = SumOf(counts, counts.size() - u) / all;
  } else {
    const double sigma = SigmaOfU(m, n, tie_sum);
    const double distance = test.u - m * n / 2;
    if (sigma == 0) return test;
    // R corrects towards the middle when it asks for both sides.
    const bool both = alternative == Alternative::kTwoSided;
    const double nearer = (std::abs(distance) - 0.5) / sigma;
    if (both) {
      test.p = distance == 0 ? 1 : std::min(1.0, 2 * NormalTail(nearer));
      return test;
    }
    less = NormalTail(-(distance + 0.5) / sigma);
    greater = NormalTail((distance - 0.5) / sigma);
  }
  switch (alternative) {
    case Alternative::kLess:
      test.p = less;
      break;
    case Alternative::kGreater:
      test.p = greater;
      break;
    case Alternative::kTwoSided:
      test.p = std::min(1.0, 2 * std::min(less, greater));
      break;
  }
  return test;
}

Shift HodgesLehmann(std::span<const double> x, std::span<const double> y,
                    double level, double variance_factor) {
  std::vector<double> diffs;
  diffs.reserve(x.size() * y.size());
  for (const double a : x) {
    for (const double b : y) diffs.push_back(a - b);
  }
  const size_t pairs = diffs.size();
  // The k-th smallest, from 0.
  const auto smallest = [&](size_t k) {
    const auto at = diffs.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(diffs.begin(), at, diffs.end());
    return *at;
  };
  Shift shift;
  shift.estimate = (smallest((pairs - 1) / 2) + smallest(pairs / 2)) / 2;
  const double tail = (1 - level) / 2;
  const double tie_sum = TieSum(Pooled(x, y));
  if (x.size() < kExactMax && y.size() < kExactMax && tie_sum == 0 &&
      variance_factor == 1) {
    const size_t cut = ExactCut(x.size(), y.size(), tail);
    shift.interval = {smallest(cut - 1), smallest(pairs - cut)};
    return shift;
  }
  // Between two neighbouring differences no value of x - d meets one of y, so
  // that only ties within a side count, and U(d) is a number of differences:
  // the ends are order statistics.
  std::vector<double> xs(x.begin(), x.end());
  std::vector<double> ys(y.begin(), y.end());
  std::sort(xs.begin(), xs.end());
  std::sort(ys.begin(), ys.end());
  const double sigma =
      SigmaOfU(static_cast<double>(x.size()), static_cast<double>(y.size()),
               TieSum(xs) + TieSum(ys)) *
      std::sqrt(variance_factor);
  const auto all = static_cast<double>(pairs);
  const double reach = -NormalQuantile(tail) * sigma + 0.5;
  // The k-th smallest difference is where U(d) falls from pairs - k + 1 to
  // pairs - k.
  const double k_low = std::ceil(all / 2 - reach);
  const double k_high = std::floor(all / 2 + reach) + 1;
  const auto at = [&](double k) {
    return smallest(static_cast<size_t>(std::clamp(k, 1.0, all)) - 1);
  };
  shift.interval = {at(k_low), at(k_high)};
  return shift;
}

Superiority CompareGroups(std::span<const TieGroup> groups) {
  double n1 = 0;
  double n2 = 0;
  double tie_sum = 0;
  for (const TieGroup& group : groups) {
    n1 += group.first;
    n2 += group.second;
    const double t = group.first + group.second;
    tie_sum += t * t * t;
  }
  Superiority result;
  double below1 = 0;
  double below2 = 0;
  double mean1 = 0;
  double square1 = 0;
  double mean2 = 0;
  double square2 = 0;
  for (const TieGroup& group : groups) {
    // Which share of the other side lies below a value of this group.
    const double place1 = (below2 + group.second / 2) / n2;
    const double place2 = (below1 + group.first / 2) / n1;
    mean1 += place1 * group.first / n1;
    square1 += place1 * place1 * group.first / n1;
    mean2 += place2 * group.second / n2;
    square2 += place2 * place2 * group.second / n2;
    below1 += group.first;
    below2 += group.second;
  }
  const double n = n1 + n2;
  result.theta = mean1;
  result.tie_factor =
      n > 1 ? std::max(0.0, 1 - (tie_sum - n) / (n * n * n - n)) : 0;
  result.placement1 = std::max(0.0, square1 - mean1 * mean1);
  result.placement2 = std::max(0.0, square2 - mean2 * mean2);
  return result;
}

double StandardError(const Superiority& superiority, double n1, double n2) {
  const double equal =
      superiority.tie_factor / 12 * (1 / n1 + 1 / n2 + 1 / (n1 * n2));
  const double placed =
      superiority.placement1 / n1 + superiority.placement2 / n2;
  return std::sqrt(std::max(equal, placed));
}

double Lag1Autocorrelation(std::span<const double> values) {
  const size_t n = values.size();
  if (n < 3) return 0;
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) /
                      static_cast<double>(n);
  double square = 0;
  double product = 0;
  for (size_t i = 0; i < n; ++i) {
    square += (values[i] - mean) * (values[i] - mean);
    if (i > 0) product += (values[i] - mean) * (values[i - 1] - mean);
  }
  if (square <= 0) return 0;
  const double r = product / square;
  return std::clamp(r + (1 + 4 * r) / static_cast<double>(n), -0.999, 0.999);
}

double HistogramQuantile(double q, std::span<const double> bounds,
                         std::span<const double> counts) {
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  if (bounds.size() < 2 || !(all > 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const double rank = std::clamp(q, 0.0, 1.0) * all;
  double below = 0;
  size_t bucket = 0;
  while (bucket + 1 < bounds.size() && below + counts[bucket] < rank) {
    below += counts[bucket++];
  }
  if (bucket + 1 == bounds.size()) return bounds[bucket - 1];
  if (bucket == 0 && bounds[0] <= 0) return bounds[0];
  const double start = bucket == 0 ? 0 : bounds[bucket - 1];
  if (counts[bucket] <= 0) return start;
  return start + (bounds[bucket] - start) * std::max(0.0, rank - below) /
                     counts[bucket];
}

std::vector<double> HolmAdjusted(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    largest = std::max(
        largest,
        std::min(1.0, p[order[i]] * static_cast<double>(order.size() - i)));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

}  // namespace vigie::canary
