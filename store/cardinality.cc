#include "store/cardinality.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
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

// The pairs of a day, in order of name and value, and all of its series.
struct PairCount {
  std::string name;
  std::string value;
  uint64_t series = 0;
};
struct DayCounts {
  uint64_t series = 0;
  std::vector<PairCount> pairs;
};

// A set of labels as a number: the sum over its pairs. That two sets of 10 M
// have the same has a chance of one in 100 000.
uint64_t HashOfPair(std::string_view name, std::string_view value) {
  return absl::HashOf(name, value);
}

// Counts the label sets of a day by their ids. One that was forgotten in a
// pause, and came back under another id the same day, counts once: `known` are
// the ids that did not leave, of which no two have the same labels.
class DayCounting {
 public:
  DayCounting(const DayIndex& index, int32_t day, std::string_view tenant,
              const IdRuns& known, const ReadContext& context,
              ScopedCharge* charge)
      : index_(index),
        day_(day),
        tenant_(tenant),
        known_(known),
        context_(context),
        charge_(charge) {}

  absl::StatusOr<DayCounts> Count() {
    VIGIE_ASSIGN_OR_RETURN(const IdRuns all,
                           index_.Match(day_, tenant_, {}, context_));
    IdRuns again;
    const IdRuns left = Difference(all, known_);
    if (left.size() > 0) {
      VIGIE_ASSIGN_OR_RETURN(again, ThereBefore(all, left));
    }
    DayCounts counts;
    counts.series = all.size() - again.size();
    VIGIE_RETURN_IF_ERROR(index_.VisitPairs(
        day_, tenant_, "", context_,
        [&](std::string_view name, std::string_view value,
            const IdRuns& ids) -> absl::Status {
          VIGIE_RETURN_IF_ERROR(
              charge_->Add(name.size() + value.size() + sizeof(PairCount)));
          uint64_t series = ids.size();
          if (!again.empty()) series -= Intersection(ids, again).size();
          counts.pairs.push_back(
              {std::string(name), std::string(value), series});
          return absl::OkStatus();
        }));
    return counts;
  }

 private:
  // The ids of which a lower one of the day has the labels. Of two, the lower
  // one at least has left.
  absl::StatusOr<IdRuns> ThereBefore(const IdRuns& all, const IdRuns& left) {
    ScopedCharge held(context_.account);
    VIGIE_RETURN_IF_ERROR(held.Add(all.size() * sizeof(uint64_t) +
                                   left.size() * 3 * sizeof(uint64_t)));
    std::vector<uint64_t> hashes(all.size());
    VIGIE_RETURN_IF_ERROR(index_.VisitPairs(
        day_, tenant_, "", context_,
        [&](std::string_view name, std::string_view value, const IdRuns& ids) {
          const uint64_t hash = HashOfPair(name, value);
          VisitPlaces(all, ids,
                      [&](size_t place, uint64_t) { hashes[place] += hash; });
          return absl::OkStatus();
        }));
    absl::flat_hash_map<uint64_t, bool> passed;  // by hash of what left
    passed.reserve(left.size());
    VisitPlaces(all, left, [&](size_t place, uint64_t) {
      passed.emplace(hashes[place], false);
    });
    IdRuns again;
    VisitPlaces(all, all, [&](size_t place, uint64_t id) {
      const auto it = passed.find(hashes[place]);
      if (it == passed.end()) return;
      if (it->second) again.Add(id);
      it->second = true;
    });
    return again;
  }

  // Calls `visit` with each of `ids` and its place among `all`.
  template <class Visit>
  static void VisitPlaces(const IdRuns& all, const IdRuns& ids, Visit visit) {
    auto run = all.runs().begin();
    size_t before = 0;  // ids of `all` below `run`
    for (const IdRuns::Run& some : ids.runs()) {
      for (uint64_t id = some.first; id <= some.last; ++id) {
        while (run != all.runs().end() && run->last < id) {
          before += run->last - run->first + 1;
          ++run;
        }
        if (run == all.runs().end()) return;
        if (id >= run->first) visit(before + (id - run->first), id);
      }
    }
  }

  const DayIndex& index_;
  const int32_t day_;
  const std::string_view tenant_;
  const IdRuns& known_;
  const ReadContext& context_;
  ScopedCharge* const charge_;
};

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
                         std::string_view tenant, const IdRuns& known,
                         uint64_t limit, const ReadContext& context,
                         Cardinality* result) {
  ScopedCharge charge(context.account);
  VIGIE_ASSIGN_OR_RETURN(
      const DayCounts today,
      DayCounting(index, day, tenant, known, context, &charge).Count());
  VIGIE_ASSIGN_OR_RETURN(
      const DayCounts yesterday,
      DayCounting(index, day - 1, tenant, known, context, &charge).Count());
  result->day_ms = int64_t{day} * kDayMs;
  result->series_that_day = today.series;
  result->series_the_day_before = yesterday.series;
  const std::vector<PairCount>& now = today.pairs;
  const std::vector<PairCount>& before = yesterday.pairs;

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
