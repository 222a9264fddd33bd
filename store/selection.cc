#include "store/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::store {
namespace {

constexpr int64_t kSampleBytes = 24;  // time, value, start

// Reads window by window, and in a window one run of overlapping chunks after
// the other, so that it holds little whatever the range.
class SelectionIterator final : public SampleIterator {
 public:
  SelectionIterator(std::shared_ptr<const Selection> selection, size_t series)
      : selection_(std::move(selection)),
        series_(selection_->series[series]),
        run_(series_.windows.begin()) {
    if (run_ != series_.windows.end()) window_ = run_->first;
  }
  ~SelectionIterator() override {
    selection_->account->Release(window_charge_ + cluster_charge_);
  }

  absl::StatusOr<bool> Next(SampleBatch* batch) override {
    *batch = {};
    while (at_ == end_) {
      if (run_at_ < cluster_.size()) {
        Enter(cluster_[run_at_++]);
        continue;
      }
      if (selection_->stop.stop_requested()) {
        return absl::CancelledError("select: cancelled");
      }
      absl::StatusOr<bool> more = NextCluster();
      if (!more.ok()) {
        return Prefixed(series_.labels.ToString(), more.status());
      }
      if (!*more) return false;
      run_at_ = 0;
    }
    const size_t count = std::min(kBatchSamplesMax, end_ - at_);
    SampleColumns& from = cluster_[run_at_ - 1];
    SampleColumns slice;
    if (count == from.size()) {
      slice = std::move(from);
      from.clear();
      at_ = end_ = 0;
    } else {
      slice.AppendSlice(from, at_, at_ + count);
      at_ += count;
    }
    batch->kind = slice.kind;
    batch->times_ms = std::move(slice.times_ms);
    batch->values = std::move(slice.values);
    batch->integer_histograms = std::move(slice.integer_histograms);
    batch->float_histograms = std::move(slice.float_histograms);
    batch->starts_ms = std::move(slice.starts_ms);
    return true;
  }

 private:
  // Something with samples in [first_ms, last_ms]: a chunk, or a slice of what
  // the head held.
  struct Piece {
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    const StoredChunk* chunk = nullptr;  // null: head[begin, end)
    const SampleColumns* head = nullptr;
    size_t begin = 0, end = 0;

    size_t samples() const {
      return chunk == nullptr ? end - begin : chunk->header.samples;
    }
    // What came first wins, and the head comes after all seals.
    uint64_t order() const {
      return chunk == nullptr ? ~uint64_t{0} : chunk->seal;
    }
  };

  absl::Status LoadWindow(int32_t window) {
    pieces_.clear();
    next_piece_ = 0;
    chunks_.clear();
    selection_->account->Release(std::exchange(window_charge_, 0));
    VIGIE_ASSIGN_OR_RETURN(
        chunks_, selection_->blocks->Read(window, selection_->tenant,
                                          series_.metric_hash, series_.id,
                                          selection_->range));
    int64_t bytes = 0;
    for (const StoredChunk& chunk : chunks_) {
      bytes += static_cast<int64_t>(chunk.bytes.size() + sizeof(chunk));
    }
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(bytes));
    window_charge_ = bytes;
    for (const StoredChunk& chunk : chunks_) {
      pieces_.push_back(
          {chunk.header.first_ms, chunk.header.last_ms, &chunk, nullptr, 0, 0});
    }
    for (const SampleColumns& head : series_.head) {
      const size_t begin = head.LowerBound(WindowStartMs(window));
      const size_t end = head.UpperBound(WindowEndMs(window));
      if (begin >= end) continue;
      const Piece piece{head.times_ms[begin],
                        head.times_ms[end - 1],
                        nullptr,
                        &head,
                        begin,
                        end};
      pieces_.insert(std::upper_bound(pieces_.begin(), pieces_.end(), piece,
                                      [](const Piece& a, const Piece& b) {
                                        return a.first_ms < b.first_ms;
                                      }),
                     piece);
    }
    return absl::OkStatus();
  }

  absl::Status Decode(const Piece& piece, SampleColumns* out) const {
    if (piece.chunk != nullptr) return DecodeChunk(piece.chunk->bytes, out);
    out->clear();
    out->AppendSlice(*piece.head, piece.begin, piece.end);
    return absl::OkStatus();
  }

  // Puts the next samples into cluster_; false if there are none.
  absl::StatusOr<bool> NextCluster() {
    while (next_piece_ == pieces_.size()) {
      if (run_ == series_.windows.end()) return false;
      VIGIE_RETURN_IF_ERROR(LoadWindow(window_));
      if (window_ == run_->last) {
        if (++run_ != series_.windows.end()) window_ = run_->first;
      } else {
        ++window_;
      }
    }
    const size_t first = next_piece_;
    int64_t last_ms = pieces_[first].last_ms;
    size_t samples = pieces_[first].samples();
    for (++next_piece_; next_piece_ < pieces_.size() &&
                        pieces_[next_piece_].first_ms <= last_ms;
         ++next_piece_) {
      last_ms = std::max(last_ms, pieces_[next_piece_].last_ms);
      samples += pieces_[next_piece_].samples();
    }
    const bool overlap = next_piece_ - first > 1;
    selection_->account->Release(std::exchange(cluster_charge_, 0));
    const int64_t charge =
        static_cast<int64_t>(samples) * kSampleBytes * (overlap ? 2 : 1);
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(charge));
    cluster_charge_ = charge;

    if (!overlap) {
      cluster_.resize(1);
      VIGIE_RETURN_IF_ERROR(Decode(pieces_[first], &cluster_[0]));
    } else {
      const auto begin = pieces_.begin() + static_cast<std::ptrdiff_t>(first);
      const auto end =
          pieces_.begin() + static_cast<std::ptrdiff_t>(next_piece_);
      std::sort(begin, end, [](const Piece& a, const Piece& b) {
        return std::pair(a.order(), a.first_ms) <
               std::pair(b.order(), b.first_ms);
      });
      uint64_t conflicts = 0;
      cluster_.clear();
      SampleRuns one(1);
      for (auto piece = begin; piece != end; ++piece) {
        VIGIE_RETURN_IF_ERROR(Decode(*piece, &one[0]));
        cluster_ = MergedRuns(cluster_, one, &conflicts);
      }
      if (conflicts > 0) {
        selection_->metrics->read_conflicts.Increment(
            static_cast<double>(conflicts));
      }
    }
    return true;
  }

  void Enter(const SampleColumns& run) {
    at_ = run.LowerBound(selection_->range.min_ms);
    end_ = std::max(at_, run.UpperBound(selection_->range.max_ms));
  }

  const std::shared_ptr<const Selection> selection_;
  const SelectedSeries& series_;
  std::vector<WindowSet::Run>::const_iterator run_;  // of the next window
  int32_t window_ = 0;                               // the next one
  std::vector<StoredChunk> chunks_;                  // of the window before it
  std::vector<Piece> pieces_;                        // by first time
  size_t next_piece_ = 0;
  SampleRuns cluster_;
  size_t run_at_ = 0;        // the next of its runs; of the one before
  size_t at_ = 0, end_ = 0;  // [at_, end_) is still to be given out
  int64_t window_charge_ = 0;
  int64_t cluster_charge_ = 0;
};

class SelectionSnapshot final : public SeriesSnapshot {
 public:
  explicit SelectionSnapshot(std::shared_ptr<const Selection> selection)
      : selection_(std::move(selection)) {}

  size_t size() const override { return selection_->series.size(); }
  const Labels& labels(size_t series) const override {
    return selection_->series[series].labels;
  }
  std::unique_ptr<SampleIterator> Samples(size_t series) const override {
    return std::make_unique<SelectionIterator>(selection_, series);
  }
  const std::vector<std::string>& warnings() const override {
    return selection_->warnings;
  }

 private:
  const std::shared_ptr<const Selection> selection_;
};

}  // namespace

Selection::~Selection() {
  if (account != nullptr) account->Release(charged);
}

std::unique_ptr<SeriesSnapshot> SnapshotOf(
    std::shared_ptr<const Selection> selection) {
  return std::make_unique<SelectionSnapshot>(std::move(selection));
}

}  // namespace vigie::store
