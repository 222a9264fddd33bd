#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/net/http_client.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/time_argument.h"
#include "model/labels.h"

namespace vigie::cli {
namespace {

using nlohmann::json;

struct QueryOptions {
  std::string http_address = "127.0.0.1:9090";
  std::string format = "table";
  std::string expr;
  std::string time;
  std::string start;
  std::string end;
  std::string step;
  std::string timeout = "2m";
  bool explain = false;
};

// Form encoding: everything but letters and digits as %XX.
void AppendField(std::string_view key, std::string_view value,
                 std::string* form) {
  if (!form->empty()) *form += '&';
  *form += key;
  *form += '=';
  for (const char c : value) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9')) {
      *form += c;
    } else {
      *form += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

// "now", "now-1h" or what the API takes: seconds since the epoch, RFC 3339.
absl::StatusOr<std::string> ResolveTime(std::string_view text, int64_t now_ms) {
  VIGIE_ASSIGN_OR_RETURN(const std::optional<int64_t> time_ms,
                         ParseNowMs(text, now_ms));
  if (!time_ms.has_value()) return std::string(text);
  return fmt::format("{:.3f}", static_cast<double>(*time_ms) / 1000);
}

// Prometheus's text form of a label set.
std::string SeriesName(const json& metric) {
  LabelsBuilder builder;
  for (const auto& [name, value] : metric.items()) {
    builder.Set(name, value.get<std::string>());
  }
  return builder.Build().ToString();
}

std::string FormatTime(double seconds) {
  return absl::FormatTime(
      "%Y-%m-%dT%H:%M:%E3SZ",
      absl::FromUnixMillis(static_cast<int64_t>(seconds * 1000 + 0.5)),
      absl::UTCTimeZone());
}

std::string ValueText(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void PrintRow(const std::string& series, size_t width, const json& point) {
  fmt::print("{:<{}}  {}  {}\n", series, width,
             FormatTime(point.at(0).get<double>()), ValueText(point.at(1)));
}

void PrintTable(const json& data) {
  const std::string type = data.at("resultType");
  const json& result = data.at("result");
  if (type == "scalar" || type == "string") {
    PrintRow(type, type.size(), result);
    return;
  }
  size_t width = 0;
  std::vector<std::string> names;
  for (const json& series : result) {
    names.push_back(SeriesName(series.at("metric")));
    width = std::max(width, names.back().size());
  }
  for (size_t i = 0; i < result.size(); ++i) {
    for (const char* key : {"value", "histogram"}) {
      if (result[i].contains(key)) PrintRow(names[i], width, result[i][key]);
    }
    for (const char* key : {"values", "histograms"}) {
      if (!result[i].contains(key)) continue;
      for (const json& point : result[i][key]) {
        PrintRow(names[i], width, point);
      }
    }
  }
  if (result.empty()) fmt::print(stderr, "vigie: no series matches\n");
}

// A row a part, its own parts below it.
void PrintPlan(const json& node, int depth) {
  std::string expr = node.at("expr");
  std::replace(expr.begin(), expr.end(), '\n', ' ');
  std::string marks;
  if (node.value("once", false)) marks += ", once for all steps";
  if (node.contains("part")) {
    marks += fmt::format(", part #{}{}", node["part"].get<int64_t>(),
                         node.value("reused", false) ? " reused" : "");
  }
  fmt::print("{:>10.3f} ms {:>9} {:>11} {:>9} {:>11} {:>13}  {:{}}{} [{}{}]\n",
             node.at("timeSeconds").get<double>() * 1000,
             node.at("series").get<int64_t>(),
             node.at("samples").get<int64_t>(),
             node.at("seriesRead").get<int64_t>(),
             node.at("samplesRead").get<int64_t>(),
             node.at("bytesPeak").get<int64_t>(), "", 2 * depth, expr,
             node.at("kind").get<std::string>(), marks);
  for (const json& child : node.value("children", json::array())) {
    PrintPlan(child, depth + 1);
  }
}

void PrintExplanation(const json& data) {
  const json& stats = data.at("stats");
  const json& timings = stats.at("timings");
  fmt::print(
      "{:.3f} ms, {:.3f} of them in the queue; {} series and {} samples read, "
      "{} samples looked at by all steps; at most {} samples and {} bytes "
      "held; up to {} threads\n",
      timings.at("execTotalTime").get<double>() * 1000,
      timings.at("execQueueTime").get<double>() * 1000,
      stats.at("seriesRead").get<int64_t>(),
      stats.at("samplesRead").get<int64_t>(),
      stats.at("samples").at("totalQueryableSamples").get<int64_t>(),
      stats.at("samples").at("peakSamples").get<int64_t>(),
      stats.at("bytesPeak").get<int64_t>(),
      stats.at("threadsMax").get<int64_t>());
  fmt::print("{:>13} {:>9} {:>11} {:>9} {:>11} {:>13}  {}\n", "time", "series",
             "samples", "read", "samples", "bytes", "part");
  if (stats.at("plan").is_object()) PrintPlan(stats.at("plan"), 0);
}

absl::StatusOr<std::string> BuildForm(const QueryOptions& options) {
  const int64_t now_ms = SystemClock().NowMs();
  std::string form;
  AppendField("query", options.expr, &form);
  AppendField("timeout", options.timeout, &form);
  if (options.explain) AppendField("stats", "all", &form);
  if (options.start.empty()) {
    if (!options.end.empty() || !options.step.empty()) {
      return absl::InvalidArgumentError(
          "--end and --step belong to a range: give --start too");
    }
    if (!options.time.empty()) {
      VIGIE_ASSIGN_OR_RETURN(const std::string time,
                             ResolveTime(options.time, now_ms));
      AppendField("time", time, &form);
    }
    return form;
  }
  if (!options.time.empty()) {
    return absl::InvalidArgumentError("--time and --start exclude each other");
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string start,
                         ResolveTime(options.start, now_ms));
  VIGIE_ASSIGN_OR_RETURN(
      const std::string end,
      ResolveTime(options.end.empty() ? "now" : options.end, now_ms));
  AppendField("start", start, &form);
  AppendField("end", end, &form);
  AppendField("step", options.step.empty() ? "1m" : options.step, &form);
  return form;
}

absl::Status Query(const QueryOptions& options) {
  VIGIE_ASSIGN_OR_RETURN(const int64_t timeout_ms,
                         ParseDurationMs(options.timeout));
  VIGIE_ASSIGN_OR_RETURN(std::string form, BuildForm(options));
  const bool has_scheme = options.http_address.find("://") != std::string::npos;
  net::HttpRequest request{
      .method = "POST",
      .url = fmt::format("{}{}/api/v1/{}", has_scheme ? "" : "http://",
                         options.http_address,
                         options.start.empty() ? "query" : "query_range"),
      .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
      .body = std::move(form),
      .timeout = absl::Milliseconds(timeout_ms) + absl::Seconds(5),
      .response_bytes_max = 1LL << 30,
  };
  net::HttpClient client;
  VIGIE_ASSIGN_OR_RETURN(const net::HttpResponse response,
                         client.Do(request, {}));
  const json answer = json::parse(response.body, nullptr,
                                  /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("status")) {
    return absl::UnavailableError(
        fmt::format("{}: answered {} with something that is no answer of the "
                    "query API",
                    options.http_address, response.status));
  }
  if (answer["status"] != "success") {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", answer.value("errorType", "error"),
                    answer.value("error", "no reason given")));
  }
  for (const char* key : {"warnings", "infos"}) {
    for (const json& text : answer.value(key, json::array())) {
      fmt::print(stderr, "vigie: {}\n", ValueText(text));
    }
  }
  if (options.explain) {
    PrintExplanation(answer.at("data"));
  } else if (options.format == "json") {
    fmt::print("{}\n", response.body);
  } else {
    PrintTable(answer.at("data"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddQuery(CLI::App& app, absl::Status* result) {
  auto options = std::make_shared<QueryOptions>();
  CLI::App* query = app.add_subcommand(
      "query", "Ask a server in PromQL: instant, or a range with --start");
  query->add_option("expr", options->expr, "The PromQL expression")->required();
  query
      ->add_option("--http", options->http_address,
                   "Address of the server's HTTP API")
      ->capture_default_str();
  query->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  query->add_option("--time", options->time,
                    "Evaluation time: now-<duration>, seconds since the epoch "
                    "or RFC 3339; default: now");
  query->add_option("--start", options->start,
                    "Start of a range, as --time; asks for a range");
  query->add_option("--end", options->end, "End of a range; default: now");
  query->add_option("--step", options->step, "Step of a range; default: 1m");
  query->add_option("--timeout", options->timeout, "How long to wait")
      ->capture_default_str();
  query->add_flag("--explain", options->explain,
                  "Show how the query was evaluated, instead of its result: a "
                  "tree with time, series, samples and bytes of each part");
  query->callback([options, result] { *result = Query(*options); });
}

}  // namespace vigie::cli
