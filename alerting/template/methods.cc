// Fields and methods of values.
// Source: Alertmanager "Notification template reference"; Go's package time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "alerting/template/functions.h"
#include "alerting/template/go_print.h"
#include "alerting/template/go_time.h"
#include "base/status_macros.h"

namespace vigie::alerting::tmpl {
namespace {

using Variant = TemplateValue::Variant;

TemplateValue Whole(int64_t value) { return Variant(value); }

absl::Status NoField(const TemplateValue& value, const std::string& name) {
  return absl::InvalidArgumentError(
      fmt::format("a {} has no field or method {}", KindName(value), name));
}

absl::Status ExpectArguments(const std::string& name,
                             const Arguments& arguments, size_t count) {
  if (arguments.size() == count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: wrong number of arguments: {}, not {}", name,
                  arguments.size(), count));
}

// By name, `alertname` first.
std::vector<TemplatePair> PairsOf(const TemplateMap& map) {
  std::vector<TemplatePair> pairs;
  for (const auto& [name, value] : map) {
    const auto* text = value.As<std::string>();
    pairs.push_back({name, text == nullptr ? std::string() : *text});
  }
  std::stable_partition(
      pairs.begin(), pairs.end(),
      [](const TemplatePair& pair) { return pair.name == "alertname"; });
  return pairs;
}

TemplateValue NamesOf(const std::vector<TemplatePair>& pairs) {
  std::vector<TemplateValue> names;
  for (const TemplatePair& pair : pairs) names.emplace_back(pair.name);
  return TemplateValue::OfList(std::move(names));
}

TemplateValue ValuesOf(const std::vector<TemplatePair>& pairs) {
  std::vector<TemplateValue> values;
  for (const TemplatePair& pair : pairs) values.emplace_back(pair.value);
  return TemplateValue::OfList(std::move(values));
}

TemplateValue SortedPairsOf(const std::vector<TemplatePair>& pairs) {
  TemplateList list;
  for (const TemplatePair& pair : pairs) {
    list.items.emplace_back(Variant(pair));
  }
  list.fields = std::make_shared<const TemplateMap>(
      TemplateMap{{"Names", NamesOf(pairs)}, {"Values", ValuesOf(pairs)}});
  return Variant(std::make_shared<const TemplateList>(std::move(list)));
}

bool IsLabelMap(const TemplateMap& map) {
  return std::all_of(map.begin(), map.end(), [](const auto& entry) {
    return entry.second.template As<std::string>() != nullptr;
  });
}

// A method of Alertmanager's KV, or nothing if `name` is none.
absl::StatusOr<TemplateValue> LabelMapMethod(const TemplateMap& map,
                                             const std::string& name,
                                             const Arguments& arguments,
                                             bool* found) {
  *found = true;
  if (name == "Remove") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 1));
    VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           StringsArgument(arguments, 0));
    TemplateMap rest = map;
    for (const std::string& one : names) rest.erase(one);
    return TemplateValue::OfMap(std::move(rest));
  }
  if (name == "SortedPairs" || name == "Names" || name == "Values" ||
      name == "String") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 0));
    const std::vector<TemplatePair> pairs = PairsOf(map);
    if (name == "SortedPairs") return SortedPairsOf(pairs);
    if (name == "Names") return NamesOf(pairs);
    if (name == "Values") return ValuesOf(pairs);
    VIGIE_ASSIGN_OR_RETURN(
        std::string text,
        Printed(TemplateValue::OfMap(map), TemplateDialect::kNotifications));
    return TemplateValue(std::move(text));
  }
  *found = false;
  return TemplateValue();
}

absl::StatusOr<TemplateValue> MapField(const Call& call,
                                       const TemplateValue& value,
                                       const TemplateMap& map,
                                       const std::string& name,
                                       const Arguments& arguments) {
  const bool of_labels = IsLabelMap(map);
  if (of_labels && call.dialect == TemplateDialect::kNotifications) {
    bool found = false;
    VIGIE_ASSIGN_OR_RETURN(TemplateValue result,
                           LabelMapMethod(map, name, arguments, &found));
    if (found) return result;
  }
  const auto entry = map.find(name);
  if (entry == map.end() && !of_labels) return NoField(value, name);
  if (!arguments.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} has arguments and is no method", name));
  }
  return entry == map.end() ? TemplateValue("") : entry->second;
}

absl::StatusOr<TemplateValue> DurationMethod(const TemplateValue& value,
                                             int64_t ns,
                                             const std::string& name,
                                             const Arguments& arguments) {
  if (name == "Round" || name == "Truncate") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 1));
    const auto* unit = arguments[0].As<TemplateDuration>();
    const auto* whole = arguments[0].As<int64_t>();
    if (unit == nullptr && whole == nullptr) {
      return WrongArgument(arguments, 0, "duration");
    }
    const int64_t step = unit != nullptr ? unit->ns : *whole;
    if (step <= 0) return value;
    const int64_t rest = ns % step;
    int64_t cut = ns - rest;
    if (name == "Round" && std::abs(rest) >= step - std::abs(rest) &&
        __builtin_add_overflow(cut, ns < 0 ? -step : step, &cut)) {
      cut = ns < 0 ? INT64_MIN : INT64_MAX;
    }
    return TemplateValue(Variant(TemplateDuration{cut}));
  }
  VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 0));
  const auto number = static_cast<double>(ns);
  if (name == "String") return TemplateValue(DurationText(ns));
  if (name == "Hours") return TemplateValue(Variant(number / 3600e9));
  if (name == "Minutes") return TemplateValue(Variant(number / 60e9));
  if (name == "Seconds") return TemplateValue(Variant(number / 1e9));
  if (name == "Milliseconds") return Whole(ns / 1'000'000);
  if (name == "Microseconds") return Whole(ns / 1'000);
  if (name == "Nanoseconds") return Whole(ns);
  if (name == "Abs") {
    return TemplateValue(
        Variant(TemplateDuration{ns == INT64_MIN ? INT64_MAX : std::abs(ns)}));
  }
  return NoField(value, name);
}

// Parts of the date: year, month, ...
absl::StatusOr<TemplateValue> TimePart(const TemplateValue& value,
                                       const TemplateTime& time,
                                       const std::string& name) {
  const absl::CivilSecond at = ZoneOf(time).At(TimeOf(time)).cs;
  if (name == "Year") return Whole(at.year());
  if (name == "Month") return TemplateValue(FormatTime(time, "January"));
  if (name == "Day") return Whole(at.day());
  if (name == "Weekday") return TemplateValue(FormatTime(time, "Monday"));
  if (name == "YearDay") return Whole(absl::GetYearDay(at));
  if (name == "Hour") return Whole(at.hour());
  if (name == "Minute") return Whole(at.minute());
  if (name == "Second") return Whole(at.second());
  return NoField(value, name);
}

absl::StatusOr<TemplateValue> TimeMethod(const TemplateValue& value,
                                         const TemplateTime& time,
                                         const std::string& name,
                                         const Arguments& arguments) {
  if (name == "Format") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 1));
    VIGIE_ASSIGN_OR_RETURN(const std::string layout,
                           StringArgument(arguments, 0));
    return TemplateValue(FormatTime(time, layout));
  }
  if (name == "Before" || name == "After" || name == "Equal" || name == "Sub") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 1));
    const auto* other = arguments[0].As<TemplateTime>();
    if (other == nullptr) return WrongArgument(arguments, 0, "time");
    const absl::Time a = TimeOf(time), b = TimeOf(*other);
    if (name == "Before") return TemplateValue(Variant(a < b));
    if (name == "After") return TemplateValue(Variant(a > b));
    if (name == "Equal") return TemplateValue(Variant(a == b));
    return TemplateValue(
        Variant(TemplateDuration{absl::ToInt64Nanoseconds(a - b)}));
  }
  if (name == "Add") {
    VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 1));
    const auto* duration = arguments[0].As<TemplateDuration>();
    if (duration == nullptr) return WrongArgument(arguments, 0, "duration");
    TemplateTime later = time;
    later.time_ms =
        absl::ToUnixMillis(TimeOf(time) + absl::Nanoseconds(duration->ns));
    later.is_zero = false;
    return TemplateValue(Variant(later));
  }
  VIGIE_RETURN_IF_ERROR(ExpectArguments(name, arguments, 0));
  if (name == "String") return TemplateValue(TimeText(time));
  if (name == "IsZero") return TemplateValue(Variant(time.is_zero));
  if (name == "Unix") return Whole(absl::ToUnixSeconds(TimeOf(time)));
  if (name == "UnixMilli") return Whole(absl::ToUnixMillis(TimeOf(time)));
  if (name == "UTC" || name == "Local") {
    TemplateTime moved = time;
    moved.zone = name;
    return TemplateValue(Variant(moved));
  }
  return TimePart(value, time, name);
}

}  // namespace

absl::StatusOr<TemplateValue> FieldOf(const Call& call,
                                      const TemplateValue& value,
                                      const std::string& name,
                                      const Arguments& arguments) {
  if (const auto* map = value.As<TemplateValue::Map>()) {
    return MapField(call, value, **map, name, arguments);
  }
  if (const auto* time = value.As<TemplateTime>()) {
    return TimeMethod(value, *time, name, arguments);
  }
  if (const auto* duration = value.As<TemplateDuration>()) {
    return DurationMethod(value, duration->ns, name, arguments);
  }
  if (!arguments.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} has arguments and is no method", name));
  }
  if (const auto* dict = value.As<TemplateDict>()) {
    const auto found = dict->entries->find(name);
    return found == dict->entries->end() ? TemplateValue() : found->second;
  }
  if (const auto* pair = value.As<TemplatePair>()) {
    if (name == "Name") return TemplateValue(pair->name);
    if (name == "Value") return TemplateValue(pair->value);
  }
  if (const auto* list = value.As<TemplateValue::List>()) {
    if ((*list)->fields != nullptr) {
      const auto found = (*list)->fields->find(name);
      if (found != (*list)->fields->end()) return found->second;
    }
  }
  return NoField(value, name);
}

}  // namespace vigie::alerting::tmpl
