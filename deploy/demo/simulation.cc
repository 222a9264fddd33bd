#include "deploy/demo/simulation.h"

#include <utility>

namespace vigie::demo {

Simulation::Simulation(const SimulationOptions& options,
                       std::vector<Observer*> observers)
    : options_(options),
      audience_(timeline_, std::move(observers)),
      backend_(options.backend, options.seed, timeline_, audience_),
      fulfilment_(options.seed, timeline_, backend_, audience_),
      customers_(options.customers, options.seed, catalogue_, timeline_,
                 backend_, fulfilment_, audience_) {
  for (const Burst& burst : options.bursts) {
    timeline_.After(burst.start_s,
                    [this, burst] { SetPaymentErrors(burst.share); });
    timeline_.After(burst.start_s + burst.duration_s,
                    [this] { SetPaymentErrors(0); });
  }
  if (options.restart_every_s > 0) PlanRestart(0);
  customers_.Open();
}

void Simulation::SetPaymentErrors(double share) {
  fulfilment_.SetErrorShare(share);
  audience_.Tell(backend_.Pick(Service::kPayments, Release::kV1),
                 PaymentErrorsSet{share});
}

void Simulation::PlanRestart(size_t instance) {
  timeline_.After(options_.restart_every_s, [this, instance] {
    backend_.Restart(instance);
    PlanRestart((instance + 1) % backend_.instances().size());
  });
}

}  // namespace vigie::demo
