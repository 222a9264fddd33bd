// SeriesAliases remembers which series of the store a sender's raw label bytes
// were last time, so that a known series costs its door neither a label set nor
// a lookup by name. An alias is a 128-bit hash (XXH3 with a secret drawn at
// start-up, the door and the tenant mixed in): the bytes are not kept.
//
// Senders repeat their series in the same order, so each entry names the one
// that followed it last time. That one is tried first; where it is wrong, what
// is missing is looked up in batches, as cache misses are the cost.
// Figures and bounds: docs/decisions/0065-series-aliases.md.
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "store/appender.h"

namespace vigie::collector {

struct SeriesAlias {
  uint64_t low = 0, high = 0;  // both 0: none
  friend bool operator==(const SeriesAlias&, const SeriesAlias&) = default;
};

struct SeriesAliasOptions {
  // 40 bytes each at most, taken as they are needed.
  size_t entries_max = 16 << 20;
  // An alias that nobody asked for in this long makes room for another.
  absl::Duration idle = absl::Hours(2);
};

class SeriesAliases {
 public:
  // `clock` outlives the object.
  SeriesAliases(const SeriesAliasOptions& options, const Clock& clock);

  // What the aliases of one tenant at one door are made with.
  SeriesAlias SaltOf(std::string_view door, std::string_view tenant) const;
  SeriesAlias AliasOf(std::string_view bytes, const SeriesAlias& salt) const;

  // Where in a sender's sequence a request is; starts anew with each.
  struct Cursor {
    uint32_t last = kNone;
  };

  // Writes the reference of each alias to `refs`, id 0 where there is none.
  // Calls for one request share a cursor. Returns how many were found.
  size_t Find(std::span<const SeriesAlias> aliases, Cursor* cursor,
              std::span<store::SeriesRef> refs);

  // Takes over what a store answered: `refs` as in AppendOutcome, `given` what
  // Find had said. All three are parallel.
  void Learn(std::span<const SeriesAlias> aliases,
             std::span<const store::SeriesRef> given,
             std::span<const store::SeriesRef> refs);

  size_t size() const;   // entries in use
  size_t bytes() const;  // all memory of theirs

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr size_t kPageEntries = 4096;
  static constexpr size_t kShards = 64;  // so that growing stays short
  static constexpr size_t kSecretBytes = 192;

  struct Entry {
    SeriesAlias alias;
    uint64_t ref = 0;       // 0: free
    uint32_t next = kNone;  // the entry that followed last time
    uint32_t used = 0;      // the last generation that asked for it
  };
  struct Shard {
    std::vector<uint32_t> slots;  // linear probing; index of an entry or kNone
    size_t count = 0;
  };

  Entry& At(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return pages_[index / kPageEntries][index % kPageEntries];
  }
  bool Is(uint32_t index, const SeriesAlias& alias)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return index != kNone && At(index).alias == alias && At(index).ref != 0;
  }
  Shard& ShardOf(const SeriesAlias& alias)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return shards_[alias.high % kShards];
  }
  static size_t Home(const SeriesAlias& alias, const Shard& shard);
  uint32_t Probe(const SeriesAlias& alias)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ProbeDeferred(std::span<const SeriesAlias> aliases)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t Insert(const SeriesAlias& alias, uint32_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t TakeIndex(uint32_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Advance(uint32_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Grow(Shard* shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t Generation() const;

  const SeriesAliasOptions options_;
  const Clock& clock_;
  alignas(64) std::array<uint8_t, kSecretBytes> secret_;

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Entry[]>> pages_ ABSL_GUARDED_BY(mutex_);
  std::array<Shard, kShards> shards_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
  uint32_t entries_ ABSL_GUARDED_BY(mutex_) = 0;  // ever used, free ones too
  uint32_t hand_ ABSL_GUARDED_BY(mutex_) = 0;     // of the clock that ages
  // Of Find, kept for their memory.
  std::vector<uint32_t> found_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> deferred_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vigie::collector
