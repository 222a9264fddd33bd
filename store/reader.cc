#include "store/reader.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/label_order.h"
#include "store/left_series.h"
#include "store/read_charge.h"
#include "store/selection.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

// What ordering takes a series.
constexpr size_t kOrderBytes = 64;
// How many steps ahead memory is asked for.
constexpr size_t kPrefetch = 16;

// Puts `found` in order of labels; ids of equal labels become one series.
std::vector<SelectedSeries> Ordered(std::vector<SelectedSeries> found,
                                    LabelOrder* order) {
  std::vector<SelectedSeries> sorted;
  sorted.reserve(found.size());
  uint32_t last = 0;
  for (const uint32_t i : order->Sort()) {
    if (sorted.empty() || !order->SameLabels(last, i)) {
      sorted.push_back(std::move(found[i]));
      last = i;
      continue;
    }
    SelectedSeries& series = sorted.back();
    series.ids.insert(series.ids.end(), found[i].ids.begin(),
                      found[i].ids.end());
    std::sort(
        series.ids.begin(), series.ids.end(),
        [](const SelectedId& a, const SelectedId& b) { return a.id < b.id; });
    // Of equal labels the head has one series.
    if (found[i].head_id != 0) {
      series.head_id = found[i].head_id;
      series.head_newest_ms = found[i].head_newest_ms;
      series.newest = found[i].newest;
    }
  }
  return sorted;
}

}  // namespace

std::vector<int32_t> Reader::DaysLeft(const BlockSnapshot& blocks,
                                      const TimeRange& range) const {
  std::vector<int32_t> days;
  for (const int32_t day : blocks.Days(range)) {
    if (head_.MayHaveLeft(day)) days.push_back(day);
  }
  return days;
}

std::shared_ptr<const SelectionView> Reader::Read(
    const Selection& selection, const SelectedSeries& series,
    std::shared_ptr<const SelectionView> known, SampleRuns* runs) const {
  if (series.head_id == 0) return known;
  std::shared_ptr<SelectionView> later;
  {
    HeadReaderLock lock(lock_);
    if (head_.published() != known->seal) {
      later = std::make_shared<SelectionView>();
      later->blocks = blocks_.TakeSnapshot();
      later->seal = head_.published();
      later->later = true;
    }
    head_.Read(series.head_id,
               {selection.range.min_ms,
                std::min(selection.range.max_ms, series.head_newest_ms)},
               runs);
  }
  if (later == nullptr) return known;
  later->horizon = horizon_(selection.tenant);  // not before the blocks
  return later;
}

absl::StatusOr<std::unique_ptr<SeriesSnapshot>> Reader::Select(
    const SelectRequest& request, const ReadContext& context) const {
  auto selection = std::make_shared<Selection>();
  selection->tenant = request.tenant.name;
  selection->range = request.range;
  selection->hint = request.hint;
  selection->account = context.account;
  selection->stop = context.stop;
  selection->metrics = &metrics_;
  selection->head = this;
  auto view = std::make_shared<SelectionView>();
  auto charge = [&](size_t bytes) -> absl::Status {
    VIGIE_RETURN_IF_ERROR(context.account->Charge(static_cast<int64_t>(bytes)));
    selection->charged += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  };
  if (context.stop.stop_requested()) {
    return absl::CancelledError("select: cancelled");
  }
  LabelOrder order;
  ScopedCharge ordering(context.account);
  std::vector<SelectedSeries> found;
  std::vector<int32_t> days;
  IdRuns known;
  {
    HeadReaderLock lock(lock_);
    view->blocks = blocks_.TakeSnapshot();
    view->seal = head_.published();
    if (!request.range.empty()) {
      days = DaysLeft(*view->blocks, request.range);
      const SeriesIndex& index = head_.index();
      VIGIE_ASSIGN_OR_RETURN(
          const SeriesIndex::IdList ids,
          index.Match(request.tenant.name, request.matchers, context.stop));
      VIGIE_RETURN_IF_ERROR(ordering.Add(ids.size() * sizeof(ids[0])));
      size_t steps = 0;
      for (const uint64_t id : ids) {
        VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
        if (!days.empty()) known.Add(id);
        const MemSeries& series = *head_.Find(id);
        if (!MayHaveSamples(series, request.range)) continue;
        SelectedSeries selected;
        selected.labels = index.LabelsOf(id);
        selected.metric_hash = index.MetricHashOf(id);
        selected.head_id = id;
        selected.head_newest_ms = series.newest_ms;
        selected.ids.push_back({id, NearestDayOf(series.first_ms),
                                NearestDayOf(series.newest_ms)});
        if (selection->WantsNewest()) {
          selected.newest = head_.ReadNewest(id, request.range);
        }
        VIGIE_RETURN_IF_ERROR(ordering.Add(kOrderBytes));
        VIGIE_RETURN_IF_ERROR(charge(sizeof(selected) + sizeof(SelectedId) +
                                     selected.labels.bytes().size()));
        order.Add(index, id);
        found.push_back(std::move(selected));
      }
    }
  }
  // Not before the blocks: what a merge took from them in between would be
  // a hole among what is older and waits for its window to go.
  view->horizon = horizon_(request.tenant.name);
  selection->view = view;
  const std::vector<std::vector<Matcher>> selectors = {request.matchers};
  LeftSeries left(view->blocks->index(), selection->tenant, selectors,
                  std::move(known), context);
  absl::flat_hash_map<uint64_t, size_t> left_at;  // in `found`, by id
  for (const int32_t day : days) {
    const absl::Status status = left.Visit(
        day,
        [&](uint64_t id, Labels labels) -> absl::Status {
          if (!left_at.emplace(id, found.size()).second) {
            return absl::OkStatus();
          }
          VIGIE_RETURN_IF_ERROR(
              ordering.Add(kOrderBytes + sizeof(std::pair<uint64_t, size_t>)));
          VIGIE_RETURN_IF_ERROR(charge(sizeof(SelectedSeries) +
                                       sizeof(SelectedId) +
                                       labels.bytes().size()));
          order.Add(labels);
          SelectedSeries selected;
          selected.metric_hash = MetricHash(labels);
          selected.labels = std::move(labels);
          selected.ids.push_back({id, day, day});
          found.push_back(std::move(selected));
          return absl::OkStatus();
        },
        [&](const IdRuns& ids) {
          for (const IdRuns::Run& run : ids.runs()) {
            for (uint64_t id = run.first; id <= run.last; ++id) {
              // One whose labels could not be read is not there.
              const auto it = left_at.find(id);
              if (it != left_at.end()) found[it->second].ids[0].last_day = day;
            }
          }
        });
    if (absl::IsDataLoss(status)) {
      selection->warnings.emplace_back(MessageOf(status));
    } else if (!status.ok()) {
      return status;
    }
  }
  selection->series = Ordered(std::move(found), &order);
  return SnapshotOf(std::move(selection));
}

absl::StatusOr<SeriesIndex::IdList> Reader::MatchAny(
    const Tenant& tenant, const Selectors& selectors,
    const ReadContext& context, ScopedCharge* charge) const {
  SeriesIndex::IdList all;
  if (selectors.empty()) all = head_.index().All(tenant.name);
  for (const std::vector<Matcher>& matchers : selectors) {
    VIGIE_ASSIGN_OR_RETURN(
        SeriesIndex::IdList ids,
        head_.index().Match(tenant.name, matchers, context.stop));
    if (all.empty()) {
      all = std::move(ids);
      continue;
    }
    SeriesIndex::IdList merged;
    std::set_union(all.begin(), all.end(), ids.begin(), ids.end(),
                   std::back_inserter(merged));
    all = std::move(merged);
  }
  VIGIE_RETURN_IF_ERROR(charge->Add(all.size() * sizeof(all[0])));
  return all;
}

absl::StatusOr<SeriesIndex::IdList> Reader::MatchSampled(
    const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
    const ReadContext& context, ScopedCharge* charge, IdRuns* known) const {
  VIGIE_ASSIGN_OR_RETURN(SeriesIndex::IdList ids,
                         MatchAny(tenant, selectors, context, charge));
  SeriesCursor series = head_.Series();
  size_t steps = 0;
  size_t kept = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    if (i + kPrefetch < ids.size()) series.Prefetch(ids[i + kPrefetch]);
    const uint64_t id = ids[i];
    if (known != nullptr) known->Add(id);
    if (MayHaveSamples(*series.Find(id), range)) ids[kept++] = id;
  }
  ids.resize(kept);
  return ids;
}

absl::Status Reader::VisitSeries(
    const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
    const ReadContext& context, std::vector<std::string>* warnings,
    absl::FunctionRef<absl::Status(const SeriesIndex& index, uint64_t id)>
        in_head,
    absl::FunctionRef<absl::Status(Labels labels)> left_head) const {
  if (range.empty()) return absl::OkStatus();
  ScopedCharge charge(context.account);
  std::unique_ptr<BlockSnapshot> blocks;
  std::vector<int32_t> days;
  IdRuns known;
  {
    HeadReaderLock lock(lock_);
    blocks = blocks_.TakeSnapshot();
    days = DaysLeft(*blocks, range);
    VIGIE_ASSIGN_OR_RETURN(
        const SeriesIndex::IdList ids,
        MatchSampled(tenant, range, selectors, context, &charge,
                     days.empty() ? nullptr : &known));
    size_t steps = 0;
    for (const uint64_t id : ids) {
      VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
      VIGIE_RETURN_IF_ERROR(in_head(head_.index(), id));
    }
  }
  LeftSeries left(blocks->index(), tenant.name, selectors, std::move(known),
                  context);
  for (const int32_t day : days) {
    const absl::Status status = left.Visit(
        day,
        [&](uint64_t, Labels labels) { return left_head(std::move(labels)); },
        [](const IdRuns&) {});
    if (absl::IsDataLoss(status)) {
      warnings->emplace_back(MessageOf(status));
    } else if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

std::optional<uint64_t> Reader::ChangeVersion(const Tenant& tenant) const {
  return changes_.Version(tenant.name);
}

TimeRange Reader::UnchangedSince(const Tenant& tenant, uint64_t version,
                                 const TimeRange& range) const {
  TimeRange unchanged = range;
  unchanged.min_ms =
      std::max(unchanged.min_ms, horizon_(tenant.name).samples_ms);
  return changes_.UnchangedSince(tenant.name, version, unchanged);
}

}  // namespace vigie::store
