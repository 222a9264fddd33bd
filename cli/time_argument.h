// Times as a command line has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie::cli {

// "now" or "now-<duration>" in ms since the epoch; nothing for a text that
// does not begin with "now". kInvalidArgument names the text.
absl::StatusOr<std::optional<int64_t>> ParseNowMs(std::string_view text,
                                                  int64_t now_ms);

}  // namespace vigie::cli
