// The functions that rule files and notifications share.
#include <fmt/format.h>

#include <utility>

#include "alerting/template/functions.h"
#include "alerting/template/html.h"
#include "alerting/template/humanize.h"
#include "base/status_macros.h"
#include "model/regex.h"

namespace vigie::alerting::tmpl {
namespace {

using Variant = TemplateValue::Variant;

absl::StatusOr<TemplateValue> Match(const Call& call,
                                    const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string pattern,
                         StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 1));
  VIGIE_RETURN_IF_ERROR(call.budget.Build(pattern.size() + text.size()));
  VIGIE_ASSIGN_OR_RETURN(const SearchRegex regex, SearchRegex::Create(pattern));
  return TemplateValue(Variant(regex.IsIn(text)));
}

absl::StatusOr<TemplateValue> ReReplaceAll(const Call& call,
                                           const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string pattern,
                         StringArgument(arguments, 0));
  VIGIE_ASSIGN_OR_RETURN(const std::string replacement,
                         StringArgument(arguments, 1));
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 2));
  VIGIE_RETURN_IF_ERROR(call.budget.Build(pattern.size() + text.size()));
  VIGIE_ASSIGN_OR_RETURN(const SearchRegex regex, SearchRegex::Create(pattern));
  VIGIE_ASSIGN_OR_RETURN(
      std::string replaced,
      regex.ReplaceAll(text, replacement, kTemplateOutputBytesMax));
  return TemplateValue(std::move(replaced));
}

absl::StatusOr<TemplateValue> SafeHtml(const Call&,
                                       const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(std::string text, StringArgument(arguments, 0));
  return TemplateValue(Variant(TemplateMarkup{std::move(text)}));
}

absl::StatusOr<TemplateValue> ToUpperCase(const Call&,
                                          const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(ToUpper(text));
}

absl::StatusOr<TemplateValue> ToLowerCase(const Call&,
                                          const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  return TemplateValue(ToLower(text));
}

absl::StatusOr<TemplateValue> Title(const Call& call,
                                    const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const std::string text, StringArgument(arguments, 0));
  const bool lowers_rest = call.dialect == TemplateDialect::kNotifications;
  return TemplateValue(ToTitle(text, lowers_rest));
}

absl::StatusOr<TemplateValue> HumanizeSeconds(const Call&,
                                              const Arguments& arguments) {
  VIGIE_ASSIGN_OR_RETURN(const double seconds, NumberArgument(arguments, 0));
  return TemplateValue(HumanizeDuration(seconds));
}

}  // namespace

std::vector<Function> TextFunctions() {
  return {
      {"match", 2, 2, Match},
      {"reReplaceAll", 3, 3, ReReplaceAll},
      {"safeHtml", 1, 1, SafeHtml},
      {"toUpper", 1, 1, ToUpperCase},
      {"toLower", 1, 1, ToLowerCase},
      {"title", 1, 1, Title},
      {"humanizeDuration", 1, 1, HumanizeSeconds},
  };
}

}  // namespace vigie::alerting::tmpl
