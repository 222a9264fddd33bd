// SeriesIndex finds series: by identity when samples come in, by matchers when
// they are asked for. It holds their names; the samples are the head's. A
// series is two lists of label pairs, each shared with whoever has the same:
// what its target has in common, and what its metric has. About 60 bytes a
// series: docs/decisions/0090-names-in-memory.md.
// Thread-compatible: the head's lock guards it.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/id_pages.h"
#include "store/label_pairs.h"
#include "store/label_tuples.h"
#include "store/postings.h"
#include "store/probe_table.h"
#include "store/series_identity.h"

namespace vigie::store {

class SeriesIndex {
 public:
  using IdList = std::vector<uint64_t>;  // ascending

  // The id of a series, 0 if there is none. Compares 80 bits of the identity:
  // Is() is the last word. Prefetch some steps ahead hides the one cache miss.
  uint64_t Find(const SeriesIdentity& identity) const;
  void Prefetch(const SeriesIdentity& identity) const {
    by_identity_.Prefetch(static_cast<uint32_t>(identity.low));
  }
  bool Contains(uint64_t id) const { return rows_.Find(id) != nullptr; }

  // Both `id`, at most kSeriesIdMax, and `identity` must be new.
  void Add(uint64_t id, const SeriesIdentity& identity, std::string_view tenant,
           const Labels& labels);
  // Those of `ids` that are there. Costs what these have, so a caller that
  // holds a lock passes some thousands at a time.
  void Remove(const std::vector<uint64_t>& ids);

  // Of a series that must be there.
  Labels LabelsOf(uint64_t id) const;
  std::string_view TenantOf(uint64_t id) const;
  uint32_t MetricHashOf(uint64_t id) const;
  // Its label pairs in order of names, as numbers that are equal where the
  // pairs are; PairText is what one says. Both until the next Remove.
  void PairsOf(uint64_t id, std::vector<uint32_t>* pairs) const;
  Labels LabelsOf(const std::vector<uint32_t>& pairs) const;  // of PairsOf
  LabelView PairText(uint32_t pair) const { return pairs_.Text(pair); }
  // Calls `visit` with each distinct label pair of `ids`, which must be there,
  // in no order; what neighbours share is looked at once. kCancelled once
  // `stop` is requested, or the first error of `visit`.
  absl::Status VisitPairsOf(
      const IdList& ids, std::stop_token stop,
      absl::FunctionRef<absl::Status(LabelView pair)> visit) const;
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
      absl::FunctionRef<bool(std::string_view value, const Postings& series)>
          visit) const;
  // The label names of a tenant, in no order.
  std::vector<std::string_view> Names(std::string_view tenant) const;
  IdList All(std::string_view tenant) const;
  size_t CountOf(std::string_view tenant) const;
  std::vector<std::string_view> Tenants() const { return pairs_.Tenants(); }

  size_t size() const { return rows_.size(); }

 private:
  struct Row {
    uint32_t target = 0;  // tuples
    uint32_t metric = 0;
    uint32_t hash = 0;  // of its slot
  };
  struct Slot {
    uint64_t low;
    uint64_t id_and_high;  // 48 bits and 16 of the identity's high word
    bool used() const { return id_and_high != 0; }
    uint32_t hash() const { return static_cast<uint32_t>(low); }
    uint64_t id() const { return id_and_high >> 16; }
  };

  const Row& RowOf(uint64_t id) const;
  absl::StatusOr<IdList> UnionOf(uint32_t tenant, const Matcher& matcher,
                                 bool matching, std::stop_token stop) const;
  absl::Status Filter(const Matcher& matcher, std::stop_token stop,
                      IdList* ids) const;

  LabelPairs pairs_;
  LabelTuples tuples_;
  IdPages<Row> rows_;
  ProbeTable<Slot> by_identity_;
};

}  // namespace vigie::store
