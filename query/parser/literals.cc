#include "query/parser/literals.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "model/labels.h"
#include "model/sample.h"

namespace vigie::query {
namespace {

void AppendUtf8(uint32_t rune, std::string* out) {
  if (rune < 0x80) {
    out->push_back(static_cast<char>(rune));
  } else if (rune < 0x800) {
    out->push_back(static_cast<char>(0xC0 | rune >> 6));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3F)));
  } else if (rune < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | rune >> 12));
    out->push_back(static_cast<char>(0x80 | (rune >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | rune >> 18));
    out->push_back(static_cast<char>(0x80 | (rune >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (rune >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3F)));
  }
}

// Underscores only stand between digits, or between a base prefix and one.
bool UnderscoresAreFine(std::string_view text) {
  char before = '^';
  const bool prefixed =
      text.size() > 1 && text[0] == '0' && (text[1] | 0x20) == 'x';
  for (size_t i = prefixed ? 2 : 0; i < text.size(); ++i) {
    const bool digit =
        (text[i] >= '0' && text[i] <= '9') ||
        (prefixed && ((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'f'));
    if (digit) {
      before = '0';
    } else if (text[i] == '_') {
      if (before != '0' && !(prefixed && i == 2)) return false;
      before = '_';
    } else {
      if (before == '_') return false;
      before = '!';
    }
  }
  return before != '_';
}

std::optional<double> ParseInteger(std::string_view digits) {
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == 'x') {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits[0] == '0') {
    base = 8;
    digits.remove_prefix(1);
  }
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (error != std::errc() || stop != end || digits.front() == '-') {
    return std::nullopt;
  }
  return static_cast<double>(value);
}

absl::Status Refused(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("strconv.ParseFloat: parsing {}: {}", Quoted(text), why));
}

}  // namespace

absl::StatusOr<double> ParseNumber(std::string_view text) {
  if (text.size() == 3 && (text[0] | 0x20) == 'i') {
    return std::numeric_limits<double>::infinity();
  }
  if (text.size() == 3 && (text[0] | 0x20) == 'n') return NormalNan();
  if (!UnderscoresAreFine(text)) return Refused(text, "invalid syntax");
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits.push_back(c);
  }
  if (const auto integer = ParseInteger(digits)) return *integer;
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end) {
    return Refused(text, "invalid syntax");
  }
  if (error == std::errc::result_out_of_range) {
    // Too small is zero to Go, too large is an error; from_chars says both
    // alike. 1 followed by the digits' own scale tells them apart.
    const long double wide = std::strtold(digits.c_str(), nullptr);
    if (std::fabs(wide) > 1) return Refused(text, "value out of range");
    return std::strtod(digits.c_str(), nullptr);
  }
  return value;
}

std::string Unquote(std::string_view token) {
  const bool raw = token.front() == '`';
  const std::string_view body = token.substr(1, token.size() - 2);
  if (raw) return std::string(body);
  std::string out;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out.push_back(body[i]);
      continue;
    }
    const char c = body[++i];
    const auto number = [&](size_t from, size_t count, int base) {
      uint32_t value = 0;
      std::from_chars(body.data() + from, body.data() + from + count, value,
                      base);
      i = from + count - 1;
      return value;
    };
    switch (c) {
      case 'a':
        out.push_back('\a');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'v':
        out.push_back('\v');
        break;
      case 'x':
        out.push_back(static_cast<char>(number(i + 1, 2, 16)));
        break;
      case 'u':
        AppendUtf8(number(i + 1, 4, 16), &out);
        break;
      case 'U':
        AppendUtf8(number(i + 1, 8, 16), &out);
        break;
      default:
        if (c >= '0' && c <= '7') {
          out.push_back(static_cast<char>(number(i, 3, 8)));
        } else {
          out.push_back(c);  // a quote or a backslash
        }
    }
  }
  return out;
}

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    std::chars_format::scientific);
  (void)error;  // 32 bytes hold every double
  std::string_view text(buffer.data(), end - buffer.data());
  std::string out;
  if (text.front() == '-') {
    out.push_back('-');
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  const std::string_view power = text.substr(e + (text[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  if (exponent < 0) {
    return out + "0." + std::string(-exponent - 1, '0') + digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return out + digits + std::string(whole - digits.size(), '0');
  }
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string QuoteRune(int32_t rune) {
  if (rune == '\'') return "'\\''";
  if (rune == '"') return "'\"'";
  std::string text;
  AppendUtf8(rune < 0 ? 0xFFFD : static_cast<uint32_t>(rune), &text);
  const std::string quoted = Quoted(text);
  return fmt::format("'{}'", quoted.substr(1, quoted.size() - 2));
}

std::string UnicodeName(int32_t rune) {
  const auto value = rune < 0 ? 0xFFFDU : static_cast<uint32_t>(rune);
  std::string text;
  AppendUtf8(value, &text);
  if (value < 0x20 || value == 0x7F) return fmt::format("U+{:04X}", value);
  return fmt::format("U+{:04X} '{}'", value, text);
}

}  // namespace vigie::query
