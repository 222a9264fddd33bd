// The functions and methods that templates may call.
// Source: pkg.go.dev/text/template "Functions"; prometheus.io "Template
// reference", "Notification template reference".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/template/template.h"
#include "alerting/template/value.h"

namespace vigie::alerting::tmpl {

// What one execution may still do. Errors are kResourceExhausted.
class Budget {
 public:
  absl::Status Step();
  // What functions build, all told: a text that is thrown away counts too.
  absl::Status Build(size_t bytes);

 private:
  int64_t steps_ = 0;
  size_t bytes_ = 0;
};

struct Call {
  const TemplateContext& context;
  TemplateDialect dialect;
  TemplateOutput output;
  Budget& budget;
  // Runs a template by its name, for `tmpl`.
  std::function<absl::StatusOr<std::string>(const std::string& name,
                                            const TemplateValue& data)>
      run = nullptr;
};

using Arguments = std::vector<TemplateValue>;

struct Function {
  std::string_view name;
  int arguments_min;
  int arguments_max;  // -1: any number
  absl::StatusOr<TemplateValue> (*run)(const Call& call,
                                       const Arguments& arguments);
};

class FunctionTable {
 public:
  // The functions of `dialect`, one table a process.
  static const FunctionTable& Of(TemplateDialect dialect);

  // Null if there is none. `and` and `or` are there for their names: the
  // executor evaluates them, as they leave arguments unevaluated.
  const Function* Find(std::string_view name) const;
  // Whether Go, Prometheus or Alertmanager has it and vigie has not.
  bool IsRefused(std::string_view name) const;

 private:
  explicit FunctionTable(TemplateDialect dialect);
  std::map<std::string_view, Function> functions_;
};

// Parts of the tables.
std::vector<Function> BuiltinFunctions();
std::vector<Function> TextFunctions();
std::vector<Function> RuleFunctions();
std::vector<Function> NotificationFunctions();

// A map of `dict` and `args`. kResourceExhausted if it is nested too deep.
absl::StatusOr<TemplateValue> MakeDict(TemplateMap entries);

// A field or method of a value. `arguments` are empty for a field; a method is
// called at once. kInvalidArgument, without a place, if there is none.
absl::StatusOr<TemplateValue> FieldOf(const Call& call,
                                      const TemplateValue& value,
                                      const std::string& name,
                                      const Arguments& arguments);

// Arguments by kind; the error names the argument, counted from 1.
absl::StatusOr<std::string> StringArgument(const Arguments& arguments,
                                           size_t index);
absl::StatusOr<int64_t> IntArgument(const Arguments& arguments, size_t index);
absl::StatusOr<std::vector<std::string>> StringsArgument(
    const Arguments& arguments, size_t index);
// Numbers, durations in seconds, and texts that are numbers, as the functions
// of Prometheus that humanize take them.
absl::StatusOr<double> NumberArgument(const Arguments& arguments, size_t index);
absl::Status WrongArgument(const Arguments& arguments, size_t index,
                           std::string_view wanted);

}  // namespace vigie::alerting::tmpl
