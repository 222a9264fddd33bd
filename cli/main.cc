// vigie: the daemon and every tool in one binary.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string_view>

#include "base/strings.h"
#include "cli/commands.h"

namespace {

// Exit codes: 0 done, 1 it failed, 2 the command line is wrong. For `canary`
// these are verdicts, and whatever goes wrong is 3: a pipeline that is asked
// wrongly must not read a verdict.
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kNoVerdict = 3;

bool IsCanary(int argc, char** argv) {
  return argc > 1 && std::string_view(argv[1]) == "canary";
}

int Run(int argc, char** argv) {
  absl::Status result;
  int verdict = 0;
  const bool is_canary = IsCanary(argc, argv);
  CLI::App app(
      "vigie, the lookout: ingests metrics by OTLP, remote write and scraping, "
      "stores them durably and answers PromQL.",
      "vigie");
  app.set_version_flag("--version", "vigie " VIGIE_VERSION);
  app.require_subcommand(1);
  vigie::cli::AddServe(app, &result);
  vigie::cli::AddQuery(app, &result);
  vigie::cli::AddPush(app, &result);
  vigie::cli::AddCheck(app, &result);
  vigie::cli::AddTest(app, &result);
  vigie::cli::AddStore(app, &result);
  vigie::cli::AddCanary(app, &result, &verdict);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {  // --help, --version
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "vigie: {} (see vigie --help)\n", error.what());
    return is_canary ? kNoVerdict : kUsage;
  }
  if (result.ok()) return verdict;
  fmt::print(stderr, "vigie: {}\n", vigie::MessageOf(result));
  return is_canary ? kNoVerdict : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "vigie: {}\n", error.what());
    return IsCanary(argc, argv) ? kNoVerdict : kFailed;
  }
}
