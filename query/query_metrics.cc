#include "query/query_metrics.h"

#include <string>

namespace vigie::query {

QueryMetrics::QueryMetrics(std::string_view budget,
                           prometheus::Registry& registry)
    : bytes_(prometheus::BuildGauge()
                 .Name("vigie_query_bytes")
                 .Help("Bytes that the queries of a budget hold together, as "
                       "of the last beginning or end of one.")
                 .Register(registry)
                 .Add({{"budget", std::string(budget)}})) {
  auto& refused = prometheus::BuildCounter()
                      .Name("vigie_query_limit_refused_total")
                      .Help(
                          "Queries refused or ended as they went beyond a "
                          "limit.")
                      .Register(registry);
  for (const Limit limit : kLimits) {
    refused_[static_cast<size_t>(limit)] =
        &refused.Add({{"budget", std::string(budget)},
                      {"limit", std::string(LimitName(limit))}});
  }
}

CacheMetrics::CacheMetrics(prometheus::Registry& registry)
    : bytes_(prometheus::BuildGauge()
                 .Name("vigie_query_cache_bytes")
                 .Help("Bytes that kept answers of range queries take.")
                 .Register(registry)
                 .Add({})),
      evictions_(prometheus::BuildCounter()
                     .Name("vigie_query_cache_evictions_total")
                     .Help("Kept answers that made room for others.")
                     .Register(registry)
                     .Add({})) {
  auto& requests =
      prometheus::BuildCounter()
          .Name("vigie_query_cache_requests_total")
          .Help(
              "Range queries by how much of the answer had been kept: hit "
              "(all), partial, miss (none), bypass (cannot be kept).")
          .Register(registry);
  constexpr std::string_view kResults[] = {"hit", "partial", "miss", "bypass"};
  for (size_t i = 0; i < std::size(kResults); ++i) {
    requests_[i] = &requests.Add({{"result", std::string(kResults[i])}});
  }
}

}  // namespace vigie::query
