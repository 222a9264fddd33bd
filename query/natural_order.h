// The order in which people count: "node2" is before "node10".
#pragma once

#include <string_view>

namespace vigie::query {

// Runs of digits compare by their number, all else by bytes. A strict weak
// order; equal only for equal texts.
bool NaturallyBefore(std::string_view a, std::string_view b);

}  // namespace vigie::query
