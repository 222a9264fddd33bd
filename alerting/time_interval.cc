#include "alerting/time_interval.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/time/civil_time.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "model/labels.h"

namespace vigie::alerting {
namespace {

constexpr std::array<std::string_view, 7> kWeekdays = {
    "sunday",   "monday", "tuesday", "wednesday",
    "thursday", "friday", "saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "january", "february", "march",     "april",   "may",      "june",
    "july",    "august",   "september", "october", "november", "december"};
constexpr int kMinutesOfDay = 24 * 60;

bool AnyHolds(const std::vector<IntervalRange>& ranges, int value) {
  return ranges.empty() ||
         std::any_of(ranges.begin(), ranges.end(),
                     [&](const IntervalRange& range) {
                       return range.first <= value && value <= range.last;
                     });
}

bool DayHolds(const std::vector<IntervalRange>& ranges, int day,
              int days_of_month) {
  return ranges.empty() ||
         std::any_of(ranges.begin(), ranges.end(),
                     [&](const IntervalRange& range) {
                       const auto from_start = [&](int value) {
                         return value < 0 ? days_of_month + value + 1 : value;
                       };
                       return from_start(range.first) <= day &&
                              day <= from_start(range.last);
                     });
}

// What one end of a range says, or nothing if it is none.
using ReadEnd = bool (*)(const std::string& text, int* out);

template <const auto& names, int kFirst>
bool ReadName(const std::string& text, int* out) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return false;
  *out = kFirst + static_cast<int>(found - names.begin());
  return true;
}
bool ReadMonth(const std::string& text, int* out) {
  return ReadName<kMonths, 1>(text, out) ||
         (absl::SimpleAtoi(text, out) && *out >= 1 && *out <= 12);
}
bool ReadDay(const std::string& text, int* out) {
  return absl::SimpleAtoi(text, out) && *out != 0 && *out >= -31 && *out <= 31;
}
bool ReadYear(const std::string& text, int* out) {
  return absl::SimpleAtoi(text, out) && *out >= 0;
}

// "monday:friday" or "monday".
absl::StatusOr<IntervalRange> ReadRange(const yaml::Node& node, ReadEnd read) {
  VIGIE_ASSIGN_OR_RETURN(std::string text, node.AsString());
  absl::AsciiStrToLower(&text);
  const size_t colon = text.find(':');
  IntervalRange range;
  const bool readable =
      read(text.substr(0, colon), &range.first) &&
      read(colon == std::string::npos ? text : text.substr(colon + 1),
           &range.last);
  if (!readable) {
    return node.Error(fmt::format("{} is not a valid range", Quoted(text)));
  }
  // From the 15th to the last day is a range, the other way round is none.
  const bool mixed = (range.first < 0) != (range.last < 0);
  if (mixed ? range.first < 0 : range.first > range.last) {
    return node.Error(
        fmt::format("{}: the start is after the end", Quoted(text)));
  }
  return range;
}

absl::Status ReadRanges(yaml::MapReader& map, std::string_view key,
                        ReadEnd read, std::vector<IntervalRange>* out) {
  const yaml::Node* list = map.Find(key);
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(out->emplace_back(), ReadRange(node, read));
  }
  return absl::OkStatus();
}

// "09:30", to 24:00.
absl::StatusOr<int> ReadMinute(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, node.AsString());
  const auto digit = [&](size_t at) {
    return text[at] >= '0' && text[at] <= '9' ? text[at] - '0' : 100;
  };
  int minute = kMinutesOfDay + 1;
  if (text.size() == 5 && text[2] == ':' && digit(3) < 6 && digit(4) < 10) {
    minute = (digit(0) * 10 + digit(1)) * 60 + digit(3) * 10 + digit(4);
  }
  if (minute > kMinutesOfDay) {
    return node.Error(fmt::format("{} is not a time of day", Quoted(text)));
  }
  return minute;
}

absl::Status ReadTimes(yaml::MapReader& map, std::vector<IntervalRange>* out) {
  const yaml::Node* list = map.Find("times");
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader times, node.AsMap());
    VIGIE_ASSIGN_OR_RETURN(const yaml::Node start, times.Require("start_time"));
    VIGIE_ASSIGN_OR_RETURN(const yaml::Node end, times.Require("end_time"));
    VIGIE_ASSIGN_OR_RETURN(const int first, ReadMinute(start));
    VIGIE_ASSIGN_OR_RETURN(const int behind, ReadMinute(end));
    if (first >= behind) {
      return node.Error("start_time must be before end_time");
    }
    VIGIE_RETURN_IF_ERROR(times.Finish());
    out->push_back({first, behind - 1});
  }
  return absl::OkStatus();
}

absl::StatusOr<TimeInterval> ReadInterval(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  TimeInterval interval;
  VIGIE_RETURN_IF_ERROR(ReadTimes(map, &interval.minutes));
  VIGIE_RETURN_IF_ERROR(
      ReadRanges(map, "weekdays", ReadName<kWeekdays, 0>, &interval.weekdays));
  VIGIE_RETURN_IF_ERROR(
      ReadRanges(map, "days_of_month", ReadDay, &interval.days_of_month));
  VIGIE_RETURN_IF_ERROR(ReadRanges(map, "months", ReadMonth, &interval.months));
  VIGIE_RETURN_IF_ERROR(ReadRanges(map, "years", ReadYear, &interval.years));
  std::string zone;
  VIGIE_RETURN_IF_ERROR(map.Read("location", &zone));
  if (zone == "Local") {
    interval.zone = absl::LocalTimeZone();
  } else if (!zone.empty() && !absl::LoadTimeZone(zone, &interval.zone)) {
    return map.Find("location")
        ->Error(fmt::format("unknown time zone {}", Quoted(zone)));
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return interval;
}

}  // namespace

bool TimeInterval::Contains(int64_t time_ms) const {
  const absl::CivilMinute at =
      absl::ToCivilMinute(absl::FromUnixMillis(time_ms), zone);
  const absl::CivilMonth month(at);
  const int days_of_this_month =
      static_cast<int>(absl::CivilDay(month + 1) - absl::CivilDay(month));
  // Abseil's week begins on Monday, the format's on Sunday.
  const int weekday =
      (static_cast<int>(absl::GetWeekday(absl::CivilDay(at))) + 1) % 7;
  return AnyHolds(minutes, at.hour() * 60 + at.minute()) &&
         AnyHolds(weekdays, weekday) &&
         DayHolds(days_of_month, at.day(), days_of_this_month) &&
         AnyHolds(months, at.month()) &&
         AnyHolds(years, static_cast<int>(at.year()));
}

absl::Status ReadTimeIntervals(const yaml::Node& list, TimeIntervals* out) {
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list.AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
    VIGIE_ASSIGN_OR_RETURN(const yaml::Node name_node, map.Require("name"));
    VIGIE_ASSIGN_OR_RETURN(const std::string name, name_node.AsString());
    if (name.empty()) return name_node.Error("the name is empty");
    auto [at, added] = out->try_emplace(name);
    if (!added) {
      return name_node.Error(
          fmt::format("time interval {} is not unique", Quoted(name)));
    }
    if (const yaml::Node* intervals = map.Find("time_intervals")) {
      VIGIE_ASSIGN_OR_RETURN(const auto items, intervals->AsSequence());
      for (const yaml::Node& item : items) {
        VIGIE_ASSIGN_OR_RETURN(at->second.emplace_back(), ReadInterval(item));
      }
    }
    VIGIE_RETURN_IF_ERROR(map.Finish());
  }
  return absl::OkStatus();
}

}  // namespace vigie::alerting
