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

// What the code can do, whatever is set.
absl::Status CheckAtMost(yaml::MapReader* map, std::string_view key,
                         int64_t value, int64_t max) {
  if (value <= max) return absl::OkStatus();
  return map->Find(key)->Error(fmt::format("{} must be at most {}", key, max));
}

absl::Status ParseRuleBudget(const yaml::Node& section, RuleBudget* rules) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("process_bytes_max", &rules->process_bytes_max));
  VIGIE_RETURN_IF_ERROR(
      CheckPositive(&map, "process_bytes_max", rules->process_bytes_max));
  VIGIE_RETURN_IF_ERROR(map.Read("concurrent_max", &rules->concurrent_max));
  VIGIE_RETURN_IF_ERROR(
      CheckPositive(&map, "concurrent_max", rules->concurrent_max));
  // Each is a thread.
  VIGIE_RETURN_IF_ERROR(
      CheckAtMost(&map, "concurrent_max", rules->concurrent_max, 1'000));
  const auto optional = [&](std::string_view key, auto read,
                            std::optional<int64_t>* out) -> absl::Status {
    if (map.Find(key) == nullptr) return absl::OkStatus();
    VIGIE_RETURN_IF_ERROR((map.*read)(key, &out->emplace()));
    return CheckPositive(&map, key, **out);
  };
  VIGIE_RETURN_IF_ERROR(optional("query_bytes_max", &yaml::MapReader::ReadBytes,
                                 &rules->query_bytes_max));
  using ReadInt = absl::Status (yaml::MapReader::*)(std::string_view, int64_t*);
  VIGIE_RETURN_IF_ERROR(optional("query_samples_max",
                                 static_cast<ReadInt>(&yaml::MapReader::Read),
                                 &rules->query_samples_max));
  VIGIE_RETURN_IF_ERROR(optional("timeout", &yaml::MapReader::ReadDurationMs,
                                 &rules->timeout_ms));
  return map.Finish();
}

}  // namespace

EngineOptions EngineOptions::ForRules() const {
  EngineOptions options = *this;
  options.budget = "rules";
  options.process_bytes_max = rules.process_bytes_max;
  options.cache_bytes_max = 0;  // rules look at one moment, and at it once
  options.query_bytes_max = rules.query_bytes_max.value_or(query_bytes_max);
  options.query_samples_max =
      rules.query_samples_max.value_or(query_samples_max);
  options.timeout_ms = rules.timeout_ms.value_or(timeout_ms);
  return options;
}

ParserOptions EngineOptions::ForParser() const {
  return {.experimental = experimental,
          .text_bytes_max = query_text_bytes_max,
          .regex_bytes_max = regex_bytes_max,
          .nesting_max = nesting_max};
}

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
      {"query_text_bytes_max", &options.query_text_bytes_max},
      {"regex_bytes_max", &options.regex_bytes_max},
  };
  for (const Key& key : sizes) {
    VIGIE_RETURN_IF_ERROR(map.ReadBytes(key.name, key.value));
    VIGIE_RETURN_IF_ERROR(CheckPositive(&map, key.name, *key.value));
  }
  VIGIE_RETURN_IF_ERROR(
      map.ReadBytes("cache_bytes_max", &options.cache_bytes_max));
  const Key counts[] = {
      {"query_samples_max", &options.query_samples_max},
      {"points_per_series_max", &options.points_per_series_max},
      {"nesting_max", &options.nesting_max},
      {"threads", &options.threads},
  };
  for (const Key& key : counts) {
    VIGIE_RETURN_IF_ERROR(map.Read(key.name, key.value));
    VIGIE_RETURN_IF_ERROR(CheckPositive(&map, key.name, *key.value));
  }
  VIGIE_RETURN_IF_ERROR(
      CheckAtMost(&map, "nesting_max", options.nesting_max, kNestingMax));
  VIGIE_RETURN_IF_ERROR(CheckAtMost(&map, "regex_bytes_max",
                                    options.regex_bytes_max,
                                    static_cast<int64_t>(kRegexBytesMax)));
  VIGIE_RETURN_IF_ERROR(map.Read("experimental", &options.experimental));
  if (const yaml::Node* rules = map.Find("rules")) {
    VIGIE_RETURN_IF_ERROR(ParseRuleBudget(*rules, &options.rules));
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return options;
}

}  // namespace vigie::query
