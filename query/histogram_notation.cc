#include "query/histogram_notation.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "model/labels.h"
#include "query/native_histogram.h"
#include "query/number_text.h"
#include "query/parser/literals.h"

namespace vigie::query {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";
// Empty buckets that are written out.
constexpr int32_t kZerosShownMax = 1000;

constexpr std::string_view kHints[] = {"unknown", "reset", "not_reset",
                                       "gauge"};  // by CounterResetHint

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(
      ToAbsl(fmt::format("in a histogram: {}", what)));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::string_view rest() const { return text_; }

  void SkipSpaces() {
    text_.remove_prefix(
        std::min(text_.find_first_not_of(kSpaces), text_.size()));
  }
  bool Take(std::string_view prefix) {
    if (!text_.starts_with(prefix)) return false;
    text_.remove_prefix(prefix.size());
    return true;
  }
  // Up to a space or bracket.
  std::string_view Word() { return UpTo(" \t\r\n[]{}"); }
  std::string_view UpTo(std::string_view ends) {
    const std::string_view word =
        text_.substr(0, std::min(text_.find_first_of(ends), text_.size()));
    text_.remove_prefix(word.size());
    return word;
  }

  absl::StatusOr<double> Number() {
    const std::string_view word = Word();
    const bool sign = word.starts_with('-') || word.starts_with('+');
    const auto value = ParseNumber(word.substr(sign ? 1 : 0));
    // Only one sign.
    if (!value.ok() || (sign && word.find_first_of("+-", 1) == 1)) {
      return Wrong(fmt::format("not a number: {}", Quoted(word)));
    }
    return word.starts_with('-') ? -*value : *value;
  }

  absl::StatusOr<int32_t> Integer() {
    const std::string_view word = Word();
    const std::string_view digits = word.substr(word.starts_with('+') ? 1 : 0);
    int32_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end) {
      return Wrong(fmt::format("not an integer: {}", Quoted(word)));
    }
    return value;
  }

  absl::StatusOr<std::vector<double>> Numbers() {
    if (!Take("[")) return Wrong("expected [ and numbers");
    std::vector<double> numbers;
    for (SkipSpaces(); !Take("]"); SkipSpaces()) {
      VIGIE_ASSIGN_OR_RETURN(numbers.emplace_back(), Number());
    }
    return numbers;
  }

 private:
  std::string_view text_;
};

absl::Status ReadHint(Reader* reader, FloatHistogram* histogram) {
  const std::string_view word = reader->Word();
  const auto* hint = std::find(std::begin(kHints), std::end(kHints), word);
  if (hint == std::end(kHints)) {
    return Wrong(fmt::format("unknown counter_reset_hint {}", Quoted(word)));
  }
  histogram->reset_hint = static_cast<CounterResetHint>(hint - kHints);
  return absl::OkStatus();
}

absl::Status ReadSchema(Reader* reader, FloatHistogram* histogram) {
  VIGIE_ASSIGN_OR_RETURN(histogram->schema, reader->Integer());
  if (HasCustomBuckets(*histogram) ||
      (histogram->schema >= kExponentialSchemaMin &&
       histogram->schema <= kExponentialSchemaMax)) {
    return absl::OkStatus();
  }
  return Wrong(fmt::format("unknown schema {}", histogram->schema));
}

struct Offsets {
  int32_t positive = 0;
  int32_t negative = 0;
};

absl::Status ReadValue(std::string_view key, Reader* reader, Offsets* offsets,
                       FloatHistogram* histogram) {
  double* number = key == "sum"          ? &histogram->sum
                   : key == "count"      ? &histogram->count
                   : key == "z_bucket"   ? &histogram->zero_count
                   : key == "z_bucket_w" ? &histogram->zero_threshold
                                         : nullptr;
  std::vector<double>* numbers =
      key == "buckets"         ? &histogram->positive_buckets
      : key == "n_buckets"     ? &histogram->negative_buckets
      : key == "custom_values" ? &histogram->custom_values
                               : nullptr;
  int32_t* offset = key == "offset"     ? &offsets->positive
                    : key == "n_offset" ? &offsets->negative
                                        : nullptr;
  if (number != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(*number, reader->Number());
    return absl::OkStatus();
  }
  if (numbers != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(*numbers, reader->Numbers());
    return absl::OkStatus();
  }
  if (offset != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(*offset, reader->Integer());
    return absl::OkStatus();
  }
  if (key == "schema") return ReadSchema(reader, histogram);
  if (key == "counter_reset_hint") return ReadHint(reader, histogram);
  return Wrong(fmt::format("unknown key {}", Quoted(key)));
}

std::vector<BucketSpan> OneSpan(int32_t offset, size_t buckets) {
  if (buckets == 0) return {};
  return {{.offset = offset, .length = static_cast<uint32_t>(buckets)}};
}

void AppendNumber(std::string_view key, double value, std::string* out) {
  if (value != 0) *out += fmt::format(" {}:{}", key, GeneralText(value));
}

// Of a compacted histogram.
void AppendBuckets(std::string_view prefix,
                   const std::vector<BucketSpan>& spans,
                   const std::vector<double>& counts, std::string* out) {
  if (spans.empty()) return;
  if (spans[0].offset != 0) {
    *out += fmt::format(" {}offset:{}", prefix, spans[0].offset);
  }
  *out += fmt::format(" {}buckets:[", prefix);
  size_t at = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i > 0 && spans[i].offset > kZerosShownMax) {
      *out += fmt::format("({} empty) ", spans[i].offset);
    } else if (i > 0) {
      for (int32_t n = 0; n < spans[i].offset; ++n) *out += "0 ";
    }
    for (uint32_t n = 0; n < spans[i].length; ++n) {
      *out += GeneralText(counts[at++]) + ' ';
    }
  }
  out->back() = ']';
}

}  // namespace

absl::StatusOr<FloatHistogram> TakeHistogram(std::string_view* text) {
  Reader reader(*text);
  if (!reader.Take("{{")) return Wrong("expected {{");
  FloatHistogram histogram;
  Offsets offsets;
  std::set<std::string_view> seen;
  bool apart = true;  // from what comes before
  while (true) {
    const size_t before = reader.rest().size();
    reader.SkipSpaces();
    if (reader.Take("}}")) break;
    if (reader.rest().empty()) return Wrong("expected }}");
    apart = apart || reader.rest().size() != before;
    const std::string_view key = reader.UpTo(": \t\r\n[]{}");
    if (!apart || !reader.Take(":")) {
      return Wrong(fmt::format("expected key:value or }}}}, got {}",
                               Quoted(reader.rest().substr(0, 20))));
    }
    if (!seen.insert(key).second) {
      return Wrong(fmt::format("{} is there twice", Quoted(key)));
    }
    VIGIE_RETURN_IF_ERROR(ReadValue(key, &reader, &offsets, &histogram));
    apart = false;
  }
  histogram.positive_spans =
      OneSpan(offsets.positive, histogram.positive_buckets.size());
  histogram.negative_spans =
      OneSpan(offsets.negative, histogram.negative_buckets.size());
  *text = reader.rest();
  return histogram;
}

std::string HistogramNotation(const FloatHistogram& histogram) {
  FloatHistogram shown = histogram;
  Compact(&shown);
  std::string out;
  if (shown.schema != 0) out += fmt::format(" schema:{}", shown.schema);
  AppendNumber("count", shown.count, &out);
  AppendNumber("sum", shown.sum, &out);
  AppendNumber("z_bucket", shown.zero_count, &out);
  AppendNumber("z_bucket_w", shown.zero_threshold, &out);
  if (HasCustomBuckets(shown)) {
    out += " custom_values:[";
    for (const double bound : shown.custom_values) {
      out += GeneralText(bound) + ' ';
    }
    if (shown.custom_values.empty()) out += ' ';
    out.back() = ']';
  }
  if (shown.reset_hint != CounterResetHint::kUnknown) {
    out += fmt::format(" counter_reset_hint:{}",
                       kHints[static_cast<size_t>(shown.reset_hint)]);
  }
  AppendBuckets("", shown.positive_spans, shown.positive_buckets, &out);
  AppendBuckets("n_", shown.negative_spans, shown.negative_buckets, &out);
  return "{{" + (out.empty() ? out : out.substr(1)) + "}}";
}

}  // namespace vigie::query
