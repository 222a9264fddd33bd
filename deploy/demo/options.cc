#include "deploy/demo/options.h"

#include <cstdio>
#include <string>
#include <vector>

namespace vigie::demo {
namespace {

void AddRhythm(CLI::App& app, ShopOptions& options) {
  CustomerOptions& customers = options.simulation.customers;
  app.add_option("--seed", options.simulation.seed,
                 "Same seed and flags, same events");
  app.add_option("--day-seconds", customers.rhythm.day_s,
                 "Shop seconds that a day takes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--start-hour", customers.rhythm.start_hour,
                 "Hour of the day at which the shop opens")
      ->check(CLI::Range(0.0, 23.999))
      ->capture_default_str();
  app.add_option("--visits", customers.visits_per_s,
                 "Visits a shop second, mean of a day")
      ->check(CLI::Range(0.001, 100'000.0))
      ->capture_default_str();
  app.add_option("--basket-window", customers.basket_window_s,
                 "Shop seconds until a basket counts as abandoned")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--restart-every", options.simulation.restart_every_s,
                 "Shop seconds between restarts of one instance; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddCanary(CLI::App& app, ShopOptions& options) {
  CustomerOptions& customers = options.simulation.customers;
  BackendOptions& backend = options.simulation.backend;
  auto* share = app.add_option("--canary-share", customers.canary_share,
                               "Part of the visits that release v2 serves")
                    ->check(CLI::Range(0.0, 1.0))
                    ->capture_default_str();
  app.add_option("--v2-latency-factor", backend.v2_latency_factor,
                 "v2 takes so many times as long")
      ->check(CLI::PositiveNumber)
      ->needs(share)
      ->capture_default_str();
  app.add_option("--v2-error-rate", backend.v2_error_rate,
                 "Part of v2's requests that fail beside the usual ones")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(share)
      ->capture_default_str();
  app.add_option("--v2-conversion-factor", customers.v2_conversion_factor,
                 "v2's customers order so many times as often")
      ->check(CLI::Range(0.0, 2.0))
      ->needs(share)
      ->capture_default_str();
}

void AddBursts(CLI::App& app, ShopOptions& options) {
  app.add_option_function<std::vector<std::string>>(
         "--payment-error-burst",
         [&options](const std::vector<std::string>& all) {
           for (const std::string& text : all) {
             Burst burst{};
             char end = 0;
             if (std::sscanf(text.c_str(), "%lf,%lf,%lf%c", &burst.start_s,
                             &burst.duration_s, &burst.share, &end) != 3 ||
                 !(burst.start_s >= 0 && burst.duration_s > 0 &&
                   burst.share >= 0 && burst.share <= 1)) {
               throw CLI::ValidationError("--payment-error-burst",
                                          text + ": not START,DURATION,SHARE");
             }
             options.simulation.bursts.push_back(burst);
           }
         },
         "START,DURATION,SHARE: from START (shop seconds), for DURATION, that "
         "SHARE of payments fails; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--burst-share", options.burst_share,
                 "Part of the payments that fail from SIGUSR1 to SIGUSR2")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

}  // namespace

void AddOptions(CLI::App& app, ShopOptions& options) {
  AddRhythm(app, options);
  AddCanary(app, options);
  AddBursts(app, options);
  app.add_option("--duration", options.duration_s,
                 "Shop seconds until it closes; 0: when it is told to")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--speed", options.speed, "Shop seconds in a real one")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--otlp", options.otlp_address,
                 "HOST:PORT of OTLP/gRPC; without it as OTEL_EXPORTER_OTLP_* "
                 "say");
  app.add_option("--export-interval", options.export_interval_s,
                 "Real seconds between two exports")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--event-log", options.event_log,
                 "File for one line of JSON an event; begun anew");
  app.add_flag("--totals", options.totals,
               "Print what happened, added up, at the end");
}

void Complete(ShopOptions& options) {
  SimulationOptions& simulation = options.simulation;
  simulation.backend.canary = simulation.customers.canary_share > 0;
  simulation.backend.rhythm = simulation.customers.rhythm;
}

}  // namespace vigie::demo
