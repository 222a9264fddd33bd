// Sorts strings as std::sort would, by eight bytes at a time: most comparisons
// are of numbers that lie side by side, not of strings somewhere in memory.
// What all have in common at the beginning is passed by.
// Source: Ng and Kakehi, "Cache efficient radix sort for string sorting", 2007.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vigie::store {

// The indices of `texts` in order of their bytes; of equal ones in no order.
// Fewer than 2^32.
std::vector<uint32_t> OrderOfTexts(const std::vector<std::string_view>& texts);

}  // namespace vigie::store
