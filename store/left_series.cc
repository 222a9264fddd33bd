#include "store/left_series.h"

#include <fmt/format.h>

#include <utility>

#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::store {

absl::Status OfDay(int32_t day, const absl::Status& status) {
  const absl::CivilDay date = absl::CivilDay(1970, 1, 1) + day;
  return Prefixed(
      fmt::format("day {}-{:02}-{:02}", date.year(), date.month(), date.day()),
      status);
}

// Any of the selectors, without what is known.
absl::StatusOr<IdRuns> LeftSeries::Match(int32_t day) const {
  static const std::vector<std::vector<Matcher>> kAll = {{}};
  IdRuns found;
  for (const std::vector<Matcher>& matchers :
       selectors_.empty() ? kAll : selectors_) {
    const absl::StatusOr<IdRuns> some =
        index_.Match(day, tenant_, matchers, context_);
    if (!some.ok()) return OfDay(day, some.status());
    found = Union(found, *some);
  }
  return Difference(found, known_);
}

// A pair of the index costs about what a series does, so pairs are asked whose
// they are while there are fewer of them than series; then series what they
// have.
absl::Status LeftSeries::VisitPairs(
    int32_t day, std::string_view label,
    absl::FunctionRef<absl::Status(LabelView)> visit) const {
  VIGIE_ASSIGN_OR_RETURN(const IdRuns found, Match(day));
  if (found.empty()) return absl::OkStatus();
  uint64_t left = found.size();
  bool too_many = false;
  absl::Status status = index_.VisitPairs(
      day, tenant_, label, context_,
      [&](std::string_view name, std::string_view value, const IdRuns& ids) {
        too_many = left-- == 0;
        if (too_many) return absl::CancelledError("");
        return Overlap(found, ids) ? visit({name, value}) : absl::OkStatus();
      });
  if (too_many) {
    status =
        index_.VisitLabels(day, tenant_, found, context_,
                           [&](uint64_t, const Labels& labels) -> absl::Status {
                             for (const LabelView& pair : labels) {
                               if (!label.empty() && pair.name != label)
                                 continue;
                               VIGIE_RETURN_IF_ERROR(visit(pair));
                             }
                             return absl::OkStatus();
                           });
  }
  return status.ok() ? status : OfDay(day, status);
}

absl::Status LeftSeries::Visit(
    int32_t day, absl::FunctionRef<absl::Status(uint64_t, Labels)> first_seen,
    absl::FunctionRef<void(const IdRuns& ids)> seen_again) {
  VIGIE_ASSIGN_OR_RETURN(const IdRuns found, Match(day));
  if (found.empty()) return absl::OkStatus();
  const IdRuns again = Intersection(found, seen_);
  if (!again.empty()) seen_again(again);
  // A row that two seals wrote is visited twice.
  const IdRuns wanted = Difference(found, seen_);
  VIGIE_RETURN_IF_ERROR(
      charge_.Add(wanted.runs().size() * sizeof(IdRuns::Run)));
  seen_ = Union(seen_, wanted);
  if (absl::Status status =
          index_.VisitLabels(day, tenant_, wanted, context_, first_seen);
      !status.ok()) {
    return OfDay(day, status);
  }
  return absl::OkStatus();
}

}  // namespace vigie::store
