#include "alerting/template/go_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace vigie::alerting::tmpl {
namespace {

constexpr std::string_view kMonths[] = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view kDays[] = {"Monday",   "Tuesday", "Wednesday",
                                      "Thursday", "Friday",  "Saturday",
                                      "Sunday"};

struct Civil {
  absl::CivilSecond second;
  int64_t subsecond_ns = 0;
  int offset = 0;  // seconds east of UTC
  std::string abbreviation;

  int hour12() const {
    const int hour = second.hour() % 12;
    return hour == 0 ? 12 : hour;
  }
  size_t weekday() const {
    return static_cast<size_t>(absl::GetWeekday(second));
  }
};

Civil CivilOf(const TemplateTime& time) {
  const absl::TimeZone::CivilInfo info = ZoneOf(time).At(TimeOf(time));
  return {info.cs, absl::ToInt64Nanoseconds(info.subsecond), info.offset,
          info.zone_abbr};
}

// +0100, +01:00, +01, with seconds too: as the letters of the layout say.
std::string Offset(int offset, bool colon, bool minutes, bool seconds) {
  const int total = std::abs(offset);
  const char* separator = colon ? ":" : "";
  std::string text =
      fmt::format("{}{:02}", offset < 0 ? '-' : '+', total / 3600);
  if (minutes) text += fmt::format("{}{:02}", separator, total / 60 % 60);
  if (seconds) text += fmt::format("{}{:02}", separator, total % 60);
  return text;
}

struct Chunk {
  std::string_view text;  // in the layout
  std::string (*print)(const Civil& at);
};

// Longer ones first where one begins another.
constexpr Chunk kChunks[] = {
    {"January",
     [](const Civil& at) {
       return std::string(kMonths[at.second.month() - 1]);
     }},
    {"Jan",
     [](const Civil& at) {
       return std::string(kMonths[at.second.month() - 1].substr(0, 3));
     }},
    {"Monday",
     [](const Civil& at) { return std::string(kDays[at.weekday()]); }},
    {"Mon",
     [](const Civil& at) {
       return std::string(kDays[at.weekday()].substr(0, 3));
     }},
    {"MST", [](const Civil& at) { return at.abbreviation; }},
    {"2006",
     [](const Civil& at) { return fmt::format("{:04}", at.second.year()); }},
    {"-07:00:00",
     [](const Civil& at) { return Offset(at.offset, true, true, true); }},
    {"-07:00",
     [](const Civil& at) { return Offset(at.offset, true, true, false); }},
    {"-070000",
     [](const Civil& at) { return Offset(at.offset, false, true, true); }},
    {"-0700",
     [](const Civil& at) { return Offset(at.offset, false, true, false); }},
    {"-07",
     [](const Civil& at) { return Offset(at.offset, false, false, false); }},
    {"Z07:00:00",
     [](const Civil& at) {
       return at.offset == 0 ? "Z" : Offset(at.offset, true, true, true);
     }},
    {"Z07:00",
     [](const Civil& at) {
       return at.offset == 0 ? "Z" : Offset(at.offset, true, true, false);
     }},
    {"Z070000",
     [](const Civil& at) {
       return at.offset == 0 ? "Z" : Offset(at.offset, false, true, true);
     }},
    {"Z0700",
     [](const Civil& at) {
       return at.offset == 0 ? "Z" : Offset(at.offset, false, true, false);
     }},
    {"Z07",
     [](const Civil& at) {
       return at.offset == 0 ? "Z" : Offset(at.offset, false, false, false);
     }},
    {"002",
     [](const Civil& at) {
       return fmt::format("{:03}", absl::GetYearDay(at.second));
     }},
    {"__2",
     [](const Civil& at) {
       return fmt::format("{:3}", absl::GetYearDay(at.second));
     }},
    {"01",
     [](const Civil& at) { return fmt::format("{:02}", at.second.month()); }},
    {"02",
     [](const Civil& at) { return fmt::format("{:02}", at.second.day()); }},
    {"03", [](const Civil& at) { return fmt::format("{:02}", at.hour12()); }},
    {"04",
     [](const Civil& at) { return fmt::format("{:02}", at.second.minute()); }},
    {"05",
     [](const Civil& at) { return fmt::format("{:02}", at.second.second()); }},
    {"06",
     [](const Civil& at) {
       return fmt::format("{:02}", at.second.year() % 100);
     }},
    {"15",
     [](const Civil& at) { return fmt::format("{:02}", at.second.hour()); }},
    {"_2",
     [](const Civil& at) { return fmt::format("{:2}", at.second.day()); }},
    {"PM",
     [](const Civil& at) -> std::string {
       return at.second.hour() >= 12 ? "PM" : "AM";
     }},
    {"pm",
     [](const Civil& at) -> std::string {
       return at.second.hour() >= 12 ? "pm" : "am";
     }},
    {"1", [](const Civil& at) { return fmt::format("{}", at.second.month()); }},
    {"2", [](const Civil& at) { return fmt::format("{}", at.second.day()); }},
    {"3", [](const Civil& at) { return fmt::format("{}", at.hour12()); }},
    {"4",
     [](const Civil& at) { return fmt::format("{}", at.second.minute()); }},
    {"5",
     [](const Civil& at) { return fmt::format("{}", at.second.second()); }},
};

bool IsLower(std::string_view text, size_t at) {
  return at < text.size() && text[at] >= 'a' && text[at] <= 'z';
}

const Chunk* ChunkAt(std::string_view layout) {
  for (const Chunk& chunk : kChunks) {
    if (!layout.starts_with(chunk.text)) continue;
    // "Month" and "Janet" are words, not Mon and Jan; "_2006" is a year.
    if ((chunk.text == "Jan" || chunk.text == "Mon") && IsLower(layout, 3)) {
      continue;
    }
    if (chunk.text == "_2" && layout.starts_with("_2006")) return nullptr;
    return &chunk;
  }
  return nullptr;
}

// The length of `.000` or `,999` at the beginning, or 0. No digit follows it.
size_t FractionLength(std::string_view layout) {
  if (layout.size() < 2 || (layout[0] != '.' && layout[0] != ',') ||
      (layout[1] != '0' && layout[1] != '9')) {
    return 0;
  }
  size_t end = 1;
  while (end < layout.size() && layout[end] == layout[1]) ++end;
  if (end < layout.size() && layout[end] >= '0' && layout[end] <= '9') {
    return 0;
  }
  return end;
}

std::string Fraction(std::string_view layout, int64_t subsecond_ns) {
  std::string digits = fmt::format("{:09}", subsecond_ns);
  digits.resize(std::max(layout.size() - 1, digits.size()), '0');
  digits.resize(layout.size() - 1);
  if (layout[1] == '9') {
    digits.resize(digits.find_last_not_of('0') + 1);
    if (digits.empty()) return "";
  }
  return layout[0] + digits;
}

}  // namespace

absl::Time TimeOf(const TemplateTime& time) {
  if (time.is_zero) return absl::FromUnixSeconds(-62'135'596'800);
  return absl::FromUnixMillis(time.time_ms);
}

absl::TimeZone ZoneOf(const TemplateTime& time) {
  if (time.zone.empty() || time.zone == "UTC") return absl::UTCTimeZone();
  if (time.zone == "Local") return absl::LocalTimeZone();
  absl::TimeZone zone;
  absl::LoadTimeZone(time.zone, &zone);  // UTC if there is none
  return zone;
}

absl::Status CheckZone(const std::string& zone) {
  absl::TimeZone found;
  // Names are looked up as files: those that leave the database are refused.
  if (zone.find("..") == std::string::npos && !zone.starts_with('/') &&
      !zone.starts_with("file:") && absl::LoadTimeZone(zone, &found)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("no time zone \"{}\"", zone));
}

std::string FormatTime(const TemplateTime& time, std::string_view layout) {
  const Civil at = CivilOf(time);
  std::string text;
  while (!layout.empty()) {
    const Chunk* chunk = ChunkAt(layout);
    if (chunk != nullptr) {
      text += chunk->print(at);
      layout.remove_prefix(chunk->text.size());
    } else if (const size_t length = FractionLength(layout); length > 0) {
      text += Fraction(layout.substr(0, length), at.subsecond_ns);
      layout.remove_prefix(length);
    } else {
      text.push_back(layout[0]);
      layout.remove_prefix(1);
    }
  }
  return text;
}

std::string TimeText(const TemplateTime& time) {
  return FormatTime(time, "2006-01-02 15:04:05.999999999 -0700 MST");
}

std::string DurationText(int64_t ns) {
  if (ns == 0) return "0s";
  const bool negative = ns < 0;
  const uint64_t total =
      negative ? uint64_t{0} - static_cast<uint64_t>(ns) : ns;
  // A number of the unit, with the zeros behind its point cut off.
  const auto with_fraction = [](uint64_t value, uint64_t unit) {
    std::string text = fmt::format("{}", value / unit);
    if (value % unit != 0) {
      const int width = unit == 1'000 ? 3 : unit == 1'000'000 ? 6 : 9;
      std::string digits = fmt::format("{:0{}}", value % unit, width);
      digits.resize(digits.find_last_not_of('0') + 1);
      text += "." + digits;
    }
    return text;
  };
  std::string text;
  if (total < 1'000) {
    text = fmt::format("{}ns", total);
  } else if (total < 1'000'000) {
    text = with_fraction(total, 1'000) + "\u00b5s";
  } else if (total < 1'000'000'000) {
    text = with_fraction(total, 1'000'000) + "ms";
  } else {
    constexpr uint64_t kMinute = 60'000'000'000;
    const uint64_t minutes = total / kMinute;
    if (minutes >= 60) text = fmt::format("{}h", minutes / 60);
    if (minutes > 0) text += fmt::format("{}m", minutes % 60);
    text += with_fraction(total % kMinute, 1'000'000'000) + "s";
  }
  return negative ? "-" + text : text;
}

}  // namespace vigie::alerting::tmpl
