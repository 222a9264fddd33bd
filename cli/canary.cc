#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/duration.h"
#include "base/net/http_client.h"
#include "base/status_macros.h"
#include "cli/commands.h"

namespace vigie::cli {
namespace {

using nlohmann::json;

constexpr int kPass = 0;
constexpr int kFail = 1;
constexpr int kUndecided = 2;

struct CanaryOptions {
  std::string http_address = "127.0.0.1:9090";
  std::string request_path;
  std::string kind;
  std::string direction;
  std::string baseline;
  std::string canary;
  std::string events;
  std::string window = "10m";
  std::optional<double> tolerance;
  std::optional<double> tolerance_absolute;
  std::optional<double> detect;
  std::optional<double> detect_absolute;
  std::optional<double> quantile;
  std::optional<double> baseline_weight;
  std::optional<double> canary_weight;
  std::optional<double> alpha;
  std::optional<int> looks;
  bool print_json = false;
  std::string timeout = "70s";
};

absl::StatusOr<std::string> ReadRequest(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file.is_open()) {
      return absl::NotFoundError(path + ": cannot be read");
    }
  }
  std::istream& input = path == "-" ? std::cin : file;
  return std::string(std::istreambuf_iterator<char>(input), {});
}

// Values are the server's to check: one place, one wording.
absl::StatusOr<std::string> BuildRequest(const CanaryOptions& options) {
  if (!options.request_path.empty()) return ReadRequest(options.request_path);
  for (const auto& [flag, value] : {std::pair{"--kind", options.kind},
                                    {"--direction", options.direction},
                                    {"--baseline", options.baseline},
                                    {"--canary", options.canary}}) {
    if (value.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("{} is needed, or --request", flag));
    }
  }
  json metric{{"kind", options.kind},
              {"direction", options.direction},
              {"baseline", options.baseline},
              {"canary", options.canary}};
  if (!options.events.empty()) metric["events"] = options.events;
  json request{{"window", options.window}};
  const auto set = [](const char* key, const auto& value, json& object) {
    if (value) object[key] = *value;
  };
  set("tolerance", options.tolerance, metric);
  set("tolerance_absolute", options.tolerance_absolute, metric);
  set("detect", options.detect, metric);
  set("detect_absolute", options.detect_absolute, metric);
  set("quantile", options.quantile, metric);
  set("baseline_weight", options.baseline_weight, metric);
  set("canary_weight", options.canary_weight, metric);
  set("alpha", options.alpha, request);
  set("looks", options.looks, request);
  request["metrics"] = json::array({std::move(metric)});
  return request.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Number(const json& value) {
  return value.is_number() ? fmt::format("{:.4g}", value.get<double>()) : "-";
}

void PrintSide(const char* name, const json& side) {
  fmt::print("  {:<8}  {}\n", name, side.at("selector").get<std::string>());
  fmt::print(
      "            {} of {}, level {}, {} series, {} samples, "
      "{} resets\n",
      Number(side.at("events")), Number(side.at("total")),
      Number(side.at("level")), Number(side.at("series")),
      Number(side.at("samples")), Number(side.at("resets")));
  fmt::print(
      "            effective n {}: inflation {}, dispersion {}, "
      "autocorrelation {}\n",
      Number(side.at("effective_n")), Number(side.at("inflation")),
      Number(side.at("dispersion")), Number(side.at("autocorrelation")));
}

void PrintMetric(const json& metric) {
  fmt::print("\n{}: {} ({}, worse: {}{})\n",
             metric.at("name").get<std::string>(),
             metric.at("verdict").get<std::string>(),
             metric.at("kind").get<std::string>(),
             metric.at("direction").get<std::string>(),
             metric.at("critical").get<bool>() ? ", critical" : "");
  for (const json& reason : metric.at("reasons")) {
    const std::string side = reason.value("side", "");
    fmt::print("  {}: {}{}{}\n", reason.at("code").get<std::string>(), side,
               side.empty() ? "" : ": ", reason.at("text").get<std::string>());
  }
  PrintSide("baseline", metric.at("baseline"));
  PrintSide("canary", metric.at("canary"));
  const json& effect = metric.at("effect");
  fmt::print(
      "  {} {}: relative {}, {} to {} at {}; tolerated {}, "
      "detectable {} of {}\n",
      "difference", Number(effect.at("difference")),
      Number(effect.at("relative")), Number(effect.at("low")),
      Number(effect.at("high")), Number(effect.at("confidence")),
      Number(effect.at("tolerated")), Number(effect.at("detectable")),
      Number(effect.at("to_detect")));
  for (const json& test : metric.at("tests")) {
    fmt::print("  {} {}: p {} for higher, {} for lower\n",
               test.at("name").get<std::string>(), Number(test.at("statistic")),
               Number(test.at("p_increase")), Number(test.at("p_decrease")));
  }
  for (const json& note : metric.at("notes")) {
    fmt::print("  note: {}\n", note.get<std::string>());
  }
}

absl::Status Check(const CanaryOptions& options, int* exit_status) {
  VIGIE_ASSIGN_OR_RETURN(const int64_t timeout_ms,
                         ParseDurationMs(options.timeout));
  VIGIE_ASSIGN_OR_RETURN(std::string body, BuildRequest(options));
  const bool has_scheme = options.http_address.find("://") != std::string::npos;
  net::HttpRequest request{
      .method = "POST",
      .url = fmt::format("{}{}/api/v1/canary/judge",
                         has_scheme ? "" : "http://", options.http_address),
      .headers = {{"Content-Type", "application/json"}},
      .body = std::move(body),
      .timeout = absl::Milliseconds(timeout_ms),
  };
  net::HttpClient client;
  VIGIE_ASSIGN_OR_RETURN(const net::HttpResponse response,
                         client.Do(request, {}));
  const json answer = json::parse(response.body, nullptr,
                                  /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("status")) {
    return absl::UnavailableError(
        fmt::format("{}: answered {} with something that is no verdict",
                    options.http_address, response.status));
  }
  if (answer["status"] != "success") {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", answer.value("errorType", "error"),
                    answer.value("error", "no reason given")));
  }
  const json& verdict = answer.at("data");
  const std::string decision = verdict.at("verdict");
  if (options.print_json) {
    fmt::print("{}\n", verdict.dump());
  } else {
    fmt::print("{}: {}\n", decision, verdict.at("summary").get<std::string>());
    for (const json& metric : verdict.at("metrics")) PrintMetric(metric);
  }
  // A verdict of a name we do not know is none to promote by.
  *exit_status = decision == "pass"   ? kPass
                 : decision == "fail" ? kFail
                                      : kUndecided;
  return absl::OkStatus();
}

}  // namespace

void AddCanary(CLI::App& app, absl::Status* result, int* exit_status) {
  auto options = std::make_shared<CanaryOptions>();
  CLI::App* canary =
      app.add_subcommand("canary", "Judge a new release beside the old one");
  canary->require_subcommand(1);
  CLI::App* check = canary->add_subcommand(
      "check", "Exit 0: pass, 1: fail, 2: marginal or inconclusive, 3: error");
  check
      ->add_option("--http", options->http_address,
                   "Address of the server's HTTP API")
      ->capture_default_str();
  CLI::Option* request =
      check->add_option("--request", options->request_path,
                        "File with a whole request (docs/formats/canary.md), - "
                        "is standard input");
  const auto add = [&](const char* name, auto& value, const char* help) {
    return check->add_option(name, value, help)->excludes(request);
  };
  add("--kind", options->kind, "ratio, rate, latency or gauge");
  add("--direction", options->direction,
      "What is worse: increase, decrease or either");
  add("--baseline", options->baseline, "Series selector of the old release");
  add("--canary", options->canary, "Series selector of the new release");
  add("--events", options->events,
      "Ratio: matchers of the events that count, such as {code=~\"5..\"}");
  add("--window", options->window, "How far back from now; default: 10m");
  add("--tolerance", options->tolerance,
      "Acceptable change, of the baseline; default: 0.05");
  add("--tolerance-absolute", options->tolerance_absolute,
      "Acceptable change, in the metric's unit; default: 0");
  add("--detect", options->detect,
      "Change that must not be missed, of the baseline; default: 0.5");
  add("--detect-absolute", options->detect_absolute,
      "The same in the metric's unit; default: 0.01 for a ratio, else 0");
  add("--quantile", options->quantile, "Latency: which; default: 0.95");
  add("--baseline-weight", options->baseline_weight,
      "Rate: traffic of the old release, in any unit; default: 1");
  add("--canary-weight", options->canary_weight,
      "Rate: traffic of the new release, in the same unit; default: 1");
  add("--alpha", options->alpha, "Rate of false alarms; default: 0.01");
  add("--looks", options->looks,
      "How often this release is judged; default: 1");
  check->add_flag("--json", options->print_json, "Print the verdict as JSON");
  check->add_option("--timeout", options->timeout, "How long to wait")
      ->capture_default_str();
  check->callback([options, result, exit_status] {
    *result = Check(*options, exit_status);
  });
}

}  // namespace vigie::cli
