// Numbers as text where PromQL shows or reads them: label values made of
// numbers, bucket bounds, and the figures in annotations.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vigie::query {

// Shortest text that reads back, never with an exponent: 1e6 is "1000000",
// 1e308 a 1 and 308 zeros.
// "NaN", "+Inf", "-Inf".
std::string FixedText(double value);

// Shortest text, with an exponent below 1e-4 and from 1e6 on, as Go's %g.
std::string GeneralText(double value);

// As OpenMetrics writes a float label: "1.0", "0.5", "1e+20", "+Inf".
std::string OpenMetricsText(double value);

// What Go's ParseFloat takes: decimal or hexadecimal, Inf, Infinity and NaN in
// any case, a sign. Nothing else around it.
std::optional<double> ParseFloatText(std::string_view text);

}  // namespace vigie::query
