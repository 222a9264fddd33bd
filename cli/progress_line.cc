#include "cli/progress_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace vigie::cli {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kTerminalIntervalNs = kNsPerSecond / 10;
constexpr int64_t kPlainIntervalNs = 10 * kNsPerSecond;
constexpr int kBarColumns = 24;
constexpr int kWidthMin = 40;

// "2h05m", "3m20s", "7s"
std::string DurationText(double seconds) {
  const auto whole = static_cast<int64_t>(std::min(seconds, 8.64e6));
  if (whole >= 3600) {
    return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  }
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace

std::string AmountText(uint64_t amount, std::string_view unit) {
  const bool bytes = unit == "bytes";
  const double step = bytes ? 1024 : 1000;
  constexpr std::array<std::string_view, 5> kBytes = {"B", "KiB", "MiB", "GiB",
                                                      "TiB"};
  constexpr std::array<std::string_view, 5> kCounts = {"", "k", "M", "G", "T"};
  auto value = static_cast<double>(amount);
  size_t power = 0;
  while (value >= step && power + 1 < kBytes.size()) {
    value /= step;
    ++power;
  }
  std::string text =
      power == 0 ? fmt::format("{}", amount) : fmt::format("{:.1f}", value);
  const std::string_view suffix = bytes ? kBytes[power] : kCounts[power];
  if (!suffix.empty()) text += fmt::format(" {}", suffix);
  if (!bytes && !unit.empty()) text += fmt::format(" {}", unit);
  return text;
}

ProgressLine::ProgressLine(std::FILE* out, int width, const Clock& clock)
    : out_(out), width_(width), clock_(clock) {}

int ProgressLine::WidthOfStderr() {
  if (::isatty(STDERR_FILENO) == 0) return 0;
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    return 80;
  }
  return std::max<int>(size.ws_col, kWidthMin);
}

std::string ProgressLine::Text(uint64_t done, uint64_t total,
                               std::string_view unit) const {
  std::string text = what_;
  if (total > 0) {
    const double part =
        std::min(static_cast<double>(done) / static_cast<double>(total), 1.0);
    if (width_ > 0) {
      const auto full = static_cast<size_t>(part * kBarColumns);
      text += fmt::format(" [{:<{}}]", std::string(full, '='), kBarColumns);
    }
    text += fmt::format(" {:3.0f} %", part * 100);
  }
  if (!unit.empty()) {
    text += fmt::format("  {}", AmountText(done, unit));
    if (total > 0) text += fmt::format(" of {}", AmountText(total, unit));
  }
  const double seconds =
      static_cast<double>(clock_.MonotonicNs() - started_ns_) / kNsPerSecond;
  if (unit.empty() || done <= started_done_ || seconds < 1) return text;
  const double rate = static_cast<double>(done - started_done_) / seconds;
  text += fmt::format("  {}/s", AmountText(static_cast<uint64_t>(rate),
                                           unit == "bytes" ? unit : ""));
  if (total > done) {
    text += fmt::format("  {} left",
                        DurationText(static_cast<double>(total - done) / rate));
  }
  return text;
}

void ProgressLine::Update(std::string_view what, uint64_t done, uint64_t total,
                          std::string_view unit) {
  const int64_t now_ns = clock_.MonotonicNs();
  const bool next = what != what_;
  if (next) {
    what_ = what;
    started_ns_ = now_ns;
    started_done_ = done;
  }
  const int64_t interval_ns =
      width_ > 0 ? kTerminalIntervalNs : kPlainIntervalNs;
  // What is quick is not worth a line of a log.
  if (next && width_ == 0) shown_ns_ = now_ns;
  if (now_ns - shown_ns_ < interval_ns && !(next && width_ > 0)) return;
  shown_ns_ = now_ns;
  std::string text = Text(done, total, unit);
  if (width_ == 0) {
    fmt::print(out_, "{}\n", text);
  } else {
    // One column less: some terminals wrap at the last.
    text.resize(std::min(text.size(), static_cast<size_t>(width_ - 1)));
    fmt::print(out_, "\r\x1b[K{}", text);
    on_screen_ = true;
  }
  std::fflush(out_);
}

void ProgressLine::Clear() {
  if (!on_screen_) return;
  fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  on_screen_ = false;
}

}  // namespace vigie::cli
