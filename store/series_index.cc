#include "store/series_index.h"

#include <algorithm>

#include "base/check.h"
#include "store/id_runs.h"

namespace vigie::store {

const SeriesIndex::Row& SeriesIndex::RowOf(uint64_t id) const {
  const Row* row = rows_.Find(id);
  VIGIE_CHECK(row != nullptr);
  return *row;
}

uint64_t SeriesIndex::Find(const SeriesIdentity& identity) const {
  const auto high = static_cast<uint16_t>(identity.high);
  const Slot* slot = by_identity_.Find(
      static_cast<uint32_t>(identity.low), [&](const Slot& s) {
        return s.low == identity.low &&
               static_cast<uint16_t>(s.id_and_high) == high;
      });
  return slot == nullptr ? 0 : slot->id();
}

void SeriesIndex::Add(uint64_t id, const SeriesIdentity& identity,
                      std::string_view tenant, const Labels& labels) {
  VIGIE_CHECK(id != 0 && id <= kSeriesIdMax);
  thread_local std::vector<uint32_t> pairs, target, metric;
  thread_local std::vector<bool> fixed;
  const uint32_t owner = pairs_.FindOrAddTenant(tenant);
  pairs_.AddSeries(owner, id, labels, &pairs, &fixed);
  target.clear();
  metric.clear();
  for (size_t i = 0; i < pairs.size(); ++i) {
    (fixed[i] ? target : metric).push_back(pairs[i]);
  }
  const auto hash = static_cast<uint32_t>(identity.low);
  rows_.Add(id,
            {tuples_.Hold(owner, target), tuples_.Hold(owner, metric), hash});
  by_identity_.Insert(
      {identity.low, id << 16 | static_cast<uint16_t>(identity.high)});
}

void SeriesIndex::Remove(const std::vector<uint64_t>& ids) {
  std::vector<uint32_t> pairs;
  for (const uint64_t id : ids) {
    const Row* found = rows_.Find(id);
    if (found == nullptr) continue;
    const Row row = *found;
    const uint32_t tenant = tuples_.TenantOf(row.metric);
    PairsOf(id, &pairs);
    rows_.Remove(id);
    VIGIE_CHECK(by_identity_.Erase(
        row.hash, [&](const Slot& slot) { return slot.id() == id; }));
    pairs_.RemoveSeries(tenant, id, pairs);
    tuples_.Drop(row.target);
    tuples_.Drop(row.metric);
  }
}

void SeriesIndex::PairsOf(uint64_t id, std::vector<uint32_t>* pairs) const {
  const Row& row = RowOf(id);
  const auto target = tuples_.PairsOf(row.target);
  const auto metric = tuples_.PairsOf(row.metric);
  pairs->resize(target.size() + metric.size());
  std::merge(target.begin(), target.end(), metric.begin(), metric.end(),
             pairs->begin(), [this](uint32_t a, uint32_t b) {
               return pairs_.NameIsLess(a, b);
             });
}

Labels SeriesIndex::LabelsOf(uint64_t id) const {
  thread_local std::vector<uint32_t> pairs;
  PairsOf(id, &pairs);
  return LabelsOf(pairs);
}

Labels SeriesIndex::LabelsOf(const std::vector<uint32_t>& pairs) const {
  thread_local std::vector<LabelView> labels;
  labels.clear();
  for (const uint32_t pair : pairs) labels.push_back(pairs_.Text(pair));
  return Labels::FromSorted(labels);
}

std::string_view SeriesIndex::TenantOf(uint64_t id) const {
  return pairs_.TenantText(tuples_.TenantOf(RowOf(id).metric));
}

uint32_t SeriesIndex::MetricHashOf(uint64_t id) const {
  for (const uint32_t pair : tuples_.PairsOf(RowOf(id).metric)) {
    const LabelView label = pairs_.Text(pair);
    if (label.name == kMetricName) return MetricHash(label.value);
  }
  return MetricHash(std::string_view());
}

bool SeriesIndex::Is(uint64_t id, std::string_view tenant,
                     const Labels& labels) const {
  if (TenantOf(id) != tenant) return false;
  thread_local std::vector<uint32_t> pairs;
  PairsOf(id, &pairs);
  auto at = labels.begin();
  const auto end = labels.end();
  for (const uint32_t pair : pairs) {
    if (at == end || *at != pairs_.Text(pair)) return false;
    ++at;
  }
  return at == end;
}

void SeriesIndex::VisitValues(
    std::string_view tenant, std::string_view label,
    absl::FunctionRef<bool(std::string_view, const Postings&)> visit) const {
  const uint32_t owner = pairs_.FindTenant(tenant);
  if (owner != LabelPairs::kNone) pairs_.VisitValues(owner, label, visit);
}

std::vector<std::string_view> SeriesIndex::Names(
    std::string_view tenant) const {
  const uint32_t owner = pairs_.FindTenant(tenant);
  if (owner == LabelPairs::kNone) return {};
  return pairs_.Names(owner);
}

SeriesIndex::IdList SeriesIndex::All(std::string_view tenant) const {
  IdList ids;
  const uint32_t owner = pairs_.FindTenant(tenant);
  if (owner != LabelPairs::kNone) pairs_.TenantSeries(owner).AppendIds(&ids);
  return ids;
}

size_t SeriesIndex::CountOf(std::string_view tenant) const {
  const uint32_t owner = pairs_.FindTenant(tenant);
  return owner == LabelPairs::kNone ? 0 : pairs_.TenantSeries(owner).size();
}

}  // namespace vigie::store
