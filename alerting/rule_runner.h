// RuleRunner evaluates rule groups, each at its interval and with an offset of
// its own inside it, on a few threads.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "alerting/rule_file.h"
#include "alerting/rule_group.h"
#include "base/clock.h"

namespace vigie::alerting {

struct RuleRunnerOptions {
  int threads = 2;
  int64_t evaluation_interval_ms = 60'000;  // of groups that name none
};

class RuleRunner {
 public:
  // All outlive the runner. Runs nothing until Apply.
  RuleRunner(const RuleContext& context, const Clock& clock,
             prometheus::Registry& registry);
  ~RuleRunner();  // as Stop

  // From now on these groups run. A group that stays (same file and name)
  // keeps the state of its alerts; one that goes ends its series. External
  // labels and URL of the context may change with it.
  absl::Status Apply(
      std::vector<RuleGroupSpec> groups, const RuleRunnerOptions& options,
      std::vector<std::pair<std::string, std::string>> external_labels,
      std::string external_url);

  // Ends the evaluations under way. State and series stay as they are.
  void Stop();

  // In order of file and name.
  std::vector<RuleGroupStatus> Groups() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::alerting
