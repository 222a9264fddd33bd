#include "store/day_index_builder.h"

#include <algorithm>

#include "base/status_macros.h"
#include "store/day_rows.h"
#include "store/id_runs.h"

namespace vigie::store {

void DayIndexBuilder::Add(int32_t day, uint64_t id, std::string_view tenant,
                          const Labels& labels) {
  auto of_tenant = tenants_.find(tenant);
  if (of_tenant == tenants_.end()) {
    of_tenant = tenants_.try_emplace(std::string(tenant)).first;
  }
  Tenant& names = of_tenant->second;
  Part& part = parts_[DayTenantPrefix(day, tenant)];
  part.tenant = &names;
  Part::Series series{id, static_cast<uint32_t>(part.refs.size()), 0};
  size_t i = 0;
  for (const LabelView& label : labels) {
    // Neighbours have most of their labels in common, and comparing is
    // cheaper than looking up.
    uint32_t number = 0;
    const Pair* same =
        i < names.last.size() ? &names.pairs[names.last[i]] : nullptr;
    if (same != nullptr && same->name == label.name &&
        same->value == label.value) {
      number = names.last[i];
    } else if (const auto it = names.numbers.find(label);
               it != names.numbers.end()) {
      number = it->second;
    } else {
      number = static_cast<uint32_t>(names.pairs.size());
      const Pair& pair = names.pairs.emplace_back(
          Pair{std::string(label.name), std::string(label.value)});
      names.numbers.emplace(LabelView{pair.name, pair.value}, number);
    }
    part.refs.push_back(number);
    if (i < names.last.size()) {
      names.last[i] = number;
    } else {
      names.last.push_back(number);
    }
    ++i;
  }
  series.count = static_cast<uint32_t>(part.refs.size()) - series.begin;
  part.series.push_back(series);
}

absl::Status DayIndexBuilder::FinishPart(
    int32_t day, std::string_view tenant, uint32_t seal, Part* part,
    absl::FunctionRef<absl::Status(std::string_view, std::string_view)> emit) {
  auto& all = part->series;
  auto by_id = [](const Part::Series& a, const Part::Series& b) {
    return a.id < b.id;
  };
  if (!std::is_sorted(all.begin(), all.end(), by_id)) {
    std::stable_sort(all.begin(), all.end(), by_id);
  }
  all.erase(std::unique(all.begin(), all.end(),
                        [](const Part::Series& a, const Part::Series& b) {
                          return a.id == b.id;
                        }),
            all.end());

  // Pairs in the order of their keys, those that the day has.
  const std::deque<Pair>& pairs = part->tenant->pairs;
  std::vector<IdRunsWriter> sets(pairs.size());
  IdRunsWriter everything;
  for (const Part::Series& series : all) {
    everything.Add(series.id);
    for (uint32_t i = 0; i < series.count; ++i) {
      sets[part->refs[series.begin + i]].Add(series.id);
    }
  }
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < sets.size(); ++i) {
    if (!sets[i].empty()) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Pair& x = pairs[a];
    const Pair& y = pairs[b];
    return x.name != y.name ? x.name < y.name : x.value < y.value;
  });
  VIGIE_RETURN_IF_ERROR(emit(PairRowKey(PairPrefix(day, tenant, "", ""), seal),
                             PairRow(everything.Take())));
  for (const uint32_t i : order) {
    VIGIE_RETURN_IF_ERROR(
        emit(PairRowKey(PairPrefix(day, tenant, pairs[i].name, pairs[i].value),
                        seal),
             PairRow(sets[i].Take())));
  }

  const std::string prefix = SeriesRowPrefix(day, tenant, seal);
  SeriesRowWriter row;
  for (const Part::Series& series : all) {
    row.Add(series.id, part->refs.data() + series.begin, series.count);
    if (row.size() < kSeriesRowMax && &series != &all.back()) continue;
    const std::string key = SeriesRowKey(prefix, row.last_id());
    VIGIE_RETURN_IF_ERROR(emit(key, row.Take([&](uint32_t pair) {
      return LabelView{pairs[pair].name, pairs[pair].value};
    })));
  }
  return absl::OkStatus();
}

absl::Status DayIndexBuilder::Finish(
    uint32_t seal,
    absl::FunctionRef<absl::Status(std::string_view, std::string_view)> emit) {
  absl::Status status;
  for (auto& [prefix, part] : parts_) {
    const absl::StatusOr<int32_t> day = DayOfKey(prefix);
    status = day.ok() ? FinishPart(*day, std::string_view(prefix).substr(5),
                                   seal, &part, emit)
                      : day.status();
    if (!status.ok()) break;
    part = {};
  }
  parts_.clear();
  tenants_.clear();
  return status;
}

}  // namespace vigie::store
