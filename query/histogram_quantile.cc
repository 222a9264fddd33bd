#include "query/histogram_quantile.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vigie::query {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
// Counts that differ by less than this were equal before arithmetic.
constexpr double kRelativeTolerance = 1e-12;

void SortByBound(std::vector<ClassicBucket>* buckets) {
  std::stable_sort(buckets->begin(), buckets->end(),
                   [](const ClassicBucket& a, const ClassicBucket& b) {
                     return a.upper_bound < b.upper_bound;
                   });
}

// One bucket a bound: "0.1" and "1e-1" are two series.
void Coalesce(std::vector<ClassicBucket>* buckets) {
  size_t last = 0;
  for (size_t i = 1; i < buckets->size(); ++i) {
    if ((*buckets)[i].upper_bound == (*buckets)[last].upper_bound) {
      (*buckets)[last].count += (*buckets)[i].count;
    } else {
      (*buckets)[++last] = (*buckets)[i];
    }
  }
  buckets->resize(last + 1);
}

// Raises counts that fell, in silence where it is rounding.
void MakeMonotonic(std::vector<ClassicBucket>* buckets,
                   ClassicQuantile* result) {
  double previous = (*buckets)[0].count;
  for (size_t i = 1; i < buckets->size(); ++i) {
    double& count = (*buckets)[i].count;
    const double difference = std::abs(count - previous);
    if (difference == 0) continue;
    if (difference / count <= kRelativeTolerance) {
      count = previous;
    } else {
      previous = count;
    }
  }
  double max = (*buckets)[0].count;
  for (size_t i = 1; i < buckets->size(); ++i) {
    ClassicBucket& bucket = (*buckets)[i];
    if (bucket.count >= max) {
      max = bucket.count;
    } else if (bucket.count < max) {
      if (!result->forced_monotonic) {
        result->forced_monotonic = true;
        result->repaired_min = bucket.upper_bound;
      }
      result->repaired_max = bucket.upper_bound;
      result->difference_max =
          std::max(result->difference_max, max - bucket.count);
      bucket.count = max;
    }
  }
}

}  // namespace

ClassicQuantile QuantileOfBuckets(double q,
                                  std::vector<ClassicBucket>* buckets) {
  if (std::isnan(q)) return {.value = kNan};
  if (q < 0) return {.value = -kInf};
  if (q > 1) return {.value = kInf};
  SortByBound(buckets);
  if (buckets->back().upper_bound != kInf) return {.value = kNan};
  ClassicQuantile result;
  const size_t before = buckets->size();
  Coalesce(buckets);
  result.coalesced = buckets->size() < before;
  MakeMonotonic(buckets, &result);
  const ClassicQuantile none{.value = kNan, .coalesced = result.coalesced};
  if (buckets->size() < 2) return none;
  const double observations = buckets->back().count;
  if (observations == 0) return none;

  double rank = q * observations;
  const size_t last = buckets->size() - 1;
  size_t b = 0;
  // The first that reaches the rank; a NaN rank is reached by none.
  while (b < last && !((*buckets)[b].count >= rank)) ++b;
  if (b == last) {
    result.value = (*buckets)[last - 1].upper_bound;
    return result;
  }
  if (b == 0 && (*buckets)[0].upper_bound <= 0) {
    result.value = (*buckets)[0].upper_bound;
    return result;
  }
  double start = 0;
  const double end = (*buckets)[b].upper_bound;
  double count = (*buckets)[b].count;
  if (b > 0) {
    start = (*buckets)[b - 1].upper_bound;
    count -= (*buckets)[b - 1].count;
    rank -= (*buckets)[b - 1].count;
  }
  result.value = start + (end - start) * (rank / count);
  return result;
}

double FractionOfBuckets(double lower, double upper,
                         std::vector<ClassicBucket>* buckets) {
  SortByBound(buckets);
  if (buckets->back().upper_bound != kInf) return kNan;
  Coalesce(buckets);
  const double observations = buckets->back().count;
  if (observations == 0 || std::isnan(lower) || std::isnan(upper)) return kNan;
  if (lower >= upper) return 0;

  // How many observations lie below `value`.
  const auto rank_of = [&](double value) {
    double below = 0;
    for (size_t i = 0; i < buckets->size(); ++i) {
      const double end = (*buckets)[i].upper_bound;
      // The lowest bucket starts at zero if it ends above.
      const double start =
          i > 0 ? (*buckets)[i - 1].upper_bound : (end > 0 ? 0 : -kInf);
      if (start >= value) return below;
      if (end > value) {
        return below +
               ((*buckets)[i].count - below) * (value - start) / (end - start);
      }
      below = (*buckets)[i].count;
    }
    return observations;
  };
  const double low = std::min(rank_of(lower), observations);
  const double high = std::min(rank_of(upper), observations);
  return (high - low) / observations;
}

}  // namespace vigie::query
