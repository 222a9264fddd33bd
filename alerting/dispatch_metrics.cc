#include "alerting/dispatch_metrics.h"

namespace vigie::alerting {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// From a local webhook to a receiver that was down for a day.
const prometheus::Histogram::BucketBoundaries kLatencyBoundaries = {
    0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400};

prometheus::Gauge& OneGauge(prometheus::Registry& registry, const char* name,
                            const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

DispatchMetrics::DispatchMetrics(prometheus::Registry& registry)
    : delivered_(BuildCounter()
                     .Name("vigie_notifications_total")
                     .Help("Messages that a receiver has taken.")
                     .Register(registry)),
      given_up_(BuildCounter()
                    .Name("vigie_notifications_given_up_total")
                    .Help("Messages that are owed no longer, by reason: "
                          "refused, deadline, receiver_gone, too_old.")
                    .Register(registry)),
      superseded_(BuildCounter()
                      .Name("vigie_notifications_superseded_total")
                      .Help("Messages whose matter was over before a receiver "
                            "that did not answer heard of it.")
                      .Register(registry)),
      attempts_(BuildCounter()
                    .Name("vigie_notification_attempts_total")
                    .Help("Attempts at telling a receiver that have ended.")
                    .Register(registry)),
      failed_(BuildCounter()
                  .Name("vigie_notifications_failed_total")
                  .Help("Attempts that failed, by reason: temporary, unknown "
                        "(no answer), refused.")
                  .Register(registry)),
      latency_(BuildHistogram()
                   .Name("vigie_notification_latency_seconds")
                   .Help("From when a message is owed to the receiver's "
                         "answer that it has it.")
                   .Register(registry)),
      alerts_(BuildGauge()
                  .Name("vigie_alerts")
                  .Help("Alerts that the dispatcher knows, by state.")
                  .Register(registry)),
      owed(OneGauge(registry, "vigie_notifications_owed",
                    "Messages that receivers are owed.")),
      oldest_owed(OneGauge(registry,
                           "vigie_notifications_oldest_owed_timestamp_seconds",
                           "Since when the oldest of them is owed; 0: none.")),
      groups(
          OneGauge(registry, "vigie_dispatcher_groups", "Groups of alerts.")),
      alerts_firing(alerts_.Add({{"state", "firing"}})),
      alerts_resolved(alerts_.Add({{"state", "resolved"}})),
      writes_failed(BuildCounter()
                        .Name("vigie_dispatcher_writes_failed_total")
                        .Help("Changes that could not be written down and are "
                              "tried again.")
                        .Register(registry)
                        .Add({})) {}

void DispatchMetrics::Announce(const std::string& type) {
  delivered_.Add({{"integration", type}});
  superseded_.Add({{"integration", type}});
  latency_.Add({{"integration", type}}, kLatencyBoundaries);
  attempts_.Add({{"integration", type}});
  for (const char* reason :
       {"refused", "deadline", "receiver_gone", "too_old"}) {
    given_up_.Add({{"integration", type}, {"reason", reason}});
  }
  for (const char* reason : {"temporary", "unknown", "refused"}) {
    failed_.Add({{"integration", type}, {"reason", reason}});
  }
}

void DispatchMetrics::Delivered(const std::string& type, double latency_s) {
  delivered_.Add({{"integration", type}}).Increment();
  latency_.Add({{"integration", type}}, kLatencyBoundaries).Observe(latency_s);
}

void DispatchMetrics::GivenUp(const std::string& type,
                              const std::string& reason) {
  given_up_.Add({{"integration", type}, {"reason", reason}}).Increment();
}

void DispatchMetrics::Superseded(const std::string& type) {
  superseded_.Add({{"integration", type}}).Increment();
}

void DispatchMetrics::Attempted(const std::string& type,
                                const std::string& failure) {
  attempts_.Add({{"integration", type}}).Increment();
  if (failure.empty()) return;
  failed_.Add({{"integration", type}, {"reason", failure}}).Increment();
}

}  // namespace vigie::alerting
