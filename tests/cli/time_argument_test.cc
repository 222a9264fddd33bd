#include "cli/time_argument.h"

#include <gmock/gmock.h>

#include <optional>

#include "tests/support/status_matchers.h"

namespace vigie::cli {
namespace {

using ::vigie::testing::HasCode;

constexpr int64_t kNowMs = 1'700'000'000'123;

TEST(ParseNowMsTest, CountsBackFromNow) {
  EXPECT_EQ(ParseNowMs("now", kNowMs).value(), kNowMs);
  EXPECT_EQ(ParseNowMs("now-1h30m", kNowMs).value(), kNowMs - 5'400'000);
}

TEST(ParseNowMsTest, LeavesOtherTimesToOthers) {
  for (const char* text : {"", "1700000000", "2026-11-21T20:00:00Z", "soon"}) {
    EXPECT_EQ(ParseNowMs(text, kNowMs).value(), std::nullopt) << text;
  }
}

TEST(ParseNowMsTest, RefusesWhatOnlyBeginsWithNow) {
  for (const char* text : {"now+1h", "now-", "now-1x", "nowhere", "now -1h"}) {
    EXPECT_THAT(ParseNowMs(text, kNowMs),
                HasCode(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

}  // namespace
}  // namespace vigie::cli
