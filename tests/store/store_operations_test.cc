// Operations on the whole store: snapshots and reports.
#include <gmock/gmock.h>

#include <fstream>

#include "store/data_directory.h"
#include "tests/store/store_fixture.h"

namespace vigie::store {
namespace {

using ::testing::HasSubstr;

class StoreOperationsTest : public StoreTest {
 protected:
  std::string snapshot() const { return directory_.path() + "/snapshot"; }

  // What a store of its own sees in `directory`.
  Contents ContentsOfDirectory(const std::string& directory) {
    prometheus::Registry registry;
    auto store = LocalStore::Open(directory, options_, clock_, registry);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? ContentsOf((*store)->queryable()) : Contents();
  }
};

TEST_F(StoreOperationsTest, ASnapshotHoldsWhatWasAcknowledgedAndNothingLater) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  ASSERT_TRUE(store_->Seal().ok());
  Append(SeriesNamed("up"), {{kNowMs + 1, 2}});
  ASSERT_TRUE(store_->records()
                  .Write(RecordBatch().Put({}, "table", "key", "value"))
                  .ok());
  const Contents before = Query();

  ASSERT_TRUE(store_->Snapshot(snapshot(), {}).ok());
  Append(SeriesNamed("up"), {{kNowMs + 2, 3}});

  // Beside the running store, as it is another directory.
  EXPECT_EQ(ContentsOfDirectory(snapshot()), before);
  EXPECT_EQ(Query().at(SeriesNamed("up")).size(), 3u);
  prometheus::Registry registry;
  auto copy = LocalStore::Open(snapshot(), options_, clock_, registry);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(*(*copy)->records().Get({}, "table", "key"), "value");
}

TEST_F(StoreOperationsTest, ASnapshotGoesOnAsAStoreOfItsOwn) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  ASSERT_TRUE(store_->Snapshot(snapshot(), {}).ok());
  store_.reset();
  {
    prometheus::Registry registry;
    auto copy = LocalStore::Open(snapshot(), options_, clock_, registry);
    ASSERT_TRUE(copy.ok()) << copy.status();
    const AppendOutcome outcome = AppendAndWait(
        (*copy)->appender(), FloatsOf(SeriesNamed("up"), {{kNowMs + 1, 2}}));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  }
  const Contents both = {
      {SeriesNamed("up"), {{kNowMs, BitsOf(1)}, {kNowMs + 1, BitsOf(2)}}}};

  EXPECT_EQ(ContentsOfDirectory(snapshot()), both);
  Open();
  EXPECT_EQ(Query().at(SeriesNamed("up")).size(), 1u);
}

TEST_F(StoreOperationsTest, ASnapshotTakesNoDirectoryThatHoldsSomething) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  std::filesystem::create_directory(snapshot());
  std::ofstream(snapshot() + "/precious") << "x";

  const absl::Status status = store_->Snapshot(snapshot(), {});

  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("precious"));
  EXPECT_TRUE(std::filesystem::exists(snapshot() + "/precious"));
}

TEST_F(StoreOperationsTest, AStoppedSnapshotLeavesNothing) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  std::stop_source stop;
  Progress progress;
  progress.stop = stop.get_token();
  progress.report = [&](std::string_view what, uint64_t, uint64_t,
                        std::string_view) {
    if (what == "linking") stop.request_stop();
  };

  const absl::Status status = store_->Snapshot(snapshot(), progress);

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(snapshot()));
}

TEST_F(StoreOperationsTest, AnUnfinishedSnapshotIsRefusedByName) {
  PosixFileLayer files;
  ASSERT_TRUE(BeginDataDirectory(snapshot(), files).ok());
  std::filesystem::create_directory(snapshot() + "/blocks");

  prometheus::Registry registry;
  const auto store = LocalStore::Open(snapshot(), options_, clock_, registry);

  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("never finished"));
}

TEST_F(StoreOperationsTest, AReportCountsWhatTheHeadHolds) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}, {kNowMs + 1, 1}});
  Append(SeriesNamed("down"), {{kNowMs, 1}});

  const auto report = store_->Inspect();

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->head_series, 2u);
  EXPECT_EQ(report->head_samples, 3u);
  EXPECT_GT(report->log_bytes, 0u);
  EXPECT_FALSE(report->tables.empty());
}

TEST_F(StoreOperationsTest, AReportCountsTheSeriesOfEachTenant) {
  Open();
  Append(SeriesNamed("up", "x"), {{kNowMs, 1}});
  AppendBatch other = FloatsOf(SeriesNamed("up", "x"), {{kNowMs, 1}});
  other.tenant = {"other"};
  ASSERT_TRUE(Append(std::move(other)).status.ok());
  ASSERT_TRUE(store_->Seal().ok());
  clock_.AdvanceMs(86'400'000);
  // The next day; what `other` has has left by then.
  for (const char* job : {"x", "y", "z"}) {
    Append(SeriesNamed("up", job), {{clock_.NowMs(), 1}});
  }
  ASSERT_TRUE(store_->Seal().ok());

  const auto report = store_->Inspect();

  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->tenants.size(), 2u);
  EXPECT_EQ(report->tenants[0].name, "default");
  const Cardinality& counts = report->tenants[0].counts;
  EXPECT_EQ(counts.series, 3u);
  EXPECT_EQ(counts.series_by_metric.at(0).name, "up");
  EXPECT_EQ(counts.series_by_metric.at(0).count, 3u);
  EXPECT_EQ(counts.values_by_label.at(0).name, "job");
  EXPECT_EQ(counts.values_by_label.at(0).count, 3u);
  EXPECT_EQ(counts.series_the_day_before, 1u);
  EXPECT_EQ(counts.series_that_day, 3u);
  EXPECT_EQ(counts.grown_metrics.at(0).before, 1u);
  EXPECT_EQ(counts.grown_metrics.at(0).now, 3u);
  EXPECT_EQ(report->tenants[1].name, "other");
  EXPECT_EQ(report->tenants[1].counts.series, 0u);
}

}  // namespace
}  // namespace vigie::store
