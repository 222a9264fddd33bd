// A service that takes orders, seen by vigie. Where to send and how it is called
// are in the environment:
//   OTEL_SERVICE_NAME=orders OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317
#include <vigie/sdk/meter.h>
#include <vigie/sdk/otlp/exporter.h>

#include <cstdio>
#include <memory>

namespace sdk = vigie::sdk;

int main() {
  auto meter = std::make_shared<sdk::Meter>(sdk::Resource::FromEnvironment());
  auto exporter = sdk::Exporter::FromEnvironment(meter);
  if (!exporter.ok()) {
    std::fprintf(stderr, "%s\n", exporter.status().ToString().c_str());
    return 2;
  }

  // Keys are part of the type: one value too few does not compile.
  auto orders = meter->AddCounter<"site", "version">(
      {.name = "shop.orders", .description = "Orders placed."});
  auto revenue = meter->AddCounter<"site", "currency">(
      {.name = "shop.revenue.cents", .description = "In minor units."});
  auto latency = meter->AddHistogram<"http.route">(
      {.name = "http.server.request.duration", .unit = "s"});
  auto users = meter->AddGauge<"site">({.name = "shop.active_users"});

  // Bind once, keep the handle: what follows takes no lock.
  const auto orders_fr = orders.Bind("fr", "v1");
  const auto revenue_fr = revenue.Bind("fr", "EUR");
  const auto checkout = latency.Bind("/checkout");
  orders.Bind("es", "v1");  // there from now on, at 0
  for (int order = 1; order <= 42; ++order) {
    orders_fr.Increment();
    revenue_fr.Add(1999);
    checkout.Observe(0.004 * order);
  }
  users.Bind("fr").Set(17);

  const absl::Status sent = (*exporter)->Shutdown();
  if (!sent.ok()) std::fprintf(stderr, "%s\n", sent.ToString().c_str());
  return sent.ok() ? 0 : 1;
}
