#include "store/label_pairs.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/check.h"

namespace vigie::store {
namespace {

// A name is of what neighbours have in common if at most one series in so many
// had another value than the one before it.
constexpr uint32_t kFixedRatio = 16;
constexpr uint32_t kCountsMax = 1 << 16;

uint64_t HeadOf(std::string_view text) {
  unsigned char bytes[8] = {};
  std::memcpy(bytes, text.data(), std::min<size_t>(text.size(), 8));
  uint64_t head = 0;
  std::memcpy(&head, bytes, 8);
  return __builtin_bswap64(head);
}

uint64_t RandomSeed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

// Puts `value` into a free place of `*all`, or at its end.
template <class T>
uint32_t Place(T value, std::vector<T>* all, std::vector<uint32_t>* free) {
  if (free->empty()) {
    all->push_back(std::move(value));
    return static_cast<uint32_t>(all->size() - 1);
  }
  const uint32_t at = free->back();
  free->pop_back();
  (*all)[at] = std::move(value);
  return at;
}

}  // namespace

LabelPairs::LabelPairs() : seed_(RandomSeed()) {}

uint32_t LabelPairs::Hash(std::string_view value) const {
  return static_cast<uint32_t>(
      XXH3_64bits_withSeed(value.data(), value.size(), seed_));
}

uint32_t LabelPairs::FindTenant(std::string_view tenant) const {
  const auto it = by_tenant_.find(tenant);
  return it == by_tenant_.end() ? kNone : it->second;
}

uint32_t LabelPairs::FindOrAddTenant(std::string_view tenant) {
  if (const uint32_t found = FindTenant(tenant); found != kNone) return found;
  auto added = std::make_unique<Tenant>();
  added->text = tenant;
  const uint32_t number = Place(std::move(added), &tenants_, &tenants_free_);
  by_tenant_.emplace(std::string(tenant), number);
  return number;
}

std::vector<std::string_view> LabelPairs::Tenants() const {
  std::vector<std::string_view> tenants;
  for (const auto& [tenant, number] : by_tenant_) tenants.push_back(tenant);
  return tenants;
}

uint32_t LabelPairs::FindOrAddName(uint32_t tenant, std::string_view name) {
  auto& names = tenants_[tenant]->names;
  if (const auto it = names.find(name); it != names.end()) return it->second;
  auto added = std::make_unique<Name>();
  added->tenant = tenant;
  added->text = name;
  added->head = HeadOf(name);
  added->is_metric_name = name == kMetricName;
  const uint32_t number = Place(std::move(added), &names_, &names_free_);
  names.emplace(std::string(name), number);
  return number;
}

uint32_t LabelPairs::FindOrAddPair(uint32_t name, std::string_view value) {
  const uint32_t hash = Hash(value);
  Name& owner = *names_[name];
  const Slot* found = owner.values.Find(hash, [&](const Slot& slot) {
    const Pair& pair = At(slot.pair_plus_one - 1);
    return std::string_view(pair.value.get(), pair.value_size) == value;
  });
  if (found != nullptr) return found->pair_plus_one - 1;
  uint32_t number = 0;
  if (!pairs_free_.empty()) {
    number = pairs_free_.back();
    pairs_free_.pop_back();
  } else {
    number = pairs_end_++;
    VIGIE_CHECK(number < kNone - 1);
    if (number % kPageSize == 0) {
      pages_.push_back(std::make_unique<Pair[]>(kPageSize));
    }
  }
  Pair& pair = At(number);
  pair.name = name;
  pair.value_size = static_cast<uint32_t>(value.size());
  pair.value = std::make_unique_for_overwrite<char[]>(value.size());
  std::memcpy(pair.value.get(), value.data(), value.size());
  owner.values.Insert({hash, number + 1});
  return number;
}

void LabelPairs::AddSeries(uint32_t tenant, uint64_t id, const Labels& labels,
                           std::vector<uint32_t>* pairs,
                           std::vector<bool>* fixed) {
  Tenant& owner = *tenants_[tenant];
  owner.series.Add(id);
  pairs->clear();
  fixed->clear();
  const std::vector<uint32_t>& last = owner.last;
  size_t at = 0;  // in `last`
  for (const LabelView& label : labels) {
    // Most labels are those of the neighbour, and comparing is cheaper than
    // looking up. What has gone since, or is another tenant's now, is not ours.
    uint32_t number = kNone;
    uint32_t name = kNone;
    for (; at < last.size(); ++at) {
      const Pair& pair = At(last[at]);
      if (pair.name == kNone || names_[pair.name]->tenant != tenant) continue;
      Name& of_last = *names_[pair.name];
      if (of_last.text < label.name) continue;
      if (of_last.text != label.name) break;
      name = pair.name;
      if (std::string_view(pair.value.get(), pair.value_size) == label.value) {
        number = last[at];
        ++of_last.same;
      } else {
        ++of_last.changed;
      }
      if (of_last.same + of_last.changed > kCountsMax) {
        of_last.same /= 2;
        of_last.changed /= 2;
      }
      ++at;
      break;
    }
    if (name == kNone) name = FindOrAddName(tenant, label.name);
    if (number == kNone) number = FindOrAddPair(name, label.value);
    const Name& of_name = *names_[name];
    pairs->push_back(number);
    fixed->push_back(!of_name.is_metric_name &&
                     of_name.same > kFixedRatio * of_name.changed);
    At(number).series.Add(id);
  }
  owner.last = *pairs;
}

void LabelPairs::RemoveSeries(uint32_t tenant, uint64_t id,
                              const std::vector<uint32_t>& pairs) {
  Tenant& owner = *tenants_[tenant];
  owner.series.Remove(id);
  for (const uint32_t number : pairs) {
    Pair& pair = At(number);
    pair.series.Remove(id);
    if (!pair.series.empty()) continue;
    Name& name = *names_[pair.name];
    name.values.Erase(
        Hash({pair.value.get(), pair.value_size}),
        [&](const Slot& slot) { return slot.pair_plus_one == number + 1; });
    if (name.values.size() == 0) {
      owner.names.erase(name.text);
      names_free_.push_back(pair.name);
      names_[pair.name].reset();
    }
    pair = Pair{};
    pairs_free_.push_back(number);
  }
  if (owner.series.empty()) {
    by_tenant_.erase(owner.text);
    tenants_free_.push_back(tenant);
    tenants_[tenant].reset();
  }
}

const LabelPairs::Name* LabelPairs::FindName(uint32_t tenant,
                                             std::string_view name) const {
  const auto& names = tenants_[tenant]->names;
  const auto it = names.find(name);
  return it == names.end() ? nullptr : names_[it->second].get();
}

const Postings* LabelPairs::Find(uint32_t tenant, std::string_view name,
                                 std::string_view value) const {
  const Name* found = FindName(tenant, name);
  if (found == nullptr) return nullptr;
  const Slot* slot = found->values.Find(Hash(value), [&](const Slot& s) {
    const Pair& pair = At(s.pair_plus_one - 1);
    return std::string_view(pair.value.get(), pair.value_size) == value;
  });
  return slot == nullptr ? nullptr : &At(slot->pair_plus_one - 1).series;
}

size_t LabelPairs::CountValues(uint32_t tenant, std::string_view name) const {
  const Name* found = FindName(tenant, name);
  return found == nullptr ? 0 : found->values.size();
}

void LabelPairs::VisitValues(
    uint32_t tenant, std::string_view name,
    absl::FunctionRef<bool(std::string_view, const Postings&)> visit) const {
  const Name* found = FindName(tenant, name);
  if (found == nullptr) return;
  found->values.ForEach([&](const Slot& slot) {
    const Pair& pair = At(slot.pair_plus_one - 1);
    return visit({pair.value.get(), pair.value_size}, pair.series);
  });
}

std::vector<std::string_view> LabelPairs::Names(uint32_t tenant) const {
  std::vector<std::string_view> names;
  for (const auto& [name, number] : tenants_[tenant]->names) {
    names.push_back(name);
  }
  return names;
}

}  // namespace vigie::store
