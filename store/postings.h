// Postings: the series of one label pair in memory, as a set of ids that is
// added to at its end, mostly, and read in order. Ids that share all but their
// last 16 bits are a container: runs of consecutive ids, or one bit an id where
// that is smaller. A set of one container takes no memory beside itself, nor do
// up to two runs.
// Source: Lemire et al., "Roaring Bitmaps", 2018; without arrays of single ids,
// as ids are given in the order of first sight, so that runs prevail.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "store/id_runs.h"

namespace vigie::store {

class Postings {
 public:
  Postings() = default;
  ~Postings();
  Postings(Postings&& other) noexcept;
  Postings& operator=(Postings&& other) noexcept;

  // At most kSeriesIdMax; does nothing if it is there. Cheap at the end.
  void Add(uint64_t id);
  // Does nothing if it is not there.
  void Remove(uint64_t id);

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool Contains(uint64_t id) const;
  uint64_t First() const;  // of one that is not empty

  // Calls `visit` with each run, ascending, until it returns false.
  void VisitRuns(
      absl::FunctionRef<bool(uint64_t first, uint64_t last)> visit) const;
  // Appends all of it, ascending.
  void AppendRuns(std::vector<IdRuns::Run>* runs) const;
  void AppendIds(std::vector<uint64_t>* ids) const;

 private:
  friend class PostingsCursor;
  struct Run {
    uint16_t first;
    uint16_t last;
  };
  struct Container {
    uint32_t key;    // the ids' high bits
    uint16_t count;  // runs, or kBits
    uint16_t room;   // runs there is memory for; with kBits: ids - 1
    union {
      Run few[2];
      Run* runs;       // if room > 2
      uint64_t* bits;  // 65536, with kBits
    };
  };
  static constexpr uint16_t kBits = 0xFFFF;
  static constexpr uint32_t kRunsMax = 2048;  // takes as much as the bits

  static const Run* RunsOf(const Container& container) {
    return container.room > 2 ? container.runs : container.few;
  }
  static Run* RunsOf(Container* container) {
    return container->room > 2 ? container->runs : container->few;
  }
  static void Free(Container* container);
  static bool Insert(Container* container, uint16_t low);
  static bool Erase(Container* container, uint16_t low);
  static void InsertRun(Container* container, uint32_t at, Run run);
  static void ToBits(Container* container);
  static void ToRuns(Container* container);
  static bool Has(const Container& container, uint16_t low);
  const Container* begin() const { return room_ == 0 ? &one_ : many_; }
  Container* begin() { return room_ == 0 ? &one_ : many_; }
  uint32_t LowerBound(uint32_t key, uint32_t from) const;

  uint32_t size_ = 0;   // ids
  uint32_t count_ = 0;  // containers
  uint32_t room_ = 0;   // containers there is memory for; 0: one_
  union {
    Container one_ = {};
    Container* many_;
  };
};

// Asks for ids in ascending order, without a search from the start for each.
class PostingsCursor {
 public:
  // `postings` outlives it and does not change.
  explicit PostingsCursor(const Postings& postings) : postings_(postings) {}
  bool Contains(uint64_t id);

 private:
  const Postings& postings_;
  uint32_t at_ = 0;
};

}  // namespace vigie::store
