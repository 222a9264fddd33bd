// The part of Reader that finds exemplars: in the head, and in the blocks those
// of series that left it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/day_index.h"
#include "store/keys.h"
#include "store/left_series.h"
#include "store/read_charge.h"
#include "store/reader.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

// Those of `all` within `range`.
absl::StatusOr<std::vector<Exemplar>> Within(const TimeRange& range,
                                             const std::vector<Exemplar>& all,
                                             ScopedCharge* charge) {
  std::vector<Exemplar> found;
  for (const Exemplar& exemplar : all) {
    if (!range.Contains(exemplar.time_ms)) continue;
    VIGIE_RETURN_IF_ERROR(
        charge->Add(sizeof(exemplar) + exemplar.labels.bytes().size()));
    found.push_back(exemplar);
  }
  return found;
}

// Calls `visit` with each of `ids` that has a row. Both are ascending: it seeks
// no row where it knows of none, so few rows or few ids are little work.
absl::Status VisitRows(
    RowCursor& cursor, const IdRuns& ids, const ReadContext& context,
    absl::FunctionRef<absl::Status(uint64_t id, std::string_view row)> visit) {
  size_t steps = 0;
  std::optional<uint64_t> at;  // the id of the row that the cursor is at
  for (const IdRuns::Run& run : ids.runs()) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    if (!at.has_value() || *at < run.first) {
      VIGIE_ASSIGN_OR_RETURN(const bool found,
                             cursor.Seek(SeriesKey(run.first)));
      if (!found) return absl::OkStatus();
      VIGIE_ASSIGN_OR_RETURN(at, ParseSeriesKey(cursor.key()));
    }
    while (*at <= run.last) {
      VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
      VIGIE_RETURN_IF_ERROR(visit(*at, cursor.value()));
      VIGIE_ASSIGN_OR_RETURN(const bool found, cursor.Next());
      if (!found) return absl::OkStatus();
      VIGIE_ASSIGN_OR_RETURN(at, ParseSeriesKey(cursor.key()));
    }
  }
  return absl::OkStatus();
}

// What is stored of series that left the head, by the labels they had: `days`
// tell which matched.
class LeftExemplars {
 public:
  LeftExemplars(const BlockSnapshot& blocks, std::string_view tenant,
                const std::vector<std::vector<Matcher>>& selectors,
                IdRuns known, const ReadContext& context)
      : tenant_(tenant),
        context_(context),
        index_(blocks.index()),
        left_(blocks.index(), tenant, selectors, std::move(known), context),
        cursor_(blocks.exemplars().NewCursor()) {}

  absl::Status Find(int32_t day, const TimeRange& range, ScopedCharge* charge,
                    std::vector<ExemplarSeries>* found) {
    VIGIE_ASSIGN_OR_RETURN(IdRuns ids, left_.Match(day));
    ids = Difference(ids, seen_);
    if (ids.empty()) return absl::OkStatus();
    ScopedCharge held(context_.account);
    VIGIE_RETURN_IF_ERROR(held.Add(ids.runs().size() * sizeof(IdRuns::Run)));
    absl::flat_hash_map<uint64_t, std::vector<Exemplar>> rows;
    IdRuns with;
    VIGIE_RETURN_IF_ERROR(VisitRows(
        *cursor_, ids, context_,
        [&](uint64_t id, std::string_view row) -> absl::Status {
          const auto all = ParseExemplarsRow(row);
          if (!all.ok()) {
            return Prefixed(fmt::format("series {}", id), all.status());
          }
          VIGIE_ASSIGN_OR_RETURN(auto some, Within(range, *all, charge));
          if (some.empty()) return absl::OkStatus();
          with.Add(id);
          rows.emplace(id, std::move(some));
          return absl::OkStatus();
        }));
    if (with.empty()) return absl::OkStatus();
    seen_ = Union(seen_, with);
    const absl::Status status = index_.VisitLabels(
        day, tenant_, with, context_,
        [&](uint64_t id, Labels labels) -> absl::Status {
          const auto it = rows.find(id);  // an id may be visited twice
          if (it == rows.end()) return absl::OkStatus();
          found->push_back({std::move(labels), std::move(it->second)});
          rows.erase(it);
          return absl::OkStatus();
        });
    return status.ok() ? status : OfDay(day, status);
  }

 private:
  const std::string_view tenant_;
  const ReadContext& context_;
  const DayIndex index_;
  const LeftSeries left_;
  const std::unique_ptr<RowCursor> cursor_;
  IdRuns seen_;
};

// By labels, those of equal labels as one; oldest first, each once: a sender
// repeats the last exemplar of a bucket when its series comes back.
std::vector<ExemplarSeries> Ordered(std::vector<ExemplarSeries> found) {
  std::stable_sort(found.begin(), found.end(),
                   [](const ExemplarSeries& a, const ExemplarSeries& b) {
                     return a.series < b.series;
                   });
  std::vector<ExemplarSeries> ordered;
  for (ExemplarSeries& one : found) {
    if (ordered.empty() || ordered.back().series != one.series) {
      ordered.push_back(std::move(one));
      continue;
    }
    std::vector<Exemplar>& all = ordered.back().exemplars;
    for (Exemplar& exemplar : one.exemplars) {
      if (std::find(all.begin(), all.end(), exemplar) == all.end()) {
        all.push_back(std::move(exemplar));
      }
    }
  }
  for (ExemplarSeries& one : ordered) {
    std::stable_sort(one.exemplars.begin(), one.exemplars.end(),
                     [](const Exemplar& a, const Exemplar& b) {
                       return a.time_ms < b.time_ms;
                     });
  }
  return ordered;
}

}  // namespace

absl::StatusOr<std::vector<ExemplarSeries>> Reader::Exemplars(
    const Tenant& tenant, const TimeRange& asked, const Selectors& selectors,
    const ReadContext& context) const {
  std::vector<ExemplarSeries> found;
  if (asked.empty()) return found;
  TimeRange range = asked;
  ScopedCharge charge(context.account);
  std::unique_ptr<BlockSnapshot> blocks;
  std::vector<int32_t> days;
  IdRuns known;
  {
    HeadReaderLock lock(lock_);
    blocks = blocks_.TakeSnapshot();
    // After the blocks, as for samples (0098).
    range.min_ms = std::max(asked.min_ms, horizon_(tenant.name).samples_ms);
    // An exemplar may be older than the samples it came with, by much: a
    // sender repeats the last one of a bucket.
    days = DaysLeft(*blocks, {std::max(range.min_ms, kTimeMinMs) - kDayMs,
                              std::numeric_limits<int64_t>::max()});
    VIGIE_ASSIGN_OR_RETURN(const SeriesIndex::IdList ids,
                           MatchAny(tenant, selectors, context, &charge));
    size_t steps = 0;
    for (const uint64_t id : ids) {
      VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
      if (!days.empty()) known.Add(id);
      const std::vector<Exemplar>* exemplars = head_.ExemplarsOf(id);
      if (exemplars == nullptr) continue;
      VIGIE_ASSIGN_OR_RETURN(auto some, Within(range, *exemplars, &charge));
      if (some.empty()) continue;
      found.push_back({head_.index().LabelsOf(id), std::move(some)});
    }
  }
  LeftExemplars left(*blocks, tenant.name, selectors, std::move(known),
                     context);
  // This answer has no place to say that something is missing.
  for (const int32_t day : days) {
    VIGIE_RETURN_IF_ERROR(left.Find(day, range, &charge, &found));
  }
  return Ordered(std::move(found));
}

}  // namespace vigie::store
