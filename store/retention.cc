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

size_t DaysBeyondSize(const StoreOptions& options,
                      const std::vector<DayState>& days, uint64_t other_bytes) {
  if (options.retention_bytes == 0) return 0;
  uint64_t bytes = other_bytes;
  for (const DayState& day : days) bytes += day.cold_bytes + day.hot_bytes;
  size_t gone = 0;
  while (gone + 1 < days.size() && bytes > options.retention_bytes) {
    bytes -= days[gone].cold_bytes + days[gone].hot_bytes;
    ++gone;
  }
  return gone;
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

bool CanBeMerged(const DayState& day) {
  return day.hot_rows > 0 || day.has_tombstones;
}

}  // namespace vigie::store
