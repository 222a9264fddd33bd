// Every series is replaced each hour for 30 simulated days: what is kept in
// memory, of names and on disk follows the series of two days of retention, not
// those of the past; and what a query gives is complete.
//
// VIGIE_CHURN_SERIES=N has N series an hour.
#include <gmock/gmock.h>
#include <malloc.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

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
      ASSERT_THAT(store_->Compact({}), IsOk());
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

  // What the store holds at the end of a day.
  struct Kept {
    uint64_t head = 0;    // series
    uint64_t memory = 0;  // of the process, but for the cache of blocks
    uint64_t names = 0;   // values of the label that all differ in
    uint64_t disk = 0;    // bytes of the blocks
  };
  Kept KeptNow(int64_t hour) {
    Kept kept;
    const auto report = store_->Inspect();
    EXPECT_THAT(report, IsOk());
    if (!report.ok()) return kept;
    kept = {report->head_series,
            ::mallinfo2().uordblks -
                std::min<uint64_t>(::mallinfo2().uordblks, report->cache_bytes),
            Names(), report->block_bytes};
    std::printf(
        "day %lld: %llu series in the head, %llu bytes of memory, %llu names, "
        "%llu bytes on disk\n",
        static_cast<long long>(hour / 24 + 1),
        static_cast<unsigned long long>(kept.head),
        static_cast<unsigned long long>(kept.memory),
        static_cast<unsigned long long>(kept.names),
        static_cast<unsigned long long>(kept.disk));
    return kept;
  }
  // The least of each over the days from `first` to `last`; of the disk, where
  // compactions come when they like, the most.
  static Kept LeastOf(const std::vector<Kept>& by_day, size_t first,
                      size_t last) {
    Kept least = by_day.at(first);
    for (size_t i = first; i <= last; ++i) {
      const Kept& one = by_day.at(i);
      least.head = std::min(least.head, one.head);
      least.memory = std::min(least.memory, one.memory);
      least.names = std::min(least.names, one.names);
      least.disk = std::max(least.disk, one.disk);
    }
    return least;
  }

  // Bytes of the blocks without what waits for a compaction, which comes when
  // it likes. Opens the store again.
  uint64_t DiskOfWhatLives() {
    store_.reset();
    uint64_t bytes = 0;
    {
      const auto blocks = Blocks::Open(directory_.data() + "/blocks",
                                       directory_.data() + "/staging");
      EXPECT_THAT(blocks, IsOk());
      if (!blocks.ok()) return 0;
      const Blocks::Database database = (*blocks)->database();
      for (const auto& family : database.families) {
        if (family->name() == "cold") continue;
        const rocksdb::Status status =
            database.db->CompactRange({}, family->handle(), nullptr, nullptr);
        EXPECT_TRUE(status.ok()) << status.ToString();
      }
      bytes = (*blocks)->bytes_on_disk();
    }
    Open();
    return bytes;
  }

  uint64_t Names() {
    ByteAccount account("query", 1 << 30);
    const auto names =
        store_->queryable().LabelValues({}, "pod", {}, {}, 0, {&account, {}});
    EXPECT_THAT(names, IsOk());
    return names.ok() ? names->names.size() : 0;
  }

  int series_an_hour_ = 200;
};

// A tenth of what a day leaves behind, leaked each day, would be two days'
// worth in the 19 days between the two looks, of three days that are kept.
TEST_F(StoreChurnTest, WhatIsKeptFollowsRetentionNotThePast) {
  clock_.SetNowMs(kFirstMs);
  Open();
  std::vector<Kept> by_day;
  uint64_t disk_early = 0;
  for (int64_t hour = 0; hour < kDays * 24; ++hour) {
    SCOPED_TRACE("hour " + std::to_string(hour));
    ASSERT_NO_FATAL_FAILURE(LiveAnHour(hour));
    if (hour % 96 == 95) {
      ASSERT_NO_FATAL_FAILURE(ExpectComplete(hour - 40, hour + 1));
    }
    if (hour == 12 * 24 + 12) Open();  // a restart on the way changes nothing
    if (hour % 24 == 23) by_day.push_back(KeptNow(hour));
    if (hour == 10 * 24 + 23) disk_early = DiskOfWhatLives();
  }
  const uint64_t disk_late = DiskOfWhatLives();
  const Kept early = LeastOf(by_day, 3, 10);
  const Kept late = LeastOf(by_day, 22, 29);
  // Files that wait for a compaction have their indexes in memory.
  const uint64_t waiting = late.disk - std::min(late.disk, early.disk);
  EXPECT_LE(late.memory, early.memory + early.memory * 3 / 10 + waiting);
  std::printf("%llu and %llu bytes on disk once compacted\n",
              static_cast<unsigned long long>(disk_early),
              static_cast<unsigned long long>(disk_late));
  EXPECT_LE(disk_late, disk_early + disk_early * 3 / 10);
  // These are exact.
  EXPECT_EQ(by_day.back().head, early.head);
  EXPECT_EQ(by_day.back().names, early.names);
  // The series of the hour and of the one before, as the seal found them.
  EXPECT_LE(late.head, static_cast<uint64_t>(2 * series_an_hour_));
  // Two days are kept; what a window or a day holds together stays with it.
  EXPECT_LE(late.names,
            static_cast<uint64_t>((kRetentionDays + 1) * 24 * series_an_hour_));
  for (int restart = 0; restart < 2; ++restart) {
    ASSERT_NO_FATAL_FAILURE(
        ExpectComplete(kDays * 24 - kRetentionDays * 24 + 1, kDays * 24));
    Open();
  }
}

}  // namespace
}  // namespace vigie::store
