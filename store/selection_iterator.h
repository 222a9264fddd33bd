// SelectionIterator: the samples of one series of a Selection after the other.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/block_snapshot.h"
#include "store/ordered_merge.h"
#include "store/queryable.h"
#include "store/rollup_answer.h"
#include "store/sample_columns.h"
#include "store/selection.h"

namespace vigie::store {

// Reads day by day, and in a day one run of overlapping chunks after the
// other, so that it holds little whatever the range.
class SelectionIterator final : public SampleIterator {
 public:
  explicit SelectionIterator(std::shared_ptr<const Selection> selection);
  ~SelectionIterator() override { ReleaseAll(); }
  // Goes to the first sample of another series, from wherever it is.
  void Begin(size_t series);
  absl::StatusOr<bool> Next(SampleBatch* batch) override;
  std::vector<std::string> warnings() const override;

 private:
  // Something with samples in [first_ms, last_ms]: a chunk, or a slice of what
  // the head held.
  struct Piece {
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    SampleRank rank;
    const StoredChunk* chunk = nullptr;   // null: of the head
    const SampleColumns* head = nullptr;  // [begin, end) of it
    size_t begin = 0, end = 0;

    size_t samples() const {
      return chunk == nullptr ? end - begin : chunk->header.samples;
    }
  };

  void See(std::shared_ptr<const SelectionView> view);
  // Nothing else of the series counts.
  void EndAt(SampleBatch* batch, const Sample& sample);
  absl::Status ReadHead();
  void ReleaseAll();
  void Enter();
  void Give(size_t count, SampleBatch* batch);
  void Warn(std::string warning);

  // The first day from `from` on of which the head has samples.
  std::optional<int32_t> HeadDay(int64_t from) const;
  // The next day that may have something; false at the end.
  bool NextDay(int32_t* day);
  bool AnyIdIn(int32_t day) const;
  bool MayHave(const SelectedId& id, int32_t day) const;
  absl::Status LoadDay(int32_t day);
  absl::Status LoadSamples(int32_t day);
  // What is no longer seen of them stands in no answer.
  int64_t FirstSeenMs(int32_t day) const;
  bool HeadHas(int32_t day) const;
  // The resolutions that are kept of the day, the finest first.
  std::vector<int64_t> Resolutions(int32_t day) const;
  // The coarsest resolution whose buckets make up the windows; 0 if none does.
  int64_t Fitting(const std::vector<int64_t>& resolutions) const;
  absl::Status ReadRollup(int32_t day, int64_t resolution_ms, uint64_t id,
                          RollupColumns* buckets) const;
  // Instead of samples that are there, if the answer is the same to the bit.
  absl::StatusOr<bool> LoadEqualRollup(int32_t day);
  // Of ids whose samples are gone.
  absl::Status LoadRollups(int32_t day);
  absl::Status Take(const RollupColumns& buckets);
  bool OfCounter() const {
    return plan_.has_value() && plan_->use == RollupUse::kCounter;
  }
  std::string BeforeText() const;
  std::string FunctionText() const;

  // Damage becomes a warning, and the samples are left out.
  absl::Status Decode(const Piece& piece, SampleColumns* out);
  // Loads days until one has something left; false at the end.
  absl::StatusOr<bool> LoadPieces();
  // Whether floats may be put together as they come: not if only one is looked
  // at, if some came later, or if buckets before them change them all.
  bool Appends() const {
    return !selection_->WantsNewest() && !view_->later &&
           !(OfCounter() && line_.rolled_up());
  }
  // Those of the range, if they are floats that follow what is in `*out`;
  // false, and nothing appended, otherwise. Damage as in Decode.
  absl::StatusOr<bool> Append(const Piece& piece, SampleColumns* out);
  // All pieces that can be appended to `*out`, up to a batch, also of the days
  // that follow: readers then have fewer columns to put together.
  absl::Status AppendPieces(SampleColumns* out);
  static int64_t BytesOf(const SampleRuns& runs);
  // Puts the next samples into cluster_; false if there are none.
  absl::StatusOr<bool> NextCluster();

  const std::shared_ptr<const Selection> selection_;
  std::shared_ptr<const SelectionView> view_;
  std::unique_ptr<BlockCursor> cursor_;  // of its blocks
  std::vector<int32_t> days_;            // of its blocks
  const SelectedSeries* series_ = nullptr;
  bool begun_ = false;                         // the head has been read
  SampleRuns head_;                            // what no block holds
  size_t day_ = 0;                             // the next of days_
  int64_t next_day_ = int64_t{INT32_MIN} - 1;  // nothing before it is left
  std::vector<StoredChunk> chunks_;            // of the day
  std::vector<Piece> pieces_;                  // of the day, by first time
  size_t next_piece_ = 0;
  SampleRuns cluster_;
  size_t run_ = 0, at_ = 0;  // what is to be given out next
  // None if no buckets say what is asked for.
  std::optional<RollupPlan> plan_;
  CounterLine line_;
  SampleColumns rolled_up_;  // of the day, if its pieces are none
  bool of_rollups_ = false;  // cluster_ is
  // Resolutions that the answer is not the samples' own for, or lacks.
  int64_t approximate_ms_ = 0, unusable_ms_ = 0;
  std::vector<std::string> warnings_;
  int64_t day_charge_ = 0;
  int64_t cluster_charge_ = 0;
  int64_t head_charge_ = 0;
};

}  // namespace vigie::store
