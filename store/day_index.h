// DayIndex answers from the rows of the index by day: which series of a day
// match, what they are called, which names and values there are. Rows:
// day_rows.h; who makes them: day_index_builder.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/id_runs.h"
#include "store/queryable.h"
#include "store/row_scan.h"

namespace vigie::store {

// Thread-safe, as its rows are. All calls charge what they hold to the
// context's account until they return, and end with kCancelled once stopped.
class DayIndex {
 public:
  // `rows` outlives it.
  explicit DayIndex(const RowScan& rows) : rows_(rows) {}

  // The days of [first, last] that have rows, ascending.
  absl::StatusOr<std::vector<int32_t>> Days(int32_t first, int32_t last) const;

  // Who has rows of `day`, as keys sort.
  absl::StatusOr<std::vector<std::string>> Tenants(int32_t day) const;

  // The series that have samples on `day` and match all of `matchers`. A regex
  // runs once per distinct value of its label.
  absl::StatusOr<IdRuns> Match(int32_t day, std::string_view tenant,
                               const std::vector<Matcher>& matchers,
                               const ReadContext& context) const;

  // Calls `visit` with each of `ids` that the day has, in no order, perhaps
  // twice.
  absl::Status VisitLabels(
      int32_t day, std::string_view tenant, const IdRuns& ids,
      const ReadContext& context,
      absl::FunctionRef<absl::Status(uint64_t id, Labels labels)> visit) const;

  // Calls `visit` with each pair of the day, or each value of `name`, sorted,
  // and the series that have it.
  absl::Status VisitPairs(
      int32_t day, std::string_view tenant, std::string_view name,
      const ReadContext& context,
      absl::FunctionRef<absl::Status(std::string_view name,
                                     std::string_view value, const IdRuns& ids)>
          visit) const;
  // The label names of the day, sorted.
  absl::StatusOr<std::vector<std::string>> Names(
      int32_t day, std::string_view tenant, const ReadContext& context) const;

 private:
  absl::StatusOr<IdRuns> ReadPair(RowCursor* cursor, std::string_view prefix,
                                  const ReadContext& context) const;
  absl::StatusOr<IdRuns> UnionOf(int32_t day, std::string_view tenant,
                                 const Matcher& matcher, bool matching,
                                 const ReadContext& context) const;
  const RowScan& rows_;
};

}  // namespace vigie::store
