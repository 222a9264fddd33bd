// Gives back to the system what the C library has been given back. glibc keeps
// what was freed in arenas, one for each few threads, and a block in use at the
// end of one keeps all before it: each thread that had a large query would keep
// as much as that took.
// Thread-safe; of the process, as its heap is.
#pragma once

#include <cstdint>

namespace vigie {

// Asking the system for memory again takes some milliseconds as well.
inline constexpr int64_t kFreedBytesTrimmed = 128 << 20;

// What has ended held as much as `bytes`, and holds it no more. True if that,
// with what came before, was kFreedBytesTrimmed: then the heap was trimmed,
// which takes some milliseconds a gigabyte.
bool AddFreedMemory(int64_t bytes);

}  // namespace vigie
