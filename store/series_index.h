// SeriesIndex finds series: by identity when samples come in, by matchers when
// they are asked for. It holds every series that has samples anywhere within
// retention; per tenant, postings name the series of each label pair.
// Thread-compatible: the head's lock guards it.
#pragma once

#include <cstdint>
#include <limits>
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
#include "model/exemplar.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/sample_columns.h"
#include "store/windows.h"

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

// One series in memory.
struct MemSeries {
  static constexpr int64_t kNoSamples = std::numeric_limits<int64_t>::min();

  uint64_t id = 0;
  SeriesIdentity identity;
  std::string tenant;
  std::shared_ptr<const Labels> labels;
  int64_t newest_ms = kNoSamples;
  WindowSet windows;   // where it has samples, in memory or in blocks
  SampleColumns open;  // not sealed yet
  std::shared_ptr<const SampleColumns> sealing;  // on their way into a block
  std::vector<Exemplar> exemplars;  // the newest ones, as they came
  bool stored = false;              // its row is in the blocks
  bool dirty = false;               // something of it is only in the log
  bool exemplars_dirty = false;     // and its exemplars are part of that

  // Of the writer alone: the batch that touched it last, and its slot there.
  uint64_t batch = 0;
  uint32_t slot = 0;
};

class SeriesIndex {
 public:
  using IdList = std::vector<uint64_t>;  // ascending

  MemSeries* Find(const SeriesIdentity& identity) const;
  MemSeries* FindById(uint64_t id) const;  // null if there is none

  // Its id and identity must be new.
  MemSeries& Add(std::unique_ptr<MemSeries> series);
  void Remove(const absl::flat_hash_set<uint64_t>& ids);

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

  size_t size() const { return by_id_.size(); }
  void VisitAll(absl::FunctionRef<void(MemSeries&)> visit) const;

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

  absl::flat_hash_map<uint64_t, std::unique_ptr<MemSeries>> by_id_;
  absl::flat_hash_map<SeriesIdentity, MemSeries*> by_identity_;
  StringMap<TenantIndex> tenants_;
};

}  // namespace vigie::store
