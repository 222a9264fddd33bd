#include "store/retention.h"

#include <algorithm>
#include <limits>

#include "store/windows.h"

namespace vigie::store {
namespace {

// A day is over once nothing but what is refused as too old can still come,
// and the head has given away what it had of it.
constexpr int64_t kMarginMs = 15 * 60'000;

// Late samples wait for company: a merge writes the whole day once more.
constexpr uint64_t kLateShare = 10;  // a tenth of what is merged
constexpr uint32_t kLateRowsMax = 48;

constexpr int64_t kEverything = std::numeric_limits<int64_t>::min();

int64_t Before(int64_t now_ms, int64_t retention_ms) {
  return retention_ms == 0 ? kEverything : now_ms - retention_ms;
}

const StoreOptions::Rollup* Find(const StoreOptions& options,
                                 int64_t resolution_ms) {
  for (const StoreOptions::Rollup& rollup : options.rollups) {
    if (rollup.resolution_ms == resolution_ms) return &rollup;
  }
  return nullptr;
}

}  // namespace

int64_t OldestKeptMs(const StoreOptions& options, std::string_view tenant,
                     int64_t now_ms) {
  const auto it = options.tenant_retention_ms.find(tenant);
  return Before(now_ms, it == options.tenant_retention_ms.end()
                            ? options.retention_ms
                            : it->second);
}

int64_t OldestKeptMs(const StoreOptions& options, int64_t now_ms) {
  int64_t oldest_ms = Before(now_ms, options.retention_ms);
  for (const auto& [tenant, retention_ms] : options.tenant_retention_ms) {
    oldest_ms = std::min(oldest_ms, Before(now_ms, retention_ms));
  }
  return oldest_ms;
}

int64_t OldestRollupMs(const StoreOptions& options, int64_t resolution_ms,
                       std::string_view tenant, int64_t now_ms) {
  const StoreOptions::Rollup* rollup = Find(options, resolution_ms);
  if (rollup == nullptr) return kEverything;
  const auto own = rollup->tenant_retention_ms.find(tenant);
  if (own != rollup->tenant_retention_ms.end()) {
    return Before(now_ms, own->second);
  }
  const int64_t general_ms = Before(now_ms, rollup->retention_ms);
  const int64_t samples_ms = OldestKeptMs(options, tenant, now_ms);
  // Of whom less is kept than of others, less is meant.
  if (samples_ms > Before(now_ms, options.retention_ms)) return samples_ms;
  return std::min(general_ms, samples_ms);
}

int64_t OldestRollupMs(const StoreOptions& options, int64_t resolution_ms,
                       int64_t now_ms) {
  const StoreOptions::Rollup* rollup = Find(options, resolution_ms);
  if (rollup == nullptr) return kEverything;
  int64_t oldest_ms = Before(now_ms, rollup->retention_ms);
  for (const auto* tenants :
       {&rollup->tenant_retention_ms, &options.tenant_retention_ms}) {
    for (const auto& [tenant, ignored] : *tenants) {
      oldest_ms = std::min(
          oldest_ms, OldestRollupMs(options, resolution_ms, tenant, now_ms));
    }
  }
  return oldest_ms;
}

Horizon HorizonOf(const StoreOptions& options, std::string_view tenant,
                  int64_t now_ms) {
  Horizon horizon;
  horizon.samples_ms = OldestKeptMs(options, tenant, now_ms);
  bool beyond = false;
  for (const StoreOptions::Rollup& rollup : options.rollups) {
    const int64_t oldest_ms =
        OldestRollupMs(options, rollup.resolution_ms, tenant, now_ms);
    horizon.rollups.push_back({rollup.resolution_ms, oldest_ms});
    beyond = beyond || oldest_ms < horizon.samples_ms;
  }
  if (beyond && horizon.samples_ms > kTimeMinMs) {
    horizon.samples_ms = DayStartMs(NearestDayOf(horizon.samples_ms));
  }
  return horizon;
}

OldestBySize OldestThatFit(const StoreOptions& options,
                           const std::vector<DayState>& days,
                           uint64_t log_bytes) {
  OldestBySize oldest{kEverything, kEverything};
  if (options.retention_bytes == 0) return oldest;
  const auto samples = [](const DayState& day) {
    return day.cold_bytes + day.hot_bytes;
  };
  const auto rollups = [](const DayState& day) {
    uint64_t bytes = 0;
    for (const ColdDay& rollup : day.rollups) bytes += rollup.bytes;
    return bytes;
  };
  uint64_t bytes = log_bytes;
  for (const DayState& day : days) bytes += samples(day) + rollups(day);
  for (size_t i = 0; i + 1 < days.size() && bytes > options.retention_bytes;
       ++i) {
    if (samples(days[i]) == 0) continue;
    bytes -= samples(days[i]);
    oldest.samples_ms = DayEndMs(days[i].day) + 1;
  }
  for (size_t i = 0; i + 1 < days.size() && bytes > options.retention_bytes;
       ++i) {
    if (days[i].rollups.empty()) continue;
    bytes -= rollups(days[i]);
    oldest.rollups_ms = DayEndMs(days[i].day) + 1;
  }
  return oldest;
}

std::optional<int32_t> DayToMerge(const StoreOptions& options,
                                  const std::vector<DayState>& days,
                                  int64_t now_ms) {
  for (const DayState& day : days) {
    const int64_t over_ms = DayEndMs(day.day) + options.out_of_order_window_ms +
                            options.seal_interval_ms + kMarginMs;
    if (now_ms <= over_ms || day.hot_rows == 0) continue;
    if (day.generation == 0 || day.hot_rows > kLateRowsMax ||
        day.hot_samples * kLateShare >= day.cold_samples) {
      return day.day;
    }
  }
  return std::nullopt;
}

int64_t FirstExpiryMs(const StoreOptions& options, int32_t day,
                      const std::vector<MergedTenant>& tenants,
                      int64_t now_ms) {
  int64_t first_ms = std::numeric_limits<int64_t>::max();
  for (const MergedTenant& one : tenants) {
    const bool samples = one.resolution_ms == 0;
    const int64_t oldest_ms =
        samples
            ? OldestKeptMs(options, one.tenant, now_ms)
            : OldestRollupMs(options, one.resolution_ms, one.tenant, now_ms);
    const int64_t of_all_ms =
        samples ? OldestKeptMs(options, now_ms)
                : OldestRollupMs(options, one.resolution_ms, now_ms);
    if (oldest_ms == kEverything || oldest_ms == of_all_ms) continue;
    first_ms = std::min(first_ms, DayEndMs(day) + (now_ms - oldest_ms));
  }
  return first_ms;
}

bool CanBeMerged(const StoreOptions& options, const DayState& day) {
  // One that was merged before there were rollups to write.
  const bool lacks_rollup =
      day.cold_samples > 0 &&
      std::any_of(options.rollups.begin(), options.rollups.end(),
                  [&](const StoreOptions::Rollup& rollup) {
                    return std::none_of(day.rollups.begin(), day.rollups.end(),
                                        [&](const ColdDay& one) {
                                          return one.resolution_ms ==
                                                 rollup.resolution_ms;
                                        });
                  });
  return day.hot_rows > 0 || day.has_tombstones || lacks_rollup;
}

}  // namespace vigie::store
