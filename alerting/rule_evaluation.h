// One evaluation of one rule, without state: from an expression to the samples
// of a recording rule or the elements of an alerting rule.
// Source: Prometheus 3, rules (RecordingRule.Eval, AlertingRule.Eval).
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/rule_file.h"
#include "alerting/rule_group.h"
#include "alerting/template/template.h"
#include "model/labels.h"
#include "query/value.h"

namespace vigie::alerting {

// What an alerting rule's expression gave at one time, by the alert's labels.
struct AlertElement {
  double value = 0;
  std::vector<std::pair<std::string, std::string>> annotations;
};
using AlertElements = std::map<Labels, AlertElement>;

// The expression as an instant vector; a scalar is one element without labels.
// The engine's errors; kFailedPrecondition for any other kind of value.
absl::StatusOr<query::Vector> RunExpression(const RuleContext& context,
                                            const std::string& expr,
                                            int64_t time_ms,
                                            std::stop_token stop);

// Name and labels of the rule put on. kFailedPrecondition, worded as in
// Prometheus, for two equal label sets, or more than `limit` (0: none).
absl::StatusOr<query::Vector> RecordedSamples(const RuleSpec& rule,
                                              query::Vector vector,
                                              int64_t limit);

// Labels and annotations expanded; a template that fails is replaced by text
// that says why. kFailedPrecondition for two equal label sets.
absl::StatusOr<AlertElements> ExpandAlerts(const RuleContext& context,
                                           const TemplateSet& templates,
                                           const RuleSpec& rule,
                                           const query::Vector& vector,
                                           int64_t time_ms,
                                           std::stop_token stop);

// ALERTS{alertname, alertstate, ...} and ALERTS_FOR_STATE{alertname, ...}.
Labels StateSeries(const Labels& alert, AlertState state);
Labels ForStateSeries(const Labels& alert);

// Where a person finds the expression: EXTERNAL_URL/graph?g0.expr=...&g0.tab=1.
std::string GeneratorUrl(const RuleContext& context, const RuleSpec& rule);

// The labels an alert leaves vigie with: an external label yields to its own.
Labels WithExternalLabels(const RuleContext& context, const Labels& labels);

}  // namespace vigie::alerting
