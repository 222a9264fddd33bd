#include "base/duration.h"

#include <fmt/format.h>

#include <array>
#include <limits>

namespace vigie {
namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
};

constexpr int64_t kDayMs = 86'400'000;
constexpr std::array<Unit, 7> kUnits = {{{"y", 365 * kDayMs},
                                         {"w", 7 * kDayMs},
                                         {"d", kDayMs},
                                         {"h", 3'600'000},
                                         {"m", 60'000},
                                         {"s", 1'000},
                                         {"ms", 1}}};
constexpr int64_t kMaxMs = std::numeric_limits<int64_t>::max() / 1'000'000;

absl::Status Invalid(std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("not a valid duration string: \"{}\"", text));
}

}  // namespace

absl::StatusOr<int64_t> ParseDurationMs(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) {
    return absl::InvalidArgumentError("empty duration string");
  }
  int64_t total = 0;
  size_t next_unit = 0;
  size_t pos = 0;
  while (pos < text.size()) {
    int64_t number = 0;
    const size_t digits = pos;
    while (pos < text.size() && text[pos] >= '0' && text[pos] <= '9') {
      number = number * 10 + (text[pos++] - '0');
      if (number > kMaxMs) {
        return absl::InvalidArgumentError("duration out of range");
      }
    }
    if (pos == digits) return Invalid(text);
    const size_t start = pos;
    while (pos < text.size() && text[pos] >= 'a' && text[pos] <= 'z') ++pos;
    const std::string_view name = text.substr(start, pos - start);
    while (next_unit < kUnits.size() && kUnits[next_unit].name != name) {
      ++next_unit;
    }
    if (next_unit == kUnits.size()) return Invalid(text);
    const int64_t unit_ms = kUnits[next_unit++].ms;
    if (number > (kMaxMs - total) / unit_ms) {
      return absl::InvalidArgumentError("duration out of range");
    }
    total += number * unit_ms;
  }
  return total;
}

std::string FormatDurationMs(int64_t duration_ms) {
  if (duration_ms == 0) return "0s";
  std::string out = duration_ms < 0 ? "-" : "";
  uint64_t rest = duration_ms < 0 ? -static_cast<uint64_t>(duration_ms)
                                  : static_cast<uint64_t>(duration_ms);
  for (const Unit& unit : kUnits) {
    const uint64_t unit_ms = static_cast<uint64_t>(unit.ms);
    // Years and weeks only stand for whole multiples, so that 30d stays 30d.
    const bool whole_only = unit.name == "y" || unit.name == "w";
    if (rest < unit_ms || (whole_only && rest % unit_ms != 0)) continue;
    out += fmt::format("{}{}", rest / unit_ms, unit.name);
    rest %= unit_ms;
  }
  return out;
}

}  // namespace vigie
