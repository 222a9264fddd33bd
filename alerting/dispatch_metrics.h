// What the dispatcher says of itself, as vigie_notification* and
// vigie_dispatcher_*. Labels: `integration` is its kind ("slack").
// Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

namespace vigie::alerting {

class DispatchMetrics {
 public:
  explicit DispatchMetrics(prometheus::Registry& registry);

  // Makes the series of a kind of integration, at 0.
  void Announce(const std::string& type);

  void Delivered(const std::string& type, double latency_s);
  // `reason`: refused, deadline, receiver_gone, too_old.
  void GivenUp(const std::string& type, const std::string& reason);
  void Superseded(const std::string& type);
  // An attempt has ended. `failure`: temporary, unknown (the receiver may have
  // it), refused; empty: it was delivered.
  void Attempted(const std::string& type, const std::string& failure);

 private:
  prometheus::Family<prometheus::Counter>& delivered_;
  prometheus::Family<prometheus::Counter>& given_up_;
  prometheus::Family<prometheus::Counter>& superseded_;
  prometheus::Family<prometheus::Counter>& attempts_;
  prometheus::Family<prometheus::Counter>& failed_;
  prometheus::Family<prometheus::Histogram>& latency_;
  prometheus::Family<prometheus::Gauge>& alerts_;

 public:
  prometheus::Gauge& owed;
  // Unix seconds since when the oldest is owed; 0: nothing is.
  prometheus::Gauge& oldest_owed;
  prometheus::Gauge& groups;
  prometheus::Gauge& alerts_firing;
  prometheus::Gauge& alerts_resolved;
  prometheus::Counter& writes_failed;
};

}  // namespace vigie::alerting
