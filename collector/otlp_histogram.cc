#include "collector/otlp_histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace vigie::collector {
namespace {

// A gap of up to this many empty buckets is stored as zeros, which is cheaper
// than another span.
constexpr int64_t kGapInSpanMax = 2;

bool Convert(const ExponentialBuckets& in, int scale_down,
             std::vector<BucketSpan>* spans, std::vector<uint64_t>* buckets) {
  int64_t last = 0;  // index of the last bucket written
  for (size_t i = 0; i < in.counts.size(); ++i) {
    const uint64_t count = in.counts[i];
    if (count == 0) continue;
    // OTLP's index 0 is (1, base], the native one (1/base, 1]: one more. The
    // shift floors, so that neighbours merge below zero too. By 32 or more it
    // leaves the sign alone.
    const int64_t index =
        ((in.offset + static_cast<int64_t>(i)) >> std::min(scale_down, 62)) + 1;
    if (index > std::numeric_limits<int32_t>::max()) return false;
    if (!buckets->empty() && index == last) {
      buckets->back() += count;
      continue;
    }
    if (buckets->empty()) {
      spans->push_back({static_cast<int32_t>(index), 0});
    } else if (const int64_t gap = index - last - 1; gap > kGapInSpanMax) {
      spans->push_back({static_cast<int32_t>(gap), 0});
    } else {
      spans->back().length += static_cast<uint32_t>(gap);
      buckets->insert(buckets->end(), static_cast<size_t>(gap), 0);
    }
    ++spans->back().length;
    buckets->push_back(count);
    last = index;
  }
  return true;
}

}  // namespace

bool SetExponentialBuckets(int32_t scale, const ExponentialBuckets& positive,
                           const ExponentialBuckets& negative,
                           IntegerHistogram* histogram, std::string* error) {
  if (scale < kExponentialSchemaMin) {
    *error = fmt::format("scale {} is below {}", scale, kExponentialSchemaMin);
    return false;
  }
  unsigned __int128 total = histogram->zero_count;
  for (const uint64_t count : positive.counts) total += count;
  for (const uint64_t count : negative.counts) total += count;
  if (total != histogram->count) {
    *error =
        fmt::format("buckets do not add up to the count {}", histogram->count);
    return false;
  }
  const int32_t schema = std::min(scale, kExponentialSchemaMax);
  const int64_t scale_down = static_cast<int64_t>(scale) - schema;
  histogram->schema = schema;
  if (!Convert(positive, static_cast<int>(scale_down),
               &histogram->positive_spans, &histogram->positive_buckets) ||
      !Convert(negative, static_cast<int>(scale_down),
               &histogram->negative_spans, &histogram->negative_buckets)) {
    *error = "bucket index beyond 32 bits";
    return false;
  }
  return true;
}

}  // namespace vigie::collector
