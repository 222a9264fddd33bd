#include "query/number_text.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "query/parser/literals.h"

namespace vigie::query {
namespace {

std::string NotFinite(double value) {
  if (std::isnan(value)) return "NaN";
  return value > 0 ? "+Inf" : "-Inf";
}

bool EqualFold(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower[i]) return false;
  }
  return true;
}

}  // namespace

std::string FixedText(double value) {
  // Not std::to_chars: from 2^53 on it prints all digits of the double, where
  // the shortest text ends in zeros.
  return FormatNumber(value);
}

std::string GeneralText(double value) {
  if (!std::isfinite(value)) return NotFinite(value);
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value,
                                 std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + e + 1;
  if (*digits == '+') ++digits;
  std::from_chars(digits, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 6) return text;
  return FixedText(value);
}

std::string OpenMetricsText(double value) {
  std::string text = GeneralText(value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::optional<double> ParseFloatText(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  double value = 0;
  if (EqualFold(text, "inf") || EqualFold(text, "infinity")) {
    value = std::numeric_limits<double>::infinity();
  } else if (EqualFold(text, "nan")) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    std::chars_format format = std::chars_format::general;
    if (text.size() > 2 && text[0] == '0' &&
        (text[1] == 'x' || text[1] == 'X')) {
      format = std::chars_format::hex;
      text.remove_prefix(2);
    }
    if (text.empty() || text[0] == '-' || text[0] == 'i' || text[0] == 'I' ||
        text[0] == 'n' || text[0] == 'N') {
      return std::nullopt;
    }
    const auto [ptr, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, format);
    if (error != std::errc() || ptr != text.data() + text.size()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

}  // namespace vigie::query
