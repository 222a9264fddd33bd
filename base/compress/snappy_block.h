// Decodes one snappy block, as remote write sends them. The library does the
// same with a call for each element to move 32 bytes; label sets that repeat
// are eight short elements a sample, so the calls cost more than the bytes.
// Source: snappy's format_description.txt.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <string_view>

namespace vigie::compress {

// Writes the `size` bytes that `elements`, a block without the length it begins
// with, stand for. False if they are malformed, cut short or stand for more or
// fewer bytes; then what is at `out` is unspecified. Nothing is written beyond
// `size` bytes; bytes of `out` may be read before they are written, and what
// was read is overwritten.
bool DecodeSnappyElements(std::string_view elements, char* out, size_t size);

}  // namespace vigie::compress
