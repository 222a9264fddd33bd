// Every series is replaced each hour for 30 simulated days: what is kept in
// memory and of names follows the series of two days of retention, not those of
// the past; and what a query gives is complete. What the disk holds is printed.
//
// VIGIE_CHURN_SERIES=N has N series an hour.
#include <gmock/gmock.h>

#include <cstdlib>

#include "base/log.h"
#include "tests/store/batch_maker.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kStepMs = 5 * 60'000;
constexpr int64_t kStepsAnHour = kHourMs / kStepMs;
constexpr int64_t kRetentionDays = 2;
constexpr int64_t kDays = 30;
constexpr int64_t kFirstMs = kNowMs / kDayMs * kDayMs;

class StoreChurnTest : public StoreTest {
 protected:
  StoreChurnTest() : StoreTest(TempDirectory::InMemory()) {
    options_.store.retention_ms = kRetentionDays * kDayMs;
    spdlog::set_level(spdlog::level::warn);
    if (const char* asked = std::getenv("VIGIE_CHURN_SERIES")) {
      series_an_hour_ = std::atoi(asked);
    }
  }
  ~StoreChurnTest() override { spdlog::set_level(spdlog::level::info); }

  // The series of an hour: pods of one deployment, none of which comes again.
  Labels PodOf(int64_t hour, int pod) const {
    return Labels{
        {"__name__", "requests_total"},
        {"deployment", "shop" + std::to_string(pod % 7)},
        {"pod", "shop-" + std::to_string(hour) + "-" + std::to_string(pod)}};
  }
  static double ValueOf(int64_t hour, int pod, int64_t step) {
    return static_cast<double>(hour * 1'000 + pod * 13 + step * 7);
  }
  static int64_t TimeOf(int64_t hour, int64_t step) {
    return kFirstMs + hour * kHourMs + step * kStepMs;
  }

  void LiveAnHour(int64_t hour) {
    for (int64_t step = 0; step < kStepsAnHour; ++step) {
      clock_.SetNowMs(TimeOf(hour, step));
      AppendBatch batch;
      for (int pod = 0; pod < series_an_hour_; ++pod) {
        batch.series.push_back({PodOf(hour, pod), {}});
        batch.floats.push_back({static_cast<uint32_t>(pod),
                                {TimeOf(hour, step), ValueOf(hour, pod, step)},
                                0});
      }
      const AppendOutcome outcome = Append(std::move(batch));
      ASSERT_THAT(outcome.status, IsOk());
      ASSERT_EQ(outcome.floats_accepted,
                static_cast<uint64_t>(series_an_hour_));
    }
    if (hour % 2 == 1) {
      ASSERT_THAT(store_->Seal(), IsOk());
    }
    if (hour % 24 == 23) {
      const absl::Status merged = store_->Compact({});
      ASSERT_TRUE(merged.ok() || absl::IsUnimplemented(merged)) << merged;
      ASSERT_THAT(store_->ApplyRetention(), IsOk());
    }
  }

  // All of [from, to) hours is there and right.
  void ExpectComplete(int64_t from, int64_t to) {
    const Stored stored =
        StoredIn(store_->queryable(), {TimeOf(from, 0), TimeOf(to, 0) - 1},
                 {Matcher::Equal("__name__", "requests_total")});
    ASSERT_EQ(stored.size(),
              static_cast<size_t>((to - from) * series_an_hour_));
    for (int64_t hour = from; hour < to; ++hour) {
      for (int pod = 0; pod < series_an_hour_; ++pod) {
        const auto series = stored.find(PodOf(hour, pod));
        ASSERT_NE(series, stored.end()) << PodOf(hour, pod).ToString();
        ASSERT_EQ(series->second.size(), static_cast<size_t>(kStepsAnHour));
        for (int64_t step = 0; step < kStepsAnHour; ++step) {
          ASSERT_EQ(series->second.at(TimeOf(hour, step)),
                    BytesOfFloat(ValueOf(hour, pod, step)));
        }
      }
    }
  }

  uint64_t Names() {
    ByteAccount account("query", 1 << 30);
    const auto names =
        store_->queryable().LabelValues({}, "pod", {}, {}, 0, {&account, {}});
    EXPECT_THAT(names, IsOk());
    return names.ok() ? names->names.size() : 0;
  }

  int series_an_hour_ = 10;
};

TEST_F(StoreChurnTest, WhatIsKeptFollowsRetentionNotThePast) {
  clock_.SetNowMs(kFirstMs);
  Open();
  uint64_t names_early = 0, head_early = 0;
  for (int64_t hour = 0; hour < kDays * 24; ++hour) {
    SCOPED_TRACE("hour " + std::to_string(hour));
    ASSERT_NO_FATAL_FAILURE(LiveAnHour(hour));
    if (hour % 96 == 95) {
      ASSERT_NO_FATAL_FAILURE(ExpectComplete(hour - 40, hour + 1));
    }
    if (hour == 12 * 24 + 12) Open();  // a restart on the way changes nothing
    if (hour == 5 * 24 + 23 || hour == kDays * 24 - 1) {
      const auto report = store_->Inspect();
      ASSERT_THAT(report, IsOk());
      const uint64_t disk = report->block_bytes;
      const uint64_t head = report->head_series;
      const uint64_t names = Names();
      std::printf("day %lld: %llu series in the head, %llu names, %llu bytes\n",
                  static_cast<long long>(hour / 24 + 1),
                  static_cast<unsigned long long>(head),
                  static_cast<unsigned long long>(names),
                  static_cast<unsigned long long>(disk));
      if (head_early == 0) {
        head_early = head;
        names_early = names;
      } else {
        EXPECT_LE(head, head_early + head_early / 10 + 10);
        EXPECT_LE(names, names_early + names_early / 10);
      }
    }
  }
  // Two days are kept; what a window or a day holds together may stay longer.
  EXPECT_LE(Names(),
            static_cast<uint64_t>((kRetentionDays + 2) * 24 * series_an_hour_));
  ASSERT_NO_FATAL_FAILURE(
      ExpectComplete(kDays * 24 - kRetentionDays * 24 + 1, kDays * 24));
  Open();
  ASSERT_NO_FATAL_FAILURE(
      ExpectComplete(kDays * 24 - kRetentionDays * 24 + 1, kDays * 24));
}

}  // namespace
}  // namespace vigie::store
