// Duration, byte account, strings, clock, status macros and log limiter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "base/byte_account.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/freed_memory.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/yaml/secret.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::SimulatedClock;

TEST(DurationTest, ReadsWhatPrometheusWrites) {
  EXPECT_EQ(*ParseDurationMs("0"), 0);
  EXPECT_EQ(*ParseDurationMs("0s"), 0);
  EXPECT_EQ(*ParseDurationMs("15s"), 15'000);
  EXPECT_EQ(*ParseDurationMs("1h30m"), 5'400'000);
  EXPECT_EQ(*ParseDurationMs("1m500ms"), 60'500);
  EXPECT_EQ(*ParseDurationMs("1w"), 7 * 86'400'000);
  EXPECT_EQ(*ParseDurationMs("1y"), int64_t{365} * 86'400'000);
  EXPECT_EQ(*ParseDurationMs("1y2w3d4h5m6s7ms"),
            (((int64_t{365} + 14 + 3) * 24 + 4) * 60 + 5) * 60'000 + 6'007);
  EXPECT_EQ(*ParseDurationMs("290y"), int64_t{290} * 365 * 86'400'000);
}

TEST(DurationTest, RefusesEverythingElse) {
  for (const char* text : {"",
                           "1",
                           "s",
                           "-1s",
                           "+1s",
                           "1.5h",
                           "1s1h",
                           "1s1s",
                           "1ms1s",
                           "1 s",
                           " 1s",
                           "1S",
                           "1min",
                           "1hh",
                           "01",
                           "00",
                           "1s2",
                           "300y",
                           "99999999999999999999s",
                           "9223372036854775807ms"}) {
    EXPECT_THAT(ParseDurationMs(text),
                HasCode(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(DurationTest, WritesTheShortestTextThatReadsBack) {
  EXPECT_EQ(FormatDurationMs(0), "0s");
  EXPECT_EQ(FormatDurationMs(5'400'000), "1h30m");
  EXPECT_EQ(FormatDurationMs(int64_t{30} * 86'400'000), "30d");
  EXPECT_EQ(FormatDurationMs(int64_t{14} * 86'400'000), "2w");
  EXPECT_EQ(FormatDurationMs(int64_t{365} * 86'400'000), "1y");
  EXPECT_EQ(FormatDurationMs(61'001), "1m1s1ms");
  EXPECT_EQ(FormatDurationMs(-1'500), "-1s500ms");
  for (int64_t ms = 1; ms < 9'000'000'000'000; ms = ms * 3 + 7) {
    EXPECT_EQ(*ParseDurationMs(FormatDurationMs(ms)), ms);
  }
}

TEST(ByteAccountTest, RefusesWhatExceedsItAndChargesNothingThen) {
  ByteAccount account("query", 100);
  EXPECT_THAT(account.Charge(100), IsOk());
  EXPECT_THAT(
      account.Charge(1),
      HasError(absl::StatusCode::kFailedPrecondition,
               ::testing::AllOf(HasSubstr("query"), HasSubstr("100 bytes"))));
  EXPECT_EQ(account.bytes(), 100);
  account.Release(60);
  EXPECT_THAT(account.Charge(INT64_MAX),
              HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(account.Charge(60), IsOk());
  EXPECT_EQ(account.bytes_peak(), 100);
  account.Release(100);
}

TEST(ByteAccountTest, ChargesItsParentAndGivesAllBackAtTheEnd) {
  ByteAccount process("process", 150);
  {
    ByteAccount a("query", 100, &process), b("query", 100, &process);
    EXPECT_THAT(a.Charge(100), IsOk());
    EXPECT_THAT(b.Charge(51), HasError(absl::StatusCode::kResourceExhausted,
                                       HasSubstr("process")));
    EXPECT_EQ(b.bytes(), 0);
    EXPECT_EQ(process.bytes(), 100);
    EXPECT_THAT(b.Charge(50), IsOk());
  }
  EXPECT_EQ(process.bytes(), 0);
}

TEST(ByteAccountTest, NeverExceedsItsLimitWithManyThreads) {
  ByteAccount account("query", 1000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; ++j) {
        if (account.Charge(300).ok()) account.Release(300);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(account.bytes(), 0);
  EXPECT_LE(account.bytes_peak(), 1000);
}

#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
constexpr bool kHeapOfASanitizer = true;
#else
constexpr bool kHeapOfASanitizer = false;
#endif

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

TEST(FreedMemoryTest, IsTrimmedOncePerSoMuch) {
  while (!AddFreedMemory(kFreedBytesTrimmed / 2)) {
  }

  EXPECT_FALSE(AddFreedMemory(kFreedBytesTrimmed - 1));
  EXPECT_TRUE(AddFreedMemory(1));
  EXPECT_FALSE(AddFreedMemory(kFreedBytesTrimmed - 1));
}

TEST(FreedMemoryTest, GoesBackThoughItsThreadHoldsABlockBehindIt) {
  if (kHeapOfASanitizer) GTEST_SKIP() << "its heap is not glibc's";
  constexpr int64_t kBytes = 100 << 20;
  constexpr int64_t kBlockBytes = 2'000;
  while (!AddFreedMemory(kFreedBytesTrimmed / 2)) {
  }
  std::unique_ptr<char[]> last;
  std::thread([&last] {  // in an arena of its own
    std::vector<std::unique_ptr<char[]>> blocks;
    for (int64_t i = 0; i < kBytes / kBlockBytes; ++i) {
      blocks.push_back(std::make_unique<char[]>(kBlockBytes));
    }
    last = std::move(blocks.back());
  })
      .join();
  const int64_t kept = ResidentBytes();

  EXPECT_TRUE(AddFreedMemory(kFreedBytesTrimmed));
  EXPECT_LT(ResidentBytes(), kept - kBytes / 2);
}

TEST(Utf8Test, TakesWellFormedText) {
  for (const char* text :
       {"", "plain", "longer than eight bytes", "été", "\xED\x9F\xBF",
        "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
        "12345678é", "1234567é8"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << text;
  }
}

TEST(Utf8Test, RefusesMalformedText) {
  for (const char* text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80",
        "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xE2\x82",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xF0\x90\x80", "\xFE", "\xFF", "12345678\xFF", "1234567\xC3"}) {
    EXPECT_FALSE(IsValidUtf8(text));
  }
}

TEST(Utf8Test, IsCutBetweenCharacters) {
  EXPECT_EQ(TruncatedUtf8("abc", 3), "abc");
  EXPECT_EQ(TruncatedUtf8("abc", 2), "ab");
  EXPECT_EQ(TruncatedUtf8("é", 1), "");
  EXPECT_EQ(TruncatedUtf8("aé", 2), "a");
  EXPECT_EQ(TruncatedUtf8("aéb", 3), "aé");
}

TEST(StatusTest, IsPrefixedWithWhatTheLayerKnows) {
  EXPECT_THAT(
      Prefixed("chunk 7", absl::DataLossError("checksum mismatch")),
      HasError(absl::StatusCode::kDataLoss, "chunk 7: checksum mismatch"));
  EXPECT_THAT(Prefixed("chunk 7", absl::OkStatus()), IsOk());
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}
absl::StatusOr<int> Quarter(int n) {
  VIGIE_ASSIGN_OR_RETURN(const int half, Half(n));
  VIGIE_RETURN_IF_ERROR(half > 100 ? absl::OutOfRangeError("large")
                                   : absl::OkStatus());
  return Half(half);
}

TEST(StatusMacrosTest, ReturnTheErrorOrGoOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_THAT(Quarter(3), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Quarter(6), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Quarter(400), HasCode(absl::StatusCode::kOutOfRange));
}

TEST(SystemClockTest, SleepsAtLeastTheDelay) {
  const SystemClock clock;
  const int64_t before = clock.MonotonicNs();
  EXPECT_TRUE(clock.SleepFor(absl::Milliseconds(5), {}));
  EXPECT_GE(clock.MonotonicNs() - before, 5'000'000);
  EXPECT_TRUE(clock.SleepUntil(before, {}));
}

TEST(SystemClockTest, WakesWhenStopped) {
  const SystemClock clock;
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(clock.SleepFor(absl::Hours(1), stop.get_token()));
  stopper.join();
  EXPECT_FALSE(clock.SleepFor(absl::Hours(1), stop.get_token()));
}

TEST(SimulatedClockTest, WakesSleepersThatItPasses) {
  SimulatedClock clock(1000);
  bool slept = false;
  std::thread sleeper(
      [&] { slept = clock.SleepFor(absl::Milliseconds(50), {}); });
  clock.AwaitSleepers(1);
  clock.AdvanceMs(49);
  clock.AdvanceMs(1);
  sleeper.join();

  EXPECT_TRUE(slept);
  EXPECT_EQ(clock.NowMs(), 1050);
  EXPECT_EQ(clock.MonotonicNs(), 50'000'000);
}

TEST(LogRateLimiterTest, LetsOnePassAnIntervalAndCountsTheOthers) {
  SimulatedClock clock(0);
  LogRateLimiter limiter(clock, absl::Seconds(10));
  uint64_t suppressed = 99;
  EXPECT_TRUE(limiter.Pass(&suppressed));
  EXPECT_EQ(suppressed, 0u);
  EXPECT_FALSE(limiter.Pass(&suppressed));
  clock.AdvanceMs(9'999);
  EXPECT_FALSE(limiter.Pass(&suppressed));
  clock.AdvanceMs(1);
  EXPECT_TRUE(limiter.Pass(&suppressed));
  EXPECT_EQ(suppressed, 2u);
}

TEST(LogTest, KnowsItsLevels) {
  for (const char* level : {"debug", "info", "warn", "error"}) {
    EXPECT_THAT(CheckLogLevel(level), IsOk());
  }
  EXPECT_THAT(
      CheckLogLevel("loud"),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("\"loud\"")));
}

template <class T>
concept Printable =
    requires(std::ostream& out, const T& value) { out << value; };
TEST(SecretTest, CannotBePrinted) {
  static_assert(!Printable<Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  EXPECT_EQ(Secret("x").Reveal(), "x");
  EXPECT_TRUE(Secret().empty());
}

}  // namespace
}  // namespace vigie
