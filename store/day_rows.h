// Rows of the index by day: for each day and tenant, which series have which
// label pair, and their labels. A day knows all of its names by itself, so
// dropping its rows leaves nothing of it behind. Bytes:
// docs/formats/day-index.md; why: docs/decisions/0091-index-by-day.md.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/labels.h"
#include "store/id_runs.h"
#include "store/windows.h"

namespace vigie::store {

// What all keys of a day, and all of a tenant's in it, begin with. Keys of the
// days before `day` sort below DayPrefix(day).
std::string DayPrefix(int32_t day);
std::string DayTenantPrefix(int32_t day, std::string_view tenant);
// kDataLoss if `key` is no row's.
absl::StatusOr<int32_t> DayOfKey(std::string_view key);
// Part of the key.
absl::StatusOr<std::string_view> TenantOfKey(std::string_view key);

// Pair rows: (day, tenant, 'p', name, value, seal) -> ids. The empty name and
// value stand for all series. Without `value`, or with no arguments but the
// tenant, what the keys of a name, or of all pairs, begin with.
std::string PairPrefix(int32_t day, std::string_view tenant);
std::string PairPrefix(int32_t day, std::string_view tenant,
                       std::string_view name);
std::string PairPrefix(int32_t day, std::string_view tenant,
                       std::string_view name, std::string_view value);
struct PairKey {
  std::string name;
  std::string value;
  uint32_t seal = 0;
};
// `prefix` is what PairPrefix(day, tenant) gave, and `key` begins with it.
absl::StatusOr<PairKey> ParsePairKey(std::string_view key,
                                     std::string_view prefix);
std::string PairRowKey(std::string_view prefix, uint32_t seal);
// Of what an IdRunsWriter wrote, and back.
std::string PairRow(std::string_view ids);
absl::StatusOr<IdRuns> ParsePairRow(std::string_view value);

// Series rows: (day, tenant, 's', seal, last id) -> up to kSeriesRowMax series,
// so that a seek for an id finds the row that may have it.
inline constexpr size_t kSeriesRowMax = 128;
std::string SeriesRowPrefix(int32_t day, std::string_view tenant,
                            uint32_t seal);
std::string SeriesRowKey(std::string_view prefix, uint64_t last_id);

// Labels of a series row, as views into its bytes.
class SeriesRowReader {
 public:
  // kDataLoss if `value` is malformed. It outlives the reader.
  static absl::StatusOr<SeriesRowReader> Create(std::string_view value);
  const std::vector<uint64_t>& ids() const { return ids_; }  // ascending
  Labels LabelsOf(size_t i) const;

 private:
  std::vector<LabelView> pairs_;
  std::vector<uint64_t> ids_;
  std::vector<uint32_t> refs_;    // into pairs_
  std::vector<uint32_t> begins_;  // into refs_, one more than ids_
};

// Writes one. Ids ascend; pairs are numbers of the caller's own.
class SeriesRowWriter {
 public:
  using TextOf = absl::FunctionRef<LabelView(uint32_t pair)>;
  void Add(uint64_t id, const uint32_t* pairs, size_t count);
  size_t size() const { return ids_.size(); }
  uint64_t last_id() const { return ids_.back(); }
  // The value of the row; the writer is empty then.
  std::string Take(TextOf text_of);

 private:
  std::vector<uint64_t> ids_;
  std::vector<uint32_t> refs_;
  std::vector<uint32_t> begins_;
};

}  // namespace vigie::store
