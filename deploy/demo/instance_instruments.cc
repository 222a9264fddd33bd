#include "deploy/demo/instance_instruments.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "deploy/demo/backend.h"

namespace vigie::demo {
namespace {

// What a customer spends: from a hook to a few desks.
const std::vector<double>& EurosBounds() {
  static const auto& bounds = *new std::vector<double>{
      5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000};
  return bounds;
}

// Binds a series for each site; `more` are the values of further keys.
template <typename Bound, typename Instrument, typename... More>
void BindSites(BySite<Bound>& handles, const Instrument& instrument,
               const More&... more) {
  for (size_t i = 0; i < handles.size(); ++i) {
    handles[i] = instrument.Bind(kSiteNames[i], more...);
  }
}

}  // namespace

InstanceInstruments::InstanceInstruments(const Instance& instance,
                                         bool is_first,
                                         const Catalogue& catalogue)
    : meter(std::make_shared<sdk::Meter>(sdk::Resource(
          NameOf(instance.service, kServiceNames), instance.name))) {
  const std::string_view release = NameOf(instance.release, kReleaseNames);
  BindProcess(instance);
  switch (instance.service) {
    case Service::kGateway:
      BindGateway(release);
      break;
    case Service::kAuth:
      BindAuth();
      break;
    case Service::kProducts:
      BindProducts();
      break;
    case Service::kBaskets:
      BindBaskets();
      break;
    case Service::kOrders:
      BindOrders(release, is_first, catalogue);
      break;
    case Service::kPayments:
      BindPayments(release);
      break;
  }
}

void InstanceInstruments::BindProcess(const Instance& instance) {
  const auto duration =
      meter->AddHistogram<"http.route", "http.request.method",
                          "http.response.status_code", "version">(
          {.name = "http.server.request.duration",
           .description = "Time until a request was answered.",
           .unit = "s"});
  for (size_t i = 0; i < kRoutes.size(); ++i) {
    const Route& route = kRoutes[i];
    if (route.service != instance.service) continue;
    for (size_t j = 0; j < route.statuses.size(); ++j) {
      if (route.statuses[j] == 0) break;
      requests[i][j] =
          duration.Bind(route.path, route.method, route.statuses[j],
                        NameOf(instance.release, kReleaseNames));
    }
  }

  cpu = meter
            ->AddCounter<>({.name = "process.cpu",
                            .description = "Time that a core was busy.",
                            .unit = "s"})
            .Bind();
  memory = meter
               ->AddGauge<>({.name = "process.resident_memory",
                             .description = "Memory in use.",
                             .unit = "By"})
               .Bind();
  start_time = meter
                   ->AddGauge<>({.name = "process.start_time",
                                 .description = "When it started, Unix time.",
                                 .unit = "s"})
                   .Bind();
  start_time.Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));

  if (instance.service == Service::kGateway) return;  // it has no database
  const auto connections = meter->AddGauge<"pool", "state">(
      {.name = "db.client.connections",
       .description = "Connections to the database."});
  const std::string_view pool = NameOf(instance.service, kServiceNames);
  connections_used = connections.Bind(pool, "used");
  connections_idle = connections.Bind(pool, "idle");
  meter
      ->AddGauge<"pool">({.name = "db.client.connections.max",
                          .description = "Connections it may have."})
      .Bind(pool)
      .Set(static_cast<double>(kConnectionsMax));
}

void InstanceInstruments::BindGateway(std::string_view release) {
  BindSites(visits,
            meter->AddCounter<"site", "version">(
                {.name = "shop.visits", .description = "Customers who came."}),
            release);
  BindSites(active_users,
            meter->AddGauge<"site">(
                {.name = "shop.active_users",
                 .description = "Customers whom this gateway serves now."}));
}

void InstanceInstruments::BindAuth() {
  const auto counter = meter->AddCounter<"outcome">(
      {.name = "shop.logins", .description = "Attempts to log in."});
  logins = {counter.Bind("ok"), counter.Bind("failed")};
}

void InstanceInstruments::BindProducts() {
  BindSites(searches,
            meter->AddCounter<"site">({.name = "shop.searches",
                                       .description = "Searches answered."}));
}

void InstanceInstruments::BindBaskets() {
  BindSites(baskets_created,
            meter->AddCounter<"site">({.name = "shop.baskets_created",
                                       .description = "Baskets begun."}));
  BindSites(baskets_abandoned,
            meter->AddCounter<"site">(
                {.name = "shop.baskets_abandoned",
                 .description = "Baskets not ordered within the window."}));
}

void InstanceInstruments::BindOrders(std::string_view release, bool is_first,
                                     const Catalogue& catalogue) {
  BindSites(orders,
            meter->AddCounter<"site", "version">(
                {.name = "shop.orders", .description = "Orders placed."}),
            release);
  BindSites(basket_value,
            meter->AddHistogram<"site">(
                {.name = "shop.basket.value",
                 .description = "Value of an order when it was placed.",
                 .unit = "euros"},
                EurosBounds()));
  BindSites(revenue,
            meter->AddCounter<"site", "currency">(
                {.name = "shop.revenue",
                 .description = "Money of orders that were paid.",
                 .unit = "cents"}),
            "EUR");
  const auto sold = meter->AddCounter<"product">(
      {.name = "shop.product_sales",
       .description = "Pieces sold, of orders that were paid."});
  for (const Product& product : catalogue.products()) {
    sales.push_back(sold.Bind(product.name));
  }
  const auto sent = meter->AddCounter<"kind">(
      {.name = "shop.emails_sent", .description = "E-mails sent."});
  for (size_t i = 0; i < emails.size(); ++i) {
    emails[i] = sent.Bind(kEmailKindNames[i]);
  }
  if (!is_first) return;
  const auto waiting = meter->AddGauge<"queue">(
      {.name = "queue.messages", .description = "Messages that wait."});
  orders_waiting = waiting.Bind("orders");
  emails_waiting = waiting.Bind("emails");
}

void InstanceInstruments::BindPayments(std::string_view release) {
  const auto counter = meter->AddCounter<"site", "version", "outcome">(
      {.name = "shop.payments", .description = "Attempts to pay."});
  for (size_t site = 0; site < payments.size(); ++site) {
    for (size_t i = 0; i < kPaymentOutcomeNames.size(); ++i) {
      payments[site][i] =
          counter.Bind(kSiteNames[site], release, kPaymentOutcomeNames[i]);
    }
  }
}

}  // namespace vigie::demo
