// Retention while queries run: what a query sees ends where retention begins,
// and has no hole behind it.
#include <gmock/gmock.h>

#include <functional>
#include <utility>

#include "store/windows.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

constexpr int64_t kMinuteMs = 60'000;

// Somebody else comes first, once: what `meanwhile` does happens right before
// or right after the clock is looked at.
class InterruptedClock final : public Clock {
 public:
  explicit InterruptedClock(testing::SimulatedClock& clock) : clock_(clock) {}

  int64_t NowMs() const override {
    const int64_t now_ms = clock_.NowMs();
    if (auto action = std::exchange(meanwhile, nullptr)) action();
    return now_ms;
  }
  int64_t MonotonicNs() const override { return clock_.MonotonicNs(); }
  bool SleepFor(absl::Duration delay, std::stop_token stop) const override {
    return clock_.SleepFor(delay, std::move(stop));
  }

  mutable std::function<void()> meanwhile;

 private:
  testing::SimulatedClock& clock_;
};

// A merge takes a day's samples to the millisecond, while the day before, which
// is merged already, goes as a whole, when retention comes to it.
TEST(StoreRetentionTest, AMergeDuringAQueryLeavesNoHole) {
  const TempDirectory directory(TempDirectory::InMemory());
  const int64_t midnight_ms = DayStartMs(DayOf(kNowMs)) + kDayMs;
  testing::SimulatedClock time(midnight_ms);
  InterruptedClock clock(time);
  prometheus::Registry registry;
  LocalStoreOptions options;
  options.store.seal_interval_ms = kDayMs;
  options.store.retention_ms = 300 * kMinuteMs;
  auto opened = LocalStore::Open(directory.data(), options, clock, registry);
  ASSERT_THAT(opened, IsOk());
  LocalStore& store = **opened;
  for (int64_t at = -60; at < 200; ++at) {
    if (at == 0) {
      ASSERT_THAT(store.Compact({}), IsOk());
    }
    time.SetNowMs(midnight_ms + at * kMinuteMs);
    ASSERT_THAT(
        AppendAndWait(store.appender(),
                      FloatsOf(SeriesNamed("up"),
                               {{time.NowMs(), static_cast<double>(at)}}))
            .status,
        IsOk());
  }
  ASSERT_THAT(store.Seal(), IsOk());

  clock.meanwhile = [&] {
    time.SetNowMs(midnight_ms + 400 * kMinuteMs);
    EXPECT_THAT(store.Compact({}), IsOk());
  };
  for (const bool merged : {false, true}) {
    SCOPED_TRACE(merged);
    const Contents contents = ContentsOf(store.queryable());
    ASSERT_EQ(clock.meanwhile, nullptr);
    ASSERT_EQ(contents.size(), 1u);
    int64_t expected_ms = merged ? midnight_ms + 100 * kMinuteMs
                                 : contents.begin()->second.begin()->first;
    for (const auto& [time_ms, bits] : contents.begin()->second) {
      ASSERT_EQ(time_ms, expected_ms) << "a hole";
      expected_ms += kMinuteMs;
    }
    EXPECT_EQ(expected_ms, midnight_ms + 200 * kMinuteMs);
  }

  // By this clock all would still be kept, the day before included.
  time.SetNowMs(midnight_ms + 200 * kMinuteMs);
  const Contents contents = ContentsOf(store.queryable());
  ASSERT_EQ(contents.size(), 1u);
  EXPECT_EQ(contents.begin()->second.size(), 100u) << "before a hole";
  EXPECT_EQ(contents.begin()->second.begin()->first,
            midnight_ms + 100 * kMinuteMs);
}

// What a merge left out is behind what is appended afterwards, however wrong
// the clock was.
TEST(StoreRetentionTest, AClockThatRanAheadHidesNothingThatComesAfterIt) {
  const TempDirectory directory(TempDirectory::InMemory());
  testing::SimulatedClock clock(kNowMs);
  prometheus::Registry registry;
  LocalStoreOptions options;
  options.store.seal_interval_ms = kDayMs;
  options.store.retention_ms = 30 * kDayMs;
  options.store.tenant_retention_ms["brief"] = 300 * kMinuteMs;
  auto opened = LocalStore::Open(directory.data(), options, clock, registry);
  ASSERT_THAT(opened, IsOk());
  LocalStore& store = **opened;
  const auto append = [&](const std::string& tenant, int64_t minute) {
    AppendBatch batch =
        FloatsOf(SeriesNamed("up"), {{kNowMs + minute * kMinuteMs, 1.0}});
    batch.tenant.name = tenant;
    EXPECT_THAT(AppendAndWait(store.appender(), std::move(batch)).status,
                IsOk());
  };
  const auto times_of = [&](const std::string& tenant) {
    std::vector<int64_t> minutes;
    for (const auto& [labels, samples] :
         ContentsOf(store.queryable(), {}, {}, Tenant{tenant})) {
      for (const auto& [time_ms, bits] : samples) {
        minutes.push_back((time_ms - kNowMs) / kMinuteMs);
      }
    }
    return minutes;
  };
  for (const std::string tenant : {"brief", "other"}) {
    for (const int64_t minute : {-2, -1, 0}) append(tenant, minute);
  }

  clock.SetNowMs(kNowMs + 299 * kMinuteMs);
  ASSERT_THAT(store.Compact({}), IsOk());
  clock.SetNowMs(kNowMs + kMinuteMs);
  append("brief", 1);

  EXPECT_THAT(times_of("brief"), ::testing::ElementsAre(-1, 0, 1));
  EXPECT_THAT(times_of("other"), ::testing::ElementsAre(-2, -1, 0));

  clock.SetNowMs(kNowMs + 20 * kDayMs);
  ASSERT_THAT(store.Compact({}), IsOk());
  clock.SetNowMs(kNowMs + 2 * kMinuteMs);
  append("brief", 2);

  EXPECT_THAT(times_of("brief"), ::testing::ElementsAre(2));
  EXPECT_THAT(times_of("other"), ::testing::ElementsAre(-2, -1, 0));
}

}  // namespace
}  // namespace vigie::store
