// Values as text, as Go's fmt prints them.
// Source: pkg.go.dev/fmt, "Printing".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/template/template.h"
#include "alerting/template/value.h"

namespace vigie::alerting::tmpl {

// Longer texts by printf are refused, as are widths and precisions.
inline constexpr int kPrintWidthMax = 10'000;

// The name of the kind that Go would have: "float64", "string", "map".
std::string_view KindName(const TemplateValue& value);

// %v. Alertmanager prints label maps as `a=b, c=d`, Go as `map[a:b c:d]`.
// kResourceExhausted for a text of more than kTemplateOutputBytesMax.
absl::StatusOr<std::string> Printed(const TemplateValue& value,
                                    TemplateDialect dialect);

// print: a space between two operands that are no strings; println: always.
absl::StatusOr<std::string> PrintAll(const std::vector<TemplateValue>& values,
                                     TemplateDialect dialect);
absl::StatusOr<std::string> PrintLine(const std::vector<TemplateValue>& values,
                                      TemplateDialect dialect);

// A verb that does not fit is printed as Go does, "%!d(string=x)".
// kInvalidArgument for what is not done, by name; kResourceExhausted for a
// result of more than kTemplateOutputBytesMax.
absl::StatusOr<std::string> Printf(std::string_view format,
                                   const std::vector<TemplateValue>& values,
                                   TemplateDialect dialect);

// Shortest text that reads back, as %v has it: "1e+06", "0.5", "+Inf".
std::string FloatText(double value);
// %.4g.
std::string FourDigits(double value);
// In double quotes, as %q.
std::string QuotedText(std::string_view text);

}  // namespace vigie::alerting::tmpl
