#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "server/config.h"

namespace vigie::cli {
namespace {

absl::Status Check(const std::string& path) {
  const std::vector<std::string> faults = server::CheckConfig(path);
  if (faults.empty()) {
    fmt::print("{}: ok\n", path);
    return absl::OkStatus();
  }
  // One line a fault; the last is main's.
  for (size_t i = 0; i + 1 < faults.size(); ++i) {
    fmt::print(stderr, "vigie: {}\n", faults[i]);
  }
  return absl::InvalidArgumentError(faults.back());
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
  config->callback([path, result] { *result = Check(*path); });
}

}  // namespace vigie::cli
