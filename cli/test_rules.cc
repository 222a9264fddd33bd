#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "alerting/rule_test.h"
#include "base/clock.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "store/memory_store.h"

namespace vigie::cli {
namespace {

alerting::RuleTestStore NewStore() {
  auto store = std::make_shared<store::MemoryStore>();
  return {store, store.get(), store.get()};
}

absl::Status TestRules(const std::vector<std::string>& paths) {
  const SystemClock clock;
  size_t failures = 0;
  for (const std::string& path : paths) {
    const auto report = alerting::RunRuleTests(path, clock, NewStore);
    if (!report.ok()) {
      ++failures;
      fmt::print("{}\n", MessageOf(report.status()));
      continue;
    }
    for (const std::string& warning : report->warnings) {
      fmt::print(stderr, "vigie: {}\n", warning);
    }
    for (const std::string& failure : report->failures) {
      fmt::print("{}\n", failure);
    }
    failures += report->failures.size();
    fmt::print("{}: {}, {} tests, {} checks, {} failures\n", path,
               report->failures.empty() ? "ok" : "FAILED", report->tests,
               report->checks, report->failures.size());
  }
  if (failures == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} failures in rule tests", failures));
}

}  // namespace

void AddTest(CLI::App& app, absl::Status* result) {
  CLI::App* test = app.add_subcommand("test", "Test what people have written");
  test->require_subcommand(1);
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* rules = test->add_subcommand(
      "rules",
      "Run promtool's rule test files. Exit status 0: every check passed");
  rules->add_option("files", *files, "The test files")->required();
  rules->callback([files, result] { *result = TestRules(*files); });
}

}  // namespace vigie::cli
