// LeftSeries walks the series that have samples in some days of the blocks, but
// are not in the head any more.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/day_index.h"
#include "store/id_runs.h"
#include "store/queryable.h"
#include "store/read_charge.h"
#include "store/row_scan.h"

namespace vigie::store {

class LeftSeries {
 public:
  // `rows` outlives it. `known` are passed by: who calls has them from the
  // head.
  LeftSeries(const RowScan& rows, std::string_view tenant,
             const std::vector<std::vector<Matcher>>& selectors, IdRuns known,
             const ReadContext& context)
      : index_(rows),
        tenant_(tenant),
        selectors_(selectors),
        known_(std::move(known)),
        context_(context),
        charge_(context.account) {}

  // Calls `first_seen` with each id of the day that no call for another day
  // had, and `seen_again` with those that one had. kDataLoss, naming the day,
  // after some of them perhaps.
  absl::Status Visit(
      int32_t day,
      absl::FunctionRef<absl::Status(uint64_t id, Labels labels)> first_seen,
      absl::FunctionRef<void(const IdRuns& ids)> seen_again);

  // Calls `visit` with each label pair, or each of `label` if that is not
  // empty, of the series of the day; with some more than once. kDataLoss
  // likewise.
  absl::Status VisitPairs(
      int32_t day, std::string_view label,
      absl::FunctionRef<absl::Status(LabelView pair)> visit) const;

  // The ids of the day alone, whether seen before or not. kDataLoss likewise.
  absl::StatusOr<IdRuns> Match(int32_t day) const;

 private:
  const DayIndex index_;
  const std::string_view tenant_;
  const std::vector<std::vector<Matcher>>& selectors_;
  const IdRuns known_;
  const ReadContext& context_;
  ScopedCharge charge_;
  IdRuns seen_;
};

// "day 2026-11-21" before the message of `status`.
absl::Status OfDay(int32_t day, const absl::Status& status);

}  // namespace vigie::store
