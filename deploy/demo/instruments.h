// What the shop's services measure of themselves, with vigie's SDK: a meter for
// each instance, one exporter for all. Metrics: deploy/demo/README.md.
//
// Every series is bound before anything is counted, so that vigie sees each
// counter at 0 first: increase() is exact then. For the same reason a restart
// sends what the old process counted, and then the new one's zeros.
// Thread-compatible: one thread tells it of events, the exporter has its own.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "deploy/demo/event.h"
#include "deploy/demo/instance_instruments.h"
#include "deploy/demo/simulation.h"
#include "sdk/otlp/exporter.h"

namespace vigie::demo {

class Instruments final : public Observer {
 public:
  // How long a restart waits for the server; what was collected is sent later
  // if that is not enough.
  struct Options {
    absl::Duration flush_timeout = absl::Seconds(2);
  };

  // `exporter` outlives it.
  Instruments(sdk::Exporter& exporter, const Options& options);
  ~Instruments() override;

  // Before the first event; `simulation` outlives it. Sends the zeros.
  void Open(const Simulation& simulation);

  // Sets the gauges to what the simulation is now; to be called often.
  void Read();

  void OnEvent(const Event& event) override;
  void OnRequest(const Request& request) override;

 private:
  struct Count;

  std::unique_ptr<InstanceInstruments> Start(size_t instance);
  void Restart(size_t instance);
  void Flush();

  sdk::Exporter& exporter_;
  const Options options_;
  const Simulation* simulation_ = nullptr;
  std::vector<std::unique_ptr<InstanceInstruments>> handles_;  // by instance
};

}  // namespace vigie::demo
