// Packs a column of doubles bit for bit: as decimal integers (decimal.h) where
// nearly all values are such, the others patched; as decimals and how far off
// they are, for sums of such values; else as their bit patterns. The integers
// are packed by integer_codec.h. Bytes: docs/formats/chunk.md.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "store/byte_coding.h"

namespace vigie::store {

// Appends the column to `*out`. At most 4096 values, at least one.
void EncodeDoubles(std::span<const double> column, std::string* out);

// As DecodeIntegers.
bool DecodeDoubles(ByteReader* in, std::span<double> column);
bool DecodeDoubles(ByteReader* in, size_t size, size_t begin,
                   std::span<double> column);

}  // namespace vigie::store
