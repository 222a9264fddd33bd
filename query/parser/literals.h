// What numbers and strings of PromQL stand for, and how Go writes them: error
// texts and printed expressions follow Go's forms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie::query {

// Go's ParseInt with base 0 (0x1F, 0755, 1_000), else ParseFloat.
// kInvalidArgument with Go's text if it is neither.
absl::StatusOr<double> ParseNumber(std::string_view text);

// A string token, quotes included, as the lexer let it pass.
std::string Unquote(std::string_view token);

// The shortest text that reads back, never with an exponent: Go's 'f', -1.
std::string FormatNumber(double value);

// Go's %q and %#U of one character; -1 (the end) is U+FFFD.
std::string QuoteRune(int32_t rune);
std::string UnicodeName(int32_t rune);

}  // namespace vigie::query
