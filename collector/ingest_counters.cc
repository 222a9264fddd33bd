#include "collector/ingest_counters.h"

#include "base/strings.h"

namespace vigie::collector {
namespace {

constexpr absl::Duration kLogInterval = absl::Seconds(10);

prometheus::Family<prometheus::Counter>& Family(prometheus::Registry& registry,
                                                const char* name,
                                                const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

}  // namespace

IngestCounters::IngestCounters(std::string_view door, const Clock& clock,
                               prometheus::Registry& registry)
    : door_(door),
      requests_(Family(registry, "vigie_collector_requests_total",
                       "Requests answered, by door and code.")),
      refused_(Family(registry, "vigie_collector_points_refused_total",
                      "Points not taken, by door and reason.")),
      received_(Family(registry, "vigie_collector_points_received_total",
                       "Points that came in, refused ones included, by door.")
                    .Add({{"door", door_}})),
      log_limit_(clock, kLogInterval) {}

void IngestCounters::Request(std::string_view code) {
  requests_.Add({{"door", door_}, {"code", std::string(code)}}).Increment();
}

void IngestCounters::Received(uint64_t points) {
  received_.Increment(static_cast<double>(points));
}

void IngestCounters::Refused(std::string_view reason, uint64_t points,
                             std::string_view example) {
  if (points == 0) return;
  refused_.Add({{"door", door_}, {"reason", std::string(reason)}})
      .Increment(static_cast<double>(points));
  if (uint64_t suppressed; log_limit_.Pass(&suppressed)) {
    spdlog::warn("{}: refused {} points, {}: {} ({} similar lines left out)",
                 door_, points, reason, CutExample(example), suppressed);
  }
}

void IngestCounters::RefusedWhole(std::string_view code, std::string_view why) {
  if (uint64_t suppressed; log_limit_.Pass(&suppressed)) {
    spdlog::warn("{}: refused a request, {}: {} ({} similar lines left out)",
                 door_, code, CutExample(why), suppressed);
  }
}

std::string_view WholeBatchReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return "queue_full";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    default:
      return "internal";
  }
}

std::string_view CutExample(std::string_view text) {
  const std::string_view cut = TruncatedUtf8(text, kExampleBytesMax);
  return IsValidUtf8(cut) ? cut : "(not UTF-8)";
}

}  // namespace vigie::collector
