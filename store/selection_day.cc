// SelectionIterator: what there is of a day, samples or rollups.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/selection_iterator.h"
#include "store/windows.h"

namespace vigie::store {

std::optional<int32_t> SelectionIterator::HeadDay(int64_t from) const {
  for (const SampleColumns& run : head_) {
    const size_t i =
        from < INT32_MIN
            ? 0
            : run.LowerBound(DayStartMs(static_cast<int32_t>(from)));
    if (i < run.size()) return DayOf(run.times_ms[i]);
  }
  return std::nullopt;
}

bool SelectionIterator::NextDay(int32_t* day) {
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

bool SelectionIterator::AnyIdIn(int32_t day) const {
  return std::any_of(series_->ids.begin(), series_->ids.end(),
                     [&](const SelectedId& id) { return MayHave(id, day); });
}

bool SelectionIterator::MayHave(const SelectedId& id, int32_t day) const {
  // What came late since may lie in any day.
  return view_->later || (id.first_day <= day && day <= id.last_day);
}

absl::Status SelectionIterator::LoadDay(int32_t day) {
  pieces_.clear();
  next_piece_ = 0;
  cursor_->GiveBack(&chunks_);
  selection_->account->Release(std::exchange(day_charge_, 0));
  if (DayEndMs(day) >= view_->horizon.samples_ms) {
    VIGIE_ASSIGN_OR_RETURN(const bool rolled_up, LoadEqualRollup(day));
    if (rolled_up) return absl::OkStatus();
    VIGIE_RETURN_IF_ERROR(LoadSamples(day));
  }
  return LoadRollups(day);
}

absl::Status SelectionIterator::LoadSamples(int32_t day) {
  const TimeRange range{
      std::max(selection_->range.min_ms, view_->horizon.samples_ms),
      selection_->range.max_ms};
  std::vector<std::string> warnings;
  for (const SelectedId& id : series_->ids) {
    if (!MayHave(id, day)) continue;
    VIGIE_RETURN_IF_ERROR(
        view_->blocks->Read(day, selection_->tenant, series_->metric_hash,
                            id.id, range, cursor_.get(), &chunks_, &warnings));
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
  for (const SampleColumns& head : head_) {
    const size_t begin = head.LowerBound(FirstSeenMs(day));
    const size_t end = head.UpperBound(DayEndMs(day));
    if (begin >= end) continue;
    Piece& piece = pieces_.emplace_back();
    piece.first_ms = head.times_ms[begin];
    piece.last_ms = head.times_ms[end - 1];
    piece.rank = {series_->head_id, kSealOfHead};
    piece.head = &head;
    piece.begin = begin;
    piece.end = end;
  }
  std::stable_sort(
      pieces_.begin(), pieces_.end(),
      [](const Piece& a, const Piece& b) { return a.first_ms < b.first_ms; });
  return absl::OkStatus();
}

int64_t SelectionIterator::FirstSeenMs(int32_t day) const {
  return std::max(DayStartMs(day), view_->horizon.samples_ms);
}

bool SelectionIterator::HeadHas(int32_t day) const {
  return std::any_of(head_.begin(), head_.end(), [&](const SampleColumns& run) {
    const size_t i = run.LowerBound(DayStartMs(day));
    return i < run.size() && run.times_ms[i] <= DayEndMs(day);
  });
}

std::vector<int64_t> SelectionIterator::Resolutions(int32_t day) const {
  std::vector<int64_t> kept = view_->blocks->Resolutions(day);
  for (const Horizon::Rollup& rollup : view_->horizon.rollups) {
    if (DayEndMs(day) < rollup.oldest_ms) {
      std::erase(kept, rollup.resolution_ms);
    }
  }
  return kept;
}

int64_t SelectionIterator::Fitting(
    const std::vector<int64_t>& resolutions) const {
  const WindowHint& hint = *selection_->hint;
  // Of a newest sample its time is known: only where a window ends matters.
  const int64_t range_ms = plan_->use == RollupUse::kLast ? 0 : hint.range_ms;
  int64_t fitting_ms = 0;
  for (const int64_t resolution_ms : resolutions) {
    if (RollupFits(resolution_ms, hint.first_ms, hint.step_ms, range_ms)) {
      fitting_ms = resolution_ms;
    }
  }
  return fitting_ms;
}

absl::Status SelectionIterator::ReadRollup(int32_t day, int64_t resolution_ms,
                                           uint64_t id,
                                           RollupColumns* buckets) const {
  return view_->blocks->ReadRollup(day, resolution_ms, selection_->tenant,
                                   series_->metric_hash, id, buckets);
}

absl::StatusOr<bool> SelectionIterator::LoadEqualRollup(int32_t day) {
  if (!plan_.has_value() ||
      (plan_->use != RollupUse::kLast && plan_->use != RollupUse::kMin &&
       plan_->use != RollupUse::kMax) ||
      DayStartMs(day) < view_->horizon.samples_ms || HeadHas(day)) {
    return false;
  }
  const int64_t resolution_ms = Fitting(Resolutions(day));
  if (resolution_ms == 0) return false;
  const SelectedId* only = nullptr;
  for (const SelectedId& id : series_->ids) {
    if (!MayHave(id, day)) continue;
    if (only != nullptr) return false;
    only = &id;
  }
  if (only == nullptr ||
      !view_->blocks->IsAsMerged(day, selection_->tenant, only->id)) {
    return false;
  }
  RollupColumns buckets;
  const absl::Status status =
      ReadRollup(day, resolution_ms, only->id, &buckets);
  if (absl::IsDataLoss(status)) return false;  // the samples are there
  VIGIE_RETURN_IF_ERROR(status);
  if (buckets.size() == 0) return false;  // of histograms there are none
  VIGIE_RETURN_IF_ERROR(Take(buckets));
  return true;
}

absl::Status SelectionIterator::LoadRollups(int32_t day) {
  const std::vector<int64_t> resolutions = Resolutions(day);
  if (resolutions.empty()) return absl::OkStatus();
  int64_t resolution_ms = resolutions.front();
  bool usable = plan_.has_value(), equal = false;
  if (usable) {
    const int64_t fitting_ms = Fitting(resolutions);
    // A counter is the better known the finer its buckets are.
    equal = fitting_ms != 0 && plan_->use != RollupUse::kCounter;
    if (equal) resolution_ms = fitting_ms;
    usable = equal || plan_->use == RollupUse::kCounter ||
             plan_->use == RollupUse::kLast;
  }
  std::vector<RollupColumns> found;
  for (const SelectedId& id : series_->ids) {
    if (!MayHave(id, day)) continue;
    const bool merged = std::any_of(
        chunks_.begin(), chunks_.end(), [&](const StoredChunk& chunk) {
          return chunk.series_id == id.id && chunk.seal == 0;
        });
    if (merged) continue;
    RollupColumns buckets;
    const absl::Status status = ReadRollup(day, resolution_ms, id.id, &buckets);
    if (absl::IsDataLoss(status)) {
      Warn(std::string(MessageOf(status)));
      continue;
    }
    VIGIE_RETURN_IF_ERROR(status);
    if (buckets.size() > 0) found.push_back(std::move(buckets));
  }
  // What only the range asked for leaves out is not missing.
  std::erase_if(found, [&](const RollupColumns& buckets) {
    return buckets.times_ms.back() < selection_->range.min_ms ||
           buckets.times_ms.front() > selection_->range.max_ms;
  });
  if (found.empty()) return absl::OkStatus();
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.times_ms.front() < b.times_ms.front();
  });
  // Samples that came after all others of their day were rolled up, or two
  // ids at once: what is there of each is not told apart.
  bool apart = pieces_.empty();
  for (size_t i = 1; i < found.size(); ++i) {
    apart = apart && found[i - 1].times_ms.back() < found[i].times_ms.front();
  }
  if (!usable || !apart) {
    unusable_ms_ = resolution_ms;
    return absl::OkStatus();
  }
  if (!equal) approximate_ms_ = resolution_ms;
  for (const RollupColumns& buckets : found) {
    VIGIE_RETURN_IF_ERROR(Take(buckets));
  }
  return absl::OkStatus();
}

absl::Status SelectionIterator::Take(const RollupColumns& buckets) {
  const SampleColumns samples = plan_->use == RollupUse::kCounter
                                    ? line_.Next(buckets)
                                    : RollupSamples(buckets, plan_->use);
  VIGIE_RETURN_IF_ERROR(selection_->account->Charge(samples.bytes()));
  day_charge_ += samples.bytes();
  rolled_up_.AppendSlice(samples, 0, samples.size());
  return absl::OkStatus();
}

std::string SelectionIterator::BeforeText() const {
  const int64_t oldest_ms = view_->horizon.samples_ms;
  if (oldest_ms <= kTimeMinMs) return "";
  return absl::FormatTime(" before %Y-%m-%d", absl::FromUnixMillis(oldest_ms),
                          absl::UTCTimeZone());
}

std::string SelectionIterator::FunctionText() const {
  if (!selection_->hint.has_value()) return "this query";
  const std::string_view function = selection_->hint->function;
  return function.empty() ? "the newest sample" : std::string(function);
}

}  // namespace vigie::store
