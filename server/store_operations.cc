#include "server/store_operations.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "server/parameters.h"
#include "server/store_transfer.h"

namespace vigie::server {
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  // Paths need not be UTF-8.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::Status WrongField(std::string_view name, std::string_view want) {
  return absl::InvalidArgumentError(
      fmt::format("operation: field \"{}\": must be {}", name, want));
}

absl::Status Read(const json& value, std::string_view name, std::string* out) {
  if (!value.is_string()) return WrongField(name, "a string");
  *out = value.get<std::string>();
  return absl::OkStatus();
}

absl::Status Read(const json& value, std::string_view name,
                  std::vector<std::string>* out) {
  if (!value.is_array()) return WrongField(name, "a list of strings");
  for (const json& one : value) {
    VIGIE_RETURN_IF_ERROR(Read(one, name, &out->emplace_back()));
  }
  return absl::OkStatus();
}

absl::Status Read(const json& value, std::string_view name, int64_t* out) {
  if (!value.is_number_integer()) return WrongField(name, "a whole number");
  *out = value.get<int64_t>();
  return absl::OkStatus();
}

absl::Status ReadAbsolute(const std::string& path) {
  if (std::filesystem::path(path).is_absolute()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("\"{}\": must be an absolute path", path));
}

absl::StatusOr<std::string> Snapshot(store::Store& store,
                                     const OperationRequest& request,
                                     const store::Progress& progress) {
  VIGIE_RETURN_IF_ERROR(ReadAbsolute(request.directory));
  VIGIE_RETURN_IF_ERROR(store.Snapshot(request.directory, progress));
  return Dump(json{{"directory", request.directory}});
}

absl::StatusOr<std::string> Delete(store::Store& store,
                                   const OperationRequest& request,
                                   const store::Progress& progress) {
  store::DeleteRequest deletion;
  deletion.tenant.name = request.tenant;
  deletion.range = request.range;
  if (request.selectors.empty()) {
    return absl::InvalidArgumentError(
        "delete: no selector; {__name__=~\".+\"} is every series");
  }
  VIGIE_ASSIGN_OR_RETURN(deletion.selectors,
                         ParseOperationSelectors(request.selectors));
  VIGIE_ASSIGN_OR_RETURN(const uint64_t series,
                         store.DeleteSeries(deletion, progress));
  return Dump(json{{"series", series}});
}

json CountsJson(const std::vector<store::NamedCount>& counts) {
  json out = json::array();
  for (const store::NamedCount& one : counts) {
    out.push_back({{"name", one.name}, {"count", one.count}});
  }
  return out;
}

json GrowthJson(const std::vector<store::GrownCount>& counts) {
  json out = json::array();
  for (const store::GrownCount& one : counts) {
    out.push_back(
        {{"name", one.name}, {"before", one.before}, {"now", one.now}});
  }
  return out;
}

json TenantJson(const store::TenantReport& tenant) {
  const store::Cardinality& counts = tenant.counts;
  return {{"name", tenant.name},
          {"series", counts.series},
          {"label_pairs", counts.label_pairs},
          {"series_by_metric", CountsJson(counts.series_by_metric)},
          {"values_by_label", CountsJson(counts.values_by_label)},
          {"series_by_pair", CountsJson(counts.series_by_pair)},
          {"growth",
           {{"day", FormatRfc3339(counts.day_ms)},
            {"series", counts.series_that_day},
            {"series_the_day_before", counts.series_the_day_before},
            {"metrics", GrowthJson(counts.grown_metrics)},
            {"labels", GrowthJson(counts.grown_labels)},
            {"pairs", GrowthJson(counts.grown_pairs)}}}};
}

absl::StatusOr<std::string> Inspect(store::Store& store) {
  VIGIE_ASSIGN_OR_RETURN(const store::StoreReport report, store.Inspect());
  json tables = json::array();
  for (const store::TableReport& table : report.tables) {
    tables.push_back({{"name", table.name},
                      {"bytes", table.bytes},
                      {"files", table.files},
                      {"rows", table.rows}});
  }
  json tenants = json::array();
  for (const store::TenantReport& tenant : report.tenants) {
    tenants.push_back(TenantJson(tenant));
  }
  json rollups = json::array();
  for (const store::RollupReport& rollup : report.rollups) {
    rollups.push_back({{"resolution", FormatDurationMs(rollup.resolution_ms)},
                       {"days", rollup.days},
                       {"buckets", rollup.buckets},
                       {"bytes", rollup.bytes}});
  }
  return Dump(json{{"log_bytes", report.log_bytes},
                   {"block_bytes", report.block_bytes},
                   {"cache_bytes", report.cache_bytes},
                   {"head_series", report.head_series},
                   {"head_samples", report.head_samples},
                   {"seals", report.seals},
                   {"rollups", std::move(rollups)},
                   {"tables", std::move(tables)},
                   {"tenants", std::move(tenants)}});
}

json TransferJson(const TransferOutcome& outcome) {
  return {{"series", outcome.series},
          {"samples", outcome.samples},
          {"samples_refused", outcome.samples_refused},
          {"exemplars", outcome.exemplars},
          {"metadata", outcome.metadata}};
}

}  // namespace

std::string VerifyResult(const store::VerifyOutcome& outcome) {
  return Dump(json{{"files", outcome.files},
                   {"bytes", outcome.bytes},
                   {"series", outcome.series},
                   {"samples", outcome.samples},
                   {"damages", outcome.damages}});
}

std::string EncodeOperation(const OperationRequest& request) {
  json out{{"verb", request.verb}, {"tenant", request.tenant}};
  if (!request.directory.empty()) out["directory"] = request.directory;
  if (!request.paths.empty()) out["paths"] = request.paths;
  if (!request.selectors.empty()) out["selectors"] = request.selectors;
  if (!request.format.empty()) out["format"] = request.format;
  const TimeRange all;
  if (request.range.min_ms != all.min_ms) out["start"] = request.range.min_ms;
  if (request.range.max_ms != all.max_ms) out["end"] = request.range.max_ms;
  return Dump(out);
}

absl::StatusOr<OperationRequest> DecodeOperation(std::string_view text) {
  const json in = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!in.is_object()) {
    return absl::InvalidArgumentError("operation: must be a JSON object");
  }
  OperationRequest request;
  for (const auto& [name, value] : in.items()) {
    absl::Status status;
    if (name == "verb") {
      status = Read(value, name, &request.verb);
    } else if (name == "tenant") {
      status = Read(value, name, &request.tenant);
    } else if (name == "directory") {
      status = Read(value, name, &request.directory);
    } else if (name == "paths") {
      status = Read(value, name, &request.paths);
    } else if (name == "selectors") {
      status = Read(value, name, &request.selectors);
    } else if (name == "format") {
      status = Read(value, name, &request.format);
    } else if (name == "start") {
      status = Read(value, name, &request.range.min_ms);
    } else if (name == "end") {
      status = Read(value, name, &request.range.max_ms);
    } else {
      status = WrongField(name, "left out: it is not known");
    }
    VIGIE_RETURN_IF_ERROR(status);
  }
  if (request.verb.empty()) return WrongField("verb", "given");
  return request;
}

absl::StatusOr<std::vector<std::vector<Matcher>>> ParseOperationSelectors(
    const std::vector<std::string>& selectors) {
  std::vector<std::vector<Matcher>> parsed;
  for (const std::string& text : selectors) {
    absl::StatusOr<std::vector<Matcher>> matchers = query::ParseMatchers(text);
    if (!matchers.ok()) return Prefixed(text, matchers.status());
    bool selective = false;
    for (const Matcher& matcher : *matchers) {
      selective = selective || !matcher.MatchesEmpty();
    }
    if (!selective) {
      return absl::InvalidArgumentError(
          fmt::format("{}: must contain at least one non-empty matcher", text));
    }
    parsed.push_back(*std::move(matchers));
  }
  return parsed;
}

store::Progress ProgressTo(OperationSink& sink, std::stop_token stop) {
  store::Progress progress;
  progress.report = [&](std::string_view what, uint64_t done, uint64_t total,
                        std::string_view unit) {
    sink.OnProgress(what, done, total, unit);
  };
  progress.warn = [&](const std::string& text) { sink.OnWarning(text); };
  progress.stop = std::move(stop);
  return progress;
}

absl::StatusOr<std::string> RunOperation(store::Store& store,
                                         const OperationRequest& request,
                                         OperationSink& sink,
                                         std::stop_token stop) {
  const store::Progress progress = ProgressTo(sink, std::move(stop));
  if (request.verb == "inspect") return Inspect(store);
  if (request.verb == "snapshot") return Snapshot(store, request, progress);
  if (request.verb == "delete") return Delete(store, request, progress);
  if (request.verb == "verify") {
    VIGIE_ASSIGN_OR_RETURN(
        const store::VerifyOutcome outcome,
        store.Verify(progress, [&](const std::string& damage) {
          sink.OnWarning(damage);
        }));
    return VerifyResult(outcome);
  }
  if (request.verb == "import") {
    VIGIE_ASSIGN_OR_RETURN(const TransferOutcome outcome,
                           ImportPaths(store, request, progress));
    return Dump(TransferJson(outcome));
  }
  if (request.verb == "export") {
    VIGIE_ASSIGN_OR_RETURN(const TransferOutcome outcome,
                           ExportSeries(store, request, sink, progress));
    return Dump(TransferJson(outcome));
  }
  if (request.verb == "compact") {
    VIGIE_RETURN_IF_ERROR(store.Compact(progress));
    return Dump(json::object());
  }
  return absl::InvalidArgumentError(
      fmt::format("operation \"{}\" is not known", request.verb));
}

}  // namespace vigie::server
