#include "collector/series_alias.h"

#include <algorithm>
#include <random>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace vigie::collector {
namespace {

// Lookups in flight at once, when they are not where they were expected.
constexpr size_t kProbes = 16;
// Generations in Options::idle: how exactly age is known.
constexpr uint32_t kGenerationsIdle = 8;
// Entries that are looked at for one that is inserted, so that those which
// nobody asks for any more go before memory grows; and when all is in use.
constexpr int kAgedPerInsert = 2;
constexpr int kAgedWhenFull = 64;
// Slots are at most this full, and grow by half.
constexpr size_t kLoadNumerator = 4, kLoadDenominator = 5;
constexpr size_t kSlotsMin = 16;

}  // namespace

SeriesAliases::SeriesAliases(const SeriesAliasOptions& options,
                             const Clock& clock)
    : options_(options), clock_(clock) {
  std::random_device random;
  for (uint8_t& byte : secret_) byte = static_cast<uint8_t>(random());
}

SeriesAlias SeriesAliases::AliasOf(std::string_view bytes,
                                   const SeriesAlias& salt) const {
  const XXH128_hash_t hash = XXH3_128bits_withSecret(
      bytes.data(), bytes.size(), secret_.data(), secret_.size());
  uint64_t low = hash.low64, high = hash.high64;
  // Apart: joined into one vector, both would be read back from the stack
  // before they are there, which costs a quarter of the hash.
  asm("" : "+r"(low), "+r"(high));
  return {low ^ salt.low, high ^ salt.high};
}

SeriesAlias SeriesAliases::SaltOf(std::string_view door,
                                  std::string_view tenant) const {
  std::string text(door);
  text += '\0';
  text += tenant;
  return AliasOf(text, {});
}

uint32_t SeriesAliases::Generation() const {
  const int64_t length_ns = std::max<int64_t>(
      1, absl::ToInt64Nanoseconds(options_.idle) / kGenerationsIdle);
  return static_cast<uint32_t>(clock_.MonotonicNs() / length_ns);
}

size_t SeriesAliases::Home(const SeriesAlias& alias, const Shard& shard) {
  return static_cast<size_t>(
      (static_cast<unsigned __int128>(alias.low) * shard.slots.size()) >> 64);
}

uint32_t SeriesAliases::Probe(const SeriesAlias& alias) {
  const Shard& shard = ShardOf(alias);
  if (shard.slots.empty()) return kNone;
  for (size_t at = Home(alias, shard);; at = at + 1) {
    if (at == shard.slots.size()) at = 0;
    const uint32_t index = shard.slots[at];
    if (index == kNone || At(index).alias == alias) return index;
  }
}

// Slots first, then entries, of several aliases at once.
void SeriesAliases::ProbeDeferred(std::span<const SeriesAlias> aliases) {
  for (size_t begin = 0; begin < deferred_.size(); begin += kProbes) {
    const size_t end = std::min(begin + kProbes, deferred_.size());
    for (size_t i = begin; i < end; ++i) {
      const SeriesAlias& alias = aliases[deferred_[i]];
      const Shard& shard = ShardOf(alias);
      if (!shard.slots.empty()) {
        __builtin_prefetch(&shard.slots[Home(alias, shard)]);
      }
    }
    for (size_t i = begin; i < end; ++i) {
      const SeriesAlias& alias = aliases[deferred_[i]];
      const Shard& shard = ShardOf(alias);
      if (shard.slots.empty()) continue;
      const uint32_t index = shard.slots[Home(alias, shard)];
      if (index != kNone) __builtin_prefetch(&At(index));
    }
    for (size_t i = begin; i < end; ++i) {
      found_[deferred_[i]] = Probe(aliases[deferred_[i]]);
    }
  }
}

size_t SeriesAliases::Find(std::span<const SeriesAlias> aliases, Cursor* cursor,
                           std::span<store::SeriesRef> refs) {
  const uint32_t now = Generation();
  MutexLock lock(mutex_);
  found_.assign(aliases.size(), kNone);
  deferred_.clear();
  uint32_t expected = cursor->last == kNone ? kNone : At(cursor->last).next;
  bool in_step = true;  // the one before was where it was expected
  for (uint32_t i = 0; i < aliases.size(); ++i) {
    const SeriesAlias& alias = aliases[i];
    uint32_t index = kNone;
    if (Is(expected, alias)) {
      index = expected;
      in_step = true;
    } else if (expected != kNone && Is(At(expected).next, alias)) {
      index = At(expected).next;  // the sender has left one out
      in_step = true;
    } else if (in_step) {
      index = Probe(alias);  // a new one, or another run begins
      in_step = false;
    } else {
      deferred_.push_back(i);
    }
    if (index == kNone) continue;
    found_[i] = index;
    expected = At(index).next;
  }
  ProbeDeferred(aliases);

  size_t count = 0;
  uint32_t before = cursor->last;
  for (size_t i = 0; i < aliases.size(); ++i) {
    const uint32_t index = found_[i];
    if (index == kNone) {
      refs[i] = {};
      continue;
    }
    Entry& entry = At(index);
    refs[i] = {entry.ref};
    if (entry.used != now) entry.used = now;
    if (before != kNone && At(before).next != index) At(before).next = index;
    before = index;
    ++count;
  }
  cursor->last = before;
  return count;
}

void SeriesAliases::Learn(std::span<const SeriesAlias> aliases,
                          std::span<const store::SeriesRef> given,
                          std::span<const store::SeriesRef> refs) {
  if (std::equal(given.begin(), given.end(), refs.begin(), refs.end())) return;
  const uint32_t now = Generation();
  MutexLock lock(mutex_);
  uint32_t before = kNone;
  for (size_t i = 0; i < refs.size(); ++i) {
    if (refs[i].id == 0 || refs[i] == given[i] || aliases[i] == SeriesAlias{}) {
      before = kNone;
      continue;
    }
    uint32_t index = Probe(aliases[i]);
    if (index == kNone) {
      index = Insert(aliases[i], now);
      if (index == kNone) continue;
    }
    At(index).ref = refs[i].id;
    if (before != kNone) At(before).next = index;
    before = index;
  }
}

uint32_t SeriesAliases::Insert(const SeriesAlias& alias, uint32_t now) {
  for (int i = 0; i < kAgedPerInsert; ++i) Advance(now);
  const uint32_t index = TakeIndex(now);
  if (index == kNone) return kNone;
  At(index) = {alias, 0, kNone, now};
  Shard& shard = ShardOf(alias);
  if ((shard.count + 1) * kLoadDenominator >
      shard.slots.size() * kLoadNumerator) {
    Grow(&shard);
  }
  size_t at = Home(alias, shard);
  while (shard.slots[at] != kNone)
    at = at + 1 == shard.slots.size() ? 0 : at + 1;
  shard.slots[at] = index;
  ++shard.count;
  return index;
}

uint32_t SeriesAliases::TakeIndex(uint32_t now) {
  if (free_.empty() && entries_ >= options_.entries_max) {
    // All in use: the first old one, else the one asked for longest ago.
    uint32_t oldest = kNone;
    for (int i = 0; i < kAgedWhenFull && free_.empty() && entries_ > 0; ++i) {
      const uint32_t at = hand_ < entries_ ? hand_ : 0;
      if (!Advance(now) && (oldest == kNone || At(at).used < At(oldest).used)) {
        oldest = at;
      }
    }
    if (free_.empty() && oldest != kNone) Erase(oldest);
    if (free_.empty()) return kNone;
  }
  if (!free_.empty()) {
    const uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  if (entries_ == pages_.size() * kPageEntries) {
    pages_.push_back(std::make_unique<Entry[]>(kPageEntries));
  }
  return entries_++;
}

// Looks at one entry; true if it was old and has made room.
bool SeriesAliases::Advance(uint32_t now) {
  if (entries_ == 0) return false;
  if (hand_ >= entries_) hand_ = 0;
  const uint32_t index = hand_++;
  const Entry& entry = At(index);
  if (entry.ref == 0 || now - entry.used <= kGenerationsIdle) return false;
  Erase(index);
  return true;
}

void SeriesAliases::Erase(uint32_t index) {
  Shard& shard = ShardOf(At(index).alias);
  const size_t size = shard.slots.size();
  size_t hole = Home(At(index).alias, shard);
  while (shard.slots[hole] != index) hole = hole + 1 == size ? 0 : hole + 1;
  // What was displaced by it moves up, so that no probe ends too early.
  for (size_t at = hole;;) {
    at = at + 1 == size ? 0 : at + 1;
    const uint32_t other = shard.slots[at];
    if (other == kNone) break;
    const size_t home = Home(At(other).alias, shard);
    const bool over_hole =
        hole < at ? home <= hole || home > at : home <= hole && home > at;
    if (!over_hole) continue;
    shard.slots[hole] = other;
    hole = at;
  }
  shard.slots[hole] = kNone;
  --shard.count;
  At(index) = {};
  free_.push_back(index);
}

void SeriesAliases::Grow(Shard* shard) {
  std::vector<uint32_t> old = std::move(shard->slots);
  shard->slots.assign(std::max(kSlotsMin, old.size() + old.size() / 2), kNone);
  for (const uint32_t index : old) {
    if (index == kNone) continue;
    size_t at = Home(At(index).alias, *shard);
    while (shard->slots[at] != kNone) {
      at = at + 1 == shard->slots.size() ? 0 : at + 1;
    }
    shard->slots[at] = index;
  }
}

size_t SeriesAliases::size() const {
  MutexLock lock(mutex_);
  return entries_ - free_.size();
}

size_t SeriesAliases::bytes() const {
  MutexLock lock(mutex_);
  size_t bytes = pages_.size() * kPageEntries * sizeof(Entry) +
                 free_.capacity() * sizeof(uint32_t);
  for (const Shard& shard : shards_) {
    bytes += shard.slots.capacity() * sizeof(uint32_t);
  }
  return bytes;
}

}  // namespace vigie::collector
