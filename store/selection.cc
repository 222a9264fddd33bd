#include "store/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/ordered_merge.h"
#include "store/rollup_answer.h"
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
        days_(selection_->blocks->Days(selection_->range)) {
    if (!selection_->hint.has_value()) return;
    plan_ = PlanRollup(selection_->hint->function);
    // Another function than the query's own would have to be told to it.
    if (plan_.has_value() && plan_->function != selection_->hint->function) {
      plan_.reset();
    }
  }
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

  std::vector<std::string> warnings() const override {
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

  void Enter() {
    int64_t oldest_ms = selection_->range.min_ms;
    // Chunks go as a whole, and hold what is no longer to be seen until then.
    if (!of_rollups_) {
      oldest_ms = std::max(oldest_ms, selection_->horizon.samples_ms);
    }
    at_ = cluster_[run_].LowerBound(oldest_ms);
  }

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
    if (DayEndMs(day) >= selection_->horizon.samples_ms) {
      VIGIE_ASSIGN_OR_RETURN(const bool rolled_up, LoadEqualRollup(day));
      if (rolled_up) return absl::OkStatus();
      VIGIE_RETURN_IF_ERROR(LoadSamples(day));
    }
    return LoadRollups(day);
  }

  absl::Status LoadSamples(int32_t day) {
    const TimeRange range{
        std::max(selection_->range.min_ms, selection_->horizon.samples_ms),
        selection_->range.max_ms};
    std::vector<std::string> warnings;
    for (const SelectedId& id : series_.ids) {
      if (day < id.first_day || id.last_day < day) continue;
      VIGIE_RETURN_IF_ERROR(
          selection_->blocks->Read(day, selection_->tenant, series_.metric_hash,
                                   id.id, range, &chunks_, &warnings));
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
      const size_t begin = head.LowerBound(FirstSeenMs(day));
      const size_t end = head.UpperBound(DayEndMs(day));
      if (begin >= end) continue;
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

  // What is no longer seen of them stands in no answer.
  int64_t FirstSeenMs(int32_t day) const {
    return std::max(DayStartMs(day), selection_->horizon.samples_ms);
  }

  bool HeadHas(int32_t day) const {
    return std::any_of(series_.head.begin(), series_.head.end(),
                       [&](const SampleColumns& run) {
                         const size_t i = run.LowerBound(DayStartMs(day));
                         return i < run.size() &&
                                run.times_ms[i] <= DayEndMs(day);
                       });
  }

  // The resolutions that are kept of the day, the finest first.
  std::vector<int64_t> Resolutions(int32_t day) const {
    std::vector<int64_t> kept = selection_->blocks->Resolutions(day);
    for (const Horizon::Rollup& rollup : selection_->horizon.rollups) {
      if (DayEndMs(day) < rollup.oldest_ms) {
        std::erase(kept, rollup.resolution_ms);
      }
    }
    return kept;
  }

  // The coarsest resolution whose buckets make up the windows; 0 if none does.
  int64_t Fitting(const std::vector<int64_t>& resolutions) const {
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

  absl::Status ReadRollup(int32_t day, int64_t resolution_ms, uint64_t id,
                          RollupColumns* buckets) const {
    return selection_->blocks->ReadRollup(day, resolution_ms,
                                          selection_->tenant,
                                          series_.metric_hash, id, buckets);
  }

  // Instead of samples that are there, if the answer is the same to the bit.
  absl::StatusOr<bool> LoadEqualRollup(int32_t day) {
    if (!plan_.has_value() ||
        (plan_->use != RollupUse::kLast && plan_->use != RollupUse::kMin &&
         plan_->use != RollupUse::kMax) ||
        DayStartMs(day) < selection_->horizon.samples_ms || HeadHas(day)) {
      return false;
    }
    const int64_t resolution_ms = Fitting(Resolutions(day));
    if (resolution_ms == 0) return false;
    const SelectedId* only = nullptr;
    for (const SelectedId& id : series_.ids) {
      if (day < id.first_day || id.last_day < day) continue;
      if (only != nullptr) return false;
      only = &id;
    }
    if (only == nullptr ||
        !selection_->blocks->IsAsMerged(day, selection_->tenant, only->id)) {
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

  // Of ids whose samples are gone.
  absl::Status LoadRollups(int32_t day) {
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
    for (const SelectedId& id : series_.ids) {
      if (day < id.first_day || id.last_day < day) continue;
      const bool merged = std::any_of(
          chunks_.begin(), chunks_.end(), [&](const StoredChunk& chunk) {
            return chunk.series_id == id.id && chunk.seal == 0;
          });
      if (merged) continue;
      RollupColumns buckets;
      const absl::Status status =
          ReadRollup(day, resolution_ms, id.id, &buckets);
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

  absl::Status Take(const RollupColumns& buckets) {
    const SampleColumns samples = plan_->use == RollupUse::kCounter
                                      ? line_.Next(buckets)
                                      : RollupSamples(buckets, plan_->use);
    VIGIE_RETURN_IF_ERROR(selection_->account->Charge(samples.bytes()));
    day_charge_ += samples.bytes();
    rolled_up_.AppendSlice(samples, 0, samples.size());
    return absl::OkStatus();
  }

  std::string BeforeText() const {
    const int64_t oldest_ms = selection_->horizon.samples_ms;
    if (oldest_ms <= kTimeMinMs) return "";
    return absl::FormatTime(" before %Y-%m-%d", absl::FromUnixMillis(oldest_ms),
                            absl::UTCTimeZone());
  }
  std::string FunctionText() const {
    if (!selection_->hint.has_value()) return "this query";
    const std::string_view function = selection_->hint->function;
    return function.empty() ? "the newest sample" : std::string(function);
  }

  // Damage becomes a warning, and the samples are left out.
  absl::Status Decode(const Piece& piece, SampleColumns* out) {
    out->clear();
    if (piece.chunk == nullptr) {
      out->AppendSlice(*piece.head, piece.begin, piece.end);
      return absl::OkStatus();
    }
    const BlockSnapshot& blocks = *selection_->blocks;
    absl::Status status =
        selection_->WantsNewest()
            ? blocks.DecodeNewest(selection_->tenant, *piece.chunk,
                                  selection_->range.max_ms, out)
            : blocks.Decode(selection_->tenant, *piece.chunk, out);
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
      of_rollups_ = !rolled_up_.empty();
      if (of_rollups_) {
        cluster_.assign(1, std::exchange(rolled_up_, {}));
        return true;
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
    if (plan_.has_value() && plan_->use == RollupUse::kCounter) {
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
