#include "store/postings.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace vigie::store {
namespace {

constexpr uint32_t kWords = 1024;

// The first of `runs` that ends at or after `low`.
template <class Run>
uint32_t FirstNotBefore(const Run* runs, uint32_t count, uint16_t low) {
  const Run* it =
      std::lower_bound(runs, runs + count, low,
                       [](const Run& run, uint16_t x) { return run.last < x; });
  return static_cast<uint32_t>(it - runs);
}

template <class T>
T* Allocate(size_t count) {
  T* memory = static_cast<T*>(std::malloc(count * sizeof(T)));
  VIGIE_CHECK(memory != nullptr);
  return memory;
}

}  // namespace

Postings::~Postings() {
  for (uint32_t i = 0; i < count_; ++i) Free(&begin()[i]);
  if (room_ > 0) std::free(many_);
}

Postings::Postings(Postings&& other) noexcept { *this = std::move(other); }

Postings& Postings::operator=(Postings&& other) noexcept {
  std::swap(size_, other.size_);
  std::swap(count_, other.count_);
  std::swap(room_, other.room_);
  std::swap(one_, other.one_);  // the larger one of the union
  return *this;
}

void Postings::Free(Container* container) {
  if (container->count == kBits) {
    std::free(container->bits);
  } else if (container->room > 2) {
    std::free(container->runs);
  }
}

uint32_t Postings::LowerBound(uint32_t key, uint32_t from) const {
  const Container* all = begin();
  const Container* it = std::lower_bound(
      all + from, all + count_, key,
      [](const Container& c, uint32_t k) { return c.key < k; });
  return static_cast<uint32_t>(it - all);
}

void Postings::Add(uint64_t id) {
  const auto key = static_cast<uint32_t>(id >> 16);
  const auto low = static_cast<uint16_t>(id);
  uint32_t at = count_;
  if (count_ > 0) {
    const uint32_t last = begin()[count_ - 1].key;
    if (last >= key) at = last == key ? count_ - 1 : LowerBound(key, 0);
  }
  if (at < count_ && begin()[at].key == key) {
    if (Insert(&begin()[at], low)) ++size_;
    return;
  }
  if (count_ >= std::max(room_, 1U)) {
    const uint32_t room = std::max(2U, count_ + count_ / 2);
    auto* wider = Allocate<Container>(room);
    std::memcpy(wider, begin(), count_ * sizeof(Container));
    if (room_ > 0) std::free(many_);
    many_ = wider;
    room_ = room;
  }
  Container* place = begin() + at;
  std::memmove(place + 1, place, (count_ - at) * sizeof(Container));
  *place = Container{.key = key, .count = 1, .room = 2, .few = {{low, low}}};
  ++count_;
  ++size_;
}

void Postings::InsertRun(Container* container, uint32_t at, Run run) {
  const uint32_t count = container->count;
  if (count == container->room) {
    // Doubling wastes half of what a list at rest holds.
    const uint32_t room = std::min(kRunsMax, count + std::max(2U, count / 4));
    auto* wider = Allocate<Run>(room);
    std::memcpy(wider, RunsOf(container), count * sizeof(Run));
    if (container->room > 2) std::free(container->runs);
    container->runs = wider;
    container->room = static_cast<uint16_t>(room);
  }
  Run* runs = RunsOf(container);
  std::memmove(runs + at + 1, runs + at, (count - at) * sizeof(Run));
  runs[at] = run;
  ++container->count;
}

bool Postings::Insert(Container* container, uint16_t low) {
  if (container->count == kBits) {
    uint64_t& word = container->bits[low / 64];
    const uint64_t bit = uint64_t{1} << (low % 64);
    if ((word & bit) != 0) return false;
    word |= bit;
    ++container->room;
    return true;
  }
  Run* runs = RunsOf(container);
  const uint32_t count = container->count;
  const uint32_t at =
      runs[count - 1].last < low ? count : FirstNotBefore(runs, count, low);
  if (at < count && runs[at].first <= low) return false;
  const bool joins_before = at > 0 && runs[at - 1].last + 1 == low;
  const bool joins_after = at < count && runs[at].first == low + 1;
  if (joins_before && joins_after) {
    runs[at - 1].last = runs[at].last;
    std::memmove(runs + at, runs + at + 1, (count - at - 1) * sizeof(Run));
    --container->count;
  } else if (joins_before) {
    runs[at - 1].last = low;
  } else if (joins_after) {
    runs[at].first = low;
  } else if (count == kRunsMax) {
    ToBits(container);
    return Insert(container, low);
  } else {
    InsertRun(container, at, {low, low});
  }
  return true;
}

bool Postings::Erase(Container* container, uint16_t low) {
  if (container->count == kBits) {
    uint64_t& word = container->bits[low / 64];
    const uint64_t bit = uint64_t{1} << (low % 64);
    if ((word & bit) == 0) return false;
    word &= ~bit;
    // With so few ids there cannot be many runs.
    if (--container->room < kRunsMax / 2) ToRuns(container);
    return true;
  }
  Run* runs = RunsOf(container);
  const uint32_t count = container->count;
  const uint32_t at = FirstNotBefore(runs, count, low);
  if (at == count || runs[at].first > low) return false;
  Run& run = runs[at];
  if (run.first == run.last) {
    std::memmove(runs + at, runs + at + 1, (count - at - 1) * sizeof(Run));
    --container->count;
    if (container->room > 16 && container->count < container->room / 4) {
      const uint32_t room = container->count * 2U;
      auto* smaller = Allocate<Run>(room);
      std::memcpy(smaller, runs, container->count * sizeof(Run));
      std::free(runs);
      container->runs = smaller;
      container->room = static_cast<uint16_t>(room);
    }
  } else if (run.first == low) {
    ++run.first;
  } else if (run.last == low) {
    --run.last;
  } else if (count == kRunsMax) {
    ToBits(container);
    return Erase(container, low);
  } else {
    const Run after = {static_cast<uint16_t>(low + 1), run.last};
    run.last = static_cast<uint16_t>(low - 1);
    InsertRun(container, at + 1, after);
  }
  return true;
}

void Postings::ToBits(Container* container) {
  auto* bits = Allocate<uint64_t>(kWords);
  std::memset(bits, 0, kWords * sizeof(uint64_t));
  uint32_t ids = 0;
  const Run* runs = RunsOf(container);
  for (uint32_t i = 0; i < container->count; ++i) {
    ids += runs[i].last - runs[i].first + 1U;
    for (uint32_t low = runs[i].first; low <= runs[i].last; ++low) {
      bits[low / 64] |= uint64_t{1} << (low % 64);
    }
  }
  Free(container);
  container->bits = bits;
  container->count = kBits;
  container->room = static_cast<uint16_t>(ids - 1);
}

void Postings::ToRuns(Container* container) {
  uint64_t* bits = container->bits;
  container->count = 0;
  container->room = 2;
  for (uint32_t w = 0; w < kWords; ++w) {
    for (uint64_t word = bits[w]; word != 0; word &= word - 1) {
      const auto low = static_cast<uint16_t>(
          w * 64 + static_cast<uint32_t>(std::countr_zero(word)));
      Run* runs = RunsOf(container);
      if (container->count > 0 && runs[container->count - 1].last + 1 == low) {
        runs[container->count - 1].last = low;
      } else {
        InsertRun(container, container->count, {low, low});
      }
    }
  }
  std::free(bits);
}

void Postings::Remove(uint64_t id) {
  const auto key = static_cast<uint32_t>(id >> 16);
  const uint32_t at = LowerBound(key, 0);
  if (at == count_ || begin()[at].key != key) return;
  Container* container = begin() + at;
  if (!Erase(container, static_cast<uint16_t>(id))) return;
  --size_;
  if (container->count > 0) return;
  Free(container);
  std::memmove(container, container + 1, (count_ - at - 1) * sizeof(Container));
  --count_;
  if (room_ == 0) return;
  if (count_ == 1) {
    const Container last = many_[0];
    std::free(many_);
    one_ = last;
    room_ = 0;
  } else if (room_ > 16 && count_ < room_ / 4) {
    room_ = count_ * 2;
    auto* smaller = Allocate<Container>(room_);
    std::memcpy(smaller, many_, count_ * sizeof(Container));
    std::free(many_);
    many_ = smaller;
  }
}

bool Postings::Has(const Container& container, uint16_t low) {
  if (container.count == kBits) {
    return (container.bits[low / 64] >> (low % 64) & 1) != 0;
  }
  const Run* runs = RunsOf(container);
  const uint32_t at = FirstNotBefore(runs, container.count, low);
  return at < container.count && runs[at].first <= low;
}

bool Postings::Contains(uint64_t id) const {
  return PostingsCursor(*this).Contains(id);
}

uint64_t Postings::First() const {
  uint64_t first = 0;
  VisitRuns([&](uint64_t id, uint64_t) {
    first = id;
    return false;
  });
  return first;
}

void Postings::VisitRuns(
    absl::FunctionRef<bool(uint64_t first, uint64_t last)> visit) const {
  for (uint32_t i = 0; i < count_; ++i) {
    const Container& container = begin()[i];
    const uint64_t base = uint64_t{container.key} << 16;
    if (container.count != kBits) {
      const Run* all = RunsOf(container);
      for (uint32_t j = 0; j < container.count; ++j) {
        if (!visit(base + all[j].first, base + all[j].last)) return;
      }
      continue;
    }
    for (uint32_t w = 0; w < kWords; ++w) {
      for (uint64_t word = container.bits[w]; word != 0; word &= word - 1) {
        const uint64_t id =
            base + w * 64 + static_cast<uint64_t>(std::countr_zero(word));
        if (!visit(id, id)) return;
      }
    }
  }
}

void Postings::AppendRuns(std::vector<IdRuns::Run>* runs) const {
  VisitRuns([&](uint64_t first, uint64_t last) {
    if (!runs->empty() && runs->back().last + 1 == first) {
      runs->back().last = last;
    } else {
      runs->push_back({first, last});
    }
    return true;
  });
}

void Postings::AppendIds(std::vector<uint64_t>* ids) const {
  ids->reserve(ids->size() + size_);
  VisitRuns([&](uint64_t first, uint64_t last) {
    for (uint64_t id = first; id <= last; ++id) ids->push_back(id);
    return true;
  });
}

bool PostingsCursor::Contains(uint64_t id) {
  const auto key = static_cast<uint32_t>(id >> 16);
  const Postings::Container* all = postings_.begin();
  if (at_ < postings_.count_ && all[at_].key < key) {
    at_ = postings_.LowerBound(key, at_ + 1);
  }
  return at_ < postings_.count_ && all[at_].key == key &&
         Postings::Has(all[at_], static_cast<uint16_t>(id));
}

}  // namespace vigie::store
