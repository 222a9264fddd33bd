#include "store/store_metrics.h"

#include <string>

namespace vigie::store {
namespace {

prometheus::Counter& Counter(prometheus::Registry& registry, const char* name,
                             const char* help) {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(registry)
      .Add({});
}

prometheus::Gauge& Gauge(prometheus::Registry& registry, const char* name,
                         const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(
      {});
}

}  // namespace

StoreMetrics::StoreMetrics(prometheus::Registry& registry)
    : samples_appended(Counter(registry, "vigie_store_samples_appended_total",
                               "Samples accepted, durable and visible.")),
      exemplars_appended(Counter(registry,
                                 "vigie_store_exemplars_appended_total",
                                 "Exemplars accepted.")),
      batches_appended(Counter(registry, "vigie_store_batches_appended_total",
                               "Batches answered with success.")),
      batches_failed(Counter(registry, "vigie_store_batches_failed_total",
                             "Batches refused whole: queue full, disk.")),
      read_conflicts(Counter(registry, "vigie_store_read_conflicts_total",
                             "Samples that a read left out: an earlier one of "
                             "the same time has another value.")),
      seals(Counter(registry, "vigie_store_seals_total",
                    "Times the head was moved into blocks.")),
      seal_failures(Counter(registry, "vigie_store_seal_failures_total",
                            "Seals that failed; they are tried again.")),
      merges(Counter(registry, "vigie_store_merges_total",
                     "Days that were merged.")),
      merge_failures(Counter(registry, "vigie_store_merge_failures_total",
                             "Merges that failed; they are tried again.")),
      head_series(Gauge(registry, "vigie_store_head_series",
                        "Series with samples within retention.")),
      head_samples(Gauge(registry, "vigie_store_head_samples",
                         "Samples that no block holds yet.")),
      inflight_bytes(Gauge(registry, "vigie_store_inflight_bytes",
                           "Bytes of batches not answered yet.")),
      log_bytes(
          Gauge(registry, "vigie_store_log_bytes", "Size of the log on disk.")),
      block_bytes(Gauge(registry, "vigie_store_block_bytes",
                        "Size of the blocks on disk.")) {
  auto& family = prometheus::BuildCounter()
                     .Name("vigie_store_samples_refused_total")
                     .Help("Samples, exemplars and metadata refused for good.")
                     .Register(registry);
  for (size_t i = 0; i < refused.size(); ++i) {
    refused[i] = &family.Add(
        {{"reason", std::string(RefusalName(static_cast<RefusalReason>(i)))}});
  }
}

}  // namespace vigie::store
