// The section `query:` of vigie.yml.
#include <fmt/format.h>

#include "base/status_macros.h"
#include "query/engine.h"

namespace vigie::query {
namespace {

// Zero and less make no sense for any of them.
absl::Status CheckPositive(yaml::MapReader* map, std::string_view key,
                           int64_t value) {
  if (value > 0) return absl::OkStatus();
  const yaml::Node* node = map->Find(key);
  const yaml::Node& place = node == nullptr ? map->node() : *node;
  return place.Error(fmt::format("{} must be greater than 0", key));
}

}  // namespace

absl::StatusOr<EngineOptions> ParseEngineOptions(const yaml::Node& section) {
  EngineOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  struct Key {
    std::string_view name;
    int64_t* value;
  };
  const Key durations[] = {
      {"lookback", &options.lookback_ms},
      {"timeout", &options.timeout_ms},
      {"default_subquery_step", &options.default_subquery_step_ms},
  };
  for (const Key& key : durations) {
    VIGIE_RETURN_IF_ERROR(map.ReadDurationMs(key.name, key.value));
    VIGIE_RETURN_IF_ERROR(CheckPositive(&map, key.name, *key.value));
  }
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("slow_query", &options.slow_query_ms));
  const Key sizes[] = {
      {"query_bytes_max", &options.query_bytes_max},
      {"process_bytes_max", &options.process_bytes_max},
  };
  for (const Key& key : sizes) {
    VIGIE_RETURN_IF_ERROR(map.ReadBytes(key.name, key.value));
    VIGIE_RETURN_IF_ERROR(CheckPositive(&map, key.name, *key.value));
  }
  VIGIE_RETURN_IF_ERROR(
      map.Read("points_per_series_max", &options.points_per_series_max));
  VIGIE_RETURN_IF_ERROR(CheckPositive(&map, "points_per_series_max",
                                      options.points_per_series_max));
  VIGIE_RETURN_IF_ERROR(map.Read("threads", &options.threads));
  VIGIE_RETURN_IF_ERROR(CheckPositive(&map, "threads", options.threads));
  VIGIE_RETURN_IF_ERROR(map.Read("experimental", &options.experimental));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return options;
}

}  // namespace vigie::query
