#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "query/series_notation.h"
#include "tests/promql/script.h"

namespace vigie::testing {
namespace {

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(ToAbsl(what));
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0]))) {
    text.remove_prefix(1);
  }
  while (!text.empty() &&
         std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

// The first word, which is cut off `text` with the space behind it.
std::string_view TakeWord(std::string_view* text) {
  const size_t end = std::min(text->find_first_of(" \t"), text->size());
  const std::string_view word = text->substr(0, end);
  *text = Trimmed(text->substr(end));
  return word;
}

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

absl::StatusOr<int64_t> ParseTime(std::string_view text) {
  const bool negate = TakePrefix(&text, "-");
  VIGIE_ASSIGN_OR_RETURN(const int64_t ms, ParseDurationMs(text));
  return negate ? -ms : ms;
}

// A number or a duration in seconds, as the language has them.
absl::StatusOr<double> ParseValue(std::string_view text) {
  VIGIE_ASSIGN_OR_RETURN(const auto expr, query::ParseExpr(text, {}));
  if (expr->kind != query::Expr::Kind::kNumber) {
    return Wrong(fmt::format("not a number: {}", text));
  }
  return expr->As<query::NumberLiteral>().value;
}

// A later line of the same series replaces the earlier one.
void Put(ScriptSeries series, std::vector<ScriptSeries>* all) {
  const auto it = std::find_if(
      all->begin(), all->end(),
      [&](const ScriptSeries& other) { return other.labels == series.labels; });
  if (it == all->end()) {
    all->push_back(std::move(series));
  } else {
    *it = std::move(series);
  }
}

// `instant at TIME QUERY`, `range from TIME to TIME step TIME QUERY`.
absl::Status ParseEvalHead(std::string_view text, ScriptEval* eval) {
  const auto expect_word = [&](std::string_view word) {
    return TakeWord(&text) == word
               ? absl::OkStatus()
               : Wrong(fmt::format("expected '{}' in an eval", word));
  };
  const std::string_view kind = TakeWord(&text);
  if (kind == "instant") {
    VIGIE_RETURN_IF_ERROR(expect_word("at"));
    VIGIE_ASSIGN_OR_RETURN(eval->start_ms, ParseTime(TakeWord(&text)));
  } else if (kind == "range") {
    eval->is_range = true;
    VIGIE_RETURN_IF_ERROR(expect_word("from"));
    VIGIE_ASSIGN_OR_RETURN(eval->start_ms, ParseTime(TakeWord(&text)));
    VIGIE_RETURN_IF_ERROR(expect_word("to"));
    VIGIE_ASSIGN_OR_RETURN(eval->end_ms, ParseTime(TakeWord(&text)));
    VIGIE_RETURN_IF_ERROR(expect_word("step"));
    VIGIE_ASSIGN_OR_RETURN(eval->step_ms, ParseTime(TakeWord(&text)));
  } else {
    return Wrong("an eval is instant or range");
  }
  eval->query = std::string(text);
  return text.empty() ? Wrong("an eval without a query") : absl::OkStatus();
}

absl::Status ParseExpect(std::string_view text, ScriptEval* eval) {
  using Kind = ScriptExpectation::Kind;
  if (TakePrefix(&text, "range vector from ")) {
    VIGIE_ASSIGN_OR_RETURN(eval->samples_start_ms, ParseTime(TakeWord(&text)));
    if (TakeWord(&text) != "to") return Wrong("expected 'to'");
    // The samples' count says the same.
    VIGIE_RETURN_IF_ERROR(ParseTime(TakeWord(&text)).status());
    if (TakeWord(&text) != "step") return Wrong("expected 'step'");
    VIGIE_ASSIGN_OR_RETURN(eval->samples_step_ms, ParseTime(TakeWord(&text)));
    eval->gives_range_vector = true;
    return absl::OkStatus();
  }
  if (TakePrefix(&text, "string ")) {
    VIGIE_ASSIGN_OR_RETURN(const auto expr, query::ParseExpr(text, {}));
    if (expr->kind != query::Expr::Kind::kString) return Wrong("not a string");
    eval->string = expr->As<query::StringLiteral>().value;
    return absl::OkStatus();
  }
  const std::string_view word = TakeWord(&text);
  if (word == "ordered") {
    eval->ordered = true;
    return absl::OkStatus();
  }
  ScriptExpectation expectation;
  if (word == "fail") {
    expectation.kind = Kind::kFail;
    eval->fails = true;
  } else if (word == "warn") {
    expectation.kind = Kind::kWarn;
  } else if (word == "no_warn") {
    expectation.kind = Kind::kNoWarn;
  } else if (word == "info") {
    expectation.kind = Kind::kInfo;
  } else if (word == "no_info") {
    expectation.kind = Kind::kNoInfo;
  } else {
    return Wrong(fmt::format("unknown expectation '{}'", word));
  }
  if (TakePrefix(&text, "msg:")) {
    expectation.message = std::string(Trimmed(text));
  } else if (TakePrefix(&text, "regex:")) {
    expectation.pattern = std::string(Trimmed(text));
  } else if (!text.empty()) {
    return Wrong(fmt::format("unknown expectation '{}'", text));
  }
  eval->expectations.push_back(std::move(expectation));
  return absl::OkStatus();
}

absl::Status ParseEvalLine(std::string_view line, ScriptEval* eval) {
  if (TakePrefix(&line, "expect ")) return ParseExpect(Trimmed(line), eval);
  using Kind = ScriptExpectation::Kind;
  if (TakePrefix(&line, "expected_fail_message ")) {
    eval->expectations.push_back(
        {Kind::kFail, std::string(Trimmed(line)), std::nullopt});
    return absl::OkStatus();
  }
  if (TakePrefix(&line, "expected_fail_regexp ")) {
    eval->expectations.push_back(
        {Kind::kFail, std::nullopt, std::string(Trimmed(line))});
    return absl::OkStatus();
  }
  if (const auto scalar = ParseValue(line); scalar.ok()) {
    eval->scalar = *scalar;
    return absl::OkStatus();
  }
  VIGIE_ASSIGN_OR_RETURN(ScriptSeries series, query::ParseSeriesLine(line));
  if (series.values.size() != 1 && !eval->is_range &&
      !eval->gives_range_vector) {
    return Wrong("an instant query gives one value a series");
  }
  Put(std::move(series), &eval->series);
  return absl::OkStatus();
}

class ScriptReader {
 public:
  ScriptReader(std::string file, std::string_view text) {
    script_.file = std::move(file);
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = Trimmed(text.substr(0, end));
      lines_.push_back(line.starts_with('#') ? std::string_view() : line);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  absl::StatusOr<Script> Read() && {
    for (; at_ < lines_.size(); ++at_) {
      if (lines_[at_].empty()) continue;
      if (absl::Status status = ReadCommand(); !status.ok()) {
        return Prefixed(fmt::format("{}:{}", script_.file, at_ + 1), status);
      }
    }
    return std::move(script_);
  }

 private:
  int line() const { return static_cast<int>(at_) + 1; }

  // The next line of the block that at_ is in, or empty.
  std::string_view NextOfBlock() {
    if (at_ + 1 >= lines_.size() || lines_[at_ + 1].empty()) return {};
    return lines_[++at_];
  }

  absl::Status ReadCommand() {
    std::string_view rest = lines_[at_];
    const std::string_view word = TakeWord(&rest);
    if (word == "clear") {
      script_.commands.emplace_back(ScriptClear{});
      return absl::OkStatus();
    }
    if (word == "load") return ReadLoad(rest);
    ScriptEval eval;
    if (word == "eval_fail") {
      eval.fails = true;
    } else if (word == "eval_warn") {
      eval.expectations.push_back({ScriptExpectation::Kind::kWarn, {}, {}});
    } else if (word == "eval_info") {
      eval.expectations.push_back({ScriptExpectation::Kind::kInfo, {}, {}});
    } else if (word == "eval_ordered") {
      eval.ordered = true;
    } else if (word != "eval") {
      return Wrong(fmt::format("unknown command '{}'", word));
    }
    eval.line = line();
    VIGIE_RETURN_IF_ERROR(ParseEvalHead(rest, &eval));
    for (auto next = NextOfBlock(); !next.empty(); next = NextOfBlock()) {
      VIGIE_RETURN_IF_ERROR(ParseEvalLine(next, &eval));
    }
    script_.commands.emplace_back(std::move(eval));
    return absl::OkStatus();
  }

  absl::Status ReadLoad(std::string_view interval) {
    ScriptLoad load;
    load.line = line();
    VIGIE_ASSIGN_OR_RETURN(load.interval_ms, ParseDurationMs(interval));
    for (auto next = NextOfBlock(); !next.empty(); next = NextOfBlock()) {
      VIGIE_ASSIGN_OR_RETURN(ScriptSeries series, query::ParseSeriesLine(next));
      query::SetResetHints(&series.values);
      Put(std::move(series), &load.series);
    }
    script_.commands.emplace_back(std::move(load));
    return absl::OkStatus();
  }

  Script script_;
  std::vector<std::string_view> lines_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<Script> ParseScript(std::string file, std::string_view text) {
  return ScriptReader(std::move(file), text).Read();
}

}  // namespace vigie::testing
