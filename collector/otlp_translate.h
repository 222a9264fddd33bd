// How OTLP's names become Prometheus's: the default strategy (underscores for
// what is not allowed, suffixes for unit and kind).
// Source: OpenTelemetry specification, "Prometheus and OpenMetrics
// Compatibility"; prometheus/otlptranslator.
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

namespace vigie::collector {

enum class OtlpKind { kGauge, kCounter, kUpDownCounter, kHistogram, kSummary };

// "http.server.duration" in "ms" is "http_server_duration_milliseconds"; a
// counter ends in "_total", a gauge in "1" in "_ratio". Suffixes that the name
// has already are not repeated. Empty if nothing of the name is left.
std::string PrometheusMetricName(std::string_view name, std::string_view unit,
                                 OtlpKind kind);

// "By/s" is "bytes_per_second"; empty for "1" and for annotations ("{req}").
std::string PrometheusUnit(std::string_view unit);

// "http.method" is "http_method", "1st" is "key_1st", "_x" is "key_x"; names
// that begin with "__" stay. Empty if nothing is left.
std::string PrometheusLabelName(std::string_view attribute);

// The value of `le` and `quantile`: the shortest decimal without an exponent
// that reads back the same, "+Inf", "-Inf" or "NaN".
std::string BoundText(double bound);

}  // namespace vigie::collector
