#include "alerting/template/humanize.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <wctype.h>

#include <clocale>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "alerting/template/go_print.h"

namespace vigie::alerting::tmpl {
namespace {

constexpr std::string_view kLarge[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
constexpr std::string_view kSmall[] = {"m", "u", "n", "p", "f", "a", "z", "y"};
constexpr std::string_view kBinary[] = {"ki", "Mi", "Gi", "Ti",
                                        "Pi", "Ei", "Zi", "Yi"};

// `value`, below 1, with the prefix that brings it to 1 or more.
std::string WithSmallPrefix(double value) {
  std::string_view prefix;
  for (const std::string_view next : kSmall) {
    if (std::fabs(value) >= 1) break;
    prefix = next;
    value *= 1000;
  }
  return fmt::format("{}{}", FourDigits(value), prefix);
}

std::string WithLargePrefix(double value, double base,
                            const std::string_view (&prefixes)[8]) {
  std::string_view prefix;
  for (const std::string_view next : prefixes) {
    if (std::fabs(value) < base) break;
    prefix = next;
    value /= base;
  }
  return fmt::format("{}{}", FourDigits(value), prefix);
}

struct HostPort {
  std::string host;
  std::string port;
};

// host:port, [host]:port; nothing for anything else.
std::optional<HostPort> SplitHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  for (const std::string_view part : {host, port}) {
    if (part.find_first_of("[]") != std::string_view::npos) {
      return std::nullopt;
    }
  }
  return HostPort{std::string(host), std::string(port)};
}

bool IsAddress(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// The cases of all scripts, whatever the locale of the process.
locale_t Utf8Locale() {
  static const locale_t locale =
      newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr));
  return locale;
}

// The character at `*at`, which moves behind it; a byte that is none stays
// one, marked.
constexpr wint_t kBadByte = 0x40000000;
wint_t NextRune(std::string_view text, size_t* at) {
  const auto first = static_cast<unsigned char>(text[*at]);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (length == 0 || *at + length > text.size()) {
    ++*at;
    return kBadByte | first;
  }
  wint_t rune = length == 1 ? first : first & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[*at + i]);
    if ((next & 0xC0) != 0x80) {
      ++*at;
      return kBadByte | first;
    }
    rune = (rune << 6) | (next & 0x3FU);
  }
  *at += length;
  return rune;
}

void AppendRune(wint_t rune, std::string* out) {
  if ((rune & kBadByte) != 0 || rune < 0x80) {
    out->push_back(static_cast<char>(rune & 0xFF));
    return;
  }
  const int tail = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
  static constexpr wint_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out->push_back(static_cast<char>(kLead[tail] | (rune >> (6 * tail))));
  for (int i = tail - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | ((rune >> (6 * i)) & 0x3F)));
  }
}

template <class Change>
std::string Changed(std::string_view text, Change change) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const wint_t rune = NextRune(text, &at);
    AppendRune((rune & kBadByte) != 0 ? rune : change(rune), &out);
  }
  return out;
}

wint_t Upper(wint_t rune) { return towupper_l(rune, Utf8Locale()); }
wint_t Lower(wint_t rune) { return towlower_l(rune, Utf8Locale()); }
bool IsWord(wint_t rune) {
  return rune == '_' || iswalnum_l(rune, Utf8Locale()) != 0;
}
// Within a word for Alertmanager if letters stand on both sides.
bool JoinsWords(wint_t rune) {
  return rune == '\'' || rune == '.' || rune == ':' || rune == 0x2019;
}

}  // namespace

std::string Humanize(double value) {
  if (value == 0 || !std::isfinite(value)) return FourDigits(value);
  return std::fabs(value) >= 1 ? WithLargePrefix(value, 1000, kLarge)
                               : WithSmallPrefix(value);
}

std::string Humanize1024(double value) {
  if (std::fabs(value) <= 1 || !std::isfinite(value)) {
    return FourDigits(value);
  }
  return WithLargePrefix(value, 1024, kBinary);
}

std::string HumanizeDuration(double seconds) {
  if (!std::isfinite(seconds)) return FourDigits(seconds);
  if (seconds == 0) return FourDigits(seconds) + "s";
  if (std::fabs(seconds) < 1) return WithSmallPrefix(seconds) + "s";
  const char* sign = seconds < 0 ? "-" : "";
  const double size = std::fabs(seconds);
  // Beyond what 64 bits of seconds hold there is nothing to divide.
  if (size >= 9.2e18) return sign + FourDigits(size) + "s";
  const auto whole = static_cast<int64_t>(size);
  const int64_t days = whole / 86'400;
  const int64_t hours = whole / 3'600 % 24;
  const int64_t minutes = whole / 60 % 60;
  if (days != 0) {
    return fmt::format("{}{}d {}h {}m {}s", sign, days, hours, minutes,
                       whole % 60);
  }
  if (hours != 0) {
    return fmt::format("{}{}h {}m {}s", sign, hours, minutes, whole % 60);
  }
  if (minutes != 0) return fmt::format("{}{}m {}s", sign, minutes, whole % 60);
  return fmt::format("{}{}s", sign, FourDigits(size));
}

std::string HumanizePercentage(double ratio) {
  return FourDigits(ratio * 100) + "%";
}

std::string StripPort(std::string_view host_port) {
  auto split = SplitHostPort(host_port);
  return split.has_value() ? std::move(split->host) : std::string(host_port);
}

std::string StripDomain(std::string_view host_port) {
  const auto split = SplitHostPort(host_port);
  std::string host = split.has_value() ? split->host : std::string(host_port);
  if (IsAddress(host)) return std::string(host_port);
  host.resize(std::min(host.find('.'), host.size()));
  if (!split.has_value() || split->port.empty()) return host;
  return host.find(':') == std::string::npos
             ? fmt::format("{}:{}", host, split->port)
             : fmt::format("[{}]:{}", host, split->port);
}

std::string ToUpper(std::string_view text) { return Changed(text, Upper); }
std::string ToLower(std::string_view text) { return Changed(text, Lower); }

std::string ToTitle(std::string_view text, bool lowers_rest) {
  std::string out;
  bool in_word = false;
  bool has_letter = false;  // the word so far
  for (size_t at = 0; at < text.size();) {
    const wint_t rune = NextRune(text, &at);
    size_t ahead = at;
    const bool joins = lowers_rest && in_word && JoinsWords(rune) &&
                       ahead < text.size() && IsWord(NextRune(text, &ahead));
    if ((rune & kBadByte) == 0 && IsWord(rune)) {
      // Alertmanager's first letter may stand behind digits: "3Rd".
      const bool first = lowers_rest ? !has_letter : !in_word;
      AppendRune(first ? Upper(rune) : lowers_rest ? Lower(rune) : rune, &out);
      in_word = true;
      has_letter = has_letter || iswalpha_l(rune, Utf8Locale()) != 0;
    } else {
      AppendRune(rune, &out);
      in_word = joins;
      has_letter = has_letter && joins;
    }
  }
  return out;
}

}  // namespace vigie::alerting::tmpl
