// SealCapture: what a seal takes from the head, and what it then finds there
// again. Whoever writes it into blocks knows nothing of the head.
// Thread-compatible; its two functions are thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "model/exemplar.h"
#include "model/labels.h"
#include "store/log.h"
#include "store/sample_columns.h"

namespace vigie::store {

// Days count from the epoch, as DayOf does.
inline constexpr int32_t kNoDay = INT32_MIN;

// How far a series that is fed by increments has been counted: `value` at
// `end_ms`, counted since `start_ms`.
struct DeltaState {
  int64_t end_ms = 0;
  double value = 0;
  int64_t start_ms = 0;
  friend bool operator==(const DeltaState&, const DeltaState&) = default;
};

// What is kept of a series in the head over restarts, beside its names.
struct SeriesState {
  static constexpr int64_t kNoSamples = INT64_MIN;
  int64_t first_ms = kNoSamples;   // the oldest sample under this id
  int64_t newest_ms = kNoSamples;  // and the newest
  int32_t last_day_indexed = kNoDay;
  std::optional<DeltaState> delta;
};

struct MetadataEntry {
  Metadata metadata;
  int64_t seen_ms = 0;  // when it was logged last
  bool dirty = false;   // only in the log
};

struct SealCapture {
  struct Series {
    uint64_t id = 0;
    uint32_t metric_hash = 0;
    uint32_t tenant = 0;  // which of `tenants`
    int64_t first_ms = 0;
    int64_t newest_ms = 0;
    // Once index_days are written.
    int32_t last_day_indexed = kNoDay;
    bool is_new = false;  // no seal had anything of it
    // Days in which it has samples here and is not known to be indexed yet.
    absl::InlinedVector<int32_t, 2> index_days;
  };
  struct Metadata {
    std::string tenant;
    std::string metric;
    MetadataEntry entry;
  };
  // The first position whose record is not part of it.
  LogPosition end = 0;
  uint64_t next_series_id = 0;
  uint64_t samples = 0;
  int64_t newest_ms = INT64_MIN;  // none of its samples is newer
  std::vector<std::string> tenants;
  std::vector<Series> series;  // by id
  // By index in `series`: those whose row is to be written again.
  absl::flat_hash_map<size_t, std::vector<Exemplar>> exemplars;
  absl::flat_hash_map<size_t, DeltaState> deltas;
  // Series that have left the head since the last seal.
  std::vector<uint64_t> gone;
  std::vector<Metadata> metadata;
  // Replaces `*runs` by the samples of series[i]; may be none.
  std::function<void(size_t i, SampleRuns* runs)> read;
  // Of series[i]. Takes the head's lock: not to be called under it.
  std::function<Labels(size_t i)> labels;

  bool empty() const {
    return series.empty() && metadata.empty() && gone.empty();
  }
};

}  // namespace vigie::store
