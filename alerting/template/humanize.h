// Figures for people.
// Source: prometheus/common, helpers/templates; prometheus.io "Template
// reference", "Numbers".
#pragma once

#include <string>
#include <string_view>

namespace vigie::alerting::tmpl {

std::string Humanize(double value);            // "1.235k", "12.5m"
std::string Humanize1024(double value);        // "1.206ki"
std::string HumanizeDuration(double seconds);  // "1h 2m 3s", "12.5ms"
std::string HumanizePercentage(double ratio);  // "12.5%"

// "db1:9100" without its port, without its domain.
std::string StripPort(std::string_view host_port);
std::string StripDomain(std::string_view host_port);

// Letters of any script.
std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);
// The first letter of each word. `lowers_rest` as Alertmanager's `title`
// does; Prometheus's leaves the rest as it is and takes an apostrophe for the
// end of a word.
std::string ToTitle(std::string_view text, bool lowers_rest);

}  // namespace vigie::alerting::tmpl
