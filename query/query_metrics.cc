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

}  // namespace vigie::query
