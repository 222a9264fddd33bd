// Packs a column of 64-bit integers: differences of order 0, 1 or 2, or to a
// straight line, divided by what they all share, above a base, in as many bits
// as nearly all of them need; the few that need more are patched afterwards.
// All sums wrap around, so every column comes back. Bytes:
// docs/formats/chunk.md. Sources: Zukowski et al., "Super-Scalar RAM-CPU Cache
// Compression", ICDE 2006 (patched frames of reference); Lemire and Boytsov,
// "Decoding billions of integers per second", 2015. Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "store/byte_coding.h"

namespace vigie::store {

// Appends the column to `*out`. At most 4096 integers, at least one.
void EncodeIntegers(std::span<const uint64_t> column, std::string* out);

// Fills `column`, whose length is the writer's, and leaves `*in` behind it.
// False if the bytes cannot be what EncodeIntegers wrote.
bool DecodeIntegers(ByteReader* in, std::span<uint64_t> column);
// Only those from `begin` on, as many as `column` is long (at least one), of
// `size`; `*in` is left behind them all.
bool DecodeIntegers(ByteReader* in, size_t size, size_t begin,
                    std::span<uint64_t> column);

}  // namespace vigie::store
