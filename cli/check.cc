#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "alerting/rule_file.h"
#include "base/strings.h"
#include "base/yaml/yaml.h"
#include "cli/commands.h"
#include "server/config.h"

namespace vigie::cli {
namespace {

// One line a fault; the last is main's.
absl::Status Tell(const std::vector<std::string>& faults) {
  if (faults.empty()) return absl::OkStatus();
  for (size_t i = 0; i + 1 < faults.size(); ++i) {
    fmt::print(stderr, "vigie: {}\n", faults[i]);
  }
  return absl::InvalidArgumentError(faults.back());
}

absl::Status CheckConfigFile(const std::string& path) {
  const std::vector<std::string> faults = server::CheckConfig(path);
  if (faults.empty()) fmt::print("{}: ok\n", path);
  return Tell(faults);
}

std::vector<std::string> FaultsOfRules(const std::string& path) {
  const auto root = yaml::Node::LoadFile(path);
  if (!root.ok()) return {std::string(MessageOf(root.status()))};
  std::vector<std::string> faults;
  for (const absl::Status& fault : alerting::CheckRuleFile(*root)) {
    faults.emplace_back(MessageOf(fault));
  }
  return faults;
}

size_t RulesIn(const std::string& path) {
  size_t rules = 0;
  const auto root = yaml::Node::LoadFile(path);
  if (!root.ok()) return rules;
  const auto groups = alerting::ParseRuleFile(*root);
  if (!groups.ok()) return rules;
  for (const alerting::RuleGroupSpec& group : *groups) {
    rules += group.rules.size();
  }
  return rules;
}

absl::Status CheckRules(const std::vector<std::string>& paths) {
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    const std::vector<std::string> faults = FaultsOfRules(path);
    if (faults.empty()) fmt::print("{}: ok, {} rules\n", path, RulesIn(path));
    all.insert(all.end(), faults.begin(), faults.end());
  }
  return Tell(all);
}

}  // namespace

void AddCheck(CLI::App& app, absl::Status* result) {
  auto path = std::make_shared<std::string>();
  CLI::App* check = app.add_subcommand("check", "Check files before use");
  check->require_subcommand(1);
  CLI::App* config = check->add_subcommand(
      "config",
      "Check a vigie.yml and what it names, or a prometheus.yml. Keys that "
      "vigie does not act on yet are faults here; serve only warns of them");
  config->add_option("file", *path, "The file")->required();
  config->callback([path, result] { *result = CheckConfigFile(*path); });

  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* rules = check->add_subcommand(
      "rules",
      "Check Prometheus rule files: YAML, expressions, templates. Each fault "
      "is a line, file:line:column");
  rules->add_option("files", *files, "The files")->required();
  rules->callback([files, result] { *result = CheckRules(*files); });
}

}  // namespace vigie::cli
