// QueryMetrics: what an engine counts of its queries; beside it, of the answers
// that it keeps.
// Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstddef>
#include <cstdint>
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

// What became of a range query that might have been answered from the cache.
enum class CacheResult : uint8_t {
  kHit,      // nothing was evaluated
  kPartial,  // some steps were
  kMiss,     // all of them were
  kBypass,   // as its steps cannot be kept, or it asked for that
};

// CacheMetrics: what a cache of results counts.
// Thread-safe.
class CacheMetrics {
 public:
  // `registry` outlives this.
  explicit CacheMetrics(prometheus::Registry& registry);

  void Count(CacheResult result) {
    requests_[static_cast<size_t>(result)]->Increment();
  }
  void SetBytes(int64_t bytes) { bytes_.Set(static_cast<double>(bytes)); }
  void Evicted(int64_t answers) {
    evictions_.Increment(static_cast<double>(answers));
  }

 private:
  prometheus::Counter* requests_[4] = {};
  prometheus::Gauge& bytes_;
  prometheus::Counter& evictions_;
};

}  // namespace vigie::query
