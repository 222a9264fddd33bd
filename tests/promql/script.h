// Scripts of the language in Prometheus's form: `load` fills a store, `eval`
// asks the engine and says what must come out. README.md draws the form.
// Source: prometheus, promql/promqltest/README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "query/series_notation.h"

namespace vigie::testing {

using ScriptSeries = query::NotedSeries;

struct ScriptClear {};

struct ScriptLoad {
  int line = 0;
  int64_t interval_ms = 0;
  std::vector<ScriptSeries> series;
};

struct ScriptExpectation {
  enum class Kind : uint8_t { kFail, kWarn, kNoWarn, kInfo, kNoInfo };
  Kind kind = Kind::kFail;
  std::optional<std::string> message;  // exactly
  std::optional<std::string> pattern;  // found somewhere
};

struct ScriptEval {
  int line = 0;
  std::string query;
  bool is_range = false;
  int64_t start_ms = 0;  // of an instant query: its time
  int64_t end_ms = 0;
  int64_t step_ms = 0;
  bool ordered = false;
  bool fails = false;
  std::vector<ScriptExpectation> expectations;
  std::optional<double> scalar;
  std::optional<std::string> string;
  // An instant query that gives a range vector: where its samples lie.
  bool gives_range_vector = false;
  int64_t samples_start_ms = 0;
  int64_t samples_step_ms = 0;
  std::vector<ScriptSeries> series;
};

struct Script {
  std::string file;
  std::vector<std::variant<ScriptClear, ScriptLoad, ScriptEval>> commands;
};

// kInvalidArgument: `file:line: what is wrong`.
absl::StatusOr<Script> ParseScript(std::string file, std::string_view text);

// Runs the script over an empty store and gives what differed, one a failed
// eval: `file:line: query: what differed`. `evals` counts all of them.
//
// Beside what the script says, an instant query must give the same as the
// middle step of a range query.
std::vector<std::string> RunScript(const Script& script, int* evals);

}  // namespace vigie::testing
