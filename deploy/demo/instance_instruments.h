// The series that one instance of a service has, bound: what its process holds
// from its start to its end.
// Thread-compatible; the exporter may collect at any time.
#pragma once

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "deploy/demo/catalogue.h"
#include "deploy/demo/nouns.h"
#include "deploy/demo/routes.h"
#include "sdk/meter.h"

namespace vigie::demo {

template <typename T>
using BySite = std::array<T, kSiteNames.size()>;

// Those that its service does not have are left unbound and lead nowhere.
struct InstanceInstruments {
  std::shared_ptr<sdk::Meter> meter;
  double cpu_counted_s = 0;

  std::array<std::array<sdk::BoundHistogram, 4>, kRoutes.size()> requests;
  sdk::BoundCounter cpu;
  sdk::BoundGauge memory, start_time;
  sdk::BoundGauge connections_used, connections_idle;
  sdk::BoundGauge orders_waiting, emails_waiting;

  BySite<sdk::BoundCounter> visits, searches, baskets_created,
      baskets_abandoned, orders, revenue;
  BySite<sdk::BoundGauge> active_users;
  BySite<sdk::BoundHistogram> basket_value;
  std::array<sdk::BoundCounter, 2> logins;  // ok, failed
  std::vector<sdk::BoundCounter> sales;     // by product
  BySite<std::array<sdk::BoundCounter, kPaymentOutcomeNames.size()>> payments;
  std::array<sdk::BoundCounter, kEmailKindNames.size()> emails;

  // `is_first`: of its service, so that what all of them share is told once.
  InstanceInstruments(const Instance& instance, bool is_first,
                      const Catalogue& catalogue);

 private:
  void BindProcess(const Instance& instance);
  void BindGateway(std::string_view release);
  void BindAuth();
  void BindProducts();
  void BindBaskets();
  void BindOrders(std::string_view release, bool is_first,
                  const Catalogue& catalogue);
  void BindPayments(std::string_view release);
};

}  // namespace vigie::demo
