#include "base/freed_memory.h"

#include <malloc.h>

#include <atomic>

namespace vigie {

bool AddFreedMemory(int64_t bytes) {
  static std::atomic<int64_t> since_trim = 0;
  const int64_t before = since_trim.fetch_add(bytes, std::memory_order_relaxed);
  // One thread sees the sum pass the bound.
  if (before >= kFreedBytesTrimmed || before + bytes < kFreedBytesTrimmed) {
    return false;
  }
  since_trim.store(0, std::memory_order_relaxed);
  ::malloc_trim(0);
  return true;
}

}  // namespace vigie
