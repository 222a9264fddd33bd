// What a rule test file says.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml/yaml.h"
#include "model/labels.h"
#include "query/series_notation.h"

namespace vigie::alerting {

// Labels or annotations, of expectations; an empty value counts.
using TextMap = std::map<std::string, std::string>;

struct ExpectedAlert {
  TextMap labels;  // with `alertname`
  TextMap annotations;
  friend auto operator<=>(const ExpectedAlert&, const ExpectedAlert&) = default;
};

struct AlertCheck {
  std::string place;
  int64_t eval_time_ms = 0;  // after the start
  std::string alertname;
  std::vector<ExpectedAlert> expected;
};

struct ExpectedSample {
  Labels labels;
  double value = 0;
  std::string histogram;  // as HistogramNotation gives it; "" of a float
};

struct ExprCheck {
  std::string place;
  std::string expr;
  int64_t eval_time_ms = 0;  // after the start
  std::vector<ExpectedSample> expected;
};

struct RuleTest {
  std::string place;
  std::string name;  // "" if it has none
  int64_t start_ms = 0;
  int64_t interval_ms = 0;
  std::vector<query::NotedSeries> series;  // no labels twice
  std::vector<AlertCheck> alerts;
  std::vector<ExprCheck> exprs;
  std::vector<std::pair<std::string, std::string>> external_labels;
  std::string external_url;
};

struct RuleTestFile {
  std::vector<std::string> rule_files;  // patterns
  int64_t evaluation_interval_ms = 60'000;
  std::vector<std::string> group_eval_order;
  bool fuzzy_compare = false;
  std::vector<RuleTest> tests;
};

// kInvalidArgument `file:line:column: ...`.
absl::StatusOr<RuleTestFile> ParseRuleTestFile(const yaml::Node& root);

}  // namespace vigie::alerting
