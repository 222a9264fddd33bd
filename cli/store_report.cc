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

}  // namespace

std::string RenderStoreReport(std::string_view text) {
  const json report = json::parse(text, nullptr, false);
  std::string out;
  if (!report.is_object()) return out;
  AppendAmount(report, "block_bytes", "blocks", "bytes", &out);
  AppendAmount(report, "log_bytes", "log", "bytes", &out);
  AppendAmount(report, "seals", "seals", "", &out);
  AppendAmount(report, "head_series", "head series", "", &out);
  AppendAmount(report, "head_samples", "head samples", "", &out);
  if (report.contains("tables")) AppendTables(report["tables"], &out);
  return out;
}

}  // namespace vigie::cli
