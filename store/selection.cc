#include "store/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/ordered_merge.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr int64_t kSampleBytes = 24;  // time, value, start
constexpr size_t kWarningsMax = 16;   // a series

// Reads day by day, and in a day one run of overlapping chunks after the
// other, so that it holds little whatever the range.
class SelectionIterator final : public SampleIterator {
 public:
  SelectionIterator(std::shared_ptr<const Selection> selection, size_t series)
      : selection_(std::move(selection)),
        series_(selection_->series[series]),
        days_(selection_->blocks->Days(selection_->range)) {}
  ~SelectionIterator() override {
    selection_->account->Release(day_charge_ + cluster_charge_);
  }

  absl::StatusOr<bool> Next(SampleBatch* batch) override {
    batch->integer_histograms.clear();
    batch->float_histograms.clear();
    batch->times_ms.clear();
    batch->starts_ms.clear();
    batch->values.clear();
    while (true) {
      if (run_ < cluster_.size()) {
        const size_t end = cluster_[run_].UpperBound(selection_->range.max_ms);
        if (at_ < end) {
          Give(std::min(kBatchSamplesMax, end - at_), batch);
          return true;
        }
        if (++run_ < cluster_.size()) Enter();
        continue;
      }
      if (selection_->stop.stop_requested()) {
        return absl::CancelledError("select: cancelled");
      }
      const absl::StatusOr<bool> more = NextCluster();
      if (!more.ok()) {
        return Prefixed(series_.labels.ToString(), more.status());
      }
      if (!*more) return false;
      run_ = 0;
      if (!cluster_.empty()) Enter();
    }
  }

  std::vector<std::string> warnings() const override { return warnings_; }

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

  void Enter() { at_ = cluster_[run_].LowerBound(selection_->range.min_ms); }

  void Give(size_t count, SampleBatch* batch) {
    SampleColumns& run = cluster_[run_];
    batch->kind = run.kind;
    if (count == run.size()) {
      batch->times_ms.swap(run.times_ms);
      batch->values.swap(run.values);
      batch->integer_histograms.swap(run.integer_histograms);
      batch->float_histograms.swap(run.float_histograms);
      batch->starts_ms.swap(run.starts_ms);
      run.clear();
      at_ = 0;
      return;
    }
    auto take = [&](auto& from, auto* to) {
      if (from.empty()) return;
      const auto begin = from.begin() + static_cast<std::ptrdiff_t>(at_);
      to->assign(
          std::make_move_iterator(begin),
          std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(count)));
    };
    // The times stay: they say where the run goes on.
    batch->times_ms.assign(
        run.times_ms.begin() + static_cast<std::ptrdiff_t>(at_),
        run.times_ms.begin() + static_cast<std::ptrdiff_t>(at_ + count));
    take(run.values, &batch->values);
    take(run.integer_histograms, &batch->integer_histograms);
    take(run.float_histograms, &batch->float_histograms);
    take(run.starts_ms, &batch->starts_ms);
    at_ += count;
  }

  void Warn(std::string warning) {
    if (warnings_.size() < kWarningsMax &&
        std::find(warnings_.begin(), warnings_.end(), warning) ==
            warnings_.end()) {
      warnings_.push_back(std::move(warning));
    }
  }

  // The first day from `from` on of which the head has samples.
  std::optional<int32_t> HeadDay(int64_t from) const {
    for (const SampleColumns& run : series_.head) {
      const size_t i =
          from < INT32_MIN
              ? 0
              : run.LowerBound(DayStartMs(static_cast<int32_t>(from)));
      if (i < run.size()) return DayOf(run.times_ms[i]);
    }
    return std::nullopt;
  }

  // The next day that may have something; false at the end.
  bool NextDay(int32_t* day) {
    const std::optional<int32_t> head = HeadDay(next_day_);
    while (day_ < days_.size() && !AnyIdIn(days_[day_])) ++day_;
    if (day_ == days_.size() && !head.has_value()) return false;
    if (day_ == days_.size() || (head.has_value() && *head < days_[day_])) {
      *day = *head;
    } else {
      *day = days_[day_++];
    }
    next_day_ = int64_t{*day} + 1;
    return true;
  }
  bool AnyIdIn(int32_t day) const {
    return std::any_of(series_.ids.begin(), series_.ids.end(),
                       [&](const SelectedId& id) {
                         return id.first_day <= day && day <= id.last_day;
                       });
  }

  absl::Status LoadDay(int32_t day) {
    pieces_.clear();
    next_piece_ = 0;
    chunks_.clear();
    selection_->account->Release(std::exchange(day_charge_, 0));
    std::vector<std::string> warnings;
    for (const SelectedId& id : series_.ids) {
      if (day < id.first_day || id.last_day < day) continue;
      VIGIE_RETURN_IF_ERROR(selection_->blocks->Read(
          day, selection_->tenant, series_.metric_hash, id.id,
          selection_->range, &chunks_, &warnings));
    }
    for (std::string& warning : warnings) Warn(std::move(warning));
    int64_t bytes = 0;
    for (const StoredChunk& chunk : chunks_) {
      bytes += static_cast<int64_t>(chunk.bytes.size() + sizeof(chunk));
    }
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(bytes));
    day_charge_ = bytes;
    for (const StoredChunk& chunk : chunks_) {
      Piece& piece = pieces_.emplace_back();
      piece.first_ms = chunk.header.first_ms;
      piece.last_ms = chunk.header.last_ms;
      piece.rank = {chunk.series_id, chunk.seal};
      piece.chunk = &chunk;
    }
    for (const SampleColumns& head : series_.head) {
      const size_t begin = head.LowerBound(DayStartMs(day));
      const size_t end = head.UpperBound(DayEndMs(day));
      if (begin == end) continue;
      Piece& piece = pieces_.emplace_back();
      piece.first_ms = head.times_ms[begin];
      piece.last_ms = head.times_ms[end - 1];
      piece.rank = {series_.head_id, kSealOfHead};
      piece.head = &head;
      piece.begin = begin;
      piece.end = end;
    }
    std::stable_sort(
        pieces_.begin(), pieces_.end(),
        [](const Piece& a, const Piece& b) { return a.first_ms < b.first_ms; });
    return absl::OkStatus();
  }

  // Damage becomes a warning, and the samples are left out.
  absl::Status Decode(const Piece& piece, SampleColumns* out) {
    out->clear();
    if (piece.chunk == nullptr) {
      out->AppendSlice(*piece.head, piece.begin, piece.end);
      return absl::OkStatus();
    }
    absl::Status status =
        selection_->blocks->Decode(selection_->tenant, *piece.chunk, out);
    if (!absl::IsDataLoss(status)) return status;
    out->clear();
    Warn(std::string(MessageOf(status)));
    return absl::OkStatus();
  }

  static int64_t BytesOf(const SampleRuns& runs) {
    int64_t bytes = 0;
    for (const SampleColumns& run : runs) bytes += run.bytes();
    return bytes;
  }

  // Puts the next samples into cluster_; false if there are none.
  absl::StatusOr<bool> NextCluster() {
    while (next_piece_ == pieces_.size()) {
      int32_t day = 0;
      if (!NextDay(&day)) return false;
      VIGIE_RETURN_IF_ERROR(LoadDay(day));
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
    int64_t charge =
        static_cast<int64_t>(samples) * kSampleBytes * (overlap ? 2 : 1);
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(charge));
    cluster_charge_ = charge;

    if (!overlap) {
      cluster_.resize(1);
      VIGIE_RETURN_IF_ERROR(Decode(pieces_[first], &cluster_.front()));
    } else {
      std::vector<RankedRuns> sources;
      for (size_t i = first; i < next_piece_; ++i) {
        RankedRuns source{pieces_[i].rank, SampleRuns(1)};
        VIGIE_RETURN_IF_ERROR(Decode(pieces_[i], &source.runs.front()));
        if (!source.runs.front().empty()) sources.push_back(std::move(source));
      }
      uint64_t conflicts = 0;
      cluster_ = OrderedMerge(&sources, &conflicts);
      if (conflicts > 0) {
        selection_->metrics->read_conflicts.Increment(
            static_cast<double>(conflicts));
      }
    }
    // Histograms take more than was to be foreseen.
    charge = BytesOf(cluster_) - cluster_charge_;
    if (charge > 0) {
      VIGIE_RETURN_IF_ERROR(selection_->account->Charge(charge));
      cluster_charge_ += charge;
    }
    return true;
  }

  const std::shared_ptr<const Selection> selection_;
  const SelectedSeries& series_;
  const std::vector<int32_t> days_;            // of the blocks
  size_t day_ = 0;                             // the next of them
  int64_t next_day_ = int64_t{INT32_MIN} - 1;  // nothing before it is left
  std::vector<StoredChunk> chunks_;            // of the day
  std::vector<Piece> pieces_;                  // of the day, by first time
  size_t next_piece_ = 0;
  SampleRuns cluster_;
  size_t run_ = 0, at_ = 0;  // what is to be given out next
  std::vector<std::string> warnings_;
  int64_t day_charge_ = 0;
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
