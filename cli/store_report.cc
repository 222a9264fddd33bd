#include "cli/store_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/progress_line.h"

namespace vigie::cli {
namespace {

using nlohmann::json;

uint64_t Number(const json& object, const char* name) {
  return object.contains(name) && object[name].is_number_unsigned()
             ? object[name].get<uint64_t>()
             : 0;
}

void AppendAmount(const json& report, const char* name, const char* title,
                  const char* unit, std::string* out) {
  if (!report.contains(name)) return;
  *out +=
      fmt::format("{:<14}{}\n", title, AmountText(Number(report, name), unit));
}

void AppendRollups(const json& rollups, std::string* out) {
  for (const json& rollup : rollups) {
    *out += fmt::format("{:<14}{}: {} days, {} buckets, {}\n", "rollups",
                        rollup.value("resolution", std::string()),
                        Number(rollup, "days"),
                        AmountText(Number(rollup, "buckets"), ""),
                        AmountText(Number(rollup, "bytes"), "bytes"));
  }
}

void AppendTables(const json& tables, std::string* out) {
  *out += fmt::format("\n{:<24}{:>12}{:>8}{:>12}\n", "table", "bytes", "files",
                      "rows, est.");
  for (const json& table : tables) {
    *out += fmt::format(
        "{:<24}{:>12}{:>8}{:>12}\n", table.value("name", std::string()),
        AmountText(Number(table, "bytes"), "bytes"), Number(table, "files"),
        AmountText(Number(table, "rows"), ""));
  }
}

std::string Text(const json& object, const char* name) {
  return object.contains(name) && object[name].is_string()
             ? object[name].get<std::string>()
             : "";
}

json List(const json& object, const char* name) {
  return object.contains(name) && object[name].is_array() ? object[name]
                                                          : json::array();
}

// Names last: some are long.
void AppendCounts(const json& counts, const char* title, std::string* out) {
  if (counts.empty()) return;
  *out += fmt::format("  {}\n", title);
  for (const json& one : counts) {
    *out +=
        fmt::format("{:>14}  {}\n", Number(one, "count"), Text(one, "name"));
  }
}

void AppendGrowth(const json& counts, const std::string& title,
                  std::string* out) {
  if (counts.empty()) return;
  *out += fmt::format("  {}\n", title);
  for (const json& one : counts) {
    const uint64_t now = Number(one, "now"), before = Number(one, "before");
    *out += fmt::format("{:>14}  {}\n", fmt::format("{} from {}", now, before),
                        Text(one, "name"));
  }
}

// The totals of all tenants, and more of the largest few.
void AppendTenants(const json& tenants, std::string* out) {
  constexpr size_t kDetailedMax = 3;
  *out += fmt::format("\n{:>14}{:>14}{:>14}  {}\n", "active series",
                      "newest day", "day before", "tenant");
  for (const json& tenant : tenants) {
    const json growth = tenant.value("growth", json::object());
    *out += fmt::format("{:>14}{:>14}{:>14}  {}\n", Number(tenant, "series"),
                        Number(growth, "series"),
                        Number(growth, "series_the_day_before"),
                        Text(tenant, "name"));
  }
  size_t detailed = 0;
  for (const json& tenant : tenants) {
    if (++detailed > kDetailedMax) break;
    *out += fmt::format("\ntenant {}\n", Text(tenant, "name"));
    AppendCounts(List(tenant, "series_by_metric"), "active series by metric",
                 out);
    AppendCounts(List(tenant, "values_by_label"), "values by label", out);
    AppendCounts(List(tenant, "series_by_pair"), "active series by label pair",
                 out);
    const json growth = tenant.value("growth", json::object());
    const std::string day = Text(growth, "day").substr(0, 10);
    AppendGrowth(List(growth, "metrics"),
                 fmt::format("grown on {}: series by metric", day), out);
    AppendGrowth(List(growth, "labels"),
                 fmt::format("grown on {}: values by label", day), out);
    AppendGrowth(List(growth, "pairs"),
                 fmt::format("grown on {}: series by label pair", day), out);
  }
}

}  // namespace

std::string RenderStoreReport(std::string_view text) {
  const json report = json::parse(text, nullptr, false);
  std::string out;
  if (!report.is_object()) return out;
  AppendAmount(report, "block_bytes", "blocks", "bytes", &out);
  AppendAmount(report, "log_bytes", "log", "bytes", &out);
  AppendAmount(report, "cache_bytes", "cache", "bytes", &out);
  AppendAmount(report, "seals", "seals", "", &out);
  AppendAmount(report, "head_series", "head series", "", &out);
  AppendAmount(report, "head_samples", "head samples", "", &out);
  if (report.contains("rollups")) AppendRollups(report["rollups"], &out);
  if (report.contains("tables")) AppendTables(report["tables"], &out);
  if (const json tenants = List(report, "tenants"); !tenants.empty()) {
    AppendTenants(tenants, &out);
  }
  return out;
}

}  // namespace vigie::cli
