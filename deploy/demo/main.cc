// shop: a small e-commerce back end, simulated, that measures itself with
// vigie's SDK. See README.md.

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "deploy/demo/event_log.h"
#include "deploy/demo/instruments.h"
#include "deploy/demo/options.h"
#include "deploy/demo/simulation.h"
#include "deploy/demo/totals.h"
#include "sdk/otlp/exporter.h"

namespace vigie::demo {
namespace {

using Steady = std::chrono::steady_clock;

// Gauges are read at least that often.
constexpr double kReadS = 0.1;
constexpr absl::Duration kShutdownTimeout = absl::Seconds(10);

// Blocked in every thread, waited for in main's.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

// The next signal, or 0 after `seconds` without one.
int WaitForSignal(const sigset_t& signals, double seconds) {
  seconds = std::max(seconds, 0.0);
  timespec timeout{};
  timeout.tv_sec = static_cast<time_t>(seconds);
  timeout.tv_nsec =
      static_cast<long>((seconds - std::floor(seconds)) * 1e9);  // NOLINT
  const int signal = sigtimedwait(&signals, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

// Lives through the shop's time at the speed of the options.
void Live(const ShopOptions& options, const sigset_t& signals,
          Simulation& simulation, Instruments& instruments) {
  const auto opened = Steady::now();
  while (true) {
    const std::chrono::duration<double> passed = Steady::now() - opened;
    const double shop_s = passed.count() * options.speed;
    const bool closes = options.duration_s > 0 && shop_s >= options.duration_s;
    simulation.RunUntil(closes ? options.duration_s : shop_s);
    instruments.Read();
    if (closes) return;

    double until_s =
        std::min(simulation.NextAt() / options.speed, passed.count() + kReadS);
    if (options.duration_s > 0) {
      until_s = std::min(until_s, options.duration_s / options.speed);
    }
    const std::chrono::duration<double> now = Steady::now() - opened;
    switch (WaitForSignal(signals, until_s - now.count())) {
      case SIGUSR1:
        simulation.SetPaymentErrors(options.burst_share);
        break;
      case SIGUSR2:
        simulation.SetPaymentErrors(0);
        break;
      case SIGINT:
      case SIGTERM:
        return;
      default:
        break;
    }
  }
}

absl::StatusOr<std::unique_ptr<sdk::Exporter>> StartExporter(
    const ShopOptions& options) {
  auto settings = sdk::ExporterOptionsFromEnvironment();
  if (!settings.ok()) return settings.status();
  if (!options.otlp_address.empty()) {
    settings->endpoint.address = options.otlp_address;
  }
  settings->interval = absl::Seconds(options.export_interval_s);
  settings->resource = sdk::Resource("shop", "shop-0");
  return sdk::Exporter::Start(*std::move(settings));
}

int Run(const ShopOptions& options) {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::unique_ptr<EventLog> log;
  if (!options.event_log.empty()) {
    log = EventLog::Open(options.event_log);
    if (log == nullptr) {
      fmt::print(stderr, "shop: {}: {}\n", options.event_log,
                 std::strerror(errno));
      return 2;
    }
  }
  auto exporter = StartExporter(options);
  if (!exporter.ok()) {
    fmt::print(stderr, "shop: {}\n", std::string(exporter.status().message()));
    return 2;
  }

  Totals totals;
  Instruments instruments(**exporter, {});
  // The log comes first: what is counted is in it.
  std::vector<Observer*> observers = {&totals, &instruments};
  if (log) observers.insert(observers.begin(), log.get());
  Simulation simulation(options.simulation, std::move(observers));
  if (log) log->Know(simulation.backend().instances(), simulation.catalogue());
  instruments.Open(simulation);
  fmt::print("shop: open, {} instances\n",
             simulation.backend().instances().size());
  std::fflush(stdout);

  Live(options, signals, simulation, instruments);

  int status = 0;
  const absl::Status sent = (*exporter)->Shutdown(kShutdownTimeout);
  if (!sent.ok()) {
    fmt::print(stderr, "shop: {}\n", std::string(sent.message()));
    status = 1;
  }
  if (log && !log->ok()) {
    fmt::print(stderr, "shop: {}: not whole\n", options.event_log);
    status = 1;
  }
  if (options.totals) {
    fmt::print("{}", totals.ToText(simulation.catalogue()));
  }
  return status;
}

}  // namespace
}  // namespace vigie::demo

int main(int argc, char** argv) {
  CLI::App app(
      "A small e-commerce back end, simulated, measured with vigie's "
      "SDK");
  vigie::demo::ShopOptions options;
  vigie::demo::AddOptions(app, options);
  CLI11_PARSE(app, argc, argv);
  vigie::demo::Complete(options);
  return vigie::demo::Run(options);
}
