// IngestCounters: what came in through one door and what became of it, as
// metrics and as rate-limited log lines.
//   vigie_collector_requests_total{door,code}
//   vigie_collector_points_received_total{door}
//   vigie_collector_points_refused_total{door,reason}
// Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/log.h"

namespace vigie::collector {

class IngestCounters {
 public:
  // `door` is "otlp", "remote_write" or "scrape". All outlive the object.
  IngestCounters(std::string_view door, const Clock& clock,
                 prometheus::Registry& registry);

  // `code` as the wire names it: "OK", "204"; few different ones.
  void Request(std::string_view code);
  void Received(uint64_t points);
  // `reason` is one of a fixed set; `example` is logged, cut to a line.
  void Refused(std::string_view reason, uint64_t points,
               std::string_view example);
  // A request refused whole: logged only, Request() counts it.
  void RefusedWhole(std::string_view code, std::string_view why);

 private:
  const std::string door_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Counter& received_;
  LogRateLimiter log_limit_;
};

// The reason under which the points of a batch are counted that the store
// refused whole: "queue_full", "unavailable", "internal".
std::string_view WholeBatchReason(absl::StatusCode code);

// What senders do not need in full: names of theirs that are a megabyte long.
// Always UTF-8, as answers in protobuf must be.
inline constexpr size_t kExampleBytesMax = 500;
std::string_view CutExample(std::string_view text);

}  // namespace vigie::collector
