// LabelPairs keeps each label pair of the series in memory once, under a number
// of 32 bits, with the ids of the series that have it. What no series has any
// longer is forgotten, its name and its tenant too.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/strings.h"
#include "model/labels.h"
#include "store/postings.h"
#include "store/probe_table.h"

namespace vigie::store {

class LabelPairs {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  LabelPairs();

  // Numbers of tenants, kNone if there is none of that name.
  uint32_t FindTenant(std::string_view tenant) const;
  uint32_t FindOrAddTenant(std::string_view tenant);
  std::string_view TenantText(uint32_t tenant) const {
    return tenants_[tenant]->text;
  }
  const Postings& TenantSeries(uint32_t tenant) const {
    return tenants_[tenant]->series;
  }
  std::vector<std::string_view> Tenants() const;

  // Adds the series to the tenant and to each of its pairs, whose numbers it
  // leaves in `*pairs`, in order of names. `*fixed`, of the same length, says
  // which of them neighbours tend to have in common.
  void AddSeries(uint32_t tenant, uint64_t id, const Labels& labels,
                 std::vector<uint32_t>* pairs, std::vector<bool>* fixed);
  // What was added with these.
  void RemoveSeries(uint32_t tenant, uint64_t id,
                    const std::vector<uint32_t>& pairs);

  // Of a pair that is there; valid until RemoveSeries.
  LabelView Text(uint32_t pair) const {
    const Pair& p = At(pair);
    return {names_[p.name]->text, {p.value.get(), p.value_size}};
  }
  const Postings& Series(uint32_t pair) const { return At(pair).series; }
  // As Text(a).name < Text(b).name, mostly without reading either.
  bool NameIsLess(uint32_t a, uint32_t b) const {
    const Name& x = *names_[At(a).name];
    const Name& y = *names_[At(b).name];
    return x.head != y.head ? x.head < y.head : x.text < y.text;
  }

  // All numbers of pairs are less.
  size_t numbers_end() const { return pairs_end_; }

  // The series of a pair; null if there is none.
  const Postings* Find(uint32_t tenant, std::string_view name,
                       std::string_view value) const;
  // How many values a name has.
  size_t CountValues(uint32_t tenant, std::string_view name) const;
  // Each value of a name and the series that have it, in no order, until
  // `visit` returns false.
  void VisitValues(
      uint32_t tenant, std::string_view name,
      absl::FunctionRef<bool(std::string_view, const Postings&)> visit) const;
  std::vector<std::string_view> Names(uint32_t tenant) const;

 private:
  struct Pair {
    Postings series;
    uint32_t name = kNone;
    uint32_t value_size = 0;
    std::unique_ptr<char[]> value;
  };
  struct Slot {
    uint32_t hash_bits;
    uint32_t pair_plus_one;
    bool used() const { return pair_plus_one != 0; }
    uint32_t hash() const { return hash_bits; }
  };
  struct Name {
    uint32_t tenant = kNone;
    std::string text;
    uint64_t head = 0;  // its first bytes, as a number that sorts as they do
    ProbeTable<Slot> values;
    // How often it had the value of the series before it, and how often not.
    uint32_t same = 0;
    uint32_t changed = 0;
    bool is_metric_name = false;
  };
  struct Tenant {
    std::string text;
    StringMap<uint32_t> names;
    Postings series;
    std::vector<uint32_t> last;  // pairs of the series added last; may be gone
  };
  static constexpr size_t kPageSize = 1024;

  const Pair& At(uint32_t pair) const {
    return pages_[pair / kPageSize][pair % kPageSize];
  }
  Pair& At(uint32_t pair) { return pages_[pair / kPageSize][pair % kPageSize]; }
  uint32_t Hash(std::string_view value) const;
  const Name* FindName(uint32_t tenant, std::string_view name) const;
  uint32_t FindOrAddName(uint32_t tenant, std::string_view name);
  uint32_t FindOrAddPair(uint32_t name, std::string_view value);

  const uint64_t seed_;  // nobody outside can make values collide
  std::vector<std::unique_ptr<Tenant>> tenants_;
  std::vector<uint32_t> tenants_free_;
  StringMap<uint32_t> by_tenant_;
  std::vector<std::unique_ptr<Name>> names_;
  std::vector<uint32_t> names_free_;
  std::vector<std::unique_ptr<Pair[]>> pages_;
  std::vector<uint32_t> pairs_free_;
  uint32_t pairs_end_ = 0;
};

}  // namespace vigie::store
