// What one target is: the labels its samples carry and where it is fetched,
// from a job and an address, relabelling applied.
// Source: prometheus/scrape, PopulateLabels.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "collector/scrape_config.h"
#include "model/labels.h"

namespace vigie::collector {

struct ScrapeTarget {
  Labels discovered_labels;  // before relabelling, with those behind "__"
  Labels labels;             // what samples carry
  std::string url;
  int64_t interval_ms = 0;
  int64_t timeout_ms = 0;

  // Names the target in its job; the same after a restart.
  std::string Key() const { return labels.bytes() + '\0' + url; }
  // Where in its interval the target is scraped, so that they spread over it.
  int64_t OffsetMs() const;
};

// Nullopt if relabelling drops the target; kInvalidArgument, naming it, if
// what relabelling left is no target.
absl::StatusOr<std::optional<ScrapeTarget>> MakeTarget(
    const ScrapeJob& job, const StaticTargetGroup& group,
    const std::string& address);

}  // namespace vigie::collector
