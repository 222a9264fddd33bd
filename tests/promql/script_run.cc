#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "model/matcher.h"
#include "query/engine.h"
#include "query/histogram_notation.h"
#include "query/native_histogram.h"
#include "query/parser/literals.h"
#include "tests/promql/script.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"

namespace vigie::testing {
namespace {

// As upstream's suite compares: relative to the sum of both sides.
bool AlmostEqual(double a, double b) {
  constexpr double kEpsilon = 1e-6;
  constexpr double kMinNormal = std::numeric_limits<double>::min();
  if (IsStaleMarker(a) || IsStaleMarker(b)) {
    return IsStaleMarker(a) && IsStaleMarker(b);
  }
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  if (std::isinf(a) || std::isinf(b)) return false;
  const double total = std::fabs(a) + std::fabs(b);
  const double difference = std::fabs(a - b);
  if (a == 0 || b == 0 || total < kMinNormal) {
    return difference < kEpsilon * kMinNormal;
  }
  return difference / std::min(total, std::numeric_limits<double>::max()) <
         kEpsilon;
}

bool AllAlmostEqual(const std::vector<double>& a,
                    const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), AlmostEqual);
}

// The same buckets, however spans say it; of hints one that is named matters.
bool AlmostEqual(FloatHistogram want, FloatHistogram got) {
  query::Compact(&want);
  query::Compact(&got);
  return want.schema == got.schema && AlmostEqual(want.sum, got.sum) &&
         AlmostEqual(want.count, got.count) &&
         AlmostEqual(want.zero_count, got.zero_count) &&
         AlmostEqual(want.zero_threshold, got.zero_threshold) &&
         AllAlmostEqual(want.custom_values, got.custom_values) &&
         want.positive_spans == got.positive_spans &&
         want.negative_spans == got.negative_spans &&
         AllAlmostEqual(want.positive_buckets, got.positive_buckets) &&
         AllAlmostEqual(want.negative_buckets, got.negative_buckets) &&
         (want.reset_hint == CounterResetHint::kUnknown ||
          want.reset_hint == got.reset_hint);
}

using query::StepValue;

bool AlmostEqual(const StepValue& want, const StepValue& got) {
  if (want.index() != got.index()) return false;
  const auto* number = std::get_if<double>(&want);
  return number != nullptr ? AlmostEqual(*number, std::get<double>(got))
                           : AlmostEqual(std::get<FloatHistogram>(want),
                                         std::get<FloatHistogram>(got));
}

std::string Shown(const StepValue& value) {
  const auto* number = std::get_if<double>(&value);
  return number != nullptr
             ? query::FormatNumber(*number)
             : query::HistogramNotation(std::get<FloatHistogram>(value));
}

// By time.
using Values = std::map<int64_t, StepValue>;

std::string Shown(const Values& values) {
  std::string out;
  for (const auto& [time_ms, value] : values) {
    fmt::format_to(std::back_inserter(out), " {}@{}", Shown(value), time_ms);
  }
  return out;
}

Values ValuesOf(const query::MatrixSeries& series) {
  Values values;
  for (const Sample& sample : series.floats) {
    values.emplace(sample.time_ms, sample.value);
  }
  for (const query::HistogramSample& sample : series.histograms) {
    values.emplace(sample.time_ms, sample.histogram);
  }
  return values;
}

// What differed; empty if nothing did.
using Difference = std::string;

Difference CompareVector(const ScriptEval& eval, bool ordered,
                         const std::vector<std::pair<Labels, StepValue>>& got) {
  std::map<Labels, std::pair<size_t, StepValue>> wanted;
  for (size_t i = 0; i < eval.series.size(); ++i) {
    wanted[eval.series[i].labels] = {i, *eval.series[i].values[0]};
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const auto& [labels, value] = got[i];
    const auto it = wanted.find(labels);
    if (it == wanted.end()) {
      return fmt::format("unexpected or repeated series {} {}",
                         labels.ToString(), Shown(value));
    }
    const auto& [place, want] = it->second;
    if (ordered && place != i) {
      return fmt::format("{} comes at place {}, not {}", labels.ToString(),
                         i + 1, place + 1);
    }
    if (!AlmostEqual(want, value)) {
      return fmt::format("{}: expected {}, got {}", labels.ToString(),
                         Shown(want), Shown(value));
    }
    wanted.erase(it);
  }
  if (wanted.empty()) return "";
  return fmt::format("series {} is missing", wanted.begin()->first.ToString());
}

Difference CompareMatrix(const ScriptEval& eval, const query::Matrix& got) {
  const int64_t start_ms =
      eval.is_range ? eval.start_ms : eval.samples_start_ms;
  const int64_t step_ms = eval.is_range ? eval.step_ms : eval.samples_step_ms;
  std::map<Labels, Values> wanted;
  for (const ScriptSeries& series : eval.series) {
    Values& values = wanted[series.labels];
    for (size_t i = 0; i < series.values.size(); ++i) {
      if (!series.values[i].has_value()) continue;
      values.emplace(start_ms + static_cast<int64_t>(i) * step_ms,
                     *series.values[i]);
    }
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const query::MatrixSeries& series = got[i];
    if (eval.is_range && i > 0 && !(got[i - 1].labels < series.labels)) {
      return fmt::format("{} is out of order or repeated",
                         series.labels.ToString());
    }
    const Values values = ValuesOf(series);
    if (values.size() != series.floats.size() + series.histograms.size()) {
      return fmt::format("{} has two samples at one time",
                         series.labels.ToString());
    }
    const auto it = wanted.find(series.labels);
    if (it == wanted.end()) {
      return fmt::format("unexpected series {}{}", series.labels.ToString(),
                         Shown(values));
    }
    const Values& want = it->second;
    if (!std::equal(want.begin(), want.end(), values.begin(), values.end(),
                    [](const auto& a, const auto& b) {
                      return a.first == b.first &&
                             AlmostEqual(a.second, b.second);
                    })) {
      return fmt::format("{}: expected{}, got{}", series.labels.ToString(),
                         Shown(want), Shown(values));
    }
    wanted.erase(it);
  }
  if (wanted.empty()) return "";
  return fmt::format("series {} is missing", wanted.begin()->first.ToString());
}

StepValue ValueOf(const query::VectorElement& element) {
  if (element.histogram.empty()) return element.sample.value;
  return element.histogram[0];
}

Difference CompareValue(const ScriptEval& eval, const query::Value& value) {
  if (const auto* string = std::get_if<query::String>(&value)) {
    if (eval.string == string->value) return "";
    return fmt::format("got the string {}", Quoted(string->value));
  }
  if (eval.string.has_value()) return "expected a string";
  if (const auto* scalar = std::get_if<query::Scalar>(&value)) {
    if (eval.scalar.has_value() &&
        AlmostEqual(*eval.scalar, scalar->sample.value)) {
      return "";
    }
    return fmt::format("got the scalar {}",
                       query::FormatNumber(scalar->sample.value));
  }
  if (eval.scalar.has_value()) return "expected a scalar";
  if (const auto* matrix = std::get_if<query::Matrix>(&value)) {
    if (!eval.is_range && !eval.gives_range_vector) {
      return "got a range vector";
    }
    return CompareMatrix(eval, *matrix);
  }
  if (eval.gives_range_vector) return "expected a range vector";
  std::vector<std::pair<Labels, StepValue>> got;
  for (const query::VectorElement& element : std::get<query::Vector>(value)) {
    if (element.sample.time_ms != eval.start_ms) {
      return fmt::format("{} is of {}, not of the evaluation time",
                         element.labels.ToString(), element.sample.time_ms);
    }
    got.emplace_back(element.labels, ValueOf(element));
  }
  return CompareVector(eval, eval.ordered, got);
}

bool Fits(const ScriptExpectation& expectation, std::string_view text) {
  if (expectation.message.has_value()) return *expectation.message == text;
  if (!expectation.pattern.has_value()) return true;
  const auto matcher =
      Matcher::Create(Matcher::Type::kRegex, "text",
                      fmt::format(".*(?:{}).*", *expectation.pattern));
  return matcher.ok() && matcher->Matches(text);
}

Difference CompareAnnotations(const ScriptEval& eval,
                              ScriptExpectation::Kind some,
                              ScriptExpectation::Kind none,
                              const std::vector<std::string>& got) {
  bool expected = false;
  for (const ScriptExpectation& expectation : eval.expectations) {
    if (expectation.kind == none && !got.empty()) {
      return fmt::format("unexpected annotation: {}", got.front());
    }
    if (expectation.kind != some) continue;
    expected = true;
    if (std::none_of(got.begin(), got.end(), [&](const std::string& text) {
          return Fits(expectation, text);
        })) {
      return fmt::format("an annotation is missing, got {}",
                         got.empty() ? "none" : got.front());
    }
  }
  if (!expected) return "";
  for (const std::string& text : got) {
    if (std::none_of(eval.expectations.begin(), eval.expectations.end(),
                     [&](const ScriptExpectation& expectation) {
                       return expectation.kind == some &&
                              Fits(expectation, text);
                     })) {
      return fmt::format("unexpected annotation: {}", text);
    }
  }
  return "";
}

Difference CompareFailure(const ScriptEval& eval, const absl::Status& status) {
  if (!eval.fails) return fmt::format("failed: {}", MessageOf(status));
  if (status.code() != absl::StatusCode::kInvalidArgument &&
      status.code() != absl::StatusCode::kFailedPrecondition) {
    return fmt::format("failed as our fault, not the query's: {}",
                       status.ToString());
  }
  for (const ScriptExpectation& expectation : eval.expectations) {
    if (expectation.kind == ScriptExpectation::Kind::kFail &&
        !Fits(expectation, MessageOf(status))) {
      return fmt::format("failed with another message: {}", MessageOf(status));
    }
  }
  return "";
}

// True if the answer depends on the range of the query itself.
bool AsksForItsRange(std::string_view query) {
  for (const std::string_view word :
       {"start()", "end()", "range()", "step()"}) {
    if (query.find(word) != std::string_view::npos) return true;
  }
  return false;
}

class ScriptRun {
 public:
  explicit ScriptRun(const Script& script) : script_(script) { Clear(); }

  std::vector<std::string> Run(int* evals) {
    for (const auto& command : script_.commands) {
      if (const auto* load = std::get_if<ScriptLoad>(&command)) {
        Load(*load);
      } else if (const auto* eval = std::get_if<ScriptEval>(&command)) {
        ++*evals;
        if (const Difference difference = Eval(*eval); !difference.empty()) {
          Report(eval->line, fmt::format("{}: {}", eval->query, difference));
        }
      } else {
        Clear();
      }
    }
    return std::move(failures_);
  }

 private:
  void Report(int line, std::string_view what) {
    failures_.push_back(fmt::format("{}:{}: {}", script_.file, line, what));
  }

  void Clear() {
    engine_.reset();
    store_ = std::make_unique<MemoryStore>();
    query::EngineOptions options;
    options.experimental = true;
    engine_ = std::make_unique<query::Engine>(*store_, clock_, options);
  }

  void Load(const ScriptLoad& load) {
    store::AppendBatch batch;
    for (const ScriptSeries& series : load.series) {
      const auto index = static_cast<uint32_t>(batch.series.size());
      batch.series.push_back({series.labels, {}});
      for (size_t i = 0; i < series.values.size(); ++i) {
        if (!series.values[i].has_value()) continue;
        const int64_t time_ms = static_cast<int64_t>(i) * load.interval_ms;
        if (const auto* number = std::get_if<double>(&*series.values[i])) {
          batch.floats.push_back({index, {time_ms, *number}, 0});
        } else {
          batch.float_histograms.push_back(
              {index, time_ms, std::get<FloatHistogram>(*series.values[i]), 0});
        }
      }
    }
    const store::AppendOutcome outcome =
        store::AppendAndWait(*store_, std::move(batch));
    if (!outcome.status.ok()) {
      Report(load.line, MessageOf(outcome.status));
    }
    for (const store::Refusal& refusal : outcome.refusals) {
      Report(load.line, refusal.example);
    }
  }

  Difference Eval(const ScriptEval& eval) {
    const auto result =
        eval.is_range ? Range(eval, eval.start_ms, eval.end_ms, eval.step_ms)
                      : Instant(eval);
    if (!result.ok()) return CompareFailure(eval, result.status());
    if (eval.fails) return "did not fail";
    using Kind = ScriptExpectation::Kind;
    for (const Difference& difference :
         {CompareValue(eval, result->value),
          CompareAnnotations(eval, Kind::kWarn, Kind::kNoWarn,
                             result->warnings),
          CompareAnnotations(eval, Kind::kInfo, Kind::kNoInfo,
                             result->infos)}) {
      if (!difference.empty()) return difference;
    }
    if (eval.is_range || AsksForItsRange(eval.query)) return "";
    return CompareMiddle(eval, result->value);
  }

  absl::StatusOr<query::QueryResult> Instant(const ScriptEval& eval) {
    query::InstantQuery query;
    query.query = eval.query;
    query.time_ms = eval.start_ms;
    return engine_->Run(query);
  }

  absl::StatusOr<query::QueryResult> Range(const ScriptEval& eval,
                                           int64_t start_ms, int64_t end_ms,
                                           int64_t step_ms) {
    query::RangeQuery query;
    query.query = eval.query;
    query.start_ms = start_ms;
    query.end_ms = end_ms;
    query.step_ms = step_ms;
    return engine_->Run(query);
  }

  // The same query over three steps, of which the middle one is the instant.
  Difference CompareMiddle(const ScriptEval& eval, const query::Value& value) {
    const bool scalar = std::holds_alternative<query::Scalar>(value);
    if (!scalar && !std::holds_alternative<query::Vector>(value)) return "";
    const auto result =
        Range(eval, eval.start_ms - 60'000, eval.start_ms + 60'000, 60'000);
    if (!result.ok()) {
      return fmt::format("as a range query: {}", MessageOf(result.status()));
    }
    std::vector<std::pair<Labels, StepValue>> middle;
    for (const query::MatrixSeries& series :
         std::get<query::Matrix>(result->value)) {
      const Values values = ValuesOf(series);
      if (const auto it = values.find(eval.start_ms); it != values.end()) {
        middle.emplace_back(series.labels, it->second);
      }
    }
    Difference difference;
    if (!scalar) {
      difference = CompareVector(eval, false, middle);
    } else if (middle.size() != 1 ||
               !AlmostEqual(StepValue(*eval.scalar), middle[0].second)) {
      difference = "not the scalar";
    }
    return difference.empty() ? "" : "as a range query: " + difference;
  }

  const Script& script_;
  const SimulatedClock clock_{0};
  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<query::Engine> engine_;
  std::vector<std::string> failures_;
};

}  // namespace

std::vector<std::string> RunScript(const Script& script, int* evals) {
  *evals = 0;
  return ScriptRun(script).Run(evals);
}

}  // namespace vigie::testing
