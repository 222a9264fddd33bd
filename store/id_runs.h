// IdRuns: a set of series ids as runs of consecutive ones. Ids are given in the
// order of first sight, so what one target or one batch brought is a run, and
// sets meet by walking their runs, however many ids these cover. Bytes:
// docs/formats/day-index.md.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace vigie::store {

// Ids above are given to nobody; sets with such bytes are refused.
inline constexpr uint64_t kSeriesIdMax = (uint64_t{1} << 48) - 1;

class IdRuns {
 public:
  struct Run {  // both ends belong to it
    uint64_t first = 0;
    uint64_t last = 0;
    friend bool operator==(const Run&, const Run&) = default;
  };

  IdRuns() = default;
  // In any order; may overlap.
  static IdRuns FromRuns(std::vector<Run> runs);
  // kDataLoss if `bytes` are not what an IdRunsWriter wrote. Takes at most 16
  // bytes of memory a byte.
  static absl::StatusOr<IdRuns> FromBytes(std::string_view bytes);

  // `id` is not before the last one.
  void Add(uint64_t id);

  bool Contains(uint64_t id) const;
  uint64_t size() const;  // ids; O(runs)
  bool empty() const { return runs_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }  // ascending, apart
  std::vector<uint64_t> Ids() const;

  friend bool operator==(const IdRuns&, const IdRuns&) = default;

 private:
  std::vector<Run> runs_;
};

IdRuns Union(const IdRuns& a, const IdRuns& b);
IdRuns Intersection(const IdRuns& a, const IdRuns& b);
IdRuns Difference(const IdRuns& a, const IdRuns& b);
// Whether they have an id in common: looks up each run of the set with fewer.
bool Overlap(const IdRuns& a, const IdRuns& b);

// Writes a set id by id, holding its bytes alone.
class IdRunsWriter {
 public:
  void Add(uint64_t id);  // not before the last one
  bool empty() const { return !open_ && bytes_.empty(); }
  // All that was added; the writer is empty then.
  std::string Take();

 private:
  void Close();
  std::string bytes_;
  IdRuns::Run run_;   // if open_
  uint64_t end_ = 0;  // the lowest id that a next run may begin with
  bool open_ = false;
};

}  // namespace vigie::store
