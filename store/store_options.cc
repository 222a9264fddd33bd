#include <fmt/format.h>

#include "base/duration.h"
#include "base/status_macros.h"
#include "store/store.h"

namespace vigie::store {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr int64_t kMinuteMs = 60 * kSecondMs;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kYearMs = 365 * kDayMs;
// Short intervals make many small files: of use to tests that want seals
// under way when they pull the plug.
constexpr int64_t kSealIntervalMinMs = 10;
// Each costs a merge about as much as the samples do.
constexpr size_t kRollupsMax = 4;
// A day is over and merged by then.
constexpr int64_t kRolledUpMs = 2 * kDayMs;

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

absl::Status ReadTenants(yaml::MapReader* map,
                         std::map<std::string, int64_t, std::less<>>* out) {
  const yaml::Node* node = map->Find("tenant_retention");
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader tenants, node->AsMap());
  for (const auto& [tenant, value] : tenants.Entries()) {
    VIGIE_ASSIGN_OR_RETURN(const int64_t retention_ms, value.AsDurationMs());
    if (retention_ms != 0 &&
        (retention_ms < kHourMs || retention_ms > 100 * kYearMs)) {
      return value.Error(fmt::format(
          "tenant_retention must be 0 or between {} and {}",
          FormatDurationMs(kHourMs), FormatDurationMs(100 * kYearMs)));
    }
    (*out)[tenant] = retention_ms;
  }
  return absl::OkStatus();
}

bool IsShorter(int64_t retention_ms, int64_t than_ms) {  // 0: forever
  return retention_ms != 0 && (than_ms == 0 || retention_ms < than_ms);
}

// One of the list `rollups`, after those in `options`.
absl::Status ReadRollup(const yaml::Node& node, StoreOptions* options) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  StoreOptions::Rollup rollup;
  VIGIE_RETURN_IF_ERROR(map.Require("resolution").status());
  VIGIE_RETURN_IF_ERROR(map.Require("retention").status());
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "resolution", kMinuteMs, kDayMs,
                                     /*zero_allowed=*/false,
                                     &rollup.resolution_ms));
  const yaml::Node& resolution = *map.Find("resolution");
  if (kDayMs % rollup.resolution_ms != 0 ||
      rollup.resolution_ms % kSecondMs != 0) {
    return resolution.Error("resolution must be a part of a day, such as 5m");
  }
  if (!options->rollups.empty() &&
      options->rollups.back().resolution_ms >= rollup.resolution_ms) {
    return resolution.Error("resolution must be coarser than the one before");
  }
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "retention", kHourMs, 100 * kYearMs,
                                     /*zero_allowed=*/true,
                                     &rollup.retention_ms));
  if (IsShorter(rollup.retention_ms, options->retention_ms)) {
    return map.Find("retention")
        ->Error(
            "retention of a rollup must not be shorter than that of the "
            "samples");
  }
  VIGIE_RETURN_IF_ERROR(ReadTenants(&map, &rollup.tenant_retention_ms));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  options->rollups.push_back(std::move(rollup));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StoreOptions> ParseStoreOptions(const yaml::Node& section) {
  StoreOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  VIGIE_RETURN_IF_ERROR(ReadDuration(&map, "retention", kHourMs, 100 * kYearMs,
                                     /*zero_allowed=*/true,
                                     &options.retention_ms));
  VIGIE_RETURN_IF_ERROR(ReadTenants(&map, &options.tenant_retention_ms));
  if (const yaml::Node* node = map.Find("rollups")) {
    VIGIE_ASSIGN_OR_RETURN(const auto rollups, node->AsSequence());
    if (rollups.size() > kRollupsMax) {
      return node->Error(fmt::format("rollups: at most {}", kRollupsMax));
    }
    for (const yaml::Node& rollup : rollups) {
      VIGIE_RETURN_IF_ERROR(ReadRollup(rollup, &options));
    }
  }
  if (!options.rollups.empty() &&
      IsShorter(options.retention_ms, kRolledUpMs)) {
    return map.Find("retention")
        ->Error(fmt::format("retention must be 0 or at least {} where there "
                            "are rollups, as these "
                            "are made of whole days",
                            FormatDurationMs(kRolledUpMs)));
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
