// Runs promtool's rule test files: series as notation, rules evaluated over
// them tick by tick, and what alerts and expressions must then give.
// Source: prometheus.io "Unit testing for rules", Prometheus 3.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "store/appender.h"
#include "store/queryable.h"

namespace vigie::alerting {

// An empty store; what is appended is visible when the completion has run,
// within Append. `owner` keeps both doors alive.
struct RuleTestStore {
  std::shared_ptr<void> owner;
  store::Appender* appender = nullptr;
  const store::Queryable* queryable = nullptr;
};

struct RuleTestReport {
  size_t tests = 0;   // items of `tests`
  size_t checks = 0;  // alerts and expressions that were compared
  // Each begins with `file:line:column: test "name": ` and goes on over
  // indented lines: what was expected and what came.
  std::vector<std::string> failures;
  // Patterns of `rule_files` that no group came of.
  std::vector<std::string> warnings;
};

// `path` is the test file; its rule_files are relative to it. `new_store` is
// called once a test. A rule that fails to evaluate is a failure and ends its
// test, as in promtool. kInvalidArgument `file:line:column: ...` or kNotFound
// if the file or its rules cannot be read.
absl::StatusOr<RuleTestReport> RunRuleTests(
    const std::string& path, const Clock& clock,
    const std::function<RuleTestStore()>& new_store);

}  // namespace vigie::alerting
