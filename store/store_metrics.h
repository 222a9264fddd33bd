// StoreMetrics: what the store tells of itself on /metrics.
// Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <array>
#include <cstdint>

#include "store/appender.h"

namespace vigie::store {

struct StoreMetrics {
  explicit StoreMetrics(prometheus::Registry& registry);

  prometheus::Counter& samples_appended;
  prometheus::Counter& exemplars_appended;
  prometheus::Counter& batches_appended;
  prometheus::Counter& batches_failed;
  prometheus::Counter& read_conflicts;
  prometheus::Counter& seals;
  prometheus::Counter& seal_failures;
  prometheus::Counter& merges;
  prometheus::Counter& merge_failures;
  prometheus::Gauge& head_series;
  prometheus::Gauge& head_samples;
  prometheus::Gauge& inflight_bytes;
  prometheus::Gauge& log_bytes;
  prometheus::Gauge& block_bytes;
  std::array<prometheus::Counter*, 10> refused;  // by RefusalReason

  void Count(const Refusal& refusal) {
    refused[static_cast<size_t>(refusal.reason)]->Increment(
        static_cast<double>(refusal.count));
  }
};

}  // namespace vigie::store
