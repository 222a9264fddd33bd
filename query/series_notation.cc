#include "query/series_notation.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "base/status_macros.h"
#include "base/strings.h"
#include "model/matcher.h"
#include "model/sample.h"
#include "query/histogram_notation.h"
#include "query/native_histogram.h"
#include "query/parser/parser.h"

namespace vigie::query {
namespace {

constexpr uint64_t kRepetitionsMax = 100'000;
// Of one series: values, and buckets of its histograms.
constexpr uint64_t kValuesMax = 1'000'000;
constexpr uint64_t kBucketsMax = 10'000'000;
constexpr std::string_view kSpaces = " \t\r\n";

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(ToAbsl(what));
}

// A number or a duration in seconds, as the language has them.
absl::StatusOr<double> ParseValue(std::string_view text) {
  VIGIE_ASSIGN_OR_RETURN(const auto expr, ParseExpr(text, {}));
  if (expr->kind != Expr::Kind::kNumber) {
    return Wrong(fmt::format("not a number: {}", text));
  }
  return expr->As<NumberLiteral>().value;
}

absl::StatusOr<uint64_t> ParseRepetition(std::string_view count,
                                         std::string_view item) {
  uint64_t times = 0;
  const char* end = count.data() + count.size();
  const auto [stop, error] = std::from_chars(count.data(), end, times);
  if (error != std::errc() || stop != end || times > kRepetitionsMax) {
    return Wrong(fmt::format("bad repetition in {}", item));
  }
  return times;
}

// `1`, `_`, `stale`, and runs: `1x3`, `_x3`, `1+2x3`, `1-2x3`.
absl::Status AppendValues(std::string_view item, StepValues* values) {
  uint64_t times = 0;
  std::string_view base = item;
  // No number here is hexadecimal: 0x10 is a run of zeros.
  const size_t x = item.rfind('x');
  const bool repeated = x != std::string_view::npos;
  if (repeated) {
    VIGIE_ASSIGN_OR_RETURN(times, ParseRepetition(item.substr(x + 1), item));
    base = item.substr(0, x);
  }
  if (base == "_") {
    values->insert(values->end(), repeated ? times : 1, std::nullopt);
    return absl::OkStatus();
  }
  if (base == "stale") {
    values->insert(values->end(), times + 1, StaleMarker());
    return absl::OkStatus();
  }
  // A sign that does not begin the item or an exponent begins the step.
  size_t sign = base.size();
  for (size_t i = 1; i < base.size(); ++i) {
    if ((base[i] == '+' || base[i] == '-') && base[i - 1] != 'e' &&
        base[i - 1] != 'E') {
      sign = i;
      break;
    }
  }
  double step = 0;
  if (sign < base.size()) {
    if (!repeated) return Wrong(fmt::format("step without a run: {}", item));
    VIGIE_ASSIGN_OR_RETURN(step, ParseValue(base.substr(sign)));
  }
  VIGIE_ASSIGN_OR_RETURN(double value, ParseValue(base.substr(0, sign)));
  for (uint64_t i = 0; i <= times; ++i) {
    values->emplace_back(value);
    value += step;
  }
  return absl::OkStatus();
}

// Adds `step` to `value`, or takes it away. A step is never coarser.
absl::Status Advance(const FloatHistogram& step, bool falls,
                     FloatHistogram* value) {
  if (value->schema > step.schema) {
    return Wrong(fmt::format("a step of schema {} from one of schema {}",
                             step.schema, value->schema));
  }
  HistogramSum sum(*value);
  if (!(falls ? sum.Subtract(step) : sum.Add(step))) {
    return Wrong("a step between exponential and custom buckets");
  }
  *value = sum.Total();
  return absl::OkStatus();
}

// `{{...}}`, `{{...}}x3`, `{{...}}+{{...}}x3`, `{{...}}-{{...}}x3`, which are
// taken off the front of `text`. `*buckets` counts what they take.
absl::Status AppendHistograms(std::string_view* text, uint64_t* buckets,
                              StepValues* values) {
  const std::string_view whole = *text;
  VIGIE_ASSIGN_OR_RETURN(FloatHistogram value, TakeHistogram(text));
  std::optional<FloatHistogram> step;
  const bool falls = text->starts_with("-{{");
  if (falls || text->starts_with("+{{")) {
    text->remove_prefix(1);
    VIGIE_ASSIGN_OR_RETURN(step, TakeHistogram(text));
  }
  const std::string_view rest =
      text->substr(0, std::min(text->find_first_of(kSpaces), text->size()));
  text->remove_prefix(rest.size());
  const std::string_view item = whole.substr(0, whole.size() - text->size());
  uint64_t times = 0;
  if (rest.starts_with('x')) {
    VIGIE_ASSIGN_OR_RETURN(times, ParseRepetition(rest.substr(1), item));
  } else if (!rest.empty()) {
    return Wrong(fmt::format("unexpected {} after a histogram", Quoted(rest)));
  } else if (step.has_value()) {
    return Wrong(fmt::format("step without a run: {}", item));
  }
  *buckets += (WorkOf(value) + (step ? WorkOf(*step) : 0)) * (times + 1);
  if (*buckets > kBucketsMax) {
    return Wrong(
        fmt::format("more than {} buckets up to {}", kBucketsMax, item));
  }
  values->emplace_back(value);
  for (uint64_t i = 0; i < times; ++i) {
    if (step.has_value()) {
      VIGIE_RETURN_IF_ERROR(Advance(*step, falls, &value));
    }
    values->emplace_back(value);
  }
  return absl::OkStatus();
}

// What Prometheus's storage says of `value`, a counter, after `before`: that it
// went on, or nothing, as a chunk begins then, which knows of none before it.
CounterResetHint HintBetween(const FloatHistogram& before,
                             const FloatHistogram& value) {
  const bool goes_on = value.schema == before.schema &&
                       value.zero_threshold == before.zero_threshold &&
                       value.custom_values == before.custom_values &&
                       !IsReset(before, value);
  return goes_on ? CounterResetHint::kNotReset : CounterResetHint::kUnknown;
}

// Where the metric `name{a="b c"}` ends and its values begin.
size_t EndOfMetric(std::string_view line) {
  size_t brace = line.find_first_of(" \t{");
  if (brace == std::string_view::npos) return line.size();
  const size_t after_space = line.find_first_not_of(" \t", brace);
  if (after_space == std::string_view::npos) return brace;
  if (line[after_space] != '{') return brace;
  if (line.substr(after_space).starts_with("{{")) return brace;
  char quote = 0;
  for (size_t i = after_space; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\' && quote != '`') ++i;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'' || c == '`') {
      quote = c;
    } else if (c == '}') {
      return i + 1;
    }
  }
  return line.size();
}

}  // namespace

absl::StatusOr<Labels> ParseSeriesLabels(std::string_view metric) {
  VIGIE_ASSIGN_OR_RETURN(const auto matchers, ParseMatchers(metric));
  LabelsBuilder labels;
  for (const Matcher& matcher : matchers) {
    if (matcher.type() != Matcher::Type::kEqual) {
      return Wrong("a series has labels, not matchers");
    }
    labels.Set(matcher.name(), matcher.value());
  }
  return labels.Build();
}

absl::StatusOr<StepValues> ParseStepValues(std::string_view text) {
  StepValues values;
  uint64_t buckets = 0;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    if (text.empty()) return values;
    if (text.starts_with("{{")) {
      VIGIE_RETURN_IF_ERROR(AppendHistograms(&text, &buckets, &values));
    } else {
      const size_t end = std::min(text.find_first_of(kSpaces), text.size());
      VIGIE_RETURN_IF_ERROR(AppendValues(text.substr(0, end), &values));
      text.remove_prefix(end);
    }
    if (values.size() > kValuesMax) {
      return Wrong(fmt::format("more than {} values", kValuesMax));
    }
  }
}

void SetResetHints(StepValues* values) {
  const FloatHistogram* before = nullptr;  // of the chunk that goes on
  for (std::optional<StepValue>& value : *values) {
    if (!value.has_value()) continue;
    auto* histogram = std::get_if<FloatHistogram>(&*value);
    if (histogram == nullptr ||
        histogram->reset_hint == CounterResetHint::kGauge) {
      before = nullptr;
      continue;
    }
    if (histogram->reset_hint != CounterResetHint::kReset) {
      histogram->reset_hint = CounterResetHint::kUnknown;
      if (before != nullptr) {
        histogram->reset_hint = HintBetween(*before, *histogram);
      }
    }
    before = histogram;
  }
}

absl::StatusOr<NotedSeries> ParseSeriesLine(std::string_view line) {
  const size_t end = EndOfMetric(line);
  NotedSeries series;
  VIGIE_ASSIGN_OR_RETURN(series.labels, ParseSeriesLabels(line.substr(0, end)));
  VIGIE_ASSIGN_OR_RETURN(series.values, ParseStepValues(line.substr(end)));
  return series;
}

}  // namespace vigie::query
