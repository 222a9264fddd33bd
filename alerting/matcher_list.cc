#include "alerting/matcher_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
// What a name or value in the UTF-8 syntax needs quotes for.
constexpr std::string_view kReserved = "{}!=~,\\\"'` \t\n\r\f\v";

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

absl::Status Invalid(std::string_view why, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", why, what));
}

// Takes one of = =~ != !~ from the front of `*rest`.
bool TakeOperator(std::string_view* rest, Matcher::Type* type) {
  constexpr std::pair<std::string_view, Matcher::Type> kOperators[] = {
      {"=~", Matcher::Type::kRegex},
      {"!=", Matcher::Type::kNotEqual},
      {"!~", Matcher::Type::kNotRegex},
      {"=", Matcher::Type::kEqual}};
  for (const auto& [text, value] : kOperators) {
    if (!rest->starts_with(text)) continue;
    rest->remove_prefix(text.size());
    *type = value;
    return true;
  }
  return false;
}

// --- the classic syntax ---

bool IsNameByte(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == ':' || (!first && c >= '0' && c <= '9');
}

// Quotes are optional, but an opening one must be closed at the very end. A
// backslash that escapes nothing stands for itself.
absl::StatusOr<std::string> ClassicValue(std::string_view raw,
                                         std::string_view matcher) {
  const bool quoted = raw.starts_with('"');
  if (quoted) raw.remove_prefix(1);
  bool closed = !quoted;
  std::string value;
  for (size_t i = 0; i < raw.size(); ++i) {
    const bool last = i + 1 == raw.size();
    if (raw[i] == '"') {
      if (closed || !last) {
        return Invalid("matcher value contains unescaped double quote",
                       matcher);
      }
      closed = true;
    } else if (raw[i] == '\\' && !last) {
      const char next = raw[++i];
      if (next == 'n') {
        value += '\n';
      } else if (next == '"' || next == '\\') {
        value += next;
      } else {
        value += '\\';
        value += next;
      }
    } else {
      value += raw[i];
    }
  }
  if (!closed) {
    return Invalid("matcher value contains unescaped double quote", matcher);
  }
  return value;
}

absl::StatusOr<Matcher> ClassicMatcher(std::string_view text) {
  std::string_view rest = Trimmed(text);
  size_t name_bytes = 0;
  while (name_bytes < rest.size() &&
         IsNameByte(rest[name_bytes], name_bytes == 0)) {
    ++name_bytes;
  }
  const std::string_view name = rest.substr(0, name_bytes);
  rest = Trimmed(rest.substr(name_bytes));
  Matcher::Type type;
  if (name.empty() || !TakeOperator(&rest, &type)) {
    return Invalid("bad matcher format", text);
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string value,
                         ClassicValue(Trimmed(rest), text));
  return Matcher::Create(type, name, value);
}

absl::StatusOr<std::vector<Matcher>> ParseClassic(std::string_view text) {
  if (text.starts_with('{')) text.remove_prefix(1);
  if (text.ends_with('}')) text.remove_suffix(1);
  std::vector<std::string_view> parts;
  bool quoted = false;
  bool escaped = false;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' && !quoted) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    } else if (text[i] == '"' && !escaped) {
      quoted = !quoted;
    }
    escaped = text[i] == '\\' && !escaped;
  }
  if (!Trimmed(text.substr(start)).empty()) parts.push_back(text.substr(start));
  std::vector<Matcher> out;
  for (const std::string_view part : parts) {
    VIGIE_ASSIGN_OR_RETURN(Matcher matcher, ClassicMatcher(part));
    out.push_back(std::move(matcher));
  }
  return out;
}

// --- the syntax with names in UTF-8 ---

void AppendUtf8(uint32_t point, std::string* out) {
  const auto byte = [out](uint32_t value) {
    out->push_back(static_cast<char>(value));
  };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xC0 | point >> 6);
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    byte(0xE0 | point >> 12);
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else {
    byte(0xF0 | point >> 18);
    byte(0x80 | (point >> 12 & 0x3F));
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  }
}

class Utf8Parser {
 public:
  explicit Utf8Parser(std::string_view text) : text_(text), rest_(text) {}

  absl::StatusOr<std::vector<Matcher>> Parse() {
    SkipSpace();
    const bool braces = Take('{');
    std::vector<Matcher> out;
    SkipSpace();
    while (!rest_.empty() && rest_.front() != '}') {
      VIGIE_ASSIGN_OR_RETURN(const std::string name, Token());
      SkipSpace();
      Matcher::Type type;
      if (!TakeOperator(&rest_, &type)) {
        return Invalid("expected one of =, !=, =~, !~", text_);
      }
      SkipSpace();
      VIGIE_ASSIGN_OR_RETURN(const std::string value, Token());
      VIGIE_ASSIGN_OR_RETURN(Matcher matcher,
                             Matcher::Create(type, name, value));
      out.push_back(std::move(matcher));
      SkipSpace();
      if (!Take(',')) break;
      SkipSpace();
    }
    if (braces != Take('}')) return Invalid("braces do not match", text_);
    SkipSpace();
    if (!rest_.empty()) return Invalid("expected a comma or the end", text_);
    return out;
  }

 private:
  void SkipSpace() {
    while (!rest_.empty() && kSpace.find(rest_.front()) != kSpace.npos) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A name or a value, quoted or not.
  absl::StatusOr<std::string> Token() {
    if (Take('"')) return QuotedToken();
    const size_t end = std::min(rest_.find_first_of(kReserved), rest_.size());
    if (end == 0) return Invalid("expected a name or a value", text_);
    std::string token(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return token;
  }

  absl::StatusOr<std::string> QuotedToken() {
    std::string out;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') {
        if (!IsValidUtf8(out)) return Invalid("not valid UTF-8", text_);
        return out;
      }
      if (c == '\n') break;
      if (c != '\\') {
        out += c;
      } else if (!TakeEscape(&out)) {
        return Invalid("unknown escape", text_);
      }
    }
    return Invalid("a quote is not closed", text_);
  }

  // What follows a backslash, as in a Go string.
  bool TakeEscape(std::string* out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    constexpr std::string_view kFrom = "abfnrtv\\\"";
    constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\\"";
    if (const size_t at = kFrom.find(c); at != kFrom.npos) {
      rest_.remove_prefix(1);
      out->push_back(kTo[at]);
      return true;
    }
    if (c >= '0' && c <= '7') return TakeCode(3, 8, 0xFF, out);
    rest_.remove_prefix(1);
    if (c == 'x') return TakeCode(2, 16, 0xFF, out);
    if (c == 'u') return TakeCode(4, 16, 0x10FFFF, out);
    if (c == 'U') return TakeCode(8, 16, 0x10FFFF, out);
    return false;
  }

  // Bytes for the short forms, characters for the long ones.
  bool TakeCode(size_t digits, uint32_t base, uint32_t max, std::string* out) {
    if (rest_.size() < digits) return false;
    uint64_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = rest_[i];
      uint32_t digit = 99;
      if (c >= '0' && c <= '9') digit = static_cast<uint32_t>(c - '0');
      if (c >= 'a' && c <= 'f') digit = static_cast<uint32_t>(c - 'a' + 10);
      if (c >= 'A' && c <= 'F') digit = static_cast<uint32_t>(c - 'A' + 10);
      if (digit >= base) return false;
      code = code * base + digit;
    }
    if (code > max || (code >= 0xD800 && code < 0xE000)) return false;
    rest_.remove_prefix(digits);
    if (max == 0xFF) {
      out->push_back(static_cast<char>(code));
    } else {
      AppendUtf8(static_cast<uint32_t>(code), out);
    }
    return true;
  }

  const std::string_view text_;
  std::string_view rest_;
};

}  // namespace

absl::StatusOr<std::vector<Matcher>> ParseMatchers(std::string_view text) {
  if (!IsValidUtf8(text)) {
    return absl::InvalidArgumentError("matcher is not valid UTF-8");
  }
  absl::StatusOr<std::vector<Matcher>> classic = ParseClassic(text);
  if (classic.ok()) return classic;
  absl::StatusOr<std::vector<Matcher>> utf8 = Utf8Parser(text).Parse();
  return utf8.ok() ? utf8 : classic;
}

void SortMatchers(std::vector<Matcher>& matchers) {
  std::stable_sort(matchers.begin(), matchers.end(),
                   [](const Matcher& a, const Matcher& b) {
                     return std::tuple(std::string_view(a.name()),
                                       std::string_view(a.value()), a.type()) <
                            std::tuple(std::string_view(b.name()),
                                       std::string_view(b.value()), b.type());
                   });
}

std::string MatchersText(const std::vector<Matcher>& matchers) {
  std::string out = "{";
  for (const Matcher& matcher : matchers) {
    if (out.size() > 1) out += ',';
    const bool plain =
        matcher.name().find_first_of(kReserved) == std::string::npos;
    out += plain ? matcher.name() : Quoted(matcher.name());
    switch (matcher.type()) {
      case Matcher::Type::kEqual:
        out += '=';
        break;
      case Matcher::Type::kNotEqual:
        out += "!=";
        break;
      case Matcher::Type::kRegex:
        out += "=~";
        break;
      case Matcher::Type::kNotRegex:
        out += "!~";
        break;
    }
    out += '"';
    for (const char c : matcher.value()) {
      if (c == '"' || c == '\\') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    out += '"';
  }
  return out + "}";
}

}  // namespace vigie::alerting
