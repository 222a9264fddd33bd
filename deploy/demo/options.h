// The shop's command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "deploy/demo/simulation.h"

namespace vigie::demo {

struct ShopOptions {
  SimulationOptions simulation = {};
  double burst_share = 0.5;  // of payments, while SIGUSR1 is in force
  double duration_s = 0;     // shop seconds; 0: until it is told to stop
  double speed = 1;          // shop seconds in a real one
  double export_interval_s = 1;
  std::string otlp_address;  // empty: as the environment says
  std::string event_log;     // empty: none
  bool totals = false;
};

// Adds every flag; `options` outlives `app`, and is whole after Complete().
void AddOptions(CLI::App& app, ShopOptions& options);

// What one flag says for several parts.
void Complete(ShopOptions& options);

}  // namespace vigie::demo
