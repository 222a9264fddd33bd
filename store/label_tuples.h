// LabelTuples keeps lists of label pairs, each distinct list once: what the
// series of one target have in common, or one metric's series on all targets.
// A number stands for a list as long as it is held.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "store/probe_table.h"

namespace vigie::store {

class LabelTuples {
 public:
  // The number of this list, held once more.
  uint32_t Hold(uint32_t tenant, std::span<const uint32_t> pairs);
  // Its last holder's Drop forgets it.
  void Drop(uint32_t tuple);

  uint32_t TenantOf(uint32_t tuple) const { return tuples_[tuple]->tenant; }
  std::span<const uint32_t> PairsOf(uint32_t tuple) const {
    const Tuple& t = *tuples_[tuple];
    return {t.pairs, t.count};
  }
  size_t size() const { return table_.size(); }
  // All numbers are less.
  size_t numbers_end() const { return tuples_.size(); }

 private:
  struct Tuple {
    uint32_t holders;
    uint32_t hash;
    uint32_t tenant;
    uint32_t count;
    uint32_t pairs[1];  // count of them
  };
  struct Slot {
    uint32_t hash_bits;
    uint32_t tuple_plus_one;
    bool used() const { return tuple_plus_one != 0; }
    uint32_t hash() const { return hash_bits; }
  };
  struct Freer {
    void operator()(Tuple* tuple) const { std::free(tuple); }
  };

  ProbeTable<Slot> table_;
  std::vector<std::unique_ptr<Tuple, Freer>> tuples_;
  std::vector<uint32_t> free_;
};

}  // namespace vigie::store
