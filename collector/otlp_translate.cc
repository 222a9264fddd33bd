#include "collector/otlp_translate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

namespace vigie::collector {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// UCUM's symbols. "tibibytes" is no misprint of ours: Prometheus writes it so.
constexpr std::array<Pair, 26> kUnits = {{
    {"d", "days"},
    {"h", "hours"},
    {"min", "minutes"},
    {"s", "seconds"},
    {"ms", "milliseconds"},
    {"us", "microseconds"},
    {"ns", "nanoseconds"},
    {"By", "bytes"},
    {"KiBy", "kibibytes"},
    {"MiBy", "mebibytes"},
    {"GiBy", "gibibytes"},
    {"TiBy", "tibibytes"},
    {"KBy", "kilobytes"},
    {"MBy", "megabytes"},
    {"GBy", "gigabytes"},
    {"TBy", "terabytes"},
    {"m", "meters"},
    {"V", "volts"},
    {"A", "amperes"},
    {"J", "joules"},
    {"W", "watts"},
    {"g", "grams"},
    {"Cel", "celsius"},
    {"Hz", "hertz"},
    {"1", ""},
    {"%", "percent"},
}};
// After the slash: one of them. "m" is a minute here.
constexpr std::array<Pair, 7> kPerUnits = {{
    {"s", "second"},
    {"m", "minute"},
    {"h", "hour"},
    {"d", "day"},
    {"w", "week"},
    {"mo", "month"},
    {"y", "year"},
}};

template <size_t kSize>
std::string_view Lookup(const std::array<Pair, kSize>& table,
                        std::string_view unit) {
  const auto* it = std::find_if(table.begin(), table.end(),
                                [&](const Pair& p) { return p.first == unit; });
  return it != table.end() ? it->second : unit;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlphanumeric(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsNameChar(char c) { return IsAlphanumeric(c) || c == ':'; }

// Runs of other characters become one underscore, none in front. One behind
// stays: the suffix of "By_" is "By_", as in Prometheus.
std::string CleanUnit(std::string_view unit) {
  std::string out;
  for (const char c : unit) {
    if (IsNameChar(c)) {
      out += c;
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
  }
  return out;
}

std::string_view Trim(std::string_view s) {
  constexpr std::string_view kBlank = " \t\n\v\f\r";
  const size_t first = s.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kBlank) - first + 1);
}

// What is in braces is an annotation, not a unit.
bool IsUnit(std::string_view s) {
  return !s.empty() && s.find_first_of("{}") == std::string_view::npos;
}

struct UnitSuffixes {
  std::string main;  // "bytes"
  std::string per;   // "per_second"
};

UnitSuffixes SplitUnit(std::string_view unit) {
  UnitSuffixes out;
  const size_t slash = unit.find('/');
  if (const auto main = Trim(unit.substr(0, slash)); IsUnit(main)) {
    out.main = CleanUnit(Lookup(kUnits, main));
  }
  if (slash == std::string_view::npos) return out;
  if (const auto per = Trim(unit.substr(slash + 1)); IsUnit(per)) {
    const std::string name = CleanUnit(Lookup(kPerUnits, per));
    if (!name.empty()) out.per = "per_" + name;
    if (out.per.ends_with('_')) out.per.pop_back();
  }
  return out;
}

}  // namespace

std::string PrometheusMetricName(std::string_view name, std::string_view unit,
                                 OtlpKind kind) {
  std::vector<std::string> words;
  bool within = false;
  for (const char c : name) {
    if (!IsNameChar(c)) {
      within = false;
      continue;
    }
    if (!within) words.emplace_back();
    words.back() += c;
    within = true;
  }
  if (words.empty()) return {};

  const auto has = [&](const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  const auto move_to_end = [&](const std::string& word) {
    std::erase(words, word);
    words.push_back(word);
  };
  UnitSuffixes suffixes = SplitUnit(unit);
  if (has(suffixes.main)) suffixes.main.clear();
  if (!suffixes.per.empty() && suffixes.main.ends_with('_')) {
    suffixes.main.pop_back();
  }
  if (!suffixes.main.empty()) words.push_back(suffixes.main);
  if (!suffixes.per.empty()) words.push_back(suffixes.per);
  if (kind == OtlpKind::kCounter) move_to_end("total");
  // Gauges alone: counters of things often carry "1" by mistake.
  if (kind == OtlpKind::kGauge && unit == "1") move_to_end("ratio");

  std::string out;
  if (IsDigit(words.front().front())) out = "_";
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += '_';
    out += words[i];
  }
  return out;
}

std::string PrometheusUnit(std::string_view unit) {
  UnitSuffixes suffixes = SplitUnit(unit);
  if (suffixes.main.ends_with('_')) suffixes.main.pop_back();
  if (suffixes.main.empty()) return suffixes.per;
  if (suffixes.per.empty()) return suffixes.main;
  return suffixes.main + "_" + suffixes.per;
}

std::string PrometheusLabelName(std::string_view attribute) {
  std::string out;
  out.reserve(attribute.size() + 4);
  bool any = false;
  for (const char c : attribute) {
    if (IsAlphanumeric(c)) {
      out += c;
      any = true;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      out += '_';  // one for each character, however many bytes it has
    }
  }
  if (out.empty() || (!any && out != attribute)) return {};
  if (IsDigit(out.front())) return "key_" + out;
  if (out.front() == '_' && !out.starts_with("__")) return "key" + out;
  return out;
}

std::string BoundText(double bound) {
  if (std::isnan(bound)) return "NaN";
  if (std::isinf(bound)) return bound > 0 ? "+Inf" : "-Inf";
  // The smallest denormal takes 1 + 1 + 1 + 1074 characters.
  std::array<char, 1100> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), bound,
                                 std::chars_format::fixed);
  return std::string(text.data(), end.ptr);
}

}  // namespace vigie::collector
