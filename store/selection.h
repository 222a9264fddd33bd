// Selection: which series one Select found, as a snapshot that reads their
// samples, those of the head too, when it is asked to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/sample.h"
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
  std::vector<SelectedId> ids;  // ascending: all that had these labels
  // That in the head, if not 0, and its newest sample then: what is newer came
  // after the Select.
  uint64_t head_id = 0;
  int64_t head_newest_ms = 0;
  // Of all ids, if it is the only one wanted and the head knew it.
  std::optional<Sample> newest;
};

// Blocks that go with what the head holds between two seals.
struct SelectionView {
  std::shared_ptr<const BlockSnapshot> blocks;
  Horizon horizon;
  uint64_t seal = 0;   // the last one that the blocks have
  bool later = false;  // taken after the Select
};

struct Selection;

// The head, asked by any thread.
class HeadSamples {
 public:
  virtual ~HeadSamples() = default;
  // Appends those samples of the series in the head that the blocks of the
  // view have not, by time. The view is `known`, or a later one if there was a
  // seal since that was taken.
  virtual std::shared_ptr<const SelectionView> Read(
      const Selection& selection, const SelectedSeries& series,
      std::shared_ptr<const SelectionView> known, SampleRuns* runs) const = 0;
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
  std::vector<SelectedSeries> series;  // in order of labels
  std::vector<std::string> warnings;
  std::shared_ptr<const SelectionView> view;  // of the Select
  const HeadSamples* head = nullptr;
  ByteAccount* account = nullptr;
  std::stop_token stop;
  int64_t charged = 0;
  StoreMetrics* metrics = nullptr;
};

std::unique_ptr<SeriesSnapshot> SnapshotOf(
    std::shared_ptr<const Selection> selection);

}  // namespace vigie::store
