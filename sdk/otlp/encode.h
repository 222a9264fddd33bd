// Collections as OTLP requests. Not installed: it shows generated code.
#pragma once

#include <cstddef>
#include <vector>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "sdk/collection.h"

namespace vigie::sdk {

struct OtlpRequest {
  opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest
      body;
  size_t points = 0;
};

// Servers take 4 MiB unless told otherwise (gRPC's default).
inline constexpr size_t kRequestBytesMax = 3 << 20;

// All points, in their order, in as few requests as their limits allow; a
// single point may exceed kRequestBytesMax.
std::vector<OtlpRequest> EncodeRequests(
    const std::vector<Collection>& collections, size_t points_max,
    size_t bytes_max = kRequestBytesMax);

}  // namespace vigie::sdk
