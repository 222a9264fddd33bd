// The wire takes UTF-8 only, and refuses a whole request for one bad byte.
#pragma once

#include <string>
#include <string_view>

namespace vigie::sdk {

// Whether `text` is well-formed: no surrogates, nothing longer than needed.
bool IsValidUtf8(std::string_view text);

// `text`, each byte that belongs to no character replaced by U+FFFD.
std::string ValidUtf8(std::string_view text);

}  // namespace vigie::sdk
