// Prometheus's rule files, unchanged.
// Source: prometheus.io "Defining recording rules", "Alerting rules",
// Prometheus 3.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml/yaml.h"
#include "query/parser/parser.h"

namespace vigie::alerting {

struct RuleSpec {
  enum class Kind : uint8_t { kRecording, kAlerting };
  Kind kind = Kind::kRecording;
  std::string name;  // `record` or `alert`
  std::string expr;
  std::string place;  // "rules.yml:12:7", of the rule
  int64_t for_ms = 0;
  int64_t keep_firing_for_ms = 0;
  // By name; those of the group are among the labels, the rule's own win.
  // Values of alerting rules are templates.
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::pair<std::string, std::string>> annotations;
  friend bool operator==(const RuleSpec&, const RuleSpec&) = default;
};

struct RuleGroupSpec {
  std::string name;
  std::string file;         // as found; name and file identify the group
  int64_t interval_ms = 0;  // 0: the global evaluation interval
  std::optional<int64_t> query_offset_ms;
  int64_t limit = 0;  // elements a rule may give; 0: none
  std::vector<std::pair<std::string, std::string>> labels;  // of every rule
  std::vector<RuleSpec> rules;
  friend bool operator==(const RuleGroupSpec&, const RuleGroupSpec&) = default;
};

// kInvalidArgument `file:line:column: ...`, the first fault, for what
// Prometheus refuses too: YAML, unknown keys, bad names, expressions (the place
// in the file, then the one in the expression) and templates, two groups of
// one name. Two equal rules are fine, as there. A template function that vigie
// lacks is named.
absl::StatusOr<std::vector<RuleGroupSpec>> ParseRuleFile(
    const yaml::Node& root, const query::ParserOptions& options = {});

// All that ParseRuleFile would find, one after the other: at most one fault a
// rule. Empty if the file is fine.
std::vector<absl::Status> CheckRuleFile(
    const yaml::Node& root, const query::ParserOptions& options = {});

// Reads every file that a pattern of `rule_files` matches ("rules/*.yml"),
// relative to `directory`, in order of pattern and name, each file once. All or
// nothing. A pattern that matches nothing is fine, as in Prometheus.
absl::StatusOr<std::vector<RuleGroupSpec>> LoadRuleFiles(
    const std::vector<std::string>& patterns, const std::string& directory,
    const query::ParserOptions& options = {});

}  // namespace vigie::alerting
