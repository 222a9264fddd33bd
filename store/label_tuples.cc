#include "store/label_tuples.h"

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace vigie::store {

uint32_t LabelTuples::Hold(uint32_t tenant, std::span<const uint32_t> pairs) {
  const auto hash = static_cast<uint32_t>(
      XXH3_64bits_withSeed(pairs.data(), pairs.size_bytes(), tenant));
  const Slot* found = table_.Find(hash, [&](const Slot& slot) {
    const uint32_t tuple = slot.tuple_plus_one - 1;
    return TenantOf(tuple) == tenant &&
           std::ranges::equal(PairsOf(tuple), pairs);
  });
  if (found != nullptr) {
    ++tuples_[found->tuple_plus_one - 1]->holders;
    return found->tuple_plus_one - 1;
  }
  const size_t bytes =
      std::max(sizeof(Tuple), offsetof(Tuple, pairs) + pairs.size_bytes());
  auto* added = static_cast<Tuple*>(std::malloc(bytes));
  VIGIE_CHECK(added != nullptr);
  added->holders = 1;
  added->hash = hash;
  added->tenant = tenant;
  added->count = static_cast<uint32_t>(pairs.size());
  if (!pairs.empty()) {
    std::memcpy(added->pairs, pairs.data(), pairs.size_bytes());
  }
  uint32_t number = static_cast<uint32_t>(tuples_.size());
  if (free_.empty()) {
    tuples_.emplace_back(added);
  } else {
    number = free_.back();
    free_.pop_back();
    tuples_[number].reset(added);
  }
  table_.Insert({hash, number + 1});
  return number;
}

void LabelTuples::Drop(uint32_t tuple) {
  if (--tuples_[tuple]->holders > 0) return;
  table_.Erase(tuples_[tuple]->hash, [&](const Slot& slot) {
    return slot.tuple_plus_one == tuple + 1;
  });
  tuples_[tuple].reset();
  free_.push_back(tuple);
}

}  // namespace vigie::store
