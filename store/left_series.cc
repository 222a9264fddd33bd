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
absl::StatusOr<IdRuns> LeftSeries::Match(int32_t day) {
  IdRuns found;
  if (selectors_.empty()) {
    VIGIE_ASSIGN_OR_RETURN(found, index_.Match(day, tenant_, {}, context_));
  }
  for (const std::vector<Matcher>& matchers : selectors_) {
    VIGIE_ASSIGN_OR_RETURN(const IdRuns some,
                           index_.Match(day, tenant_, matchers, context_));
    found = Union(found, some);
  }
  return Difference(found, known_);
}

absl::Status LeftSeries::Visit(
    int32_t day, absl::FunctionRef<absl::Status(uint64_t, Labels)> first_seen,
    absl::FunctionRef<void(const IdRuns& ids)> seen_again) {
  absl::StatusOr<IdRuns> found = Match(day);
  if (!found.ok()) return OfDay(day, found.status());
  if (found->empty()) return absl::OkStatus();
  const IdRuns again = Intersection(*found, seen_);
  if (!again.empty()) seen_again(again);
  // A row that two seals wrote is visited twice.
  const IdRuns wanted = Difference(*found, seen_);
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
