// The functions of rule files.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "alerting/template/functions.h"
#include "alerting/template/go_print.h"
#include "alerting/template/go_time.h"
#include "alerting/template/html.h"
#include "alerting/template/humanize.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

using Variant = TemplateValue::Variant;

TemplateValue Number(double value) { return Variant(value); }

absl::StatusOr<TemplateValue> Query(const Call& call,
                                    const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string expr, StringArgument(arguments, 0));
  if (call.context.query == nullptr) {
    return absl::InvalidArgumentError("there is nothing to query here");
  }
  return call.context.query(expr);
}

absl::StatusOr<const TemplateList*> SamplesArgument(const Arguments& arguments,
                                                    size_t index) {
  const auto* list = arguments[index].As<TemplateValue::List>();
  if (list == nullptr) {
    return WrongArgument(arguments, index, "list of samples");
  }
  return list->get();
}

// What a sample of `query` has under `name`.
absl::StatusOr<TemplateValue> PartOf(const TemplateValue& sample,
                                     std::string_view name) {
  const auto* map = sample.As<TemplateValue::Map>();
  if (map != nullptr) {
    const auto found = (*map)->find(std::string(name));
    if (found != (*map)->end()) return found->second;
  }
  return absl::InvalidArgumentError(
      fmt::format("a {} is no sample of a query", KindName(sample)));
}

absl::StatusOr<std::string> LabelOf(const TemplateValue& sample,
                                    const std::string& name) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateValue labels, PartOf(sample, "Labels"));
  const auto* map = labels.As<TemplateValue::Map>();
  if (map == nullptr) {
    return absl::InvalidArgumentError("a sample without labels");
  }
  const auto found = (*map)->find(name);
  const auto* text =
      found == (*map)->end() ? nullptr : found->second.As<std::string>();
  return text == nullptr ? std::string() : *text;
}

absl::StatusOr<TemplateValue> First(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateList* samples,
                         SamplesArgument(arguments, 0));
  if (samples->items.empty()) {
    return absl::InvalidArgumentError("the query gave no sample");
  }
  return samples->items.front();
}

absl::StatusOr<TemplateValue> Label(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string name, StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(std::string value, LabelOf(arguments[1], name));
  return TemplateValue(std::move(value));
}

absl::StatusOr<TemplateValue> ValueOf(const Call&, const Arguments& arguments) {
  return PartOf(arguments[0], "Value");
}

absl::StatusOr<TemplateValue> Strvalue(const Call&,
                                       const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(std::string value, LabelOf(arguments[0], "__value__"));
  return TemplateValue(std::move(value));
}

absl::StatusOr<TemplateValue> SortByLabel(const Call&,
                                          const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string name, StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const TemplateList* samples,
                         SamplesArgument(arguments, 1));
  std::vector<std::pair<std::string, TemplateValue>> keyed;
  for (const TemplateValue& sample : samples->items) {
    VIGIE_ASSIGN_OR_RETURN(std::string key, LabelOf(sample, name));
    keyed.emplace_back(std::move(key), sample);
  }
  std::stable_sort(
      keyed.begin(), keyed.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<TemplateValue> sorted;
  for (auto& [key, sample] : keyed) sorted.push_back(std::move(sample));
  return TemplateValue::OfList(std::move(sorted));
}

absl::StatusOr<TemplateValue> Args(const Call&, const Arguments& arguments) {
  TemplateMap map;
  for (size_t i = 0; i < arguments.size(); ++i) {
    map[fmt::format("arg{}", i)] = arguments[i];
  }
  return MakeDict(std::move(map));
}

absl::StatusOr<TemplateValue> Tmpl(const Call& call,
                                   const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string name, StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(std::string text, call.run(name, arguments[1]));
  return TemplateValue(Variant(TemplateMarkup{std::move(text)}));
}

absl::StatusOr<TemplateValue> Link(const Arguments& arguments, int tab) {
  VIGIE_ASSIGN_OR_RETURN(const std::string expr, StringArgument(arguments, 0));
  return TemplateValue(
      fmt::format("/graph?g0.expr={}&g0.tab={}", EscapeQuery(expr), tab));
}
absl::StatusOr<TemplateValue> GraphLink(const Call&,
                                        const Arguments& arguments) {
  return Link(arguments, 0);
}
absl::StatusOr<TemplateValue> TableLink(const Call&,
                                        const Arguments& arguments) {
  return Link(arguments, 1);
}

absl::StatusOr<TemplateValue> CallStripPort(const Call&,
                                            const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(StripPort(text));
}

absl::StatusOr<TemplateValue> CallStripDomain(const Call&,
                                              const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(StripDomain(text));
}

absl::StatusOr<TemplateValue> CallHumanize(const Call&,
                                           const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double value, NumberArgument(arguments, 0));
  return TemplateValue(Humanize(value));
}

absl::StatusOr<TemplateValue> CallHumanize1024(const Call&,
                                               const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double value, NumberArgument(arguments, 0));
  return TemplateValue(Humanize1024(value));
}

absl::StatusOr<TemplateValue> CallPercentage(const Call&,
                                             const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double value, NumberArgument(arguments, 0));
  return TemplateValue(HumanizePercentage(value));
}

// Whole nanoseconds in 64 bits, as Go has times and durations.
absl::StatusOr<int64_t> NanosOf(double seconds) {
  const double ns = seconds * 1e9;
  if (!(std::fabs(ns) < 9.2e18)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} seconds are more than a time can say", FloatText(seconds)));
  }
  return static_cast<int64_t>(ns);
}

absl::StatusOr<TemplateTime> TimeArgument(const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double seconds, NumberArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const int64_t ns, NanosOf(seconds));
  return TemplateTime{.time_ms = ns / 1'000'000};
}

absl::StatusOr<TemplateValue> HumanizeTimestamp(const Call&,
                                                const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double seconds, NumberArgument(arguments, 0));
  if (!std::isfinite(seconds)) return TemplateValue(FourDigits(seconds));
  VIGIE_ASSIGN_OR_RETURN(const TemplateTime time, TimeArgument(arguments));
  return TemplateValue(TimeText(time));
}

absl::StatusOr<TemplateValue> ToTime(const Call&, const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const TemplateTime time, TimeArgument(arguments));
  return TemplateValue(Variant(time));
}

absl::StatusOr<TemplateValue> ToDuration(const Call&,
                                         const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double seconds, NumberArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const int64_t ns, NanosOf(seconds));
  return TemplateValue(Variant(TemplateDuration{ns}));
}

absl::StatusOr<TemplateValue> Now(const Call& call, const Arguments&) {
  return Number(static_cast<double>(call.context.now_ms) / 1000);
}

absl::StatusOr<TemplateValue> ParseDuration(const Call&,
                                            const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const int64_t ms, ParseDurationMs(text));
  return Number(static_cast<double>(ms) / 1000);
}

absl::StatusOr<TemplateValue> ExternalUrl(const Call& call, const Arguments&) {
  return TemplateValue(call.context.external_url);
}

// scheme://host/PATH?query
absl::StatusOr<TemplateValue> PathPrefix(const Call& call, const Arguments&) {
  std::string_view url = call.context.external_url;
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url.remove_prefix(std::min(url.find('/'), url.size()));
  url = url.substr(0, url.find_first_of("?#"));
  return TemplateValue(std::string(url));
}

absl::StatusOr<TemplateValue> UrlQueryEscape(const Call&,
                                             const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(EscapeQuery(text));
}

}  // namespace

std::vector<Function> RuleFunctions() {
  return {
      {"query", 1, 1, Query},
      {"first", 1, 1, First},
      {"label", 2, 2, Label},
      {"value", 1, 1, ValueOf},
      {"strvalue", 1, 1, Strvalue},
      {"sortByLabel", 2, 2, SortByLabel},
      {"args", 0, -1, Args},
      {"tmpl", 2, 2, Tmpl},
      {"graphLink", 1, 1, GraphLink},
      {"tableLink", 1, 1, TableLink},
      {"stripPort", 1, 1, CallStripPort},
      {"stripDomain", 1, 1, CallStripDomain},
      {"humanize", 1, 1, CallHumanize},
      {"humanize1024", 1, 1, CallHumanize1024},
      {"humanizePercentage", 1, 1, CallPercentage},
      {"humanizeTimestamp", 1, 1, HumanizeTimestamp},
      {"toTime", 1, 1, ToTime},
      {"toDuration", 1, 1, ToDuration},
      {"now", 0, 0, Now},
      {"parseDuration", 1, 1, ParseDuration},
      {"externalURL", 0, 0, ExternalUrl},
      {"pathPrefix", 0, 0, PathPrefix},
      {"urlQueryEscape", 1, 1, UrlQueryEscape},
  };
}

}  // namespace vigie::alerting::tmpl
