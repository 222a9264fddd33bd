// SelfMonitoring stores vigie's own metrics as series of vigie, as if it
// scraped itself: job="vigie", instance its HTTP address. ProcessMetrics are
// the process_* gauges that Prometheus's client libraries have.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/yaml/yaml.h"
#include "model/labels.h"
#include "store/appender.h"

namespace vigie::server {

struct SelfMonitoringOptions {
  bool enabled = true;
  int64_t interval_ms = 15'000;
};

// The section `self_monitoring:`; errors carry file:line:column.
absl::StatusOr<SelfMonitoringOptions> ParseSelfMonitoringOptions(
    const yaml::Node& section);

// Thread-safe.
class ProcessMetrics {
 public:
  ProcessMetrics(const Clock& clock, prometheus::Registry& registry);
  // Reads /proc/self; what cannot be read keeps its last value.
  void Update();

 private:
  Mutex mutex_;  // serialises updates, so that the counter only rises
  prometheus::Counter& cpu_seconds_ ABSL_GUARDED_BY(mutex_);
  prometheus::Gauge& resident_bytes_;
  prometheus::Gauge& virtual_bytes_;
  prometheus::Gauge& open_fds_;
  prometheus::Gauge& max_fds_;
  prometheus::Gauge& threads_;
};

class SelfMonitoring {
 public:
  // Starts at once, on a thread of its own. All references outlive it.
  SelfMonitoring(const SelfMonitoringOptions& options,
                 const std::string& instance, ProcessMetrics& process,
                 store::Appender& appender, const Clock& clock,
                 prometheus::Registry& registry);
  ~SelfMonitoring() { Stop(); }

  void Stop();

  // What one round appends at `time_ms`; series of the round before that are
  // gone get staleness markers. For the thread and for tests.
  store::AppendBatch Round(int64_t time_ms);

 private:
  void Loop(std::stop_token stop);

  const SelfMonitoringOptions options_;
  const std::string instance_;
  ProcessMetrics& process_;
  store::Appender& appender_;
  const Clock& clock_;
  prometheus::Registry& registry_;
  prometheus::Counter& failures_;
  absl::flat_hash_set<Labels> last_round_;  // of the thread alone
  std::jthread thread_;
};

}  // namespace vigie::server
