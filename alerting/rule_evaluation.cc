#include "alerting/rule_evaluation.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"

namespace vigie::alerting {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kAlertName = "alertname";

TemplateValue ValueOf(const Labels& labels) {
  TemplateMap map;
  for (const LabelView& label : labels) {
    map.emplace(label.name, std::string(label.value));
  }
  return TemplateValue::OfMap(std::move(map));
}

double FloatOf(const query::VectorElement& element) {
  return element.histogram.empty() ? element.sample.value : 0;
}

// What `query` gives in a template.
absl::StatusOr<TemplateValue> RunForTemplate(const RuleContext& context,
                                             const std::string& expr,
                                             int64_t time_ms,
                                             const std::stop_token& stop) {
  VIGIE_ASSIGN_OR_RETURN(const query::Vector vector,
                         RunExpression(context, expr, time_ms, stop));
  std::vector<TemplateValue> items;
  for (const query::VectorElement& element : vector) {
    TemplateMap item;
    item.emplace("Labels", ValueOf(element.labels));
    item.emplace("Value", TemplateValue(FloatOf(element)));
    items.push_back(TemplateValue::OfMap(std::move(item)));
  }
  return TemplateValue::OfList(std::move(items));
}

// Expands the templates of one element.
class Expander {
 public:
  Expander(const RuleContext& context, const TemplateSet& templates,
           const query::VectorElement& element, int64_t time_ms,
           const std::stop_token& stop)
      : templates_(templates) {
    TemplateValue labels = ValueOf(element.labels);
    TemplateValue external = TemplateValue::OfPairs(context.external_labels);
    const TemplateValue value(FloatOf(element));
    const TemplateValue url(context.external_url);
    data_ = TemplateValue::OfMap({{"Labels", labels},
                                  {"ExternalLabels", external},
                                  {"ExternalURL", url},
                                  {"Value", value}});
    template_context_.now_ms = time_ms;
    template_context_.external_url = context.external_url;
    template_context_.query = [&context, time_ms,
                               stop](const std::string& expr) {
      return RunForTemplate(context, expr, time_ms, stop);
    };
    template_context_.variables = {{"labels", std::move(labels)},
                                   {"externalLabels", std::move(external)},
                                   {"externalURL", url},
                                   {"value", value}};
  }

  std::string Expand(const std::string& text) const {
    if (text.find("{{") == std::string::npos) return text;
    auto expanded = templates_.Execute(text, data_, template_context_,
                                       TemplateOutput::kText);
    if (expanded.ok()) return *std::move(expanded);
    return fmt::format("<error expanding template: {}>",
                       MessageOf(expanded.status()));
  }

 private:
  const TemplateSet& templates_;
  TemplateValue data_;
  TemplateContext template_context_;
};

// As Go's url.QueryEscape.
std::string QueryEscaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                       c == '.' || c == '~';
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<query::Vector> RunExpression(const RuleContext& context,
                                            const std::string& expr,
                                            int64_t time_ms,
                                            std::stop_token stop) {
  query::InstantQuery query;
  query.query = expr;
  query.time_ms = time_ms;
  query.stop = std::move(stop);
  VIGIE_ASSIGN_OR_RETURN(query::QueryResult result, context.engine.Run(query));
  if (auto* vector = std::get_if<query::Vector>(&result.value)) {
    return std::move(*vector);
  }
  if (const auto* scalar = std::get_if<query::Scalar>(&result.value)) {
    return query::Vector{{Labels(), scalar->sample, {}}};
  }
  return absl::FailedPreconditionError("rule result is not a vector or scalar");
}

absl::StatusOr<query::Vector> RecordedSamples(const RuleSpec& rule,
                                              query::Vector vector,
                                              int64_t limit) {
  std::set<std::string_view> seen;
  for (query::VectorElement& element : vector) {
    LabelsBuilder builder(element.labels);
    builder.Set(kMetricName, rule.name);
    for (const auto& [name, value] : rule.labels) builder.Set(name, value);
    element.labels = builder.Build();
  }
  for (const query::VectorElement& element : vector) {
    if (!seen.insert(element.labels.bytes()).second) {
      return absl::FailedPreconditionError(
          "vector contains metrics with the same labelset after applying rule "
          "labels");
    }
  }
  if (limit > 0 && static_cast<int64_t>(vector.size()) > limit) {
    return absl::FailedPreconditionError(fmt::format(
        "exceeded limit of {} with {} series", limit, vector.size()));
  }
  return vector;
}

absl::StatusOr<AlertElements> ExpandAlerts(const RuleContext& context,
                                           const TemplateSet& templates,
                                           const RuleSpec& rule,
                                           const query::Vector& vector,
                                           int64_t time_ms,
                                           std::stop_token stop) {
  AlertElements out;
  for (const query::VectorElement& element : vector) {
    const Expander expander(context, templates, element, time_ms, stop);
    LabelsBuilder builder(element.labels);
    builder.Remove(kMetricName);
    for (const auto& [name, text] : rule.labels) {
      builder.Set(name, expander.Expand(text));
    }
    builder.Set(kAlertName, rule.name);
    AlertElement alert{.value = FloatOf(element), .annotations = {}};
    for (const auto& [name, text] : rule.annotations) {
      alert.annotations.emplace_back(name, expander.Expand(text));
    }
    if (!out.try_emplace(builder.Build(), std::move(alert)).second) {
      return absl::FailedPreconditionError(
          "vector contains metrics with the same labelset after applying "
          "alert labels");
    }
  }
  return out;
}

Labels StateSeries(const Labels& alert, AlertState state) {
  return LabelsBuilder(alert)
      .Set(kMetricName, "ALERTS")
      .Set("alertstate", AlertStateName(state))
      .Build();
}

Labels ForStateSeries(const Labels& alert) {
  return LabelsBuilder(alert).Set(kMetricName, "ALERTS_FOR_STATE").Build();
}

std::string GeneratorUrl(const RuleContext& context, const RuleSpec& rule) {
  const auto parsed = query::ParseExpr(rule.expr, {.experimental = true});
  return fmt::format(
      "{}/graph?g0.expr={}&g0.tab=1", context.external_url,
      QueryEscaped(parsed.ok() ? query::PrintExpr(**parsed) : rule.expr));
}

Labels WithExternalLabels(const RuleContext& context, const Labels& labels) {
  LabelsBuilder builder(labels);
  for (const auto& [name, value] : context.external_labels) {
    if (builder.Get(name).empty()) builder.Set(name, value);
  }
  return builder.Build();
}

}  // namespace vigie::alerting
