#include "cli/time_argument.h"

#include <fmt/format.h>

#include "base/duration.h"
#include "base/status_macros.h"

namespace vigie::cli {

absl::StatusOr<std::optional<int64_t>> ParseNowMs(std::string_view text,
                                                  int64_t now_ms) {
  if (!text.starts_with("now")) return std::nullopt;
  if (text == "now") return now_ms;
  if (!text.starts_with("now-")) {
    return absl::InvalidArgumentError(fmt::format(
        "time \"{}\": must be now, now-<duration>, seconds or RFC 3339", text));
  }
  VIGIE_ASSIGN_OR_RETURN(const int64_t back_ms,
                         ParseDurationMs(text.substr(4)));
  return now_ms - back_ms;
}

}  // namespace vigie::cli
