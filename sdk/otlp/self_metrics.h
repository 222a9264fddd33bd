// What an Exporter says about itself, on instruments of its own. Not installed.
// Thread-compatible, but for ObserveTry(): thread-safe.
#pragma once

#include <cstdint>

#include "sdk/meter.h"
#include "sdk/otlp/exporter.h"

namespace vigie::sdk {

// "queue_full" and so on, as in the label `reason`.
const char* NameOf(DropReason why);

class SelfMetrics {
 public:
  // Of `options`, the resource and the clock.
  explicit SelfMetrics(const ExporterOptions& options);

  // Adds what has happened since the last call.
  void Add(const Exporter::Counts& now);
  void ObserveTry(int64_t ns);

  Collection Collect(int64_t time_ns) { return meter_.Collect(time_ns); }

 private:
  Meter meter_;
  BoundCounter sent_;
  BoundCounter retries_;
  BoundCounter dropped_[static_cast<int>(DropReason::kCount)];
  BoundGauge queued_;
  BoundHistogram duration_;
  Exporter::Counts last_;
};

}  // namespace vigie::sdk
