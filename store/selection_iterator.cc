#include "store/selection_iterator.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/deleted_samples.h"
#include "store/ordered_merge.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr int64_t kSampleBytes = 24;  // time, value, start
constexpr size_t kWarningsMax = 16;   // a series

// Floats behind floats, none with a start time.
bool CanFollow(const SampleColumns& next, const SampleColumns& before) {
  return next.kind == SampleKind::kFloat && before.kind == SampleKind::kFloat &&
         next.starts_ms.empty() && before.starts_ms.empty();
}

}  // namespace

SelectionIterator::SelectionIterator(std::shared_ptr<const Selection> selection)
    : selection_(std::move(selection)) {
  See(selection_->view);
  if (!selection_->hint.has_value()) return;
  plan_ = PlanRollup(selection_->hint->function);
  // Another function than the query's own would have to be told to it.
  if (plan_.has_value() && plan_->function != selection_->hint->function) {
    plan_.reset();
  }
}

void SelectionIterator::Begin(size_t series) {
  ReleaseAll();
  series_ = &selection_->series[series];
  begun_ = false;
  day_ = 0;
  next_day_ = int64_t{INT32_MIN} - 1;
  cursor_->GiveBack(&chunks_);
  pieces_.clear();
  next_piece_ = 0;
  // Its columns keep their room.
  if (!cluster_.empty()) {
    cluster_.resize(1);
    cluster_.front().clear();
  }
  run_ = at_ = 0;
  line_ = {};
  rolled_up_.clear();
  of_rollups_ = false;
  approximate_ms_ = unusable_ms_ = 0;
  warnings_.clear();
}

absl::StatusOr<bool> SelectionIterator::Next(SampleBatch* batch) {
  batch->integer_histograms.clear();
  batch->float_histograms.clear();
  batch->times_ms.clear();
  batch->starts_ms.clear();
  batch->values.clear();
  if (!begun_) {
    begun_ = true;
    if (const std::optional<Sample>& newest = series_->newest;
        newest.has_value()) {
      EndAt(batch, *newest);
      return true;
    }
    VIGIE_RETURN_IF_ERROR(ReadHead());
  }
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
      return Prefixed(series_->labels.ToString(), more.status());
    }
    if (!*more) return false;
    run_ = 0;
    if (!cluster_.empty()) Enter();
  }
}

std::vector<std::string> SelectionIterator::warnings() const {
  std::vector<std::string> warnings = warnings_;
  for (const auto& [resolution_ms, verb] :
       {std::pair(approximate_ms_, "{} is computed from those"),
        std::pair(unusable_ms_, "{} needs the samples, and sees none")}) {
    if (resolution_ms == 0) continue;
    warnings.push_back(
        fmt::format("samples{} are kept as rollups of {}: {}", BeforeText(),
                    FormatDurationMs(resolution_ms),
                    fmt::format(fmt::runtime(verb), FunctionText())));
  }
  return warnings;
}

void SelectionIterator::See(std::shared_ptr<const SelectionView> view) {
  cursor_.reset();
  view_ = std::move(view);
  cursor_ = view_->blocks->NewCursor();
  days_ = view_->blocks->Days(selection_->range);
}

void SelectionIterator::EndAt(SampleBatch* batch, const Sample& sample) {
  batch->kind = SampleKind::kFloat;
  batch->times_ms.push_back(sample.time_ms);
  batch->values.push_back(sample.value);
  day_ = days_.size();
  head_.clear();
}

absl::Status SelectionIterator::ReadHead() {
  head_.clear();
  auto view = selection_->head->Read(*selection_, *series_, view_, &head_);
  if (view != view_) See(std::move(view));
  VIGIE_RETURN_IF_ERROR(selection_->account->Charge(BytesOf(head_)));
  head_charge_ = BytesOf(head_);
  return absl::OkStatus();
}

void SelectionIterator::ReleaseAll() {
  selection_->account->Release(std::exchange(day_charge_, 0) +
                               std::exchange(cluster_charge_, 0) +
                               std::exchange(head_charge_, 0));
}

void SelectionIterator::Enter() {
  int64_t oldest_ms = selection_->range.min_ms;
  // Chunks go as a whole, and hold what is no longer to be seen until then.
  if (!of_rollups_) {
    oldest_ms = std::max(oldest_ms, view_->horizon.samples_ms);
  }
  at_ = cluster_[run_].LowerBound(oldest_ms);
}

void SelectionIterator::Give(size_t count, SampleBatch* batch) {
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

void SelectionIterator::Warn(std::string warning) {
  if (warnings_.size() < kWarningsMax &&
      std::find(warnings_.begin(), warnings_.end(), warning) ==
          warnings_.end()) {
    warnings_.push_back(std::move(warning));
  }
}

absl::Status SelectionIterator::Decode(const Piece& piece, SampleColumns* out) {
  if (piece.chunk == nullptr) {
    out->clear();
    out->AppendSlice(*piece.head, piece.begin, piece.end);
    return absl::OkStatus();
  }
  const BlockSnapshot& blocks = *view_->blocks;
  int64_t max_ms = selection_->range.max_ms;
  if (view_->later && piece.chunk->series_id == series_->head_id) {
    max_ms = std::min(max_ms, series_->head_newest_ms);
  }
  absl::Status status =
      selection_->WantsNewest()
          ? blocks.DecodeNewest(selection_->tenant, *piece.chunk, max_ms, out)
          : blocks.Decode(selection_->tenant, *piece.chunk, out);
  if (status.ok() && max_ms < selection_->range.max_ms) {
    RemoveRange({max_ms + 1, kTimeMaxMs}, out);
  }
  if (!absl::IsDataLoss(status)) return status;
  out->clear();
  Warn(std::string(MessageOf(status)));
  return absl::OkStatus();
}

absl::StatusOr<bool> SelectionIterator::Append(const Piece& piece,
                                               SampleColumns* out) {
  if (!Appends() || (!out->empty() && piece.first_ms <= out->times_ms.back())) {
    return false;
  }
  if (piece.chunk == nullptr) {
    if (!CanFollow(*piece.head, *out)) return false;
    out->AppendSlice(*piece.head, piece.begin, piece.end);
    return true;
  }
  const TimeRange range{
      std::max(selection_->range.min_ms, view_->horizon.samples_ms),
      selection_->range.max_ms};
  const absl::StatusOr<bool> appended =
      view_->blocks->Append(selection_->tenant, *piece.chunk, range, out);
  if (!absl::IsDataLoss(appended.status())) return appended;
  Warn(std::string(MessageOf(appended.status())));
  return true;
}

absl::Status SelectionIterator::AppendPieces(SampleColumns* out) {
  if (!Appends()) return absl::OkStatus();
  while (true) {
    if (next_piece_ == pieces_.size()) {
      // Buckets of the next day go on from what is here.
      if (OfCounter()) line_.Next(out);
      VIGIE_ASSIGN_OR_RETURN(const bool more, LoadPieces());
      if (!more || !rolled_up_.empty()) return absl::OkStatus();
    }
    const Piece& piece = pieces_[next_piece_];
    const bool overlaps = next_piece_ + 1 < pieces_.size() &&
                          pieces_[next_piece_ + 1].first_ms <= piece.last_ms;
    if (overlaps || out->size() + piece.samples() > kBatchSamplesMax) {
      return absl::OkStatus();
    }
    const int64_t charge = static_cast<int64_t>(piece.samples()) * kSampleBytes;
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(charge));
    cluster_charge_ += charge;
    VIGIE_ASSIGN_OR_RETURN(const bool appended, Append(piece, out));
    if (!appended) return absl::OkStatus();
    ++next_piece_;
  }
}

int64_t SelectionIterator::BytesOf(const SampleRuns& runs) {
  int64_t bytes = 0;
  for (const SampleColumns& run : runs) bytes += run.bytes();
  return bytes;
}

absl::StatusOr<bool> SelectionIterator::LoadPieces() {
  while (rolled_up_.empty() && next_piece_ == pieces_.size()) {
    int32_t day = 0;
    if (!NextDay(&day)) return false;
    VIGIE_RETURN_IF_ERROR(LoadDay(day));
  }
  return true;
}

absl::StatusOr<bool> SelectionIterator::NextCluster() {
  VIGIE_ASSIGN_OR_RETURN(const bool more, LoadPieces());
  if (!more) return false;
  of_rollups_ = !rolled_up_.empty();
  if (of_rollups_) {
    cluster_.assign(1, std::exchange(rolled_up_, {}));
    return true;
  }
  const size_t first = next_piece_;
  int64_t last_ms = pieces_[first].last_ms;
  size_t samples = pieces_[first].samples();
  for (++next_piece_;
       next_piece_ < pieces_.size() && pieces_[next_piece_].first_ms <= last_ms;
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
    SampleColumns& run = cluster_.front();
    run.clear();
    VIGIE_ASSIGN_OR_RETURN(const bool appended, Append(pieces_[first], &run));
    if (!appended) VIGIE_RETURN_IF_ERROR(Decode(pieces_[first], &run));
    VIGIE_RETURN_IF_ERROR(AppendPieces(&run));
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
  // Unless it went before buckets that are loaded already.
  if (OfCounter() && rolled_up_.empty()) {
    for (SampleColumns& run : cluster_) {
      if (run.kind == SampleKind::kFloat) line_.Next(&run);
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

}  // namespace vigie::store
