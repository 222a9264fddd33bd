#include "cli/store_session.h"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <signal.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "cli/progress_line.h"
#include "server/admin_socket.h"
#include "store/data_directory.h"
#include "store/verify.h"

namespace vigie::cli {
namespace {

class TerminalSink final : public server::OperationSink {
 public:
  explicit TerminalSink(std::FILE* data)
      : data_(data),
        line_(stderr, data == stdout ? 0 : ProgressLine::WidthOfStderr(),
              clock_) {}

  void OnProgress(std::string_view what, uint64_t done, uint64_t total,
                  std::string_view unit) override {
    line_.Update(what, done, total, unit);
  }
  void OnWarning(std::string_view text) override {
    line_.Clear();
    fmt::print(stderr, "vigie: {}\n", text);
  }
  absl::Status OnData(std::string_view text) override {
    if (std::fwrite(text.data(), 1, text.size(), data_) == text.size()) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(
        fmt::format("output: {}", std::strerror(errno)));
  }
  void Clear() { line_.Clear(); }

 private:
  std::FILE* const data_;
  const SystemClock clock_;
  ProgressLine line_;
};

// Turns the first SIGINT or SIGTERM into a stop. Made before other threads, so
// that none of them is interrupted instead.
class SignalStop {
 public:
  SignalStop() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    // A reader that has left ends the export by an error.
    ::signal(SIGPIPE, SIG_IGN);
    thread_ = std::jthread([this](const std::stop_token& ended) {
      const timespec tick = {0, 100'000'000};
      while (!ended.stop_requested()) {
        if (sigtimedwait(&signals_, nullptr, &tick) < 0) continue;
        stop_.request_stop();
        pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
        return;
      }
    });
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  sigset_t signals_;
  std::stop_source stop_;
  std::jthread thread_;
};

absl::StatusOr<std::string> RunHere(const std::string& directory,
                                    const server::OperationRequest& request,
                                    TerminalSink& sink, std::stop_token stop) {
  VIGIE_RETURN_IF_ERROR(store::CheckDataDirectory(directory));
  // What matters comes back as a status.
  VIGIE_RETURN_IF_ERROR(SetUpLog("warn"));
  const SystemClock clock;
  if (request.verb == "verify") {
    VIGIE_ASSIGN_OR_RETURN(
        const store::VerifyOutcome outcome,
        store::VerifyDirectory(
            directory, clock, server::ProgressTo(sink, std::move(stop)),
            [&](const std::string& damage) { sink.OnWarning(damage); }));
    return server::VerifyResult(outcome);
  }
  prometheus::Registry registry;
  store::StoreOptions options;
  options.retention_ms = 0;
  sink.OnProgress("opening", 0, 0, "");
  VIGIE_ASSIGN_OR_RETURN(
      std::unique_ptr<store::Store> store,
      store::Store::Open(directory, options, clock, registry));
  absl::StatusOr<std::string> result =
      server::RunOperation(*store, request, sink, std::move(stop));
  absl::Status closed = store->Close();
  if (result.ok() && !closed.ok()) return closed;
  return result;
}

}  // namespace

absl::StatusOr<std::string> RunStoreOperation(
    const StoreSessionOptions& options,
    const server::OperationRequest& request) {
  const SignalStop signals;
  TerminalSink sink(options.data);
  absl::StatusOr<std::unique_ptr<server::AdminConnection>> server =
      server::AdminConnection::Connect(
          server::AdminSocketPath(options.data_directory));
  const auto run = [&]() -> absl::StatusOr<std::string> {
    if (server.ok()) return (*server)->Ask(request, sink, signals.token());
    if (!absl::IsNotFound(server.status())) return server.status();
    return RunHere(options.data_directory, request, sink, signals.token());
  };
  absl::StatusOr<std::string> result = run();
  sink.Clear();
  return result;
}

absl::StatusOr<std::string> RunDirectoryOperation(
    const StoreSessionOptions& options,
    const server::OperationRequest& request) {
  const SignalStop signals;
  VIGIE_RETURN_IF_ERROR(SetUpLog("warn"));
  TerminalSink sink(options.data);
  const SystemClock clock;
  const store::Progress progress = server::ProgressTo(sink, signals.token());
  if (request.verb == "restore") {
    const absl::Status status = store::RestoreDirectory(
        request.paths.at(0), options.data_directory, clock, progress);
    sink.Clear();
    VIGIE_RETURN_IF_ERROR(status);
    return "{}";
  }
  const absl::StatusOr<std::vector<std::string>> lost = store::RepairDirectory(
      options.data_directory, request.format == "yes", progress);
  sink.Clear();
  VIGIE_RETURN_IF_ERROR(lost.status());
  return nlohmann::json{{"lost", *lost}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace vigie::cli
