// Many writers, readers and seals at once.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <latch>
#include <thread>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

constexpr size_t kWriters = 3;
constexpr int64_t kBatches = 150;

TEST_F(StoreTest, SnapshotsHoldEveryAcknowledgedSampleWhileSealsGoOn) {
  Open();
  std::array<std::atomic<int64_t>, kWriters> acknowledged{};
  std::atomic<bool> done{false};
  std::latch writers_done(kWriters);

  std::vector<std::jthread> threads;
  for (size_t w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      const Labels labels = SeriesNamed("writer", std::to_string(w));
      for (int64_t i = 0; i < kBatches; ++i) {
        const AppendOutcome outcome =
            Append(labels, {{kNowMs - kBatches + i, static_cast<double>(i)}});
        EXPECT_EQ(outcome.floats_accepted, 1u);
        acknowledged[w] = i + 1;
      }
      writers_done.count_down();
    });
  }
  threads.emplace_back([&] {
    while (!done) EXPECT_THAT(store_->Seal(), IsOk());
  });
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&] {
      while (!done) {
        std::array<int64_t, kWriters> before{};
        for (size_t w = 0; w < kWriters; ++w) before[w] = acknowledged[w];
        ByteAccount account("query", 1 << 30);
        auto snapshot = store_->queryable().Select({}, {&account, {}});
        ASSERT_THAT(snapshot, IsOk());
        std::array<int64_t, kWriters> found{};
        for (int pass = 0; pass < 2; ++pass) {
          for (size_t i = 0; i < (*snapshot)->size(); ++i) {
            auto samples = (*snapshot)->Samples(i);
            SampleBatch batch;
            int64_t next_ms = kNowMs - kBatches;
            while (*samples->Next(&batch)) {
              for (const int64_t time_ms : batch.times_ms) {
                ASSERT_EQ(time_ms, next_ms++) << "no hole, nothing twice";
              }
            }
            const size_t w =
                std::stoul(std::string((*snapshot)->labels(i).Get("job")));
            const int64_t count = next_ms - (kNowMs - kBatches);
            ASSERT_GE(count, before[w]);
            if (pass == 1) {
              ASSERT_EQ(count, found[w]) << "it stays the same";
            }
            found[w] = count;
          }
        }
      }
    });
  }
  writers_done.wait();
  done = true;
  threads.clear();

  EXPECT_EQ(Query().size(), kWriters);
  for (const auto& [labels, samples] : Query()) {
    EXPECT_EQ(samples.size(), static_cast<size_t>(kBatches));
  }
}

TEST_F(StoreTest, BatchesOfManyThreadsThatShareNewSeriesAllSucceed) {
  Open();
  std::atomic<int> done{0};
  std::atomic<uint64_t> accepted{0};
  constexpr int kAppends = 200;
  std::latch all(kAppends);
  for (int i = 0; i < kAppends; ++i) {
    // Without waiting: they meet in one group, where each defines the series.
    store_->appender().Append(
        FloatsOf(SeriesNamed("shared"), {{kNowMs, 1}, {kNowMs - i, 1}}),
        [&](AppendOutcome outcome) {
          EXPECT_THAT(outcome.status, IsOk());
          accepted += outcome.floats_accepted;
          ++done;
          all.count_down();
        });
  }
  all.wait();

  EXPECT_EQ(done, kAppends);
  EXPECT_EQ(accepted, 2u * kAppends);
  EXPECT_EQ(Query().at(SeriesNamed("shared")).size(),
            static_cast<size_t>(kAppends));
  EXPECT_EQ(MetricOf("vigie_store_head_series"), 1);
}

}  // namespace
}  // namespace vigie::store
