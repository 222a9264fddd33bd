// What the HTTP core counts of itself.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <string>
#include <string_view>

namespace vigie::server {

struct HttpServerMetrics {
  explicit HttpServerMetrics(prometheus::Registry& registry)
      : connections(prometheus::BuildGauge()
                        .Name("vigie_http_connections")
                        .Help("Open HTTP connections.")
                        .Register(registry)
                        .Add({})),
        clients_left(prometheus::BuildCounter()
                         .Name("vigie_http_clients_left_total")
                         .Help("Clients that left before their answer.")
                         .Register(registry)
                         .Add({})),
        faults(prometheus::BuildCounter()
                   .Name("vigie_http_faults_total")
                   .Help("Connections and requests that ended before a "
                         "handler saw them, by reason.")
                   .Register(registry)) {}

  prometheus::Counter& Fault(std::string_view reason) {
    return faults.Add({{"reason", std::string(reason)}});
  }

  prometheus::Gauge& connections;
  prometheus::Counter& clients_left;
  prometheus::Family<prometheus::Counter>& faults;
};

}  // namespace vigie::server
