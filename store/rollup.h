// Rollups: what is kept of floats that are too old to be kept one by one. A
// bucket stands for the samples in (end - resolution, end], ends being
// multiples of the resolution, as PromQL's windows are open on the left. So
// whatever asks at such times for windows of whole buckets gets what the
// samples themselves would have given it, but for the order of additions.
// A bucket without samples is not there. Bytes: docs/formats/chunk.md.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/time_range.h"
#include "store/sample_columns.h"

namespace vigie::store {

// The buckets of one series as columns, all of one length.
struct RollupColumns {
  int64_t resolution_ms = 0;
  // When the last sample was, a staleness marker or not; so each bucket's own.
  std::vector<int64_t> times_ms;
  // How long before that the last value was, if the last sample was a marker:
  // then the series ended there. Else 0.
  std::vector<uint64_t> marker_lags_ms;
  // Values, markers left out. 0: then the five below are 0.
  std::vector<uint64_t> counts;
  // As in ChunkStatistics.
  std::vector<double> sums, mins, maxs, lasts;
  // What resets of a counter took: each value that a smaller one followed. The
  // value before the first may be in a bucket before. The increase between two
  // buckets is the difference of their lasts and this, as PromQL has it: it
  // looks across markers and gaps.
  std::vector<double> resets;

  size_t size() const { return times_ms.size(); }
  friend bool operator==(const RollupColumns&, const RollupColumns&);  // bits
};

// Rolls floats up as they come, oldest first. `resolution_ms` is positive.
class RollupBuilder {
 public:
  explicit RollupBuilder(int64_t resolution_ms);

  // The last value before the first sample, where something is known of it.
  void SetLastValue(double value) { last_value_ = value; }
  // Times after those before.
  void Add(const SampleColumns& floats);
  // Buckets of a resolution that ours is a multiple of.
  void Add(const RollupColumns& finer);
  // What came so far; the builder goes on with another bucket.
  RollupColumns Take();

 private:
  bool Begin(int64_t time_ms);
  void AddExtremes(double min, double max);
  void AddSum(double value);

  RollupColumns columns_;
  std::optional<double> last_value_;
  double sum_ = 0, lost_ = 0;  // the newest sum is both
};

// Takes the buckets away that have a part in `range`.
void RemoveBuckets(const TimeRange& range, RollupColumns* buckets);

// The buckets [begin, end), 1 to kChunkSamplesLimit of them, and back; errors
// as of DecodeChunk. ReadChunkHeader refuses such chunks by name.
std::string EncodeRollupChunk(const RollupColumns& buckets, size_t begin,
                              size_t end);
absl::Status DecodeRollupChunk(std::string_view bytes, RollupColumns* buckets);

}  // namespace vigie::store
