// QueryMetrics: what an engine counts of its queries.
// Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <iterator>
#include <string_view>

#include "query/parser/limit.h"

namespace vigie::query {

class QueryMetrics {
 public:
  // `budget` tells engines apart: "queries", "rules". `registry` outlives
  // this.
  QueryMetrics(std::string_view budget, prometheus::Registry& registry);

  void Refused(Limit limit) {
    refused_[static_cast<size_t>(limit)]->Increment();
  }
  // All queries of the engine together hold `bytes`.
  void SetBytes(int64_t bytes) { bytes_.Set(static_cast<double>(bytes)); }

 private:
  prometheus::Counter* refused_[std::size(kLimits)] = {};
  prometheus::Gauge& bytes_;
};

}  // namespace vigie::query
