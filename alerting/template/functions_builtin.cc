// The functions that every Go template has.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "alerting/template/executor.h"
#include "alerting/template/functions.h"
#include "alerting/template/go_print.h"
#include "alerting/template/html.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

using Variant = TemplateValue::Variant;

TemplateValue Bool(bool value) { return Variant(value); }

absl::Status Wrong(std::string_view message) {
  return absl::InvalidArgumentError(ToAbsl(message));
}

// The executor does these two.
absl::StatusOr<TemplateValue> Logic(const Call&, const Arguments& arguments) {
  return arguments.back();
}

absl::StatusOr<TemplateValue> Not(const Call&, const Arguments& arguments) {
  return Bool(!IsTrue(arguments[0]));
}

absl::StatusOr<TemplateValue> Print(const Call& call,
                                    const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(std::string text, PrintAll(arguments, call.dialect));
  return TemplateValue(std::move(text));
}

absl::StatusOr<TemplateValue> Println(const Call& call,
                                      const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(std::string text, PrintLine(arguments, call.dialect));
  return TemplateValue(std::move(text));
}

absl::StatusOr<TemplateValue> CallPrintf(const Call& call,
                                         const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string format,
                         StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(
      std::string text,
      Printf(format, {arguments.begin() + 1, arguments.end()}, call.dialect));
  return TemplateValue(std::move(text));
}

absl::StatusOr<TemplateValue> Len(const Call&, const Arguments& arguments) {
  const TemplateValue& value = arguments[0];
  size_t length = 0;
  if (const auto* text = value.As<std::string>()) {
    length = text->size();
  } else if (const auto* list = value.As<TemplateValue::List>()) {
    length = (*list)->items.size();
  } else if (const auto* map = value.As<TemplateValue::Map>()) {
    length = (*map)->size();
  } else if (const auto* dict = value.As<TemplateDict>()) {
    length = dict->entries->size();
  } else {
    return WrongArgument(arguments, 0, "string, list or map");
  }
  return TemplateValue(Variant(static_cast<int64_t>(length)));
}

absl::StatusOr<TemplateValue> IndexOnce(const TemplateValue& value,
                                        const Arguments& arguments,
                                        size_t which) {
  const TemplateMap* map = nullptr;
  bool of_strings = false;
  if (const auto* plain = value.As<TemplateValue::Map>()) {
    map = plain->get();
    of_strings = true;
  }
  if (const auto* dict = value.As<TemplateDict>()) map = dict->entries.get();
  if (map != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(const std::string key,
                           StringArgument(arguments, which));
    const auto found = map->find(key);
    if (found != map->end()) return found->second;
    return of_strings ? TemplateValue("") : TemplateValue();
  }
  const auto* list = value.As<TemplateValue::List>();
  const auto* text = value.As<std::string>();
  if (list == nullptr && text == nullptr) {
    return Wrong(fmt::format("a {} has no items", KindName(value)));
  }
  VIGIE_ASSIGN_OR_RETURN(const int64_t index, IntArgument(arguments, which));
  const size_t size = list != nullptr ? (*list)->items.size() : text->size();
  if (index < 0 || static_cast<size_t>(index) >= size) {
    return Wrong(fmt::format("index out of range: {} of {}", index, size));
  }
  const auto at = static_cast<size_t>(index);
  if (list != nullptr) return (*list)->items[at];
  return TemplateValue(
      Variant(int64_t{static_cast<unsigned char>((*text)[at])}));
}

absl::StatusOr<TemplateValue> Index(const Call&, const Arguments& arguments) {
  TemplateValue value = arguments[0];
  for (size_t i = 1; i < arguments.size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(value, IndexOnce(value, arguments, i));
  }
  return value;
}

absl::StatusOr<TemplateValue> Slice(const Call&, const Arguments& arguments) {
  const auto* list = arguments[0].As<TemplateValue::List>();
  const auto* text = arguments[0].As<std::string>();
  if (list == nullptr && text == nullptr) {
    return WrongArgument(arguments, 0, "string or list");
  }
  if (text != nullptr && arguments.size() == 4) {
    return Wrong("a string is cut by two indexes at most");
  }
  const size_t size = list != nullptr ? (*list)->items.size() : text->size();
  size_t bounds[] = {0, size, size};
  for (size_t i = 1; i < arguments.size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(const int64_t index, IntArgument(arguments, i));
    if (index < 0 || static_cast<size_t>(index) > size) {
      return Wrong(fmt::format("index out of range: {} of {}", index, size));
    }
    bounds[i - 1] = static_cast<size_t>(index);
  }
  if (bounds[0] > bounds[1] || bounds[1] > bounds[2]) {
    return Wrong(fmt::format("indexes fall: {}, {}", bounds[0], bounds[1]));
  }
  if (text != nullptr) {
    return TemplateValue(text->substr(bounds[0], bounds[1] - bounds[0]));
  }
  TemplateList cut;
  cut.depth = (*list)->depth;
  cut.items.assign((*list)->items.begin() + static_cast<int64_t>(bounds[0]),
                   (*list)->items.begin() + static_cast<int64_t>(bounds[1]));
  return TemplateValue(
      Variant(std::make_shared<const TemplateList>(std::move(cut))));
}

// What can be compared, reduced to its kind: durations are whole numbers and
// markup is text.
struct Comparable {
  enum class Kind : uint8_t { kNil, kBool, kInt, kFloat, kString, kTime };
  Kind kind = Kind::kNil;
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
};

std::optional<Comparable> ComparableOf(const TemplateValue& value) {
  using Kind = Comparable::Kind;
  Comparable out;
  if (value.As<std::monostate>() != nullptr) return out;
  if (const auto* boolean = value.As<bool>()) {
    out.kind = Kind::kBool;
    out.boolean = *boolean;
  } else if (const auto* integer = value.As<int64_t>()) {
    out.kind = Kind::kInt;
    out.integer = *integer;
  } else if (const auto* duration = value.As<TemplateDuration>()) {
    out.kind = Kind::kInt;
    out.integer = duration->ns;
  } else if (const auto* number = value.As<double>()) {
    out.kind = Kind::kFloat;
    out.number = *number;
  } else if (const auto* text = value.As<std::string>()) {
    out.kind = Kind::kString;
    out.text = *text;
  } else if (const auto* markup = value.As<TemplateMarkup>()) {
    out.kind = Kind::kString;
    out.text = markup->text;
  } else if (const auto* time = value.As<TemplateTime>()) {
    out.kind = Kind::kTime;
    out.integer = time->is_zero ? INT64_MIN : time->time_ms;
  } else {
    return std::nullopt;
  }
  return out;
}

absl::StatusOr<bool> Equal(const Arguments& arguments, size_t index) {
  const auto a = ComparableOf(arguments[0]);
  const auto b = ComparableOf(arguments[index]);
  if (!a.has_value()) return WrongArgument(arguments, 0, "thing to compare");
  if (!b.has_value()) {
    return WrongArgument(arguments, index, "thing to compare");
  }
  using Kind = Comparable::Kind;
  if (a->kind == Kind::kNil || b->kind == Kind::kNil) {
    return a->kind == b->kind;
  }
  if (a->kind != b->kind) {
    return Wrong(fmt::format("incompatible types for comparison: {} and {}",
                             KindName(arguments[0]),
                             KindName(arguments[index])));
  }
  return a->boolean == b->boolean && a->integer == b->integer &&
         a->number == b->number && a->text == b->text;
}

absl::StatusOr<TemplateValue> Eq(const Call&, const Arguments& arguments) {
  for (size_t i = 1; i < arguments.size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(const bool equal, Equal(arguments, i));
    if (equal) return Bool(true);
  }
  return Bool(false);
}

absl::StatusOr<TemplateValue> Ne(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const bool equal, Equal(arguments, 1));
  return Bool(!equal);
}

absl::StatusOr<bool> Less(const Arguments& arguments) {
  const auto a = ComparableOf(arguments[0]);
  const auto b = ComparableOf(arguments[1]);
  using Kind = Comparable::Kind;
  const auto ordered = [](const std::optional<Comparable>& side) {
    return side.has_value() &&
           (side->kind == Kind::kInt || side->kind == Kind::kFloat ||
            side->kind == Kind::kString);
  };
  if (!ordered(a)) return WrongArgument(arguments, 0, "thing with an order");
  if (!ordered(b)) return WrongArgument(arguments, 1, "thing with an order");
  if (a->kind != b->kind) {
    return Wrong(fmt::format("incompatible types for comparison: {} and {}",
                             KindName(arguments[0]), KindName(arguments[1])));
  }
  if (a->kind == Kind::kInt) return a->integer < b->integer;
  if (a->kind == Kind::kFloat) return a->number < b->number;
  return a->text < b->text;
}

absl::StatusOr<TemplateValue> Lt(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const bool less, Less(arguments));
  return Bool(less);
}

// As Go: less or equal, which NaN is not.
absl::StatusOr<TemplateValue> Le(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const bool less, Less(arguments));
  if (less) return Bool(true);
  VIGIE_ASSIGN_OR_RETURN(const bool equal, Equal(arguments, 1));
  return Bool(equal);
}

absl::StatusOr<TemplateValue> Gt(const Call& call, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateValue le, Le(call, arguments));
  return Bool(!*le.As<bool>());
}

absl::StatusOr<TemplateValue> Ge(const Call& call, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateValue lt, Lt(call, arguments));
  return Bool(!*lt.As<bool>());
}

absl::StatusOr<TemplateValue> Html(const Call& call,
                                   const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text,
                         PrintAll(arguments, call.dialect));
  // In a page it stands for the escaping that comes anyway.
  if (call.output == TemplateOutput::kHtml) return TemplateValue(text);
  return TemplateValue(EscapeHtml(text));
}

absl::StatusOr<TemplateValue> Js(const Call& call, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text,
                         PrintAll(arguments, call.dialect));
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
      case '\'':
      case '"':
        out.push_back('\\');
        out.push_back(c);
        break;
      case '<':
      case '>':
      case '&':
      case '=':
        out += fmt::format("\\u{:04X}", int{c});
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04X}", int{c});
        } else {
          out.push_back(c);
        }
    }
  }
  return TemplateValue(std::move(out));
}

absl::StatusOr<TemplateValue> UrlQuery(const Call& call,
                                       const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text,
                         PrintAll(arguments, call.dialect));
  return TemplateValue(EscapeQuery(text));
}

}  // namespace

std::vector<Function> BuiltinFunctions() {
  return {
      {"and", 1, -1, Logic},
      {"or", 1, -1, Logic},
      {"not", 1, 1, Not},
      {"print", 0, -1, Print},
      {"println", 0, -1, Println},
      {"printf", 1, -1, CallPrintf},
      {"len", 1, 1, Len},
      {"index", 1, -1, Index},
      {"slice", 1, 4, Slice},
      {"eq", 2, -1, Eq},
      {"ne", 2, 2, Ne},
      {"lt", 2, 2, Lt},
      {"le", 2, 2, Le},
      {"gt", 2, 2, Gt},
      {"ge", 2, 2, Ge},
      {"html", 0, -1, Html},
      {"js", 0, -1, Js},
      {"urlquery", 0, -1, UrlQuery},
  };
}

}  // namespace vigie::alerting::tmpl
