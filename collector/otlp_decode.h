// Decodes OTLP's ExportMetricsServiceRequest by hand into batches for the
// store, one a resource. Names are translated by otlp_translate.h.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tenant.h"
#include "store/appender.h"

namespace vigie::collector {

// Data points that the decoder refused for one reason.
struct PointRefusal {
  std::string_view reason;  // a literal: "invalid_point", "unsupported_kind"
  uint64_t points = 0;
  std::string example;  // the first one, with its place
};

struct OtlpBatch {
  store::AppendBatch batch;
  uint64_t points = 0;  // OTLP's data points in it
};

struct OtlpDecoded {
  std::vector<OtlpBatch> batches;      // those with anything in them
  uint64_t points = 0;                 // in the message, refused ones included
  std::vector<PointRefusal> refusals;  // at most one a reason
};

// A bad point is refused alone. For a malformed message nothing is given:
//   kInvalidArgument  the wire or a string is malformed, with the place:
//                     `resource_metrics[0].scope_metrics[1].metrics[3] "x":
//                     ...`
//   kOutOfRange       the batches would take more than `batch_bytes_max`
//                     (label sets are written out for each series here)
absl::StatusOr<OtlpDecoded> DecodeOtlp(std::string_view message,
                                       const Tenant& tenant,
                                       int64_t batch_bytes_max);

}  // namespace vigie::collector
