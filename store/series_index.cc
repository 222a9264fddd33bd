#include "store/series_index.h"

#include <xxhash.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/status_macros.h"

namespace vigie::store {
namespace {

// How many steps go between two looks at a stop token.
constexpr size_t kStopStride = 1024;

absl::Status Cancelled() { return absl::CancelledError("select: cancelled"); }

void SortUnique(SeriesIndex::IdList* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
}

SeriesIndex::IdList Intersection(const SeriesIndex::IdList& small,
                                 const SeriesIndex::IdList& large) {
  SeriesIndex::IdList out;
  out.reserve(small.size());
  if (large.size() / 32 > small.size()) {
    auto from = large.begin();
    for (const uint64_t id : small) {
      from = std::lower_bound(from, large.end(), id);
      if (from == large.end()) break;
      if (*from == id) out.push_back(id);
    }
  } else {
    std::set_intersection(small.begin(), small.end(), large.begin(),
                          large.end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace

SeriesIdentity IdentityOf(std::string_view tenant, std::string_view labels,
                          std::string_view secret) {
  VIGIE_CHECK(secret.size() == kIdentitySecretBytes);
  // The size of the labels at the end keeps a tenant's name from passing for
  // the end of the labels.
  thread_local std::string bytes;
  bytes.assign(labels);
  bytes.append(tenant);
  const uint64_t size = labels.size();
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  const XXH128_hash_t hash = XXH3_128bits_withSecret(
      bytes.data(), bytes.size(), secret.data(), secret.size());
  return {hash.low64, hash.high64};
}

uint32_t MetricHash(const Labels& labels) {
  const std::string_view name = labels.metric_name();
  return static_cast<uint32_t>(XXH3_64bits(name.data(), name.size()));
}

uint64_t SeriesIndex::Find(const SeriesIdentity& identity) const {
  const auto it = by_identity_.find(identity);
  return it == by_identity_.end() ? 0 : it->second;
}

Labels SeriesIndex::LabelsOf(uint64_t id) const { return rows_.at(id)->labels; }

std::string_view SeriesIndex::TenantOf(uint64_t id) const {
  return rows_.at(id)->tenant;
}

uint32_t SeriesIndex::MetricHashOf(uint64_t id) const {
  return MetricHash(rows_.at(id)->labels);
}

bool SeriesIndex::Is(uint64_t id, std::string_view tenant,
                     const Labels& labels) const {
  const Row& row = *rows_.at(id);
  return row.tenant == tenant && row.labels == labels;
}

void SeriesIndex::Add(uint64_t id, const SeriesIdentity& identity,
                      std::string_view tenant, const Labels& labels) {
  auto row = std::make_unique<Row>();
  row->identity = identity;
  row->tenant = tenant;
  row->labels = labels;
  VIGIE_CHECK(rows_.emplace(id, std::move(row)).second);
  VIGIE_CHECK(by_identity_.emplace(identity, id).second);
  auto of_tenant = tenants_.find(tenant);
  if (of_tenant == tenants_.end()) {
    of_tenant = tenants_.try_emplace(std::string(tenant)).first;
  }
  TenantIndex& index = of_tenant->second;
  // Ids are given in ascending order, but rows and frames may be read back in
  // another.
  auto add = [&](IdList* ids) {
    if (ids->empty() || ids->back() < id) {
      ids->push_back(id);
    } else {
      ids->insert(std::lower_bound(ids->begin(), ids->end(), id), id);
    }
  };
  add(&index.all);
  for (const LabelView& label : labels) {
    auto name = index.names.find(label.name);
    if (name == index.names.end()) {
      name = index.names.emplace(std::string(label.name), Values()).first;
    }
    auto value = name->second.find(label.value);
    if (value == name->second.end()) {
      value = name->second.emplace(std::string(label.value), IdList()).first;
    }
    add(&value->second);
  }
}

void SeriesIndex::Remove(const absl::flat_hash_set<uint64_t>& ids) {
  // Each list that is touched is rewritten once, however many ids leave it.
  absl::flat_hash_map<std::string,
                      absl::flat_hash_set<std::pair<std::string, std::string>>>
      touched;
  for (const uint64_t id : ids) {
    const auto row = rows_.find(id);
    if (row == rows_.end()) continue;
    auto& pairs = touched[row->second->tenant];
    for (const LabelView& label : row->second->labels) {
      pairs.emplace(label.name, label.value);
    }
  }
  auto gone = [&](uint64_t id) { return ids.contains(id); };
  for (const auto& [tenant, pairs] : touched) {
    const auto at = tenants_.find(tenant);
    TenantIndex& index = at->second;
    for (const auto& [name, value] : pairs) {
      const auto values = index.names.find(name);
      const auto list = values->second.find(value);
      std::erase_if(list->second, gone);
      if (list->second.empty()) values->second.erase(list);
      if (values->second.empty()) index.names.erase(values);
    }
    std::erase_if(index.all, gone);
    if (index.all.empty()) tenants_.erase(at);
  }
  for (const uint64_t id : ids) {
    const auto it = rows_.find(id);
    if (it == rows_.end()) continue;
    by_identity_.erase(it->second->identity);
    rows_.erase(it);
  }
}

const SeriesIndex::Values* SeriesIndex::ValuesOf(const TenantIndex& index,
                                                 std::string_view name) const {
  const auto it = index.names.find(name);
  return it == index.names.end() ? nullptr : &it->second;
}

// The series whose value of the label is there and does (not) match.
absl::StatusOr<SeriesIndex::IdList> SeriesIndex::UnionOf(
    const TenantIndex& index, const Matcher& matcher, bool matching,
    std::stop_token stop) const {
  IdList out;
  const Values* values = ValuesOf(index, matcher.name());
  if (values == nullptr) return out;
  auto add = [&](const std::string& value) {
    if (const auto it = values->find(value); it != values->end()) {
      out.insert(out.end(), it->second.begin(), it->second.end());
    }
  };
  const bool negative = matcher.type() == Matcher::Type::kNotEqual ||
                        matcher.type() == Matcher::Type::kNotRegex;
  if (matching != negative && (matcher.type() == Matcher::Type::kEqual ||
                               matcher.type() == Matcher::Type::kNotEqual)) {
    add(matcher.value());
    return out;
  }
  if (matching != negative && !matcher.literals().empty()) {
    for (const std::string& literal : matcher.literals()) add(literal);
  } else {
    size_t steps = 0;
    for (const auto& [value, ids] : *values) {
      if (++steps % kStopStride == 0 && stop.stop_requested()) {
        return Cancelled();
      }
      if (matcher.Matches(value) == matching) {
        out.insert(out.end(), ids.begin(), ids.end());
      }
    }
  }
  SortUnique(&out);
  return out;
}

absl::Status SeriesIndex::Filter(const Matcher& matcher, std::stop_token stop,
                                 IdList* ids) const {
  IdList kept;
  size_t steps = 0;
  for (const uint64_t id : *ids) {
    if (++steps % kStopStride == 0 && stop.stop_requested()) {
      return Cancelled();
    }
    if (matcher.Matches(rows_.at(id)->labels)) kept.push_back(id);
  }
  *ids = std::move(kept);
  return absl::OkStatus();
}

absl::StatusOr<SeriesIndex::IdList> SeriesIndex::Match(
    std::string_view tenant, const std::vector<Matcher>& matchers,
    std::stop_token stop) const {
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return IdList();
  const TenantIndex& index = found->second;

  // First what equality finds without looking at any value, fewest first.
  static const IdList kNone;
  std::vector<const IdList*> equal;
  std::vector<const Matcher*> others;
  for (const Matcher& matcher : matchers) {
    if (matcher.type() != Matcher::Type::kEqual || matcher.MatchesEmpty()) {
      others.push_back(&matcher);
      continue;
    }
    const Values* values = ValuesOf(index, matcher.name());
    const IdList* ids = &kNone;
    if (values != nullptr) {
      if (const auto it = values->find(matcher.value()); it != values->end()) {
        ids = &it->second;
      }
    }
    equal.push_back(ids);
  }
  std::sort(equal.begin(), equal.end(), [](const IdList* a, const IdList* b) {
    return a->size() < b->size();
  });
  IdList ids;
  bool narrowed = !equal.empty();
  if (narrowed) {
    ids = *equal[0];
    for (size_t i = 1; i < equal.size(); ++i) {
      ids = Intersection(ids, *equal[i]);
    }
  }

  // Those that an absent label does not satisfy narrow, so they go first.
  std::stable_partition(others.begin(), others.end(),
                        [](const Matcher* m) { return !m->MatchesEmpty(); });
  for (const Matcher* matcher : others) {
    const Values* values = ValuesOf(index, matcher->name());
    const size_t distinct = values == nullptr ? 0 : values->size();
    // Few candidates are looked at one by one, rather than every value.
    if (narrowed && ids.size() <= distinct && matcher->literals().empty()) {
      VIGIE_RETURN_IF_ERROR(Filter(*matcher, stop, &ids));
      continue;
    }
    if (!matcher->MatchesEmpty()) {
      VIGIE_ASSIGN_OR_RETURN(IdList matching,
                             UnionOf(index, *matcher, /*matching=*/true, stop));
      if (!narrowed) {
        ids = std::move(matching);
      } else if (ids.size() <= matching.size()) {
        ids = Intersection(ids, matching);
      } else {
        ids = Intersection(matching, ids);
      }
    } else {
      VIGIE_ASSIGN_OR_RETURN(
          const IdList excluded,
          UnionOf(index, *matcher, /*matching=*/false, stop));
      const IdList& from = narrowed ? ids : index.all;
      IdList kept;
      std::set_difference(from.begin(), from.end(), excluded.begin(),
                          excluded.end(), std::back_inserter(kept));
      ids = std::move(kept);
    }
    narrowed = true;
  }
  if (!narrowed) ids = index.all;
  return ids;
}

void SeriesIndex::VisitValues(
    std::string_view tenant, std::string_view label,
    absl::FunctionRef<bool(std::string_view, const IdList&)> visit) const {
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return;
  const Values* values = ValuesOf(found->second, label);
  if (values == nullptr) return;
  for (const auto& [value, ids] : *values) {
    if (!visit(value, ids)) return;
  }
}

std::vector<std::string_view> SeriesIndex::Names(
    std::string_view tenant) const {
  std::vector<std::string_view> names;
  if (const auto it = tenants_.find(tenant); it != tenants_.end()) {
    for (const auto& [name, values] : it->second.names) names.push_back(name);
  }
  return names;
}

const SeriesIndex::IdList& SeriesIndex::All(std::string_view tenant) const {
  static const IdList kNone;
  const auto it = tenants_.find(tenant);
  return it == tenants_.end() ? kNone : it->second.all;
}

std::vector<std::string_view> SeriesIndex::Tenants() const {
  std::vector<std::string_view> tenants;
  for (const auto& [tenant, index] : tenants_) tenants.push_back(tenant);
  return tenants;
}

}  // namespace vigie::store
