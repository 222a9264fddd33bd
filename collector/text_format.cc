#include "collector/text_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/strings.h"
#include "model/labels.h"
#include "model/sample.h"

namespace vigie::collector {
namespace {

// Above what any store takes; bounds what one line can make us hold.
constexpr int kLabelsMax = 1024;

constexpr std::string_view kNotUtf8 = "is not valid UTF-8";

bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

const char* SkipBlanks(const char* p, const char* end) {
  while (p != end && IsBlank(*p)) ++p;
  return p;
}
const char* LineEnd(const char* p, const char* end) {
  const void* found = std::memchr(p, '\n', static_cast<size_t>(end - p));
  return found == nullptr ? end : static_cast<const char*>(found);
}
std::string_view View(const char* from, const char* to) {
  return {from, static_cast<size_t>(to - from)};
}
// Up to a blank or the end of the line.
std::string_view Word(const char* p, const char* end) {
  const char* from = p;
  while (p != end && !IsBlank(*p) && *p != '\n') ++p;
  return View(from, p);
}

// What stands at `p`, for messages; a word of the input is cut short.
std::string Found(const char* p, const char* end) {
  if (p == end || *p == '\n') return "the end of the line";
  const auto byte = static_cast<unsigned char>(*p);
  if (byte >= 0x80) return fmt::format("byte 0x{:02x}", byte);
  return Quoted(std::string_view(p, 1));
}
std::string Excerpt(std::string_view word) {
  constexpr size_t kShownMax = 40;
  if (!IsValidUtf8(word)) return "bytes that are not UTF-8";
  if (word.size() <= kShownMax) return Quoted(word);
  size_t cut = kShownMax;
  while (cut > 0 && (word[cut] & 0xC0) == 0x80) --cut;
  return Quoted(word.substr(0, cut)) + "...";
}

std::string Unescaped(std::string_view raw, bool quotes) {
  std::string out;
  out.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '\\' && i + 1 < raw.size()) {
      const char next = raw[i + 1];
      if (next == '\\' || next == 'n' || (quotes && next == '"')) {
        out += next == 'n' ? '\n' : next;
        ++i;
        continue;
      }
    }
    out += raw[i];  // an unknown escape stands for itself
  }
  return out;
}

struct Scan {
  const char* p;
  const char* end;
  const char* fault_at = nullptr;
  std::string fault;

  bool Fail(const char* at, std::string message) {
    fault_at = at;
    fault = std::move(message);
    return false;
  }
  bool Expected(std::string_view what) {
    return Fail(p, fmt::format("expected {}, found {}", what, Found(p, end)));
  }
};

// At the opening quote; `*raw` is what lies between the quotes.
bool ScanQuoted(Scan& s, std::string_view* raw) {
  const char* open = s.p++;
  while (s.p != s.end && *s.p != '"' && *s.p != '\n') {
    if (*s.p == '\\' && s.p + 1 != s.end && s.p[1] != '\n') ++s.p;
    ++s.p;
  }
  if (s.p == s.end || *s.p != '"') {
    return s.Fail(open, "the closing quote is missing");
  }
  *raw = View(open + 1, s.p++);
  return true;
}

bool ScanBareName(Scan& s, bool colons, std::string_view what,
                  std::string_view* raw) {
  const char* from = s.p;
  const auto fits = [&](char c) { return IsLetter(c) || (colons && c == ':'); };
  if (s.p == s.end || !fits(*s.p)) return s.Expected(what);
  while (s.p != s.end && (fits(*s.p) || IsDigit(*s.p))) ++s.p;
  *raw = View(from, s.p);
  return true;
}

// `sink(name, value)` gets what is written, still escaped; the metric's name
// comes as the value of kMetricName. Both are views into the text.
template <class Sink>
bool ScanBraces(Scan& s, bool* named, bool takes_name, Sink&& sink) {
  ++s.p;
  int labels = 0;
  s.p = SkipBlanks(s.p, s.end);
  while (s.p == s.end || *s.p != '}') {
    if (++labels > kLabelsMax) {
      return s.Fail(s.p, fmt::format("more than {} labels", kLabelsMax));
    }
    const char* name_at = s.p;
    const bool quoted = s.p != s.end && *s.p == '"';
    std::string_view name;
    if (quoted ? !ScanQuoted(s, &name)
               : !ScanBareName(s, false, "a label name", &name)) {
      return false;
    }
    s.p = SkipBlanks(s.p, s.end);
    if (quoted && takes_name && s.p != s.end && (*s.p == ',' || *s.p == '}')) {
      if (*named) return s.Fail(name_at, "the metric has a name already");
      *named = true;
      if (!sink(std::string_view(), name)) return false;
    } else {
      if (s.p == s.end || *s.p != '=') {
        return s.Expected("'=' after label name");
      }
      s.p = SkipBlanks(s.p + 1, s.end);
      if (s.p == s.end || *s.p != '"') {
        return s.Expected("a label value in quotes");
      }
      std::string_view value;
      if (!ScanQuoted(s, &value)) return false;
      if (!sink(name, value)) return false;
      s.p = SkipBlanks(s.p, s.end);
    }
    if (s.p != s.end && *s.p == ',') {
      s.p = SkipBlanks(s.p + 1, s.end);
    } else if (s.p == s.end || *s.p != '}') {
      return s.Expected("',' or '}'");
    }
  }
  ++s.p;
  return true;
}

template <class Sink>
bool ScanSeries(Scan& s, Sink&& sink) {
  const char* from = s.p;
  bool named = false;
  if (s.p == s.end || *s.p != '{') {
    std::string_view name;
    if (!ScanBareName(s, true, "a metric name", &name)) return false;
    named = true;
    if (!sink(std::string_view(), name)) return false;
    const char* brace = SkipBlanks(s.p, s.end);
    if (brace == s.end || *brace != '{') return true;
    s.p = brace;
  }
  if (!ScanBraces(s, &named, true, sink)) return false;
  if (!named) return s.Fail(from, "the metric has no name");
  return true;
}

constexpr auto kNoSink = [](std::string_view, std::string_view) {
  return true;
};

// Collects decoded labels; the fault is where the raw text lies.
auto Collector(Scan& s, TextLabels* out) {
  return [&s, out](std::string_view raw_name, std::string_view raw_value) {
    const char* at =
        raw_name.data() == nullptr ? raw_value.data() : raw_name.data();
    std::string name = raw_name.data() == nullptr ? std::string(kMetricName)
                                                  : Unescaped(raw_name, true);
    std::string value = Unescaped(raw_value, true);
    if (name.empty()) return s.Fail(at, "empty label name");
    if (name == kMetricName && value.empty()) {
      return s.Fail(at, "empty metric name");
    }
    if (!IsValidUtf8(name)) {
      return s.Fail(at, fmt::format("the label name {}", kNotUtf8));
    }
    if (!IsValidUtf8(value)) {
      return s.Fail(raw_value.data(), fmt::format("the value of label {} {}",
                                                  Excerpt(name), kNotUtf8));
    }
    out->emplace_back(std::move(name), std::move(value));
    return true;
  };
}

// The first name that comes twice. Few labels: comparing each with each is
// cheaper than sorting; many: a line of 1024 labels must not take long.
const std::string* DuplicateName(const TextLabels& labels) {
  if (labels.size() <= 16) {
    for (size_t i = 1; i < labels.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (labels[i].first == labels[j].first) return &labels[i].first;
      }
    }
    return nullptr;
  }
  std::vector<const std::string*> names;
  for (const auto& label : labels) names.push_back(&label.first);
  std::sort(names.begin(), names.end(),
            [](const auto* a, const auto* b) { return *a < *b; });
  const auto it =
      std::adjacent_find(names.begin(), names.end(),
                         [](const auto* a, const auto* b) { return *a == *b; });
  return it == names.end() ? nullptr : *it;
}

// As Go's FormatFloat(f, 'g', -1), with ".0" where that looks like an integer.
std::string BoundText(double bound) {
  if (std::isnan(bound)) return "NaN";
  if (std::isinf(bound)) return bound > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, bound,
                                    std::chars_format::scientific);
  std::string text(buffer, end);
  const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
  if (exponent >= -4 && exponent < 6) {
    end = std::to_chars(buffer, buffer + sizeof buffer, bound,
                        std::chars_format::fixed)
              .ptr;
    text.assign(buffer, end);
    if (text.find('.') == std::string::npos) text += ".0";
  }
  return text;
}

void NormalizeBounds(MetricType type, TextLabels* labels) {
  const std::string_view name = type == MetricType::kHistogram ? "le"
                                : type == MetricType::kSummary ? "quantile"
                                                               : "";
  if (name.empty()) return;
  for (auto& [label, value] : *labels) {
    if (label != name) continue;
    if (const auto bound = ParseTextFloat(value)) value = BoundText(*bound);
  }
}

bool DecodeSeries(Scan& s, MetricType type, TextLabels* out) {
  out->clear();
  const char* from = s.p;
  if (!ScanSeries(s, Collector(s, out))) return false;
  // A quoted name may come after labels.
  const auto name = std::find_if(
      out->begin(), out->end(),
      [](const auto& label) { return label.first == kMetricName; });
  std::rotate(out->begin(), name, name + 1);
  if (const std::string* twice = DuplicateName(*out)) {
    return s.Fail(from, fmt::format("label {} is set twice", Excerpt(*twice)));
  }
  NormalizeBounds(type, out);
  return true;
}

bool EqualsIgnoreCase(std::string_view word, std::string_view lower) {
  return std::equal(word.begin(), word.end(), lower.begin(), lower.end(),
                    [](char a, char b) {
                      return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
                    });
}

std::optional<MetricType> TypeNamed(std::string_view name, TextFormat format) {
  if (name == "counter") return MetricType::kCounter;
  if (name == "gauge") return MetricType::kGauge;
  if (name == "histogram") return MetricType::kHistogram;
  if (name == "summary") return MetricType::kSummary;
  if (format == TextFormat::kPrometheus) {
    if (name == "untyped") return MetricType::kUnknown;
    return std::nullopt;
  }
  if (name == "unknown") return MetricType::kUnknown;
  if (name == "gaugehistogram") return MetricType::kGaugeHistogram;
  if (name == "info") return MetricType::kInfo;
  if (name == "stateset") return MetricType::kStateSet;
  return std::nullopt;
}

}  // namespace

TextFormat TextFormatOf(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  const size_t last = type.find_last_not_of(" \t");
  return EqualsIgnoreCase(
             type.substr(0, last == std::string_view::npos ? 0 : last + 1),
             "application/openmetrics-text")
             ? TextFormat::kOpenMetrics
             : TextFormat::kPrometheus;
}

std::string_view TextFormatAccept() {
  return "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;"
         "q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
         "text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
}

std::optional<double> ParseTextFloat(std::string_view word) {
  std::string_view rest = word;
  bool negative = false;
  bool sign = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    sign = true;
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest.empty()) return std::nullopt;
  if (!IsDigit(rest[0]) && rest[0] != '.') {
    if (EqualsIgnoreCase(rest, "inf") || EqualsIgnoreCase(rest, "infinity")) {
      const double infinity = std::numeric_limits<double>::infinity();
      return negative ? -infinity : infinity;
    }
    if (!sign && EqualsIgnoreCase(rest, "nan")) return NormalNan();
    return std::nullopt;
  }
  double value = 0;
  const char* end = rest.data() + rest.size();
  const auto [stop, error] = std::from_chars(rest.data(), end, value);
  if (stop != end || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // Too small is zero or nearly so, too large is no number: strtod tells.
    value = std::strtod(std::string(rest).c_str(), nullptr);
    if (std::isinf(value)) return std::nullopt;
  }
  return negative ? -value : value;
}

absl::Status DecodeSeriesText(std::string_view series, MetricType type,
                              TextLabels* out) {
  Scan s{series.data(), series.data() + series.size(), nullptr, {}};
  if (DecodeSeries(s, type, out)) return absl::OkStatus();
  return absl::InvalidArgumentError(ToAbsl(s.fault));
}

TextParser::TextParser(std::string_view text, TextFormat format)
    : format_(format),
      at_(text.data()),
      end_(text.data() + text.size()),
      line_start_(at_),
      entry_line_start_(at_) {}

absl::Status TextParser::ErrorAt(const char* at,
                                 std::string_view message) const {
  return absl::InvalidArgumentError(fmt::format(
      "{}:{}: {}", entry_line_, at - entry_line_start_ + 1, message));
}

std::string TextParser::PlaceOf(const TextEntry& entry) const {
  return fmt::format("{}:{}", entry_line_,
                     entry.series.data() - entry_line_start_ + 1);
}

absl::StatusOr<bool> TextParser::Next(TextEntry* entry) {
  while (at_ != end_) {
    entry_line_ = line_;
    entry_line_start_ = line_start_;
    Fault fault;
    at_ = SkipBlanks(at_, end_);
    bool found = false;
    bool ok = true;
    if (ended_ && at_ != end_) {
      return ErrorAt(at_, "nothing may follow # EOF");
    }
    if (at_ != end_ && *at_ == '#') {
      ok = ReadComment(entry, &found, &fault);
    } else if (at_ != end_ && *at_ != '\n') {
      ok = ReadSample(entry, &fault);
      found = true;
    } else if (format_ == TextFormat::kOpenMetrics) {
      return ErrorAt(at_, "blank lines are not allowed in OpenMetrics");
    }
    if (!ok) {
      const absl::Status status = ErrorAt(fault.at, fault.message);
      at_ = end_;
      ended_ = true;
      return status;
    }
    // Here the line ends.
    if (at_ != end_) {
      line_start_ = ++at_;
      ++line_;
    }
    if (found) return true;
  }
  if (format_ == TextFormat::kOpenMetrics && !ended_) {
    entry_line_ = line_;
    entry_line_start_ = line_start_;
    return ErrorAt(at_, "# EOF is missing: the exposition was cut short");
  }
  return false;
}

bool TextParser::ReadComment(TextEntry* entry, bool* found, Fault* fault) {
  const char* line_end = LineEnd(at_, end_);
  const char* p = at_ + 1;
  const char* keyword_at = SkipBlanks(p, line_end);
  const std::string_view keyword =
      keyword_at == p ? std::string_view() : Word(keyword_at, line_end);
  const bool open = format_ == TextFormat::kOpenMetrics;
  if (open && keyword == "EOF") {
    ended_ = true;
  } else if (keyword == "TYPE" || keyword == "HELP" ||
             (open && keyword == "UNIT")) {
    // Without a blank after it the word is part of a comment.
    if (keyword.data() + keyword.size() != line_end) {
      entry->kind = keyword == "TYPE"   ? TextEntry::Kind::kType
                    : keyword == "HELP" ? TextEntry::Kind::kHelp
                                        : TextEntry::Kind::kUnit;
      at_ = SkipBlanks(keyword.data() + keyword.size(), line_end);
      *found = true;
      if (!ReadMetadata(entry, fault)) return false;
    }
  }
  at_ = line_end;
  return true;
}

bool TextParser::ReadMetadata(TextEntry* entry, Fault* fault) {
  const char* line_end = LineEnd(at_, end_);
  Scan s{at_, line_end, nullptr, {}};
  const auto fail = [&](const char* at, std::string message) {
    *fault = {at, std::move(message)};
    return false;
  };
  std::string_view name;
  const bool quoted = s.p != s.end && *s.p == '"';
  if (quoted ? !ScanQuoted(s, &name)
             : !ScanBareName(s, true, "a metric name", &name)) {
    return fail(s.fault_at, std::move(s.fault));
  }
  entry->metric = quoted ? Unescaped(name, true) : std::string(name);
  if (entry->metric.empty() || !IsValidUtf8(entry->metric)) {
    return fail(name.data(), entry->metric.empty()
                                 ? "empty metric name"
                                 : fmt::format("the metric name {}", kNotUtf8));
  }
  if (s.p != s.end && !IsBlank(*s.p)) {
    s.Expected("a blank after the metric name");
    return fail(s.fault_at, std::move(s.fault));
  }
  const char* text_at = s.p == s.end ? s.p : s.p + 1;
  if (entry->kind == TextEntry::Kind::kHelp) {
    entry->text =
        Unescaped(View(text_at, line_end), format_ == TextFormat::kOpenMetrics);
    if (!IsValidUtf8(entry->text)) {
      return fail(text_at, fmt::format("the help text {}", kNotUtf8));
    }
    return true;
  }
  text_at = SkipBlanks(text_at, line_end);
  const std::string_view word = Word(text_at, line_end);
  const char* rest = SkipBlanks(word.data() + word.size(), line_end);
  if (rest != line_end) {
    return fail(rest, fmt::format("expected the end of the line, found {}",
                                  Found(rest, line_end)));
  }
  if (entry->kind == TextEntry::Kind::kUnit) {
    if (!IsValidUtf8(word)) {
      return fail(text_at, fmt::format("the unit {}", kNotUtf8));
    }
    entry->text = word;
    return true;
  }
  const std::optional<MetricType> type = TypeNamed(word, format_);
  if (!type) {
    return fail(text_at, fmt::format("invalid metric type {}", Excerpt(word)));
  }
  entry->type = type_ = *type;
  entry->text = word;
  return true;
}

bool TextParser::ReadTime(std::string_view word, int64_t* time_ms) const {
  if (format_ == TextFormat::kPrometheus) {
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, *time_ms);
    return error == std::errc() && stop == end;
  }
  const std::optional<double> seconds = ParseTextFloat(word);
  if (!seconds || !(std::abs(*seconds) < 9e15)) return false;
  *time_ms = std::llround(*seconds * 1000);
  return true;
}

bool TextParser::ReadSample(TextEntry* entry, Fault* fault) {
  const auto fail = [&](const char* at, std::string message) {
    *fault = {at, std::move(message)};
    return false;
  };
  entry->kind = TextEntry::Kind::kSample;
  entry->type = type_;
  entry->time_ms.reset();
  entry->exemplar = {};
  const char* from = at_;
  Scan s{at_, end_, nullptr, {}};
  if (!ScanSeries(s, kNoSink)) return fail(s.fault_at, std::move(s.fault));
  entry->series = View(from, s.p);

  s.p = SkipBlanks(s.p, s.end);
  std::string_view word = Word(s.p, s.end);
  if (word.empty()) {
    s.Expected("a value after the series");
    return fail(s.fault_at, std::move(s.fault));
  }
  const std::optional<double> value = ParseTextFloat(word);
  if (!value) {
    return fail(s.p,
                fmt::format("the value {} is not a number", Excerpt(word)));
  }
  entry->value = *value;
  s.p = SkipBlanks(s.p + word.size(), s.end);

  const bool open = format_ == TextFormat::kOpenMetrics;
  if (s.p != s.end && *s.p != '\n' && !(open && *s.p == '#')) {
    word = Word(s.p, s.end);
    if (!ReadTime(word, &entry->time_ms.emplace())) {
      return fail(
          s.p, fmt::format("the timestamp {} is not a number of {}",
                           Excerpt(word), open ? "seconds" : "milliseconds"));
    }
    s.p = SkipBlanks(s.p + word.size(), s.end);
  }
  at_ = s.p;
  if (open && s.p != s.end && *s.p == '#')
    return ReadExemplarText(entry, fault);
  if (s.p != s.end && *s.p != '\n') {
    s.Expected("the end of the line");
    return fail(s.fault_at, std::move(s.fault));
  }
  return true;
}

// At the '#'. "# {trace_id="abc"} 0.67 1520879607.789".
bool TextParser::ReadExemplarText(TextEntry* entry, Fault* fault) {
  const auto fail = [&](const char* at, std::string message) {
    *fault = {at, std::move(message)};
    return false;
  };
  Scan s{SkipBlanks(at_ + 1, end_), end_, nullptr, {}};
  const char* from = s.p;
  bool named = false;
  if (s.p == s.end || *s.p != '{' || !ScanBraces(s, &named, false, kNoSink)) {
    if (s.fault_at == nullptr) s.Expected("the labels of an exemplar");
    return fail(s.fault_at, std::move(s.fault));
  }
  entry->exemplar = View(from, s.p);
  s.p = SkipBlanks(s.p, s.end);
  std::string_view word = Word(s.p, s.end);
  const std::optional<double> value = ParseTextFloat(word);
  if (!value) {
    return fail(s.p, fmt::format("the value {} of the exemplar is not a number",
                                 Excerpt(word)));
  }
  entry->exemplar_value = *value;
  entry->exemplar_time_ms.reset();
  s.p = SkipBlanks(s.p + word.size(), s.end);
  if (s.p != s.end && *s.p != '\n') {
    word = Word(s.p, s.end);
    if (!ReadTime(word, &entry->exemplar_time_ms.emplace())) {
      return fail(s.p, fmt::format("the timestamp {} is not a number of "
                                   "seconds",
                                   Excerpt(word)));
    }
    s.p = SkipBlanks(s.p + word.size(), s.end);
  }
  if (s.p != s.end && *s.p != '\n') {
    s.Expected("the end of the line");
    return fail(s.fault_at, std::move(s.fault));
  }
  at_ = s.p;
  return true;
}

absl::Status TextParser::ReadLabels(const TextEntry& entry,
                                    TextLabels* out) const {
  Scan s{entry.series.data(),
         entry.series.data() + entry.series.size(),
         nullptr,
         {}};
  if (DecodeSeries(s, entry.type, out)) return absl::OkStatus();
  return ErrorAt(s.fault_at, s.fault);
}

absl::Status TextParser::ReadExemplar(const TextEntry& entry,
                                      Exemplar* out) const {
  Scan s{entry.exemplar.data(),
         entry.exemplar.data() + entry.exemplar.size(),
         nullptr,
         {}};
  const char* from = s.p;
  TextLabels labels;
  bool named = false;
  if (!ScanBraces(s, &named, false, Collector(s, &labels))) {
    return ErrorAt(s.fault_at, s.fault);
  }
  if (const std::string* twice = DuplicateName(labels)) {
    return ErrorAt(from, fmt::format("label {} is set twice", Excerpt(*twice)));
  }
  LabelsBuilder builder;
  for (const auto& [name, value] : labels) builder.Set(name, value);
  out->labels = builder.Build();
  out->value = entry.exemplar_value;
  out->time_ms = entry.exemplar_time_ms.value_or(0);
  return absl::OkStatus();
}

}  // namespace vigie::collector
