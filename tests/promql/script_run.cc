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

std::string Shown(const std::vector<Sample>& samples) {
  std::string out;
  for (const Sample& sample : samples) {
    fmt::format_to(std::back_inserter(out), " {}@{}",
                   query::FormatNumber(sample.value), sample.time_ms);
  }
  return out;
}

// What differed; empty if nothing did.
using Difference = std::string;

Difference CompareVector(const ScriptEval& eval, bool ordered,
                         const std::vector<std::pair<Labels, double>>& got) {
  std::map<Labels, std::pair<size_t, double>> wanted;
  for (size_t i = 0; i < eval.series.size(); ++i) {
    wanted[eval.series[i].labels] = {i, *eval.series[i].values[0]};
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const auto& [labels, value] = got[i];
    const auto it = wanted.find(labels);
    if (it == wanted.end()) {
      return fmt::format("unexpected or repeated series {} {}",
                         labels.ToString(), query::FormatNumber(value));
    }
    const auto [place, want] = it->second;
    if (ordered && place != i) {
      return fmt::format("{} comes at place {}, not {}", labels.ToString(),
                         i + 1, place + 1);
    }
    if (!AlmostEqual(want, value)) {
      return fmt::format("{}: expected {}, got {}", labels.ToString(),
                         query::FormatNumber(want), query::FormatNumber(value));
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
  std::map<Labels, std::vector<Sample>> wanted;
  for (const ScriptSeries& series : eval.series) {
    std::vector<Sample>& samples = wanted[series.labels];
    for (size_t i = 0; i < series.values.size(); ++i) {
      if (!series.values[i].has_value()) continue;
      samples.push_back(
          {start_ms + static_cast<int64_t>(i) * step_ms, *series.values[i]});
    }
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const query::MatrixSeries& series = got[i];
    if (eval.is_range && i > 0 && !(got[i - 1].labels < series.labels)) {
      return fmt::format("{} is out of order or repeated",
                         series.labels.ToString());
    }
    const auto it = wanted.find(series.labels);
    if (it == wanted.end()) {
      return fmt::format("unexpected series {}{}", series.labels.ToString(),
                         Shown(series.floats));
    }
    const std::vector<Sample>& want = it->second;
    if (!std::equal(want.begin(), want.end(), series.floats.begin(),
                    series.floats.end(), [](const Sample& a, const Sample& b) {
                      return a.time_ms == b.time_ms &&
                             AlmostEqual(a.value, b.value);
                    })) {
      return fmt::format("{}: expected{}, got{}", series.labels.ToString(),
                         Shown(want), Shown(series.floats));
    }
    wanted.erase(it);
  }
  if (wanted.empty()) return "";
  return fmt::format("series {} is missing", wanted.begin()->first.ToString());
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
  std::vector<std::pair<Labels, double>> got;
  for (const query::VectorElement& element : std::get<query::Vector>(value)) {
    if (element.sample.time_ms != eval.start_ms) {
      return fmt::format("{} is of {}, not of the evaluation time",
                         element.labels.ToString(), element.sample.time_ms);
    }
    got.emplace_back(element.labels, element.sample.value);
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
        batch.floats.push_back(
            {index,
             {static_cast<int64_t>(i) * load.interval_ms, *series.values[i]},
             0});
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
    std::vector<std::pair<Labels, double>> middle;
    for (const query::MatrixSeries& series :
         std::get<query::Matrix>(result->value)) {
      for (const Sample& sample : series.floats) {
        if (sample.time_ms == eval.start_ms) {
          middle.emplace_back(series.labels, sample.value);
        }
      }
    }
    Difference difference;
    if (!scalar) {
      difference = CompareVector(eval, false, middle);
    } else if (middle.size() != 1 ||
               !AlmostEqual(*eval.scalar, middle[0].second)) {
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
