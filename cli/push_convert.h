// Exposition text as one OTLP request, for `vigie push`: what OTLP's
// translation makes of it at the server has the names of the text again.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"

namespace vigie::cli {

// Counters become monotonic sums, gauges and untyped metrics gauges, classic
// histograms and summaries one point for each label set. Samples without a
// time get `now_ms`. `job` and `instance` become service.name and
// service.instance.id; an empty instance is left out. Text that ends in
// "# EOF" is read as OpenMetrics.
// kInvalidArgument `line:column: ...` for malformed text, for a histogram or
// summary that is incomplete and for names that OTLP would change.
absl::StatusOr<
    opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest>
ExpositionToOtlp(std::string_view text, int64_t now_ms, std::string_view job,
                 std::string_view instance);

}  // namespace vigie::cli
