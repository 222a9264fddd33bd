// features: what this server has, so that editors offer no more.
// Source: Prometheus 3.8, /api/v1/features; snake_case, by category.
#include <initializer_list>
#include <string_view>
#include <utility>

#include "query/parser/functions.h"
#include "server/api_v1.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

using Features = std::initializer_list<std::pair<std::string_view, bool>>;

void Append(std::string_view name, bool has, std::string* out) {
  if (out->back() != '{') *out += ',';
  *out += '"';
  *out += name;
  *out += has ? "\":true" : "\":false";
}

void Begin(std::string_view category, std::string* out) {
  if (out->back() != '{') *out += ',';
  *out += '"';
  *out += category;
  *out += "\":{";
}

void AppendCategory(std::string_view category, const Features& features,
                    std::string* out) {
  Begin(category, out);
  for (const auto& [name, has] : features) Append(name, has, out);
  *out += '}';
}

}  // namespace

ApiV1::Answer ApiV1::Features(const HttpRequest&, const Form&) {
  const bool experimental = dependencies_.experimental;
  std::string data = "{";
  AppendCategory("api",
                 {{"admin", options_.admin_api},
                  {"exclude_alerts", true},
                  {"label_values_match", true},
                  {"lifecycle", dependencies_.reload != nullptr},
                  {"otlp_write_receiver", false},
                  {"query_infos", true},
                  {"query_stats", true},
                  {"query_warnings", true},
                  {"remote_read", options_.remote_read},
                  {"remote_write_receiver", true}},
                 &data);
  AppendCategory("promql",
                 {{"anchored", experimental},
                  {"at_modifier", true},
                  {"bool", true},
                  {"by", true},
                  {"delayed_name_removal", true},
                  {"duration_expr", experimental},
                  {"fill", experimental},
                  {"group_left", true},
                  {"group_right", true},
                  {"ignoring", true},
                  {"negative_offset", true},
                  {"offset", true},
                  {"on", true},
                  {"per_query_lookback_delta", true},
                  {"smoothed", experimental},
                  {"subqueries", true},
                  {"utf8_names", true},
                  {"without", true}},
                 &data);
  Begin("promql_functions", &data);
  for (const query::Function* function : query::AllFunctions()) {
    Append(function->name, experimental || !function->experimental, &data);
  }
  data += '}';
  AppendCategory("promql_operators",
                 {{"!=", true},
                  {"%", true},
                  {"*", true},
                  {"+", true},
                  {"-", true},
                  {"/", true},
                  {"<", true},
                  {"<=", true},
                  {"==", true},
                  {">", true},
                  {">=", true},
                  {"^", true},
                  {"and", true},
                  {"atan2", true},
                  {"avg", true},
                  {"bottomk", true},
                  {"count", true},
                  {"count_values", true},
                  {"group", true},
                  {"limit_ratio", experimental},
                  {"limitk", experimental},
                  {"max", true},
                  {"min", true},
                  {"or", true},
                  {"quantile", true},
                  {"stddev", true},
                  {"stdvar", true},
                  {"sum", true},
                  {"topk", true},
                  {"unless", true}},
                 &data);
  return SuccessAnswer(std::move(data) + "}");
}

}  // namespace vigie::server
