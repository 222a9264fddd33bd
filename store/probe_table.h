// ProbeTable finds small slots by hash and grows a segment of 4096 slots at a
// time, so that no insertion ever waits for a table of millions to be copied.
// Source: Fagin et al., "Extendible Hashing", TODS 1979; within a segment
// linear probing, with deletion by shifting back (Knuth, TAOCP 6.4, R).
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace vigie::store {

// Slot is trivial, zeros are a free one, and it has `bool used() const` and
// `uint32_t hash() const`, all bits of which are used. Equal hashes are fine if
// they are few.
template <class Slot>
class ProbeTable {
 public:
  ProbeTable() : directory_(1), segments_(1) {}

  // The first slot with that hash that `is_it` says is it; null if none is.
  // Valid until the next call that changes the table.
  template <class IsIt>
  const Slot* Find(uint32_t hash, IsIt is_it) const {
    const Segment& segment = SegmentOf(hash);
    if (segment.used == 0) return nullptr;
    for (uint32_t i = hash & segment.mask;; i = (i + 1) & segment.mask) {
      const Slot& slot = segment.slots[i];
      if (!slot.used()) return nullptr;
      if (slot.hash() == hash && is_it(slot)) return &slot;
    }
  }

  void Prefetch(uint32_t hash) const {
    const Segment& segment = SegmentOf(hash);
    if (segment.used > 0) {
      __builtin_prefetch(&segment.slots[hash & segment.mask]);
    }
  }

  void Insert(const Slot& slot) {
    uint32_t number = directory_[DirectoryAt(slot.hash())];
    // A split may leave all slots on one side.
    while (segments_[number].used >= LoadMax(segments_[number])) {
      Grow(number);
      number = directory_[DirectoryAt(slot.hash())];
    }
    Put(&segments_[number], slot);
    ++size_;
  }

  // True if there was one.
  template <class IsIt>
  bool Erase(uint32_t hash, IsIt is_it) {
    const Slot* found = Find(hash, is_it);
    if (found == nullptr) return false;
    Segment& segment = segments_[directory_[DirectoryAt(hash)]];
    uint32_t hole = static_cast<uint32_t>(found - segment.slots.get());
    for (uint32_t i = (hole + 1) & segment.mask; segment.slots[i].used();
         i = (i + 1) & segment.mask) {
      // It may move if its own place is not between the hole and it.
      const uint32_t place = segment.slots[i].hash() & segment.mask;
      if (((i - place) & segment.mask) < ((i - hole) & segment.mask)) continue;
      segment.slots[hole] = segment.slots[i];
      hole = i;
    }
    segment.slots[hole] = Slot{};
    --segment.used;
    --size_;
    if (segment.mask >= 2 * kSlotsMin && segment.used < segment.mask / 8) {
      Resize(&segment, (segment.mask + 1) / 2);
    }
    return true;
  }

  // In no order, until `visit` returns false.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (const Segment& segment : segments_) {
      if (segment.used == 0) continue;
      for (uint32_t i = 0; i <= segment.mask; ++i) {
        if (segment.slots[i].used() && !visit(segment.slots[i])) return;
      }
    }
  }

  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kSlotsMin = 4;
  static constexpr uint32_t kSlotsMax = 4096;
  // Beyond it a segment grows instead: only equal hashes come that far.
  static constexpr uint32_t kDepthMax = 20;

  struct Segment {
    std::unique_ptr<Slot[]> slots;
    uint32_t mask = 0;  // slots - 1
    uint32_t used = 0;
    uint32_t depth = 0;  // how many leading bits its hashes have in common
  };

  static uint32_t LoadMax(const Segment& segment) {
    return segment.slots == nullptr
               ? 0
               : (segment.mask + 1) / 16 * 13 + (segment.mask + 1) % 16 / 2;
  }
  size_t DirectoryAt(uint32_t hash) const {
    return depth_ == 0 ? 0 : hash >> (32 - depth_);
  }
  const Segment& SegmentOf(uint32_t hash) const {
    return segments_[directory_[DirectoryAt(hash)]];
  }

  static void Put(Segment* segment, const Slot& slot) {
    uint32_t i = slot.hash() & segment->mask;
    while (segment->slots[i].used()) i = (i + 1) & segment->mask;
    segment->slots[i] = slot;
    ++segment->used;
  }

  static void Resize(Segment* segment, uint32_t slots) {
    const auto old =
        std::exchange(segment->slots, std::make_unique<Slot[]>(slots));
    const uint32_t end = old == nullptr ? 0 : segment->mask + 1;
    segment->mask = slots - 1;
    segment->used = 0;
    for (uint32_t i = 0; i < end; ++i) {
      if (old[i].used()) Put(segment, old[i]);
    }
  }

  void Grow(uint32_t number) {
    Segment* segment = &segments_[number];
    if (segment->slots == nullptr) {
      Resize(segment, kSlotsMin);
      return;
    }
    if (segment->mask + 1 < kSlotsMax || segment->depth >= kDepthMax) {
      Resize(segment, (segment->mask + 1) * 2);
      return;
    }
    if (segment->depth == depth_) {
      std::vector<uint32_t> wider(directory_.size() * 2);
      for (size_t i = 0; i < wider.size(); ++i) wider[i] = directory_[i / 2];
      directory_ = std::move(wider);
      ++depth_;
    }
    const auto other = static_cast<uint32_t>(segments_.size());
    segments_.emplace_back();
    segment = &segments_[number];
    const uint32_t bit = uint32_t{1} << (31 - segment->depth);
    segments_[other].depth = ++segment->depth;
    const auto old = std::move(segment->slots);
    const uint32_t end = segment->mask + 1;
    Resize(segment, end);
    Resize(&segments_[other], end);
    for (uint32_t i = 0; i < end; ++i) {
      if (!old[i].used()) continue;
      Put(&segments_[(old[i].hash() & bit) != 0 ? other : number], old[i]);
    }
    for (size_t i = 0; i < directory_.size(); ++i) {
      const auto hash = static_cast<uint32_t>(i << (32 - depth_));
      if (directory_[i] == number && (hash & bit) != 0) directory_[i] = other;
    }
  }

  uint32_t depth_ = 0;
  std::vector<uint32_t> directory_;  // by the first depth_ bits of a hash
  std::vector<Segment> segments_;
  size_t size_ = 0;
};

}  // namespace vigie::store
