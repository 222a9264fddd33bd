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
