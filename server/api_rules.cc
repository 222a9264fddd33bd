// rules and alerts.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "alerting/alert.h"
#include "alerting/rule_runner.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

using alerting::ActiveAlert;
using alerting::RuleGroupStatus;
using alerting::RuleSpec;
using alerting::RuleStatus;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// What a request wants to see.
struct RulesRequest {
  bool alerting = true;
  bool recording = true;
  bool alerts = true;                        // their active elements
  std::vector<std::string_view> rule_names;  // empty: all
  std::vector<std::string_view> groups;
  std::vector<std::string_view> files;
  std::vector<std::vector<Matcher>> selectors;
  int64_t groups_max = 0;  // 0: no pages
  std::string_view next_token;
};

// What Go's strconv.ParseBool takes.
std::optional<bool> ParseBool(std::string_view text) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

absl::Status BadParameter(std::string_view name, std::string_view message) {
  return InvalidParameter(name, absl::InvalidArgumentError(ToAbsl(message)));
}

absl::Status ReadPage(const Form& form, RulesRequest* out) {
  const std::string_view limit = form.Get("group_limit");
  out->next_token = form.Get("group_next_token");
  if (limit.empty()) {
    if (out->next_token.empty()) return absl::OkStatus();
    return BadParameter("group_next_token",
                        "group_limit needs to be present in order to paginate "
                        "over the groups");
  }
  int32_t groups_max = 0;
  const auto [end, error] =
      std::from_chars(limit.data(), limit.data() + limit.size(), groups_max);
  if (error != std::errc() || end != limit.data() + limit.size()) {
    return BadParameter("group_limit",
                        fmt::format("group_limit needs to be a valid number: "
                                    "strconv.ParseInt: parsing {}: invalid "
                                    "syntax",
                                    Quoted(limit)));
  }
  if (groups_max <= 0) {
    return BadParameter("group_limit",
                        "group_limit needs to be greater than 0");
  }
  out->groups_max = groups_max;
  return absl::OkStatus();
}

absl::StatusOr<RulesRequest> ReadRulesRequest(const HttpRequest& request,
                                              const Form& form,
                                              const Clock& clock) {
  RulesRequest out;
  std::string type(form.Get("type"));
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (!type.empty() && type != "alert" && type != "record") {
    return BadParameter("type",
                        fmt::format("not supported value {}", Quoted(type)));
  }
  out.alerting = type != "record";
  out.recording = type != "alert";
  if (const std::string_view text = form.Get("exclude_alerts"); !text.empty()) {
    const std::optional<bool> exclude = ParseBool(text);
    if (!exclude) {
      return BadParameter("exclude_alerts",
                          fmt::format("error converting exclude_alerts: "
                                      "strconv.ParseBool: parsing {}: invalid "
                                      "syntax",
                                      Quoted(text)));
    }
    out.alerts = !*exclude;
  }
  VIGIE_RETURN_IF_ERROR(ReadPage(form, &out));
  VIGIE_ASSIGN_OR_RETURN(out.selectors, ReadSelectors(request, form, clock));
  out.rule_names = form.GetAll("rule_name[]");
  out.groups = form.GetAll("rule_group[]");
  out.files = form.GetAll("file[]");
  return out;
}

bool Among(const std::vector<std::string_view>& wanted,
           std::string_view value) {
  return wanted.empty() ||
         std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool Wants(const RulesRequest& request, const RuleSpec& rule) {
  const bool kind = rule.kind == RuleSpec::Kind::kAlerting ? request.alerting
                                                           : request.recording;
  if (!kind || !Among(request.rule_names, rule.name)) return false;
  if (request.selectors.empty()) return true;
  LabelsBuilder labels;
  for (const auto& [name, value] : rule.labels) labels.Set(name, value);
  const Labels built = labels.Build();
  return std::any_of(
      request.selectors.begin(), request.selectors.end(),
      [&](const auto& matchers) { return MatchesAll(matchers, built); });
}

// Names a group in the pages of a listing.
std::string TokenOf(const RuleGroupStatus& group) {
  return alerting::Fingerprint(
      {{"file", group.spec.file}, {"group", group.spec.name}});
}

// As Go prints %e with the shortest digits: 0.5 is 5e-01.
std::string ExponentText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value,
                                 std::chars_format::scientific)
                       .ptr;
  return std::string(text, end);
}

void AppendPairs(const Pairs& pairs, std::string* out) {
  *out += '{';
  for (const auto& [name, value] : pairs) AppendJsonField(name, value, out);
  *out += '}';
}

void AppendSeconds(std::string_view name, double seconds, std::string* out) {
  *out += fmt::format(",\"{}\":", name);
  AppendFloatText(seconds, out);
}

void AppendTime(std::string_view name, int64_t time_ms, std::string* out) {
  AppendJsonField(
      name, time_ms == 0 ? std::string(kNeverTime) : FormatRfc3339(time_ms),
      out);
}

void AppendAlert(const ActiveAlert& alert, std::string* out) {
  *out += "{\"labels\":";
  AppendLabels(alert.labels, out);
  *out += ",\"annotations\":";
  AppendPairs(alert.annotations, out);
  AppendJsonField("state", alerting::AlertStateName(alert.state), out);
  AppendTime("activeAt", alert.active_at_ms, out);
  if (alert.keep_firing_since_ms != 0) {
    AppendTime("keepFiringSince", alert.keep_firing_since_ms, out);
  }
  AppendJsonField("value", ExponentText(alert.value), out);
  *out += '}';
}

// Appends a separator unless the list has just begun.
void AppendComma(std::string* out) {
  if (out->back() != '[') *out += ',';
}

void AppendRule(const RuleStatus& rule, bool alerts, std::string* out) {
  const bool alerting = rule.spec.kind == RuleSpec::Kind::kAlerting;
  const auto expr = query::ParseExpr(rule.spec.expr, {.experimental = true});
  *out += '{';
  if (alerting) {
    AppendJsonField("state", alerting::AlertStateName(rule.state), out);
  }
  AppendJsonField("name", rule.spec.name, out);
  AppendJsonField("query",
                  expr.ok() ? query::PrintExpr(**expr) : rule.spec.expr, out);
  if (alerting) {
    AppendSeconds("duration", static_cast<double>(rule.spec.for_ms) / 1e3, out);
    AppendSeconds("keepFiringFor",
                  static_cast<double>(rule.spec.keep_firing_for_ms) / 1e3, out);
  }
  if (alerting || !rule.spec.labels.empty()) {
    *out += ",\"labels\":";
    AppendPairs(rule.spec.labels, out);
  }
  if (alerting) {
    *out += ",\"annotations\":";
    AppendPairs(rule.spec.annotations, out);
    *out += ",\"alerts\":";
    *out += alerts ? "[" : "null";
    if (alerts) {
      for (const ActiveAlert& alert : rule.alerts) {
        AppendComma(out);
        AppendAlert(alert, out);
      }
      *out += ']';
    }
  }
  AppendJsonField("health", rule.health, out);
  if (!rule.last_error.empty()) {
    AppendJsonField("lastError", rule.last_error, out);
  }
  AppendSeconds("evaluationTime", static_cast<double>(rule.evaluation_ns) / 1e9,
                out);
  AppendTime("lastEvaluation", rule.last_evaluation_ms, out);
  AppendJsonField("type", alerting ? "alerting" : "recording", out);
  *out += '}';
}

// False, and nothing appended, if the request wants none of its rules.
bool AppendGroup(const RulesRequest& request, const RuleGroupStatus& group,
                 std::string* out) {
  std::string rules = "[";
  for (const RuleStatus& rule : group.rules) {
    if (!Wants(request, rule.spec)) continue;
    AppendComma(&rules);
    AppendRule(rule, request.alerts, &rules);
  }
  if (rules == "[") return false;
  AppendComma(out);
  *out += '{';
  AppendJsonField("name", group.spec.name, out);
  AppendJsonField("file", group.spec.file, out);
  *out += ",\"rules\":" + rules + "]";
  AppendSeconds("interval", static_cast<double>(group.interval_ms) / 1e3, out);
  *out += fmt::format(",\"limit\":{}", group.spec.limit);
  AppendSeconds("evaluationTime",
                static_cast<double>(group.evaluation_ns) / 1e9, out);
  AppendTime("lastEvaluation", group.last_evaluation_ms, out);
  *out += '}';
  return true;
}

}  // namespace

ApiV1::Answer ApiV1::Rules(const HttpRequest& http, const Form& form) {
  VIGIE_ASSIGN_OR_RETURN(const RulesRequest request,
                         ReadRulesRequest(http, form, dependencies_.clock));
  std::vector<RuleGroupStatus> groups;
  if (dependencies_.rules != nullptr) groups = dependencies_.rules->Groups();
  std::string data = "{\"groups\":[";
  std::string next_token;
  bool found = request.next_token.empty();
  int64_t listed = 0;
  for (const RuleGroupStatus& group : groups) {
    found = found || TokenOf(group) == request.next_token;
    if (!found || !Among(request.groups, group.spec.name) ||
        !Among(request.files, group.spec.file)) {
      continue;
    }
    const size_t size = data.size();
    if (!AppendGroup(request, group, &data)) continue;
    if (request.groups_max > 0 && ++listed > request.groups_max) {
      data.resize(size);
      next_token = TokenOf(group);
      break;
    }
  }
  if (!found) {
    return BadParameter(
        "group_next_token",
        fmt::format("invalid group_next_token '{}'. were rule groups changed?",
                    request.next_token));
  }
  data += ']';
  if (!next_token.empty()) AppendJsonField("groupNextToken", next_token, &data);
  return SuccessAnswer(std::move(data) + "}");
}

ApiV1::Answer ApiV1::Alerts(const HttpRequest&, const Form&) {
  std::vector<RuleGroupStatus> groups;
  if (dependencies_.rules != nullptr) groups = dependencies_.rules->Groups();
  std::string data = "{\"alerts\":[";
  for (const RuleGroupStatus& group : groups) {
    for (const RuleStatus& rule : group.rules) {
      for (const ActiveAlert& alert : rule.alerts) {
        AppendComma(&data);
        AppendAlert(alert, &data);
      }
    }
  }
  return SuccessAnswer(std::move(data) + "]}");
}

}  // namespace vigie::server
