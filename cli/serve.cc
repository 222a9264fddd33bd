#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "server/daemon.h"

namespace vigie::cli {
namespace {

constexpr absl::Duration kDrainMax = absl::Seconds(30);

absl::Status Serve(const server::DaemonOptions& options) {
  // Blocked before any thread starts, so that only sigwait sees them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaddset(&signals, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const SystemClock clock;
  VIGIE_ASSIGN_OR_RETURN(std::unique_ptr<server::Daemon> daemon,
                         server::Daemon::Start(options, clock));
  fmt::print("http: http://{}\ngrpc: {}\nready\n", daemon->http_address(),
             daemon->grpc_address());
  std::fflush(stdout);
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGHUP) break;
    if (absl::Status status = daemon->Reload(); status.ok()) {
      spdlog::info("configuration: read again");
    } else {
      spdlog::error("configuration: the old one stays in force: {}",
                    MessageOf(status));
    }
  }
  spdlog::info("shutting down");
  // A second signal ends the process at once.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  signal(SIGHUP, SIG_IGN);
  return daemon->Shutdown(kDrainMax);
}

}  // namespace

void AddServe(CLI::App& app, absl::Status* result) {
  auto options = std::make_shared<server::DaemonOptions>();
  options->data_directory = "vigie-data";
  CLI::App* serve =
      app.add_subcommand("serve", "Run the server until SIGINT or SIGTERM");
  serve
      ->add_option("--data", options->data_directory,
                   "Data directory, created if absent")
      ->capture_default_str();
  serve
      ->add_option("--http", options->http_address,
                   "Address of the HTTP API; port 0 picks a free one")
      ->capture_default_str();
  serve
      ->add_option("--grpc", options->grpc_address,
                   "Address of OTLP/gRPC; port 0 picks a free one")
      ->capture_default_str();
  serve->add_option("--config", options->config_path,
                    "vigie.yml; without it everything has its default");
  serve->callback([options, result] { *result = Serve(*options); });
}

}  // namespace vigie::cli
