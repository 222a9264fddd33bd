// SeriesIndex finds series: by identity when samples come in, by matchers when
// they are asked for. It holds their names; the samples are the head's. Per
// tenant, postings name the series of each label pair.
// Thread-compatible: the head's lock guards it.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/strings.h"
#include "model/labels.h"
#include "model/matcher.h"

namespace vigie::store {

// XXH3-128 of tenant and canonical labels, with the secret of the directory.
struct SeriesIdentity {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const SeriesIdentity&,
                         const SeriesIdentity&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SeriesIdentity& identity) {
    return H::combine(std::move(h), identity.low);  // uniform as it is
  }
};

// `secret`: kIdentitySecretBytes random ones, kept with the data.
inline constexpr size_t kIdentitySecretBytes = 192;
SeriesIdentity IdentityOf(std::string_view tenant, std::string_view labels,
                          std::string_view secret);

// Brings the series of one metric next to each other; it identifies nothing.
uint32_t MetricHash(const Labels& labels);

class SeriesIndex {
 public:
  using IdList = std::vector<uint64_t>;  // ascending

  // The id of a series, 0 if there is none.
  uint64_t Find(const SeriesIdentity& identity) const;
  bool Contains(uint64_t id) const { return rows_.contains(id); }

  // Both `id` and `identity` must be new.
  void Add(uint64_t id, const SeriesIdentity& identity, std::string_view tenant,
           const Labels& labels);
  // Those of `ids` that are there.
  void Remove(const absl::flat_hash_set<uint64_t>& ids);

  // Of a series that must be there.
  Labels LabelsOf(uint64_t id) const;
  std::string_view TenantOf(uint64_t id) const;
  uint32_t MetricHashOf(uint64_t id) const;
  // Whether it is the series of that tenant and those labels.
  bool Is(uint64_t id, std::string_view tenant, const Labels& labels) const;

  // Those that match all of `matchers`. A regex runs at most once per distinct
  // value of its label. kCancelled once `stop` is requested.
  absl::StatusOr<IdList> Match(std::string_view tenant,
                               const std::vector<Matcher>& matchers,
                               std::stop_token stop) const;

  // Calls `visit` with each value of `label` and the series that have it, in
  // no order, until it returns false.
  void VisitValues(
      std::string_view tenant, std::string_view label,
      absl::FunctionRef<bool(std::string_view value, const IdList&)> visit)
      const;
  // The label names of a tenant, in no order.
  std::vector<std::string_view> Names(std::string_view tenant) const;
  const IdList& All(std::string_view tenant) const;
  std::vector<std::string_view> Tenants() const;

  size_t size() const { return rows_.size(); }

 private:
  using Values = StringMap<IdList>;
  struct TenantIndex {
    StringMap<Values> names;
    IdList all;
  };

  const Values* ValuesOf(const TenantIndex& index, std::string_view name) const;
  absl::StatusOr<IdList> UnionOf(const TenantIndex& index,
                                 const Matcher& matcher, bool matching,
                                 std::stop_token stop) const;
  absl::Status Filter(const Matcher& matcher, std::stop_token stop,
                      IdList* ids) const;

  struct Row {
    SeriesIdentity identity;
    std::string tenant;
    Labels labels;
  };

  absl::flat_hash_map<uint64_t, std::unique_ptr<Row>> rows_;
  absl::flat_hash_map<SeriesIdentity, uint64_t> by_identity_;
  StringMap<TenantIndex> tenants_;
};

}  // namespace vigie::store
