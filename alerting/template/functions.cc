#include "alerting/template/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <utility>

#include "alerting/template/go_print.h"
#include "base/status_macros.h"

namespace vigie::alerting::tmpl {
namespace {

// Strings that one execution may build, kept or not.
constexpr size_t kBuiltBytesMax = 16 << 20;

constexpr std::string_view kRefusedOfGo[] = {"call"};
constexpr std::string_view kRefusedOfNotifications[] = {"routeLabels", "toDate",
                                                        "mustToDate"};

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// As Go reads it: a sign, decimal or hexadecimal, Inf and NaN in any case.
bool ParseNumber(std::string_view text, double* number) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  if (lower == "inf" || lower == "infinity") {
    *number = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    *number = std::numeric_limits<double>::quiet_NaN();
  } else {
    auto format = std::chars_format::general;
    std::string_view digits = lower;
    if (digits.starts_with("0x")) {
      format = std::chars_format::hex;
      digits.remove_prefix(2);
    }
    if (digits.empty() ||
        (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9') &&
         format != std::chars_format::hex)) {
      return false;
    }
    const char* end = digits.data() + digits.size();
    const auto [stop, error] =
        std::from_chars(digits.data(), end, *number, format);
    if (error != std::errc() || stop != end) return false;
  }
  if (negative) *number = -*number;
  return true;
}

}  // namespace

absl::Status Budget::Step() {
  if (++steps_ > kTemplateStepsMax) {
    return absl::ResourceExhaustedError(
        fmt::format("more than {} steps", kTemplateStepsMax));
  }
  return absl::OkStatus();
}

absl::Status Budget::Build(size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > kBuiltBytesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("more than {} bytes built by functions", kBuiltBytesMax));
  }
  return absl::OkStatus();
}

FunctionTable::FunctionTable(TemplateDialect dialect) {
  const auto add = [&](const std::vector<Function>& functions) {
    for (const Function& function : functions) {
      functions_.insert_or_assign(function.name, function);
    }
  };
  add(BuiltinFunctions());
  add(TextFunctions());
  add(dialect == TemplateDialect::kRules ? RuleFunctions()
                                         : NotificationFunctions());
}

const FunctionTable& FunctionTable::Of(TemplateDialect dialect) {
  static const FunctionTable rules(TemplateDialect::kRules);
  static const FunctionTable notifications(TemplateDialect::kNotifications);
  return dialect == TemplateDialect::kRules ? rules : notifications;
}

const Function* FunctionTable::Find(std::string_view name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : &found->second;
}

bool FunctionTable::IsRefused(std::string_view name) const {
  return IsOneOf(name, kRefusedOfGo) || IsOneOf(name, kRefusedOfNotifications);
}

absl::Status WrongArgument(const Arguments& arguments, size_t index,
                           std::string_view wanted) {
  return absl::InvalidArgumentError(
      fmt::format("argument {} is a {}, not a {}", index + 1,
                  KindName(arguments[index]), wanted));
}

absl::StatusOr<std::string> StringArgument(const Arguments& arguments,
                                           size_t index) {
  const TemplateValue& value = arguments[index];
  if (const auto* text = value.As<std::string>()) return *text;
  if (const auto* markup = value.As<TemplateMarkup>()) return markup->text;
  // The value that a map of anything lacks, given to a string.
  return WrongArgument(arguments, index, "string");
}

absl::StatusOr<int64_t> IntArgument(const Arguments& arguments, size_t index) {
  if (const auto* number = arguments[index].As<int64_t>()) return *number;
  return WrongArgument(arguments, index, "whole number");
}

absl::StatusOr<std::vector<std::string>> StringsArgument(
    const Arguments& arguments, size_t index) {
  const auto* list = arguments[index].As<TemplateValue::List>();
  if (list == nullptr) return WrongArgument(arguments, index, "list");
  std::vector<std::string> strings;
  for (const TemplateValue& item : (*list)->items) {
    const auto* text = item.As<std::string>();
    if (text == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("argument {} is a list with a {} in it, not of strings",
                      index + 1, KindName(item)));
    }
    strings.push_back(*text);
  }
  return strings;
}

absl::StatusOr<double> NumberArgument(const Arguments& arguments,
                                      size_t index) {
  const TemplateValue& value = arguments[index];
  if (const auto* number = value.As<double>()) return *number;
  if (const auto* whole = value.As<int64_t>()) {
    return static_cast<double>(*whole);
  }
  if (const auto* duration = value.As<TemplateDuration>()) {
    return static_cast<double>(duration->ns) / 1e9;
  }
  if (const auto* text = value.As<std::string>()) {
    double number = 0;
    if (ParseNumber(*text, &number)) return number;
    return absl::InvalidArgumentError(
        fmt::format("{} is not a number", QuotedText(*text)));
  }
  return WrongArgument(arguments, index, "number");
}

}  // namespace vigie::alerting::tmpl
