// Import and export for store_operations.h: what is at a path, and how samples
// are written as text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/store_operations.h"

namespace vigie::server {

struct TransferOutcome {
  uint64_t series = 0;
  uint64_t samples = 0;
  uint64_t samples_refused = 0;  // export: not expressible in the format
  uint64_t exemplars = 0;        // taken or written
  uint64_t metadata = 0;         // import: metrics that something is told about
};

// Takes in what is at each path: a block of Prometheus or a directory of
// them, or a file of OpenMetrics text. Blocks are tried whole before anything
// of them is taken, so a damaged one is refused as a whole.
absl::StatusOr<TransferOutcome> ImportPaths(store::Store& store,
                                            const OperationRequest& request,
                                            const store::Progress& progress);

// The samples of the series that match any of the selectors (none: all), in
// `request.range`, through OnData, with exemplars and metadata. Formats:
// "openmetrics", floats alone; and "jsonl", everything, bit for bit:
// docs/formats/export.md.
absl::StatusOr<TransferOutcome> ExportSeries(store::Store& store,
                                             const OperationRequest& request,
                                             OperationSink& sink,
                                             const store::Progress& progress);

}  // namespace vigie::server
