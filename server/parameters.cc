#include "server/parameters.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/duration.h"
#include "base/strings.h"
#include "model/labels.h"

namespace vigie::server {
namespace {

// What Prometheus writes for "from the beginning" and "to the end".
constexpr std::string_view kMinTime = "-292273086-05-16T16:47:06Z";
constexpr std::string_view kMaxTime = "292277025-08-18T07:12:54.999999999Z";

// Leaves room for offsets and ranges to be added without overflow.
constexpr double kSecondsMax = 4.0e15;

std::optional<double> ParseFloat(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  double value;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// Reads exactly `digits` digits and moves on.
bool ReadNumber(std::string_view& text, size_t digits, int* value) {
  if (text.size() < digits) return false;
  *value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    *value = *value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool ReadChar(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<int64_t> ParseRfc3339Ms(std::string_view text) {
  int year, month, day, hour, minute, second;
  if (!ReadNumber(text, 4, &year) || !ReadChar(text, '-') ||
      !ReadNumber(text, 2, &month) || !ReadChar(text, '-') ||
      !ReadNumber(text, 2, &day) || !ReadChar(text, 'T') ||
      !ReadNumber(text, 2, &hour) || !ReadChar(text, ':') ||
      !ReadNumber(text, 2, &minute) || !ReadChar(text, ':') ||
      !ReadNumber(text, 2, &second)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{
      std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
      std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) {
    return std::nullopt;
  }
  int64_t fraction_ms = 0;
  if (ReadChar(text, '.')) {
    int digits = 0;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      if (digits < 3) fraction_ms = fraction_ms * 10 + (text[0] - '0');
      ++digits;
      text.remove_prefix(1);
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 3; ++digits) fraction_ms *= 10;
  }
  int64_t offset_s = 0;
  if (!ReadChar(text, 'Z')) {
    const bool behind = text.starts_with('-');
    int offset_hours, offset_minutes;
    if ((!ReadChar(text, '+') && !ReadChar(text, '-')) ||
        !ReadNumber(text, 2, &offset_hours) || !ReadChar(text, ':') ||
        !ReadNumber(text, 2, &offset_minutes) || offset_hours > 23 ||
        offset_minutes > 59) {
      return std::nullopt;
    }
    offset_s = offset_hours * 3600 + offset_minutes * 60;
    if (behind) offset_s = -offset_s;
  }
  if (!text.empty()) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds =
      days * 86'400 + hour * 3600 + minute * 60 + second - offset_s;
  return seconds * 1000 + fraction_ms;
}

}  // namespace

absl::StatusOr<int64_t> ParseTimeMs(std::string_view text) {
  if (const std::optional<double> value = ParseFloat(text);
      value && std::abs(*value) <= kSecondsMax) {
    double seconds;
    const double fraction = std::modf(*value, &seconds);
    return static_cast<int64_t>(seconds) * 1000 + std::llround(fraction * 1000);
  }
  if (const std::optional<int64_t> time_ms = ParseRfc3339Ms(text)) {
    return *time_ms;
  }
  if (text == kMinTime) return std::numeric_limits<int64_t>::min();
  if (text == kMaxTime) return std::numeric_limits<int64_t>::max();
  return absl::InvalidArgumentError(
      fmt::format("cannot parse {} to a valid timestamp", Quoted(text)));
}

absl::StatusOr<int64_t> ParseDurationParamMs(std::string_view text) {
  if (const std::optional<double> seconds = ParseFloat(text)) {
    const double nanoseconds = *seconds * 1e9;
    if (std::abs(nanoseconds) >= 9223372036854775807.0) {
      return absl::InvalidArgumentError(
          fmt::format("cannot parse {} to a valid duration. It overflows int64",
                      Quoted(text)));
    }
    return static_cast<int64_t>(nanoseconds) / 1'000'000;
  }
  if (absl::StatusOr<int64_t> duration_ms = ParseDurationMs(text);
      duration_ms.ok()) {
    return duration_ms;
  }
  return absl::InvalidArgumentError(
      fmt::format("cannot parse {} to a valid duration", Quoted(text)));
}

absl::StatusOr<uint64_t> ParseLimit(std::string_view text) {
  if (text.empty()) return 0;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t limit;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), limit);
  if (error == std::errc::result_out_of_range) {
    return absl::InvalidArgumentError(fmt::format(
        "strconv.Atoi: parsing {}: value out of range", Quoted(text)));
  }
  if (error != std::errc() || end != digits.data() + digits.size() ||
      (digits.size() != text.size() && digits.starts_with('-'))) {
    return absl::InvalidArgumentError(
        fmt::format("strconv.Atoi: parsing {}: invalid syntax", Quoted(text)));
  }
  if (limit < 0) {
    return absl::InvalidArgumentError("limit must be non-negative");
  }
  return static_cast<uint64_t>(limit);
}

std::string FormatRfc3339(int64_t time_ms) {
  int64_t days = time_ms / 86'400'000;
  int64_t in_day_ms = time_ms % 86'400'000;
  if (in_day_ms < 0) {
    in_day_ms += 86'400'000;
    --days;
  }
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(days))};
  std::string out = fmt::format(
      "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      in_day_ms / 3'600'000, in_day_ms / 60'000 % 60, in_day_ms / 1000 % 60);
  if (in_day_ms % 1000 != 0) {
    out += fmt::format(".{:03}", in_day_ms % 1000);
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

absl::Status InvalidParameter(std::string_view name, const absl::Status& why) {
  return Prefixed(fmt::format("invalid parameter \"{}\"", name), why);
}

std::string UnescapeLabelName(std::string_view name) {
  if (!name.starts_with("U__")) return std::string(name);
  std::string out;
  for (size_t i = 3; i < name.size(); ++i) {
    if (name[i] != '_') {
      out += name[i];
      continue;
    }
    if (i + 1 < name.size() && name[i + 1] == '_') {  // "__" is "_"
      out += '_';
      ++i;
      continue;
    }
    // "_2e_": a code point in hex between underscores.
    const size_t end = name.find('_', i + 1);
    uint32_t code = 0;
    if (end == std::string_view::npos || end == i + 1 || end - i > 7) {
      return std::string(name);
    }
    const auto [stop, error] =
        std::from_chars(name.data() + i + 1, name.data() + end, code, 16);
    if (error != std::errc() || stop != name.data() + end || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000)) {
      return std::string(name);
    }
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xe0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    }
    i = end;
  }
  return out;
}

}  // namespace vigie::server
