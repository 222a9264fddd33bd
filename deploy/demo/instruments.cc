#include "deploy/demo/instruments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <variant>

#include "absl/time/clock.h"
#include "deploy/demo/routes.h"

namespace vigie::demo {
namespace {

constexpr double kMemoryAtStart = 96 << 20;
constexpr double kMemoryPerCustomer = 256 << 10;
// A leak, so that there is something to see; a restart mends it.
constexpr double kMemoryPerRequest = 2 << 10;

int64_t UnixMs() { return absl::ToUnixMillis(absl::Now()); }

template <typename Bound, typename Enum, size_t kSize>
const Bound& At(const std::array<Bound, kSize>& handles, Enum value) {
  return handles[static_cast<size_t>(value)];
}

}  // namespace

// Counts an event; `handles` are of the instance to which it happened.
struct Instruments::Count {
  const InstanceInstruments& handles;

  void operator()(const Visit& e) { At(handles.visits, e.site).Increment(); }
  void operator()(const Search& e) { At(handles.searches, e.site).Increment(); }
  void operator()(const Login& e) { handles.logins[e.ok ? 0 : 1].Increment(); }
  void operator()(const BasketCreated& e) {
    At(handles.baskets_created, e.site).Increment();
  }
  void operator()(const BasketAbandoned& e) {
    At(handles.baskets_abandoned, e.site).Increment();
  }
  void operator()(const OrderPlaced& e) {
    At(handles.orders, e.site).Increment();
    At(handles.basket_value, e.site)
        .Observe(static_cast<double>(e.cents) / 100);
  }
  void operator()(const PaymentAttempted& e) {
    At(At(handles.payments, e.site), e.outcome).Increment();
  }
  void operator()(const OrderPaid& e) {
    At(handles.revenue, e.site).Add(e.cents);
    for (const OrderLine& line : e.lines) {
      handles.sales[line.product].Add(line.quantity);
    }
  }
  void operator()(const EmailSent& e) {
    At(handles.emails, e.kind).Increment();
  }
  void operator()(const Restarted&) {}
  void operator()(const PaymentErrorsSet&) {}
};

Instruments::Instruments(sdk::Exporter& exporter, const Options& options)
    : exporter_(exporter), options_(options) {}

Instruments::~Instruments() = default;

void Instruments::Open(const Simulation& simulation) {
  simulation_ = &simulation;
  for (size_t i = 0; i < simulation.backend().instances().size(); ++i) {
    handles_.push_back(Start(i));
  }
  Read();
  Flush();
}

std::unique_ptr<InstanceInstruments> Instruments::Start(size_t instance) {
  const Backend& backend = simulation_->backend();
  const Instance& its = backend.instances()[instance];
  const bool is_first =
      instance == 0 || backend.instances()[instance - 1].service != its.service;
  auto handles = std::make_unique<InstanceInstruments>(
      its, is_first, simulation_->catalogue());
  exporter_.Add(handles->meter);
  return handles;
}

void Instruments::Restart(size_t instance) {
  Flush();
  exporter_.Remove(*handles_[instance]->meter);
  // vigie keeps milliseconds: the last values and the zeros need one each.
  const int64_t last_ms = UnixMs();
  while (UnixMs() == last_ms) {
    absl::SleepFor(absl::Microseconds(100));
  }
  handles_[instance] = Start(instance);
  Read();
  Flush();
}

void Instruments::Flush() {
  const absl::Status status = exporter_.Flush(options_.flush_timeout);
  if (!status.ok()) {
    fmt::print(stderr, "shop: {}\n", std::string(status.message()));
  }
}

void Instruments::Read() {
  const Backend& backend = simulation_->backend();
  const Customers& customers = simulation_->customers();
  const Fulfilment& fulfilment = simulation_->fulfilment();
  for (size_t i = 0; i < handles_.size(); ++i) {
    InstanceInstruments& handles = *handles_[i];
    const Backend::Vitals& vitals = backend.vitals(i);
    // After a restart the new process has its work ahead of it.
    handles.cpu.Add(std::max(vitals.cpu_s - handles.cpu_counted_s, 0.0));
    handles.cpu_counted_s = vitals.cpu_s;

    int64_t active = 0;
    for (size_t site = 0; site < kSiteNames.size(); ++site) {
      const int64_t here = customers.active(i, static_cast<Site>(site));
      handles.active_users[site].Set(static_cast<double>(here));
      active += here;
    }
    handles.memory.Set(
        kMemoryAtStart + kMemoryPerCustomer * static_cast<double>(active) +
        kMemoryPerRequest * static_cast<double>(vitals.requests));
    const int64_t used = std::min(vitals.in_flight, kConnectionsMax);
    handles.connections_used.Set(static_cast<double>(used));
    handles.connections_idle.Set(static_cast<double>(kConnectionsMax - used));
    handles.orders_waiting.Set(
        static_cast<double>(fulfilment.orders_waiting()));
    handles.emails_waiting.Set(
        static_cast<double>(fulfilment.emails_waiting()));
  }
}

void Instruments::OnEvent(const Event& event) {
  if (std::holds_alternative<Restarted>(event.what)) {
    return Restart(event.instance);
  }
  std::visit(Count{*handles_[event.instance]}, event.what);
}

void Instruments::OnRequest(const Request& request) {
  const auto& statuses = kRoutes[request.route].statuses;
  const auto it = std::find(statuses.begin(), statuses.end(), request.status);
  if (it == statuses.end()) return;  // simulation_test: there is none such
  handles_[request.instance]
      ->requests[request.route][it - statuses.begin()]
      .Observe(request.seconds);
}

}  // namespace vigie::demo
