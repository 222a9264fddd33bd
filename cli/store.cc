// `vigie store`: operations on a data directory, beside a running server or
// without one.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/progress_line.h"
#include "cli/store_report.h"
#include "cli/store_session.h"
#include "cli/time_argument.h"
#include "server/parameters.h"

namespace vigie::cli {
namespace {

using nlohmann::json;

// What the command line says; each verb reads some of it.
struct StoreArguments {
  std::string data = "vigie-data";
  std::string start;
  std::string end;
  std::string output;
  bool as_json = false;
  bool yes = false;
  server::OperationRequest request;
};

std::string Absolute(const std::string& path) {
  std::error_code error;
  std::string absolute =
      std::filesystem::absolute(path, error).lexically_normal().string();
  while (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  return absolute;
}

// "now", "now-1h", seconds since the epoch, RFC 3339.
absl::Status ReadTime(const std::string& text, int64_t* time_ms) {
  if (text.empty()) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const std::optional<int64_t> now,
                         ParseNowMs(text, SystemClock().NowMs()));
  if (now.has_value()) {
    *time_ms = *now;
    return absl::OkStatus();
  }
  VIGIE_ASSIGN_OR_RETURN(*time_ms, server::ParseTimeMs(text));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Ask(StoreArguments& arguments,
                                std::FILE* data = nullptr) {
  VIGIE_RETURN_IF_ERROR(
      ReadTime(arguments.start, &arguments.request.range.min_ms));
  VIGIE_RETURN_IF_ERROR(
      ReadTime(arguments.end, &arguments.request.range.max_ms));
  if (arguments.request.range.empty()) {
    return absl::InvalidArgumentError("--end is before --start");
  }
  return RunStoreOperation({Absolute(arguments.data), data}, arguments.request);
}

absl::Status Inspect(StoreArguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string report, Ask(arguments));
  fmt::print("{}",
             arguments.as_json ? report + "\n" : RenderStoreReport(report));
  return absl::OkStatus();
}

absl::Status Snapshot(StoreArguments& arguments) {
  arguments.request.directory = Absolute(arguments.request.directory);
  VIGIE_RETURN_IF_ERROR(Ask(arguments).status());
  fmt::print("{}\n", arguments.request.directory);
  return absl::OkStatus();
}

absl::Status Delete(StoreArguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string result, Ask(arguments));
  const json parsed = json::parse(result, nullptr, false);
  fmt::print("deleted from {} series\n",
             parsed.is_object() ? parsed.value("series", uint64_t{0}) : 0);
  return absl::OkStatus();
}

absl::Status Import(StoreArguments& arguments) {
  for (std::string& path : arguments.request.paths) path = Absolute(path);
  VIGIE_ASSIGN_OR_RETURN(const std::string result, Ask(arguments));
  const json parsed = json::parse(result, nullptr, false);
  if (!parsed.is_object()) return absl::InternalError("no result came");
  fmt::print("imported {} samples of {} series\n",
             parsed.value("samples", uint64_t{0}),
             parsed.value("series", uint64_t{0}));
  const auto refused = parsed.value("samples_refused", uint64_t{0});
  if (refused == 0) return absl::OkStatus();
  return absl::OutOfRangeError(fmt::format("{} samples were refused", refused));
}

absl::Status Export(StoreArguments& arguments) {
  if (arguments.output.empty()) {
    VIGIE_RETURN_IF_ERROR(Ask(arguments, stdout).status());
    return std::fflush(stdout) == 0
               ? absl::OkStatus()
               : absl::UnavailableError(std::strerror(errno));
  }
  const std::string path = Absolute(arguments.output);
  std::FILE* file = std::fopen(path.c_str(), "wxe");
  if (file == nullptr) {
    return absl::UnavailableError(
        fmt::format("{}: {}", path, std::strerror(errno)));
  }
  absl::Status status = Ask(arguments, file).status();
  // What was not written whole is not there at all.
  if (std::fclose(file) != 0 && status.ok()) {
    status = absl::UnavailableError(
        fmt::format("{}: {}", path, std::strerror(errno)));
  }
  if (!status.ok()) std::remove(path.c_str());
  return status;
}

absl::Status Verify(StoreArguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string result, Ask(arguments));
  const json parsed = json::parse(result, nullptr, false);
  if (!parsed.is_object()) return absl::InternalError("no result came");
  const auto count = [&](const char* name) {
    return parsed.value(name, uint64_t{0});
  };
  if (const uint64_t damages = count("damages"); damages > 0) {
    return absl::DataLossError(fmt::format("{} damages", damages));
  }
  fmt::print("ok: {} files, {}, {}, {}\n", count("files"),
             AmountText(count("bytes"), "bytes"),
             AmountText(count("series"), "series"),
             AmountText(count("samples"), "samples"));
  return absl::OkStatus();
}

absl::Status Restore(StoreArguments& arguments) {
  for (std::string& path : arguments.request.paths) path = Absolute(path);
  VIGIE_RETURN_IF_ERROR(
      RunDirectoryOperation({Absolute(arguments.data), nullptr},
                            arguments.request)
          .status());
  fmt::print("{}\n", Absolute(arguments.data));
  return absl::OkStatus();
}

absl::Status Repair(StoreArguments& arguments) {
  if (arguments.yes) arguments.request.format = "yes";
  VIGIE_ASSIGN_OR_RETURN(
      const std::string result,
      RunDirectoryOperation({Absolute(arguments.data), nullptr},
                            arguments.request));
  const json parsed = json::parse(result, nullptr, false);
  const json lost =
      parsed.is_object() ? parsed.value("lost", json::array()) : json::array();
  for (const json& line : lost) {
    fmt::print("{}\n", line.is_string() ? line.get<std::string>() : "");
  }
  if (lost.empty()) {
    fmt::print("nothing to repair\n");
  } else if (!arguments.yes) {
    return absl::FailedPreconditionError(
        "nothing was changed; --yes moves these files aside, and what they "
        "hold is then lost");
  }
  return absl::OkStatus();
}

class Verbs {
 public:
  Verbs(CLI::App& store, absl::Status* result)
      : store_(store), result_(result) {}

  // `run` gets what the command line said.
  CLI::App* Add(const char* verb, const char* text,
                absl::Status (*run)(StoreArguments&)) {
    arguments_ = std::make_shared<StoreArguments>();
    arguments_->request.verb = verb;
    CLI::App* command = store_.add_subcommand(verb, text);
    command->add_option("--data", arguments_->data, "The data directory")
        ->capture_default_str();
    command->callback([arguments = arguments_, result = result_, run] {
      *result = run(*arguments);
    });
    return command;
  }
  // Of the verb added last; lives as long as its callback.
  StoreArguments& arguments() { return *arguments_; }

  void AddRange(CLI::App* command) {
    command->add_option("--start", arguments_->start,
                        "First time: now-<duration>, seconds since the epoch "
                        "or RFC 3339; default: the oldest");
    command->add_option("--end", arguments_->end,
                        "Last time, as --start; default: the newest");
  }
  void AddTenant(CLI::App* command) {
    command->add_option("--tenant", arguments_->request.tenant, "Whose series")
        ->capture_default_str();
  }

 private:
  CLI::App& store_;
  absl::Status* const result_;
  std::shared_ptr<StoreArguments> arguments_;
};

}  // namespace

void AddStore(CLI::App& app, absl::Status* result) {
  CLI::App* store = app.add_subcommand(
      "store",
      "Look after a data directory: through the server that has it open, or "
      "alone");
  store->require_subcommand(1);
  Verbs verbs(*store, result);

  CLI::App* inspect =
      verbs.Add("inspect", "Show what a data directory holds", Inspect);
  inspect->add_flag("--json", verbs.arguments().as_json, "As JSON");

  CLI::App* snapshot = verbs.Add(
      "snapshot",
      "Write a data directory of its own that holds all that is acknowledged",
      Snapshot);
  snapshot
      ->add_option("directory", verbs.arguments().request.directory,
                   "Where to: absent or empty; of the same file system it "
                   "takes hardly any space")
      ->required();

  verbs.Add("compact", "Merge what is sealed, now",
            [](StoreArguments& arguments) { return Ask(arguments).status(); });

  CLI::App* deletion = verbs.Add(
      "delete", "Delete the samples of series within a range", Delete);
  deletion
      ->add_option("selectors", verbs.arguments().request.selectors,
                   "PromQL selectors; samples of series that match any go")
      ->required();
  verbs.AddRange(deletion);
  verbs.AddTenant(deletion);

  CLI::App* import = verbs.Add(
      "import",
      "Take in blocks of Prometheus, or OpenMetrics text with times; again "
      "changes nothing",
      Import);
  import
      ->add_option("paths", verbs.arguments().request.paths,
                   "A block, a directory of blocks, or a text file")
      ->required();
  verbs.AddTenant(import);

  verbs.Add("verify",
            "Read everything and compare every checksum; each damage is a line",
            Verify);

  CLI::App* restore = verbs.Add(
      "restore", "Verify a snapshot and make a data directory of it", Restore);
  restore
      ->add_option("snapshot", verbs.arguments().request.paths,
                   "What `store snapshot` wrote; --data must be absent or "
                   "empty")
      ->required()
      ->expected(1);

  CLI::App* repair = verbs.Add(
      "repair",
      "Tell what keeps a directory from being opened; with --yes, move "
      "damaged parts of the log aside",
      Repair);
  repair->add_flag("--yes", verbs.arguments().yes,
                   "Do it: what lies in the files that are moved is lost");

  CLI::App* exported =
      verbs.Add("export", "Write samples as text, to standard output", Export);
  verbs.arguments().request.format = "openmetrics";
  exported->add_option("selectors", verbs.arguments().request.selectors,
                       "PromQL selectors; default: every series");
  exported
      ->add_option("--format", verbs.arguments().request.format,
                   "openmetrics (floats alone) or jsonl (everything)")
      ->check(CLI::IsMember({"openmetrics", "jsonl"}))
      ->capture_default_str();
  exported->add_option("--output", verbs.arguments().output,
                       "A file that does not exist yet");
  verbs.AddRange(exported);
  verbs.AddTenant(exported);
}

}  // namespace vigie::cli
