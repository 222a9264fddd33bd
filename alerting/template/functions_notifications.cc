// The functions of notifications.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "alerting/template/functions.h"
#include "alerting/template/go_print.h"
#include "alerting/template/go_time.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

using Variant = TemplateValue::Variant;

constexpr int kNestingMax = 16;

int DepthOf(const TemplateValue& value) {
  if (const auto* list = value.As<TemplateValue::List>()) {
    return (*list)->depth + 1;
  }
  if (const auto* dict = value.As<TemplateDict>()) return dict->depth + 1;
  return 0;
}

// Values made by functions hold one another: how deep is bounded, as they are
// printed and freed by recursion.
absl::StatusOr<int> DepthAround(int depth, const TemplateValue& inner) {
  depth = std::max(depth, DepthOf(inner));
  if (depth <= kNestingMax) return depth;
  return absl::ResourceExhaustedError(
      fmt::format("lists and maps nested deeper than {}", kNestingMax));
}

absl::StatusOr<TemplateValue> MakeList(std::vector<TemplateValue> items) {
  TemplateList list;
  for (const TemplateValue& item : items) {
    VIGIE_ASSIGN_OR_RETURN(list.depth, DepthAround(list.depth, item));
  }
  list.items = std::move(items);
  return TemplateValue(
      Variant(std::make_shared<const TemplateList>(std::move(list))));
}

absl::StatusOr<TemplateTime> TimeArgument(const Arguments& arguments,
                                          size_t index) {
  if (const auto* time = arguments[index].As<TemplateTime>()) return *time;
  return WrongArgument(arguments, index, "time");
}

absl::StatusOr<TemplateValue> TrimSpace(const Call&,
                                        const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string::npos) return TemplateValue("");
  return TemplateValue(
      text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin));
}

absl::StatusOr<TemplateValue> Join(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string separator,
                         StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> items,
                         StringsArgument(arguments, 1));
  size_t bytes = separator.size() * items.size();
  for (const std::string& item : items) bytes += item.size();
  if (bytes > kTemplateOutputBytesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("a text of more than {} bytes", kTemplateOutputBytesMax));
  }
  return TemplateValue(fmt::format("{}", fmt::join(items, separator)));
}

absl::StatusOr<TemplateValue> StringSlice(const Call&,
                                          const Arguments& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    VIGIE_RETURN_IF_ERROR(StringArgument(arguments, i).status());
  }
  return MakeList(arguments);
}

absl::StatusOr<TemplateValue> CallList(const Call&,
                                       const Arguments& arguments) {
  return MakeList(arguments);
}

absl::StatusOr<TemplateValue> Append(const Call&, const Arguments& arguments) {
  const auto* list = arguments[0].As<TemplateValue::List>();
  if (list == nullptr) return WrongArgument(arguments, 0, "list");
  std::vector<TemplateValue> items = (*list)->items;
  items.insert(items.end(), arguments.begin() + 1, arguments.end());
  return MakeList(std::move(items));
}

absl::StatusOr<TemplateValue> Dict(const Call&, const Arguments& arguments) {
  if (arguments.size() % 2 != 0) {
    return absl::InvalidArgumentError("a key without a value");
  }
  TemplateMap map;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    VIGIE_ASSIGN_OR_RETURN(std::string key, StringArgument(arguments, i));
    map.insert_or_assign(std::move(key), arguments[i + 1]);
  }
  return MakeDict(std::move(map));
}

absl::StatusOr<TemplateValue> SafeUrl(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(std::string text, StringArgument(arguments, 0));
  return TemplateValue(Variant(TemplateMarkup{std::move(text), true}));
}

absl::StatusOr<TemplateValue> UrlUnescape(const Call&,
                                          const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const std::string digits = text.substr(i + 1, 2);
      if (digits.size() != 2 ||
          digits.find_first_not_of("0123456789abcdefABCDEF") !=
              std::string::npos) {
        return absl::InvalidArgumentError(fmt::format(
            "invalid URL escape {}", QuotedText(text.substr(i, 3))));
      }
      out += absl::HexStringToBytes(digits);
      i += 2;
    }
  }
  return TemplateValue(std::move(out));
}

absl::StatusOr<TemplateValue> Base64Encode(const Call&,
                                           const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(absl::Base64Escape(text));
}

absl::StatusOr<TemplateValue> Base64Decode(const Call&,
                                           const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  std::string out;
  if (text.size() % 4 != 0 || !absl::Base64Unescape(text, &out)) {
    return absl::InvalidArgumentError("not base64");
  }
  return TemplateValue(std::move(out));
}

absl::StatusOr<TemplateValue> Date(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string layout,
                         StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const TemplateTime time, TimeArgument(arguments, 1));
  return TemplateValue(FormatTime(time, layout));
}

absl::StatusOr<TemplateValue> Tz(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string zone, StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(TemplateTime time, TimeArgument(arguments, 1));
  VIGIE_RETURN_IF_ERROR(CheckZone(zone));
  time.zone = zone;
  return TemplateValue(Variant(time));
}

absl::StatusOr<TemplateValue> Now(const Call& call, const Arguments&) {
  return TemplateValue(Variant(TemplateTime{.time_ms = call.context.now_ms}));
}

absl::StatusOr<TemplateValue> Since(const Call& call,
                                    const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateTime time, TimeArgument(arguments, 0));
  const absl::Duration since =
      absl::FromUnixMillis(call.context.now_ms) - TimeOf(time);
  return TemplateValue(
      Variant(TemplateDuration{absl::ToInt64Nanoseconds(since)}));
}

// As Go's encoding/json, which makes text safe for HTML too.
std::string JsonText(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    size_t end = at + 1;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
    const std::string_view rune = text.substr(at, end - at);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f') {
      static constexpr std::string_view kBytes = "\n\r\t\b\f";
      out.push_back('\\');
      out.push_back("nrtbf"[kBytes.find(c)]);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' ||
               c == '&') {
      out += fmt::format("\\u{:04x}", int{c});
    } else if (!IsValidUtf8(rune)) {
      out += "\\ufffd";
      end = at + 1;
    } else if (rune == "\u2028" || rune == "\u2029") {
      out += rune == "\u2028" ? "\\u2028" : "\\u2029";
    } else {
      out += rune;
    }
    at = end;
  }
  return out + "\"";
}

absl::Status AppendJson(const TemplateValue& value, std::string* out) {
  if (out->size() > kTemplateOutputBytesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("a text of more than {} bytes", kTemplateOutputBytesMax));
  }
  const TemplateMap* map = nullptr;
  if (value.As<std::monostate>() != nullptr) {
    *out += "null";
  } else if (const auto* text = value.As<std::string>()) {
    *out += JsonText(*text);
  } else if (const auto* markup = value.As<TemplateMarkup>()) {
    *out += JsonText(markup->text);
  } else if (const auto* boolean = value.As<bool>()) {
    *out += *boolean ? "true" : "false";
  } else if (const auto* integer = value.As<int64_t>()) {
    *out += fmt::format("{}", *integer);
  } else if (const auto* number = value.As<double>()) {
    if (!std::isfinite(*number)) {
      return absl::InvalidArgumentError(
          fmt::format("{} has no form in JSON", FloatText(*number)));
    }
    *out += fmt::format("{}", *number);
  } else if (const auto* list = value.As<TemplateValue::List>()) {
    *out += "[";
    for (size_t i = 0; i < (*list)->items.size(); ++i) {
      if (i > 0) *out += ",";
      VIGIE_RETURN_IF_ERROR(AppendJson((*list)->items[i], out));
    }
    *out += "]";
  } else if (const auto* dict = value.As<TemplateDict>()) {
    map = dict->entries.get();
  } else if (const auto* plain = value.As<TemplateValue::Map>()) {
    map = plain->get();
    // Alertmanager's records have names in JSON that differ from those in
    // templates.
    for (const auto& [key, item] : *map) {
      if (item.As<std::string>() == nullptr) {
        return absl::InvalidArgumentError(
            "only texts, numbers, lists and maps of them are supported, "
            "not a record");
      }
    }
  } else {
    return absl::InvalidArgumentError(
        fmt::format("a {} is not supported", KindName(value)));
  }
  if (map == nullptr) return absl::OkStatus();
  *out += "{";
  bool first = true;
  for (const auto& [key, item] : *map) {
    if (!std::exchange(first, false)) *out += ",";
    *out += JsonText(key) + ":";
    VIGIE_RETURN_IF_ERROR(AppendJson(item, out));
  }
  *out += "}";
  return absl::OkStatus();
}

absl::StatusOr<TemplateValue> ToJson(const Call&, const Arguments& arguments) {
  std::string out;
  VIGIE_RETURN_IF_ERROR(AppendJson(arguments[0], &out));
  return TemplateValue(std::move(out));
}

}  // namespace

absl::StatusOr<TemplateValue> MakeDict(TemplateMap entries) {
  TemplateDict dict;
  for (const auto& [key, value] : entries) {
    VIGIE_ASSIGN_OR_RETURN(dict.depth, DepthAround(dict.depth, value));
  }
  dict.entries = std::make_shared<const TemplateMap>(std::move(entries));
  return TemplateValue(Variant(std::move(dict)));
}

std::vector<Function> NotificationFunctions() {
  return {
      {"trimSpace", 1, 1, TrimSpace},
      {"join", 2, 2, Join},
      {"stringSlice", 0, -1, StringSlice},
      {"list", 0, -1, CallList},
      {"append", 1, -1, Append},
      {"dict", 0, -1, Dict},
      {"safeUrl", 1, 1, SafeUrl},
      {"urlUnescape", 1, 1, UrlUnescape},
      {"base64encode", 1, 1, Base64Encode},
      {"base64decode", 1, 1, Base64Decode},
      {"date", 2, 2, Date},
      {"tz", 2, 2, Tz},
      {"now", 0, 0, Now},
      {"since", 1, 1, Since},
      {"toJson", 1, 1, ToJson},
  };
}

}  // namespace vigie::alerting::tmpl
