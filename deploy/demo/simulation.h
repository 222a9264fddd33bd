// The whole shop, as a discrete-event simulation: what happens follows from the
// options alone, whatever the real time. Thread-compatible.
#pragma once

#include <cstdint>
#include <vector>

#include "deploy/demo/audience.h"
#include "deploy/demo/backend.h"
#include "deploy/demo/catalogue.h"
#include "deploy/demo/customers.h"
#include "deploy/demo/event.h"
#include "deploy/demo/fulfilment.h"
#include "deploy/demo/timeline.h"

namespace vigie::demo {

// A time of failing payments. Times in shop seconds.
struct Burst {
  double start_s;
  double duration_s;
  double share;  // of payments, in [0, 1]
};

struct SimulationOptions {
  uint64_t seed = 1;
  double restart_every_s = 0;      // one instance after the other; 0: never
  std::vector<Burst> bursts = {};  // must not overlap
  BackendOptions backend = {};
  CustomerOptions customers = {};
};

class Simulation {
 public:
  // The observers outlive it.
  Simulation(const SimulationOptions& options,
             std::vector<Observer*> observers);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  const Catalogue& catalogue() const { return catalogue_; }
  const Backend& backend() const { return backend_; }
  const Customers& customers() const { return customers_; }
  const Fulfilment& fulfilment() const { return fulfilment_; }

  double now_s() const { return timeline_.now_s(); }
  // When the next thing happens; there always is one.
  double NextAt() const { return timeline_.NextAt(); }
  // Includes that moment.
  void RunUntil(double at_s) { timeline_.RunUntil(at_s); }

  // From now on; 0 ends a burst. It is told as an event of payments.
  void SetPaymentErrors(double share);

 private:
  void PlanRestart(size_t instance);

  const SimulationOptions options_;
  const Catalogue catalogue_;
  Timeline timeline_;
  Audience audience_;
  Backend backend_;
  Fulfilment fulfilment_;
  Customers customers_;
};

}  // namespace vigie::demo
