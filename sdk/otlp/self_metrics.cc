#include "sdk/otlp/self_metrics.h"

namespace vigie::sdk {
namespace {

constexpr int kReasons = static_cast<int>(DropReason::kCount);

}  // namespace

const char* NameOf(DropReason why) {
  switch (why) {
    case DropReason::kQueueFull:
      return "queue_full";
    case DropReason::kExpired:
      return "expired";
    case DropReason::kPermanent:
      return "permanent";
    case DropReason::kRejected:
      return "rejected";
    case DropReason::kShutdown:
      return "shutdown";
    case DropReason::kCount:
      break;
  }
  return "unknown";
}

SelfMetrics::SelfMetrics(const ExporterOptions& options)
    : meter_(options.resource, {.clock = options.clock}) {
  sent_ = meter_
              .AddCounter<>({.name = "vigie.sdk.export.sent",
                             .description = "Points acknowledged",
                             .unit = "{point}"})
              .Bind();
  retries_ = meter_
                 .AddCounter<>({.name = "vigie.sdk.export.retries",
                                .description = "Tries after the first one",
                                .unit = "{try}"})
                 .Bind();
  const auto dropped = meter_.AddCounter<"reason">(
      {.name = "vigie.sdk.export.dropped",
       .description = "Points that the server does not have",
       .unit = "{point}"});
  for (int i = 0; i < kReasons; ++i) {
    dropped_[i] = dropped.Bind(NameOf(static_cast<DropReason>(i)));
  }
  queued_ = meter_
                .AddGauge<>({.name = "vigie.sdk.export.queue.points",
                             .description = "Points that wait",
                             .unit = "{point}"})
                .Bind();
  duration_ = meter_
                  .AddHistogram<>({.name = "vigie.sdk.export.duration",
                                   .description = "Of one try",
                                   .unit = "s"})
                  .Bind();
}

void SelfMetrics::Add(const Exporter::Counts& now) {
  sent_.Add(now.sent - last_.sent);
  retries_.Add(now.retries - last_.retries);
  for (int i = 0; i < kReasons; ++i) {
    dropped_[i].Add(now.dropped[i] - last_.dropped[i]);
  }
  queued_.Set(static_cast<double>(now.queued));
  last_ = now;
}

void SelfMetrics::ObserveTry(int64_t ns) {
  duration_.Observe(static_cast<double>(ns) / 1e9);
}

}  // namespace vigie::sdk
