#include "alerting/template/go_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "alerting/template/go_time.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

using List = TemplateValue::List;
using Map = TemplateValue::Map;

// A text inside of lists counts once for every level that it passes.
constexpr size_t kPrintedBytesMax = 8 * kTemplateOutputBytesMax;

struct Verb {
  char name = 'v';
  bool plus = false;
  bool minus = false;
  bool sharp = false;
  bool space = false;
  bool zero = false;
  int width = -1;
  int precision = -1;
};

bool AllStrings(const TemplateMap& map) {
  return std::all_of(map.begin(), map.end(), [](const auto& entry) {
    return entry.second.template As<std::string>() != nullptr;
  });
}

bool AllPairs(const TemplateList& list) {
  return std::all_of(list.items.begin(), list.items.end(),
                     [](const TemplateValue& item) {
                       return item.As<TemplatePair>() != nullptr;
                     });
}

// Characters, not bytes: widths count those.
size_t RuneCount(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Padded(std::string text, const Verb& verb, bool zeros) {
  const size_t length = RuneCount(text);
  if (verb.width < 0 || length >= static_cast<size_t>(verb.width)) return text;
  const size_t missing = static_cast<size_t>(verb.width) - length;
  if (verb.minus) return text + std::string(missing, ' ');
  if (!zeros || !verb.zero) return std::string(missing, ' ') + text;
  const size_t sign =
      !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ');
  return text.insert(sign, std::string(missing, '0'));
}

std::string HexOf(std::string_view text, bool upper) {
  std::string out;
  for (const unsigned char c : text) {
    out += upper ? fmt::format("{:02X}", c) : fmt::format("{:02x}", c);
  }
  return out;
}

absl::Status NotDone(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("printf: {} is not supported", what));
}

class Printer {
 public:
  explicit Printer(TemplateDialect dialect) : dialect_(dialect) {}

  // A value inside another, or on its own, under any verb. Values may share
  // their parts, so what is printed is bounded rather than what there is.
  absl::StatusOr<std::string> Print(const TemplateValue& value,
                                    const Verb& verb) const {
    VIGIE_ASSIGN_OR_RETURN(std::string text, PrintOne(value, verb));
    printed_ += text.size() + 1;
    if (printed_ > kPrintedBytesMax) {
      return absl::ResourceExhaustedError(
          fmt::format("a text of more than {} bytes", kTemplateOutputBytesMax));
    }
    return text;
  }

 private:
  absl::StatusOr<std::string> PrintOne(const TemplateValue& value,
                                       const Verb& verb) const {
    if (value.As<std::monostate>() != nullptr) {
      return verb.name == 'v' ? Padded("<nil>", verb, false)
                              : fmt::format("%!{}(<nil>)", verb.name);
    }
    if (const bool* b = value.As<bool>()) {
      if (verb.name != 't' && verb.name != 'v') return Bad(value, verb);
      return Padded(*b ? "true" : "false", verb, false);
    }
    if (const int64_t* i = value.As<int64_t>()) {
      return PrintInt(*i, value, verb);
    }
    if (const double* d = value.As<double>()) {
      return PrintFloat(*d, value, verb);
    }
    if (const std::string* s = value.As<std::string>()) {
      return PrintString(*s, value, verb);
    }
    if (const auto* markup = value.As<TemplateMarkup>()) {
      return PrintString(markup->text, value, verb);
    }
    if (const auto* duration = value.As<TemplateDuration>()) {
      if (IsTextVerb(verb)) {
        return PrintString(DurationText(duration->ns), value, verb);
      }
      return PrintInt(duration->ns, value, verb);
    }
    if (const auto* time = value.As<TemplateTime>()) {
      if (!IsTextVerb(verb)) return Bad(value, verb);
      return PrintString(TimeText(*time), value, verb);
    }
    if (const auto* pair = value.As<TemplatePair>()) {
      return PrintPair(*pair, verb);
    }
    if (const List* list = value.As<List>()) return PrintList(**list, verb);
    if (const Map* map = value.As<Map>()) return PrintMap(**map, value, verb);
    return PrintEntries(*value.As<TemplateDict>()->entries, verb);
  }

  static bool IsTextVerb(const Verb& verb) {
    return std::string_view("vsqxX").find(verb.name) != std::string_view::npos;
  }

  // What Go prints for a verb that does not fit.
  absl::StatusOr<std::string> Bad(const TemplateValue& value,
                                  const Verb& verb) const {
    VIGIE_ASSIGN_OR_RETURN(const std::string text, Print(value, {}));
    return fmt::format("%!{}({}={})", verb.name, KindName(value), text);
  }

  absl::StatusOr<std::string> PrintInt(int64_t value,
                                       const TemplateValue& whole,
                                       const Verb& verb) const {
    const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value)
                                    : static_cast<uint64_t>(value);
    std::string text;
    switch (verb.name) {
      case 'v':
      case 'd':
        text = fmt::format("{}", size);
        break;
      case 'x':
        text = fmt::format("{:x}", size);
        break;
      case 'X':
        text = fmt::format("{:X}", size);
        break;
      case 'o':
        text = fmt::format("{:o}", size);
        break;
      case 'b':
        text = fmt::format("{:b}", size);
        break;
      case 'c':
      case 'q':
      case 'U':
      case 'O':
        return NotDone(fmt::format("%{} of a number", verb.name));
      default:
        return Bad(whole, verb);
    }
    if (verb.precision >= 0) {
      if (verb.precision == 0 && value == 0) text.clear();
      if (text.size() < static_cast<size_t>(verb.precision)) {
        text.insert(0, static_cast<size_t>(verb.precision) - text.size(), '0');
      }
    }
    if (verb.sharp) {
      if (verb.name == 'x') text = "0x" + text;
      if (verb.name == 'X') text = "0X" + text;
      if (verb.name == 'o') text = "0" + text;
      if (verb.name == 'b') text = "0b" + text;
    }
    if (value < 0) {
      text = "-" + text;
    } else if (verb.plus) {
      text = "+" + text;
    } else if (verb.space) {
      text = " " + text;
    }
    return Padded(std::move(text), verb, verb.precision < 0);
  }

  absl::StatusOr<std::string> PrintFloat(double value,
                                         const TemplateValue& whole,
                                         const Verb& verb) const {
    if (verb.name == 'b' || verb.name == 'x' || verb.name == 'X') {
      return NotDone(fmt::format("%{} of a number with a point", verb.name));
    }
    const char name = verb.name == 'v'   ? 'g'
                      : verb.name == 'F' ? 'f'
                                         : verb.name;
    if (std::string_view("eEfgG").find(name) == std::string_view::npos) {
      return Bad(whole, verb);
    }
    if (verb.sharp) return NotDone("# of a number with a point");
    if (!std::isfinite(value)) {
      std::string text = std::isnan(value) ? "NaN"
                         : value > 0       ? "+Inf"
                                           : "-Inf";
      if (std::isnan(value) && verb.plus) text = "+NaN";
      if (verb.space && !verb.plus) {
        if (std::isnan(value)) text = " NaN";
        if (value > 0) text = " Inf";
      }
      return Padded(std::move(text), verb, false);
    }
    std::string text;
    if ((name == 'g' || name == 'G') && verb.precision < 0) {
      text = FloatText(std::fabs(value));
      if (name == 'G') {
        std::replace(text.begin(), text.end(), 'e', 'E');
      }
    } else {
      const int precision = verb.precision < 0 ? 6 : verb.precision;
      const char format[] = {'%', '.', '*', name, '\0'};
      const int size =
          std::snprintf(nullptr, 0, format, precision, std::fabs(value));
      text.resize(static_cast<size_t>(size) + 1);
      std::snprintf(text.data(), text.size(), format, precision,
                    std::fabs(value));
      text.pop_back();
    }
    if (std::signbit(value)) {
      text = "-" + text;
    } else if (verb.plus) {
      text = "+" + text;
    } else if (verb.space) {
      text = " " + text;
    }
    return Padded(std::move(text), verb, true);
  }

  absl::StatusOr<std::string> PrintString(std::string_view text,
                                          const TemplateValue& whole,
                                          const Verb& verb) const {
    if (verb.precision >= 0 && verb.name != 'x' && verb.name != 'X') {
      size_t end = 0;
      for (int left = verb.precision; end < text.size() && left > 0; --left) {
        ++end;
        while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
      }
      text = text.substr(0, end);
    }
    switch (verb.name) {
      case 'v':
      case 's':
        if (verb.name == 'v' && verb.sharp) return NotDone("%#v");
        return Padded(std::string(text), verb, true);
      case 'q':
        if (verb.sharp || verb.plus) return NotDone("a flag of %q");
        return Padded(QuotedText(text), verb, true);
      case 'x':
      case 'X':
        if (verb.sharp || verb.space) return NotDone("a flag of %x");
        if (verb.precision >= 0) {
          text = text.substr(0, static_cast<size_t>(verb.precision));
        }
        return Padded(HexOf(text, verb.name == 'X'), verb, true);
      default:
        return Bad(whole, verb);
    }
  }

  absl::StatusOr<std::string> PrintPair(const TemplatePair& pair,
                                        const Verb& verb) const {
    VIGIE_ASSIGN_OR_RETURN(const std::string name, Print(pair.name, verb));
    VIGIE_ASSIGN_OR_RETURN(const std::string value, Print(pair.value, verb));
    return verb.plus && verb.name == 'v'
               ? fmt::format("{{Name:{} Value:{}}}", name, value)
               : fmt::format("{{{} {}}}", name, value);
  }

  absl::StatusOr<std::string> PrintList(const TemplateList& list,
                                        const Verb& verb) const {
    if (list.fields != nullptr && IsTextVerb(verb) && AllPairs(list)) {
      std::string text;
      for (const TemplateValue& item : list.items) {
        const auto& pair = *item.As<TemplatePair>();
        if (!text.empty()) text += ", ";
        text += pair.name + "=" + pair.value;
      }
      return PrintString(text, TemplateValue(), verb);
    }
    std::string text = "[";
    for (const TemplateValue& item : list.items) {
      if (text.size() > 1) text += " ";
      VIGIE_ASSIGN_OR_RETURN(const std::string one, Print(item, verb));
      text += one;
    }
    return text + "]";
  }

  absl::StatusOr<std::string> PrintMap(const TemplateMap& map,
                                       const TemplateValue& whole,
                                       const Verb& verb) const {
    if (!AllStrings(map)) return PrintRecord(map, verb);
    if (dialect_ == TemplateDialect::kRules || !IsTextVerb(verb)) {
      return PrintEntries(map, verb);
    }
    std::string first, rest;
    for (const auto& [name, value] : map) {
      const std::string one = name + "=" + *value.As<std::string>();
      if (name == "alertname") {
        first = one;
      } else {
        rest += (rest.empty() ? "" : ", ") + one;
      }
    }
    const bool both = !first.empty() && !rest.empty();
    return PrintString(first + (both ? ", " : "") + rest, whole, verb);
  }

  absl::StatusOr<std::string> PrintEntries(const TemplateMap& map,
                                           const Verb& verb) const {
    std::string text = "map[";
    for (const auto& [name, value] : map) {
      if (text.size() > 4) text += " ";
      VIGIE_ASSIGN_OR_RETURN(const std::string key, Print(name, verb));
      VIGIE_ASSIGN_OR_RETURN(const std::string one, Print(value, verb));
      text += key + ":" + one;
    }
    return text + "]";
  }

  // In Go the fields would be in their order of declaration; ours are by name.
  absl::StatusOr<std::string> PrintRecord(const TemplateMap& map,
                                          const Verb& verb) const {
    std::string text = "{";
    for (const auto& [name, value] : map) {
      if (text.size() > 1) text += " ";
      VIGIE_ASSIGN_OR_RETURN(const std::string one, Print(value, verb));
      if (verb.plus) text += name + ":";
      text += one;
    }
    return text + "}";
  }

  const TemplateDialect dialect_;
  mutable size_t printed_ = 0;
};

bool IsText(const TemplateValue& value) {
  return value.As<std::string>() != nullptr;
}

// Reads digits, at most kPrintWidthMax; -1 if there are none.
absl::StatusOr<int> ReadNumber(std::string_view* format) {
  int number = -1;
  while (!format->empty() && (*format)[0] >= '0' && (*format)[0] <= '9') {
    number = std::max(number, 0) * 10 + ((*format)[0] - '0');
    if (number > kPrintWidthMax) {
      return absl::ResourceExhaustedError(fmt::format(
          "printf: a width or precision of more than {}", kPrintWidthMax));
    }
    format->remove_prefix(1);
  }
  return number;
}

// The arguments of one printf.
class ArgumentList {
 public:
  ArgumentList(std::string_view format,
               const std::vector<TemplateValue>& values,
               TemplateDialect dialect)
      : format_(format), values_(values), printer_(dialect) {}

  absl::StatusOr<std::string> Run() && {
    while (!format_.empty()) {
      const size_t percent = std::min(format_.find('%'), format_.size());
      out_.append(format_.substr(0, percent));
      format_.remove_prefix(percent);
      if (!format_.empty()) VIGIE_RETURN_IF_ERROR(ReadVerb());
      if (out_.size() > kTemplateOutputBytesMax) {
        return absl::ResourceExhaustedError(fmt::format(
            "printf: a text of more than {} bytes", kTemplateOutputBytesMax));
      }
    }
    if (!reordered_ && next_ < values_.size()) {
      out_ += "%!(EXTRA ";
      for (size_t i = next_; i < values_.size(); ++i) {
        if (i > next_) out_ += ", ";
        VIGIE_ASSIGN_OR_RETURN(const std::string text,
                               printer_.Print(values_[i], {}));
        if (values_[i].As<std::monostate>() == nullptr) {
          out_ += fmt::format("{}=", KindName(values_[i]));
        }
        out_ += text;
      }
      out_ += ")";
    }
    return std::move(out_);
  }

 private:
  bool TakeChar(char c) {
    if (format_.empty() || format_[0] != c) return false;
    format_.remove_prefix(1);
    return true;
  }

  void ReadFlags(Verb* verb) {
    while (true) {
      if (TakeChar('+')) {
        verb->plus = true;
      } else if (TakeChar('-')) {
        verb->minus = true;
      } else if (TakeChar('#')) {
        verb->sharp = true;
      } else if (TakeChar(' ')) {
        verb->space = true;
      } else if (TakeChar('0')) {
        verb->zero = true;
      } else {
        return;
      }
    }
  }

  // `[2]`: the next argument is the second.
  absl::Status ReadIndex() {
    if (!TakeChar('[')) return absl::OkStatus();
    VIGIE_ASSIGN_OR_RETURN(const int index, ReadNumber(&format_));
    reordered_ = true;
    good_index_ = TakeChar(']') && index >= 1 &&
                  static_cast<size_t>(index) <= values_.size();
    if (good_index_) next_ = static_cast<size_t>(index) - 1;
    return absl::OkStatus();
  }

  // A width or a precision: digits or `*`. -1 if there is none.
  absl::StatusOr<int> ReadSize(std::string_view bad) {
    VIGIE_RETURN_IF_ERROR(ReadIndex());
    if (!TakeChar('*')) return ReadNumber(&format_);
    const int64_t* size = next_ < values_.size() && good_index_
                              ? values_[next_].As<int64_t>()
                              : nullptr;
    ++next_;
    if (size == nullptr) {
      out_ += bad;
      return -1;
    }
    if (std::abs(*size) > kPrintWidthMax) {
      return absl::ResourceExhaustedError(fmt::format(
          "printf: a width or precision of more than {}", kPrintWidthMax));
    }
    return static_cast<int>(*size);
  }

  absl::Status ReadVerb() {
    format_.remove_prefix(1);  // the percent sign
    Verb verb;
    good_index_ = true;
    ReadFlags(&verb);
    const bool star = format_.find('*') == 0;
    VIGIE_ASSIGN_OR_RETURN(verb.width, ReadSize("%!(BADWIDTH)"));
    if (star && verb.width < -1) {
      verb.width = -verb.width;
      verb.minus = true;
    }
    if (TakeChar('.')) {
      VIGIE_ASSIGN_OR_RETURN(verb.precision, ReadSize("%!(BADPREC)"));
      verb.precision = std::max(verb.precision, 0);
    }
    VIGIE_RETURN_IF_ERROR(ReadIndex());
    if (format_.empty()) {
      out_ += "%!(NOVERB)";
      return absl::OkStatus();
    }
    verb.name = format_[0];
    if ((verb.name & 0x80) != 0) return NotDone("a verb beyond ASCII");
    format_.remove_prefix(1);
    if (verb.minus) verb.zero = false;
    if (verb.name == '%') {
      out_.push_back('%');
    } else if (!good_index_) {
      out_ += fmt::format("%!{}(BADINDEX)", verb.name);
    } else if (next_ >= values_.size()) {
      out_ += fmt::format("%!{}(MISSING)", verb.name);
    } else {
      return PrintNext(verb);
    }
    return absl::OkStatus();
  }

  absl::Status PrintNext(const Verb& verb) {
    const TemplateValue& value = values_[next_++];
    if (verb.name == 'T') {
      out_ += Padded(std::string(KindName(value)), verb, false);
      return absl::OkStatus();
    }
    if (verb.name == 'p' || verb.name == 'w') {
      return NotDone(fmt::format("%{}", verb.name));
    }
    if (verb.name == 'v' && verb.sharp) return NotDone("%#v");
    // %+v asks for names of fields, not for signs.
    Verb asked = verb;
    if (asked.name == 'v' && value.As<int64_t>() == nullptr &&
        value.As<double>() == nullptr && value.As<TemplatePair>() == nullptr &&
        value.As<List>() == nullptr && value.As<Map>() == nullptr) {
      asked.plus = false;
    }
    if (asked.name == 'v' &&
        (value.As<int64_t>() != nullptr || value.As<double>() != nullptr)) {
      asked.plus = false;
    }
    VIGIE_ASSIGN_OR_RETURN(const std::string text,
                           printer_.Print(value, asked));
    out_ += text;
    return absl::OkStatus();
  }

  std::string_view format_;
  const std::vector<TemplateValue>& values_;
  const Printer printer_;
  std::string out_;
  size_t next_ = 0;
  bool reordered_ = false;
  bool good_index_ = true;
};

}  // namespace

std::string_view KindName(const TemplateValue& value) {
  static constexpr std::string_view kNames[] = {
      "<nil>",         "bool",          "int",  "float64",
      "string",        "time.Time",     "list", "map",
      "time.Duration", "template.HTML", "Pair", "map[string]interface {}"};
  return kNames[value.variant().index()];
}

absl::StatusOr<std::string> Printed(const TemplateValue& value,
                                    TemplateDialect dialect) {
  return Printer(dialect).Print(value, {});
}

absl::StatusOr<std::string> PrintAll(const std::vector<TemplateValue>& values,
                                     TemplateDialect dialect) {
  const Printer printer(dialect);
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0 && !IsText(values[i - 1]) && !IsText(values[i])) text += " ";
    VIGIE_ASSIGN_OR_RETURN(const std::string one, printer.Print(values[i], {}));
    text += one;
  }
  return text;
}

absl::StatusOr<std::string> PrintLine(const std::vector<TemplateValue>& values,
                                      TemplateDialect dialect) {
  const Printer printer(dialect);
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += " ";
    VIGIE_ASSIGN_OR_RETURN(const std::string one, printer.Print(values[i], {}));
    text += one;
  }
  return text + "\n";
}

absl::StatusOr<std::string> Printf(std::string_view format,
                                   const std::vector<TemplateValue>& values,
                                   TemplateDialect dialect) {
  return ArgumentList(format, values, dialect).Run();
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  auto end = std::to_chars(std::begin(buffer), std::end(buffer), value,
                           std::chars_format::scientific);
  const std::string text(buffer, end.ptr);
  const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
  if (exponent < -4 || exponent >= 6) return text;
  end = std::to_chars(std::begin(buffer), std::end(buffer), value,
                      std::chars_format::fixed);
  return {buffer, end.ptr};
}

std::string FourDigits(double value) {
  return *Printf("%.4g", {TemplateValue::Variant(value)},
                 TemplateDialect::kRules);
}

std::string QuotedText(std::string_view text) {
  static constexpr std::string_view kNames = "abfnrtv\\\"";
  static constexpr std::string_view kBytes = "\a\b\f\n\r\t\v\\\"";
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (const size_t i = kBytes.find(c); i != std::string_view::npos) {
      out.push_back('\\');
      out.push_back(kNames[i]);
      ++at;
      continue;
    }
    size_t end = at + 1;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
    const std::string_view rune = text.substr(at, end - at);
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      ++at;
    } else if (IsValidUtf8(rune)) {
      out += rune;
      at = end;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      ++at;
    }
  }
  return out + "\"";
}

}  // namespace vigie::alerting::tmpl
