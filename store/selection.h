// Selection: what one Select captured, as a snapshot that reads the rest of it
// from the blocks when it is asked to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/block_snapshot.h"
#include "store/queryable.h"
#include "store/retention.h"
#include "store/sample_columns.h"
#include "store/store_metrics.h"

namespace vigie::store {

// An id whose samples are part of a series.
struct SelectedId {
  uint64_t id = 0;
  // Blocks have nothing of it outside of these days: a hint that saves looking.
  int32_t first_day = 0;
  int32_t last_day = 0;
};

struct SelectedSeries {
  Labels labels;
  uint32_t metric_hash = 0;
  // Ascending: all that had these labels, but for that of the head if only
  // its newest sample is wanted and the head has it.
  std::vector<SelectedId> ids;
  uint64_t head_id = 0;  // whose samples these are
  SampleRuns head;       // what no block holds
};

struct Selection {
  // Releases what was charged for it.
  ~Selection();

  // Of each series only the newest sample of `range` is looked at.
  bool WantsNewest() const {
    return hint.has_value() && hint->function.empty() && hint->step_ms == 0;
  }

  std::string tenant;
  TimeRange range;
  std::optional<WindowHint> hint;
  Horizon horizon;
  std::vector<SelectedSeries> series;  // in order of labels
  std::vector<std::string> warnings;
  std::unique_ptr<BlockSnapshot> blocks;
  ByteAccount* account = nullptr;
  std::stop_token stop;
  int64_t charged = 0;
  StoreMetrics* metrics = nullptr;
};

std::unique_ptr<SeriesSnapshot> SnapshotOf(
    std::shared_ptr<const Selection> selection);

}  // namespace vigie::store
