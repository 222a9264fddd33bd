// Scraper fetches each target at its interval, spread over it by target, and
// appends what it exposes with `up` and the scrape_* series. A series or
// target that goes away gets staleness markers.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/net/http_client.h"
#include "collector/scrape_config.h"
#include "model/labels.h"
#include "store/appender.h"

namespace vigie::collector {

// One row of /api/v1/targets.
struct TargetStatus {
  Labels discovered_labels;
  Labels labels;
  std::string scrape_pool;  // the job
  std::string scrape_url;
  std::string last_error;      // empty if the last scrape went well
  int64_t last_scrape_ms = 0;  // 0: not yet
  double last_duration_s = 0;
  std::string health;  // "up", "down", "unknown"
  int64_t interval_ms = 0;
  int64_t timeout_ms = 0;
};

class Scraper {
 public:
  // All outlive the scraper.
  Scraper(store::Appender& appender, net::HttpClient& http, const Clock& clock,
          prometheus::Registry& registry);
  ~Scraper();  // stops, as Stop does

  // Replaces the targets by those of `config`. Unchanged targets go on as
  // they are; vanished ones get staleness markers.
  void Apply(const PrometheusConfig& config);

  // Sorted by job and URL.
  std::vector<TargetStatus> Targets() const;

  // Ends running scrapes; the series are not marked stale, as another
  // process may go on with them.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::collector
