#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/push_convert.h"
#include "sdk/otlp/client.h"

namespace vigie::cli {
namespace {

constexpr size_t kInputBytesMax = 64 << 20;

struct PushOptions {
  std::string grpc_address = "127.0.0.1:4317";
  std::string job = "push";
  std::string instance;
  std::string timeout = "10s";
};

absl::StatusOr<std::string> ReadInput() {
  std::string text;
  char buffer[64 << 10];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, n);
    if (text.size() > kInputBytesMax) {
      return absl::OutOfRangeError(
          fmt::format("standard input: more than {} bytes", kInputBytesMax));
    }
  }
  if (std::ferror(stdin) != 0) {
    return absl::UnavailableError("standard input: cannot be read");
  }
  return text;
}

absl::Status Push(const PushOptions& options) {
  VIGIE_ASSIGN_OR_RETURN(const int64_t timeout_ms,
                         ParseDurationMs(options.timeout));
  VIGIE_ASSIGN_OR_RETURN(const std::string text, ReadInput());
  auto request = ExpositionToOtlp(text, SystemClock().NowMs(), options.job,
                                  options.instance);
  if (!request.ok()) return Prefixed("standard input", request.status());
  sdk::OtlpClient client(options.grpc_address);
  const auto outcome = client.Export(
      *request, {.timeout = absl::Milliseconds(timeout_ms), .compress = true});
  if (!outcome.ok()) return Prefixed(options.grpc_address, outcome.status());
  if (outcome->points_rejected > 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} points refused: {}", options.grpc_address,
                    outcome->points_rejected, outcome->message));
  }
  if (!outcome->message.empty()) {
    fmt::print(stderr, "vigie: {}: {}\n", options.grpc_address,
               outcome->message);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPush(CLI::App& app, absl::Status* result) {
  auto options = std::make_shared<PushOptions>();
  CLI::App* push = app.add_subcommand(
      "push",
      "Send exposition text from standard input by OTLP/gRPC; exits with 0 "
      "only when every sample was acknowledged, that is: is durable");
  push->add_option("--grpc", options->grpc_address,
                   "Address of the server's OTLP/gRPC")
      ->capture_default_str();
  push->add_option("--job", options->job, "Label job (service.name)")
      ->capture_default_str();
  push->add_option("--instance", options->instance,
                   "Label instance (service.instance.id)");
  push->add_option("--timeout", options->timeout, "How long to wait")
      ->capture_default_str();
  push->callback([options, result] { *result = Push(*options); });
}

}  // namespace vigie::cli
