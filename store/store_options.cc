#include <fmt/format.h>

#include "base/duration.h"
#include "base/status_macros.h"
#include "store/store.h"

namespace vigie::store {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr int64_t kHourMs = 3600 * kSecondMs;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kYearMs = 365 * kDayMs;
// Short intervals make many small files: of use to tests that want seals
// under way when they pull the plug.
constexpr int64_t kSealIntervalMinMs = 10;

// Reads the key if it is there; an error names its place.
absl::Status ReadDuration(yaml::MapReader* map, std::string_view key,
                          int64_t min_ms, int64_t max_ms, bool zero_allowed,
                          int64_t* out) {
  const yaml::Node* node = map->Find(key);
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const int64_t value, node->AsDurationMs());
  if ((value < min_ms || value > max_ms) && !(zero_allowed && value == 0)) {
    return node->Error(fmt::format(
        "{} must be {}between {} and {}", key, zero_allowed ? "0 or " : "",
        FormatDurationMs(min_ms), FormatDurationMs(max_ms)));
  }
  *out = value;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StoreOptions> ParseStoreOptions(const yaml::Node& section) {
  StoreOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "retention", kHourMs, 100 * kYearMs,
                                     /*zero_allowed=*/true,
                                     &options.retention_ms));
  if (const yaml::Node* node = map.Find("tenant_retention")) {
    VIGIE_ASSIGN_OR_RETURN(yaml::MapReader tenants, node->AsMap());
    for (const auto& [tenant, value] : tenants.Entries()) {
      VIGIE_ASSIGN_OR_RETURN(const int64_t retention_ms, value.AsDurationMs());
      if (retention_ms != 0 &&
          (retention_ms < kHourMs || retention_ms > 100 * kYearMs)) {
        return value.Error(fmt::format(
            "tenant_retention must be 0 or between "
            "{} and {}",
            FormatDurationMs(kHourMs), FormatDurationMs(100 * kYearMs)));
      }
      options.tenant_retention_ms[tenant] = retention_ms;
    }
  }
  if (const yaml::Node* node = map.Find("retention_bytes")) {
    constexpr int64_t kMin = 64 << 20, kMax = int64_t{1} << 60;
    VIGIE_ASSIGN_OR_RETURN(const int64_t value, node->AsBytes());
    if (value != 0 && (value < kMin || value > kMax)) {
      return node->Error("retention_bytes must be 0 or at least 64MiB");
    }
    options.retention_bytes = static_cast<uint64_t>(value);
  }
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "out_of_order_window", 0, 7 * kDayMs,
                                     /*zero_allowed=*/true,
                                     &options.out_of_order_window_ms));
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "future_window", 0, kYearMs,
                                     /*zero_allowed=*/true,
                                     &options.future_window_ms));
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "seal_interval", kSealIntervalMinMs,
                                     kDayMs, /*zero_allowed=*/false,
                                     &options.seal_interval_ms));
  if (const yaml::Node* node = map.Find("chunk_samples_max")) {
    constexpr int64_t kMin = 16, kMax = 512;
    VIGIE_ASSIGN_OR_RETURN(const int64_t value, node->AsInt());
    if (value < kMin || value > kMax) {
      return node->Error(fmt::format(
          "chunk_samples_max must be between {} and {}", kMin, kMax));
    }
    options.chunk_samples_max = static_cast<uint32_t>(value);
  }
  if (const yaml::Node* node = map.Find("inflight_bytes_max")) {
    constexpr int64_t kMin = 1 << 20, kMax = int64_t{16} << 30;
    VIGIE_ASSIGN_OR_RETURN(const int64_t value, node->AsBytes());
    if (value < kMin || value > kMax) {
      return node->Error("inflight_bytes_max must be between 1MiB and 16GiB");
    }
    options.inflight_bytes_max = value;
  }
  if (const yaml::Node* node = map.Find("durability")) {
    VIGIE_ASSIGN_OR_RETURN(const std::string value, node->AsString());
    if (value == "fdatasync") {
      options.durability = StoreOptions::Durability::kFdatasync;
    } else if (value == "os") {
      options.durability = StoreOptions::Durability::kOs;
    } else {
      return node->Error(fmt::format(
          "durability must be \"fdatasync\" or \"os\", not \"{}\"", value));
    }
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return options;
}

}  // namespace vigie::store
