#include "store/cardinality.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "store/day_rows.h"
#include "store/read_charge.h"

namespace vigie::store {
namespace {

// What a string in a list takes beside its bytes.
constexpr size_t kNameBytes = 64;

template <class Count, class Before>
void KeepFirst(uint64_t limit, Before before, std::vector<Count>* counts) {
  if (limit > 0 && counts->size() > limit) {
    std::partial_sort(counts->begin(),
                      counts->begin() + static_cast<std::ptrdiff_t>(limit),
                      counts->end(), before);
    counts->resize(limit);
  } else {
    std::sort(counts->begin(), counts->end(), before);
  }
}

bool IsLarger(const NamedCount& a, const NamedCount& b) {
  return a.count != b.count ? a.count > b.count : a.name < b.name;
}

bool GrewMore(const GrownCount& a, const GrownCount& b) {
  const uint64_t x = a.now - a.before, y = b.now - b.before;
  return x != y ? x > y : a.name < b.name;
}

// The pairs of a day, in order of name and value.
struct PairCount {
  std::string name;
  std::string value;
  uint64_t series = 0;
};
absl::StatusOr<std::vector<PairCount>> PairsOf(const DayIndex& index,
                                               int32_t day,
                                               std::string_view tenant,
                                               const ReadContext& context,
                                               ScopedCharge* charge) {
  std::vector<PairCount> pairs;
  VIGIE_RETURN_IF_ERROR(index.VisitPairs(
      day, tenant, "", context,
      [&](std::string_view name, std::string_view value,
          const IdRuns& ids) -> absl::Status {
        VIGIE_RETURN_IF_ERROR(
            charge->Add(name.size() + value.size() + sizeof(PairCount)));
        pairs.push_back({std::string(name), std::string(value), ids.size()});
        return absl::OkStatus();
      }));
  return pairs;
}

}  // namespace

absl::StatusOr<Cardinality> CountSeries(const SeriesIndex& index,
                                        std::string_view tenant, uint64_t limit,
                                        const ReadContext& context) {
  Cardinality result;
  ScopedCharge charged(context.account);
  result.series = index.CountOf(tenant);
  std::vector<NamedCount> metrics, labels, pairs;
  size_t steps = 0;
  for (const std::string_view name : index.Names(tenant)) {
    uint64_t values = 0;
    absl::Status status;
    index.VisitValues(
        tenant, name, [&](std::string_view value, const Postings& series) {
          ++values;
          status = CheckStop(context, &steps);
          if (status.ok()) {
            status = charged.Add(name.size() + value.size() + kNameBytes);
          }
          if (!status.ok()) return false;
          pairs.push_back({fmt::format("{}={}", name, value), series.size()});
          if (name == kMetricName) {
            metrics.push_back({std::string(value), series.size()});
          }
          return true;
        });
    VIGIE_RETURN_IF_ERROR(status);
    labels.push_back({std::string(name), values});
  }
  result.label_pairs = pairs.size();
  KeepFirst(limit, IsLarger, &metrics);
  KeepFirst(limit, IsLarger, &labels);
  KeepFirst(limit, IsLarger, &pairs);
  result.series_by_metric = std::move(metrics);
  result.values_by_label = std::move(labels);
  result.series_by_pair = std::move(pairs);
  return result;
}

absl::Status CountGrowth(const DayIndex& index, int32_t day,
                         std::string_view tenant, uint64_t limit,
                         const ReadContext& context, Cardinality* result) {
  ScopedCharge charge(context.account);
  VIGIE_ASSIGN_OR_RETURN(const std::vector<PairCount> now,
                         PairsOf(index, day, tenant, context, &charge));
  VIGIE_ASSIGN_OR_RETURN(const std::vector<PairCount> before,
                         PairsOf(index, day - 1, tenant, context, &charge));
  result->day_ms = int64_t{day} * kDayMs;
  VIGIE_ASSIGN_OR_RETURN(const IdRuns all_now,
                         index.Match(day, tenant, {}, context));
  result->series_that_day = all_now.size();
  VIGIE_ASSIGN_OR_RETURN(const IdRuns all_before,
                         index.Match(day - 1, tenant, {}, context));
  result->series_the_day_before = all_before.size();

  std::map<std::string_view, GrownCount> labels;
  for (const PairCount& pair : before) ++labels[pair.name].before;
  auto old = before.begin();
  for (const PairCount& pair : now) {
    ++labels[pair.name].now;
    auto is_before = [](const PairCount& a, const PairCount& b) {
      return std::tie(a.name, a.value) < std::tie(b.name, b.value);
    };
    while (old != before.end() && is_before(*old, pair)) ++old;
    const uint64_t had =
        old != before.end() && !is_before(pair, *old) ? old->series : 0;
    if (pair.series <= had) continue;
    VIGIE_RETURN_IF_ERROR(
        charge.Add(pair.name.size() + 2 * pair.value.size() + 2 * kNameBytes));
    result->grown_pairs.push_back(
        {fmt::format("{}={}", pair.name, pair.value), had, pair.series});
    if (pair.name == kMetricName) {
      result->grown_metrics.push_back({pair.value, had, pair.series});
    }
  }
  for (auto& [name, count] : labels) {
    if (count.now <= count.before) continue;
    count.name = name;
    result->grown_labels.push_back(count);
  }
  KeepFirst(limit, GrewMore, &result->grown_metrics);
  KeepFirst(limit, GrewMore, &result->grown_labels);
  KeepFirst(limit, GrewMore, &result->grown_pairs);
  return absl::OkStatus();
}

}  // namespace vigie::store
