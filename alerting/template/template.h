// Templates in Go's text/template language, as rule files and alertmanager.yml
// carry them: the part of the language that they use, with bounds on steps,
// depth and output.
// Source: pkg.go.dev/text/template; functions: prometheus.io "Template
// reference", "Notification template reference".
// Immutable once files are added; thread-safe to execute.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/template/value.h"

namespace vigie::alerting {

inline constexpr int64_t kTemplateStepsMax = 100'000;
inline constexpr int kTemplateDepthMax = 64;
inline constexpr size_t kTemplateOutputBytesMax = 1 << 20;

// Which functions exist: those of rule files or those of notifications.
enum class TemplateDialect : uint8_t { kRules, kNotifications };

// kHtml escapes what actions print, as Go's html/template does in text and
// quoted attributes.
enum class TemplateOutput : uint8_t { kText, kHtml };

// What functions need from outside.
struct TemplateContext {
  int64_t now_ms = 0;
  std::string external_url = {};
  // `query` of rule files: a list of maps with Labels (a map), Value (double).
  // Null: calling `query` is an error.
  std::function<absl::StatusOr<TemplateValue>(const std::string& expr)> query =
      nullptr;
  // $labels, $value, $externalLabels, $externalURL: names without the dollar.
  std::vector<std::pair<std::string, TemplateValue>> variables = {};
};

class TemplateSet {
 public:
  explicit TemplateSet(TemplateDialect dialect);
  ~TemplateSet();
  TemplateSet(TemplateSet&&) noexcept;
  TemplateSet& operator=(TemplateSet&&) noexcept;

  // Adds every {{define}} of `text`; a later definition wins.
  // kInvalidArgument `file:line:column: ...`.
  absl::Status AddFile(std::string_view text, std::string_view file_name);

  // Whether `text` parses, knows its functions and the templates it names.
  // kInvalidArgument `line:column: ...` within the text. `variables` are names
  // without the dollar that will be set.
  absl::Status Check(std::string_view text,
                     const std::vector<std::string>& variables) const;

  // kInvalidArgument with the place; kResourceExhausted for a bound that was
  // passed, naming it.
  absl::StatusOr<std::string> Execute(std::string_view text,
                                      const TemplateValue& data,
                                      const TemplateContext& context,
                                      TemplateOutput output) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::alerting
