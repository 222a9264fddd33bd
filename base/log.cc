#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace vigie {

namespace {

constexpr std::pair<std::string_view, spdlog::level::level_enum> kLevels[] = {
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warn", spdlog::level::warn},
    {"error", spdlog::level::err}};

absl::StatusOr<spdlog::level::level_enum> ParseLevel(std::string_view level) {
  for (const auto& [name, value] : kLevels) {
    if (name == level) return value;
  }
  return absl::InvalidArgumentError(fmt::format(
      "log level \"{}\": must be debug, info, warn or error", level));
}

}  // namespace

absl::Status CheckLogLevel(std::string_view level) {
  return ParseLevel(level).status();
}

absl::Status SetUpLog(std::string_view level) {
  const absl::StatusOr<spdlog::level::level_enum> parsed = ParseLevel(level);
  if (!parsed.ok()) return parsed.status();
  static auto logger = spdlog::stderr_logger_mt("vigie");
  spdlog::set_default_logger(logger);
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  spdlog::set_level(*parsed);
  return absl::OkStatus();
}

LogRateLimiter::LogRateLimiter(const Clock& clock, absl::Duration interval)
    : clock_(clock), interval_ns_(absl::ToInt64Nanoseconds(interval)) {}

bool LogRateLimiter::Pass(uint64_t* suppressed) {
  const int64_t now = clock_.MonotonicNs();
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now < next || !next_ns_.compare_exchange_strong(
                        next, now + interval_ns_, std::memory_order_relaxed)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  *suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  return true;
}

}  // namespace vigie
