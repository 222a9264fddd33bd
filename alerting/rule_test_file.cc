#include "alerting/rule_test_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/histogram_notation.h"

namespace vigie::alerting {
namespace {

// The fault with its place in the file.
template <class T>
absl::StatusOr<T> At(const yaml::Node& node, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return node.Error(MessageOf(value.status()));
}

absl::StatusOr<std::string> TextOf(const yaml::Node& node) {
  if (node.is_null()) return std::string();
  return node.AsString();
}

absl::Status ReadText(yaml::MapReader& map, std::string_view key,
                      std::string* out) {
  if (const yaml::Node* node = map.Find(key)) {
    VIGIE_ASSIGN_OR_RETURN(*out, TextOf(*node));
  }
  return absl::OkStatus();
}

absl::StatusOr<TextMap> ReadTextMap(yaml::MapReader& map,
                                    std::string_view key) {
  TextMap out;
  const yaml::Node* node = map.Find(key);
  if (node == nullptr) return out;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader entries, node->AsMap());
  for (const auto& [name, value] : entries.Entries()) {
    VIGIE_ASSIGN_OR_RETURN(out[name], TextOf(value));
  }
  return out;
}

// Items of a list; none if the key is absent or null.
absl::StatusOr<std::vector<yaml::Node>> ReadItems(yaml::MapReader& map,
                                                  std::string_view key) {
  const yaml::Node* node = map.Find(key);
  if (node == nullptr) return std::vector<yaml::Node>();
  return node->AsSequence();
}

// Seconds since the epoch, or RFC 3339.
absl::StatusOr<int64_t> ReadStart(const yaml::Node& node) {
  if (const auto seconds = node.AsDouble(); seconds.ok()) {
    const double ms = *seconds * 1000;
    if (std::fabs(ms) < 9e15) return static_cast<int64_t>(std::llround(ms));
    return node.Error("a start_timestamp beyond what a time can say");
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string text, node.AsString());
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return node.Error("start_timestamp: expected seconds or an RFC 3339 time");
  }
  return absl::ToUnixMillis(time);
}

// What YAML has for numbers that are none: .nan, .inf.
absl::StatusOr<double> ReadNumber(const yaml::Node& node) {
  if (node.is_null()) return 0.0;
  if (node.is_scalar()) {
    VIGIE_ASSIGN_OR_RETURN(std::string text, node.AsString());
    for (char& c : text) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
    constexpr double kInf = std::numeric_limits<double>::infinity();
    if (text == ".nan") return std::numeric_limits<double>::quiet_NaN();
    if (text == ".inf" || text == "+.inf") return kInf;
    if (text == "-.inf") return -kInf;
  }
  return node.AsDouble();
}

absl::Status ReadSeries(const yaml::Node& node, RuleTest* test) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  query::NotedSeries series;
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node metric, map.Require("series"));
  VIGIE_ASSIGN_OR_RETURN(const std::string metric_text, metric.AsString());
  VIGIE_ASSIGN_OR_RETURN(series.labels,
                         At(metric, query::ParseSeriesLabels(metric_text)));
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node values, map.Require("values"));
  VIGIE_ASSIGN_OR_RETURN(const std::string values_text, TextOf(values));
  VIGIE_ASSIGN_OR_RETURN(series.values,
                         At(values, query::ParseStepValues(values_text)));
  query::SetResetHints(&series.values);
  VIGIE_RETURN_IF_ERROR(map.Finish());
  // A later item of the same series replaces the earlier one.
  const auto same = std::find_if(
      test->series.begin(), test->series.end(),
      [&](const auto& other) { return other.labels == series.labels; });
  if (same == test->series.end()) {
    test->series.push_back(std::move(series));
  } else {
    *same = std::move(series);
  }
  return absl::OkStatus();
}

absl::Status ReadEvalTime(yaml::MapReader& map, int64_t* out) {
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("eval_time", out));
  if (*out >= 0) return absl::OkStatus();
  return map.Find("eval_time")->Error("must not be negative");
}

absl::StatusOr<AlertCheck> ReadAlertCheck(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  AlertCheck check;
  check.place = node.place();
  VIGIE_RETURN_IF_ERROR(ReadEvalTime(map, &check.eval_time_ms));
  VIGIE_RETURN_IF_ERROR(ReadText(map, "alertname", &check.alertname));
  if (check.alertname.empty()) {
    return node.Error("an item of alert_rule_test needs an alertname");
  }
  VIGIE_ASSIGN_OR_RETURN(const auto items, ReadItems(map, "exp_alerts"));
  for (const yaml::Node& item : items) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader fields, item.AsMap());
    ExpectedAlert alert;
    VIGIE_ASSIGN_OR_RETURN(alert.labels, ReadTextMap(fields, "exp_labels"));
    VIGIE_ASSIGN_OR_RETURN(alert.annotations,
                           ReadTextMap(fields, "exp_annotations"));
    VIGIE_RETURN_IF_ERROR(fields.Finish());
    alert.labels["alertname"] = check.alertname;
    check.expected.push_back(std::move(alert));
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return check;
}

// The text of the one that is noted there; "" if nothing is.
absl::StatusOr<std::string> ReadHistogram(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, TextOf(node));
  VIGIE_ASSIGN_OR_RETURN(const query::StepValues values,
                         At(node, query::ParseStepValues(text)));
  if (values.empty()) return std::string();
  const auto* histogram = values.size() == 1 && values[0].has_value()
                              ? std::get_if<FloatHistogram>(&*values[0])
                              : nullptr;
  if (histogram == nullptr) return node.Error("expected one {{...}}");
  return query::HistogramNotation(*histogram);
}

absl::StatusOr<ExprCheck> ReadExprCheck(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  ExprCheck check;
  check.place = node.place();
  VIGIE_RETURN_IF_ERROR(ReadText(map, "expr", &check.expr));
  VIGIE_RETURN_IF_ERROR(ReadEvalTime(map, &check.eval_time_ms));
  VIGIE_ASSIGN_OR_RETURN(const auto items, ReadItems(map, "exp_samples"));
  for (const yaml::Node& item : items) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader fields, item.AsMap());
    ExpectedSample sample;
    if (const yaml::Node* labels = fields.Find("labels")) {
      VIGIE_ASSIGN_OR_RETURN(const std::string text, TextOf(*labels));
      if (text.find_first_not_of(" \t\n") != std::string::npos) {
        VIGIE_ASSIGN_OR_RETURN(sample.labels,
                               At(*labels, query::ParseSeriesLabels(text)));
      }
    }
    if (const yaml::Node* histogram = fields.Find("histogram")) {
      VIGIE_ASSIGN_OR_RETURN(sample.histogram, ReadHistogram(*histogram));
    }
    if (const yaml::Node* value = fields.Find("value")) {
      VIGIE_ASSIGN_OR_RETURN(sample.value, ReadNumber(*value));
      if (sample.value != 0 && !sample.histogram.empty()) {
        return value->Error("a value beside a histogram");
      }
    }
    VIGIE_RETURN_IF_ERROR(fields.Finish());
    check.expected.push_back(std::move(sample));
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return check;
}

absl::StatusOr<RuleTest> ReadTest(const yaml::Node& node,
                                  int64_t default_interval_ms) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  RuleTest test;
  test.place = node.place();
  test.interval_ms = default_interval_ms;
  VIGIE_RETURN_IF_ERROR(ReadText(map, "name", &test.name));
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("interval", &test.interval_ms));
  if (test.interval_ms <= 0) test.interval_ms = default_interval_ms;
  if (const yaml::Node* start = map.Find("start_timestamp");
      start != nullptr && !start->is_null()) {
    VIGIE_ASSIGN_OR_RETURN(test.start_ms, ReadStart(*start));
  }
  VIGIE_ASSIGN_OR_RETURN(const auto series, ReadItems(map, "input_series"));
  for (const yaml::Node& item : series) {
    VIGIE_RETURN_IF_ERROR(ReadSeries(item, &test));
  }
  VIGIE_ASSIGN_OR_RETURN(const auto alerts, ReadItems(map, "alert_rule_test"));
  for (const yaml::Node& item : alerts) {
    VIGIE_ASSIGN_OR_RETURN(test.alerts.emplace_back(), ReadAlertCheck(item));
  }
  VIGIE_ASSIGN_OR_RETURN(const auto exprs, ReadItems(map, "promql_expr_test"));
  for (const yaml::Node& item : exprs) {
    VIGIE_ASSIGN_OR_RETURN(test.exprs.emplace_back(), ReadExprCheck(item));
  }
  VIGIE_ASSIGN_OR_RETURN(const TextMap labels,
                         ReadTextMap(map, "external_labels"));
  test.external_labels.assign(labels.begin(), labels.end());
  VIGIE_RETURN_IF_ERROR(ReadText(map, "external_url", &test.external_url));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return test;
}

}  // namespace

absl::StatusOr<RuleTestFile> ParseRuleTestFile(const yaml::Node& root) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, root.AsMap());
  RuleTestFile file;
  if (const yaml::Node* patterns = map.Find("rule_files")) {
    VIGIE_ASSIGN_OR_RETURN(file.rule_files, patterns->AsStrings());
  }
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("evaluation_interval", &file.evaluation_interval_ms));
  if (file.evaluation_interval_ms <= 0) file.evaluation_interval_ms = 60'000;
  VIGIE_RETURN_IF_ERROR(map.Read("fuzzy_compare", &file.fuzzy_compare));
  if (const yaml::Node* order = map.Find("group_eval_order")) {
    VIGIE_ASSIGN_OR_RETURN(file.group_eval_order, order->AsStrings());
    std::set<std::string> seen;
    for (const std::string& name : file.group_eval_order) {
      if (!seen.insert(name).second) {
        return order->Error(
            fmt::format("group name repeated in evaluation order: {}", name));
      }
    }
  }
  VIGIE_ASSIGN_OR_RETURN(const auto tests, ReadItems(map, "tests"));
  for (const yaml::Node& node : tests) {
    VIGIE_ASSIGN_OR_RETURN(file.tests.emplace_back(),
                           ReadTest(node, file.evaluation_interval_ms));
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return file;
}

}  // namespace vigie::alerting
