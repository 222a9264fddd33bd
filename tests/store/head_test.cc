#include "store/head.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

constexpr int64_t kHourMs = 3'600'000;

Labels Named(uint64_t id) {
  return Labels{{"__name__", "m"}, {"id", std::to_string(id)}};
}

class HeadTest : public ::testing::Test {
 protected:
  HeadTest() : head_(std::string(kIdentitySecretBytes, 's')) {}

  void Define(uint64_t id, const Labels& labels) {
    BatchRecord record;
    record.tenant = "default";
    record.definitions.push_back({id, labels});
    Replay(record);
  }
  void Replay(const BatchRecord& record) {
    std::vector<SeriesIdentity> identities;
    for (const auto& [id, labels] : record.definitions) {
      identities.push_back(head_.Identity(record.tenant, labels.bytes()));
    }
    ASSERT_THAT(head_.Define(record, identities), IsOk());
    Head::Share shares[2] = {{0, 2, {}, 0, 0}, {1, 2, {}, 0, 0}};
    for (Head::Share& share : shares) {
      ASSERT_THAT(head_.ApplySamples(record, &share), IsOk());
      head_.Join(&share);
    }
    ASSERT_THAT(head_.ApplyRest(++position_, record), IsOk());
  }
  void Add(uint64_t id, int64_t time_ms, double value) {
    BatchRecord record;
    record.tenant = "default";
    if (head_.Find(id) == nullptr)
      record.definitions.push_back({id, Named(id)});
    record.floats.Add(id, time_ms, 0, value);
    Replay(record);
  }
  static std::vector<double> ValuesOf(const SampleRuns& runs) {
    std::vector<double> values;
    for (const SampleColumns& run : runs) {
      values.insert(values.end(), run.values.begin(), run.values.end());
    }
    return values;
  }
  std::vector<double> Read(uint64_t id, TimeRange range = {}) {
    SampleRuns runs;
    head_.Read(id, range, &runs);
    return ValuesOf(runs);
  }

  void Begin() {
    pages_ = {};
    capture_ = {};
    head_.BeginCapture(&pages_, &capture_);
  }
  void Capture() {
    pages_.Prepare(&capture_);
    while (head_.CaptureMore(&pages_, &capture_)) {
    }
    pages_.next = 0;
  }
  void Publish() {
    head_.Publish(capture_);
    while (head_.ReleaseMore(&pages_, capture_)) {
    }
  }
  void Seal() {
    Begin();
    Capture();
    Publish();
  }
  std::vector<double> Captured(size_t i) {
    SampleRuns runs;
    capture_.read(i, &runs);
    return ValuesOf(runs);
  }
  std::vector<uint64_t> Idle(int64_t now_ms) {
    before_ = {now_ms - kHourMs, now_ms - 24 * kHourMs};
    std::vector<uint64_t> ids;
    for (const uint64_t directory : head_.Directories()) {
      for (const SeriesPage* page : head_.PagesOf(directory)) {
        Head::CollectIdle(*page, before_, &ids);
      }
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  Head head_;
  LogPosition position_ = 0;
  SealPages pages_;
  SealCapture capture_;
  Head::IdleBefore before_;
};

TEST_F(HeadTest, ACaptureHoldsWhatWasThereWhenItBegan) {
  Add(1, 1000, 1);
  Add(2, 1000, 2);
  Begin();
  Add(1, 2000, 10);   // to a page not looked at yet
  Add(200, 1000, 3);  // a series that came after

  Capture();

  EXPECT_EQ(capture_.end, 3u);
  EXPECT_EQ(capture_.samples, 2u);
  ASSERT_EQ(capture_.series.size(), 2u);
  EXPECT_THAT(Captured(0), ElementsAre(1));
  EXPECT_THAT(Captured(1), ElementsAre(2));
  EXPECT_THAT(Read(1), ElementsAre(1, 10)) << "readers see both";
  Publish();
  EXPECT_THAT(Read(1), ElementsAre(10)) << "blocks have the first";
  EXPECT_EQ(head_.samples(), 2u);
  Seal();
  EXPECT_EQ(capture_.series.size(), 2u);
  EXPECT_FALSE(head_.dirty());
}

TEST_F(HeadTest, WhatCouldNotBeSealedComesBackMergedAndIsSealedNext) {
  Add(1, 1000, 1);
  Add(1, 3000, 3);
  Begin();
  Add(1, 2000, 2);
  Add(1, 4000, 4);
  Capture();

  while (head_.RestoreMore(&pages_, capture_)) {
  }

  EXPECT_THAT(Read(1), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(head_.samples(), 4u);
  Seal();
  EXPECT_THAT(Captured(0), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Read(1), IsEmpty());
  EXPECT_EQ(head_.samples(), 0u);
}

TEST_F(HeadTest, DaysAreToldToTheIndexOnce) {
  constexpr int64_t kDay = 86'400'000;
  Add(1, 10 * kDay - 1, 1);
  Add(1, 10 * kDay, 2);
  Seal();
  EXPECT_THAT(capture_.series[0].index_days, ElementsAre(9, 10));
  Add(1, 10 * kDay + 1, 3);
  Seal();
  EXPECT_THAT(capture_.series[0].index_days, IsEmpty());
  Add(1, 14 * kDay, 4);
  Add(1, 12 * kDay, 5);  // late
  Seal();
  EXPECT_THAT(capture_.series[0].index_days, ElementsAre(14, 12));
  EXPECT_EQ(capture_.series[0].last_day_indexed, 14);
  EXPECT_EQ(capture_.series[0].first_ms, 10 * kDay - 1);
  EXPECT_EQ(capture_.series[0].newest_ms, 14 * kDay);
}

TEST_F(HeadTest, OnlyWhatIsSealedAndIdleLeavesAndTheNextSealNamesIt) {
  Add(1, 1000, 1);
  Add(2, 1000, 1);
  Add(3, kHourMs, 1);
  EXPECT_THAT(Idle(2 * kHourMs), IsEmpty()) << "nothing is sealed";
  Seal();
  Add(2, 2000, 2);
  EXPECT_THAT(Idle(kHourMs + 5000), ElementsAre(1));
  EXPECT_FALSE(head_.MayHaveLeft(0));

  EXPECT_EQ(head_.Leave({1, 2, 3}, before_), 1u);

  EXPECT_EQ(head_.Find(1), nullptr);
  EXPECT_EQ(head_.index().size(), 2u);
  EXPECT_TRUE(head_.MayHaveLeft(0));
  EXPECT_FALSE(head_.MayHaveLeft(1));
  Begin();
  EXPECT_THAT(capture_.gone, ElementsAre(1));
  Capture();
  while (head_.RestoreMore(&pages_, capture_)) {
  }
  Seal();
  EXPECT_THAT(capture_.gone, ElementsAre(1)) << "until a seal succeeds";
  Seal();
  EXPECT_THAT(capture_.gone, IsEmpty());
}

TEST_F(HeadTest, SeriesFedByIncrementsStayForADay) {
  Define(1, Named(1));
  BatchRecord record;
  record.tenant = "default";
  record.deltas.Add(1, 1000, 0, 5);
  Replay(record);
  Seal();
  EXPECT_EQ(capture_.deltas.at(0), (DeltaState{1000, 5, 0}));

  EXPECT_THAT(Idle(23 * kHourMs), IsEmpty());
  EXPECT_THAT(Idle(25 * kHourMs), ElementsAre(1));
}

TEST_F(HeadTest, OfSeriesThatHadLeftAReplayKeepsTheOneDefinedLast) {
  ASSERT_THAT(head_.LoadSeries(5, "default", Named(7)), IsOk());
  ASSERT_THAT(head_.LoadSeries(9, "default", Named(7)), IsOk());
  EXPECT_EQ(head_.Find(5), nullptr);

  Define(12, Named(7));

  EXPECT_EQ(head_.Find(9), nullptr);
  EXPECT_EQ(head_.index().size(), 1u);
  Begin();
  EXPECT_THAT(capture_.gone, ElementsAre(5, 9));
  EXPECT_THAT(head_.LoadSeries(3, "default", Named(7)),
              HasCode(absl::StatusCode::kDataLoss));
}

TEST_F(HeadTest, PagesOfSeriesLongGoneAreGivenBack) {
  for (uint64_t hour = 0; hour < 200; ++hour) {
    for (uint64_t i = 0; i < 100; ++i) {
      Add(1 + hour * 100 + i, static_cast<int64_t>(hour) * kHourMs, 1);
    }
    Seal();
    const std::vector<uint64_t> idle =
        Idle(static_cast<int64_t>(hour) * kHourMs + 1);
    head_.Leave(idle, before_);
  }

  size_t pages = 0;
  for (const uint64_t directory : head_.Directories()) {
    pages += head_.PagesOf(directory).size();
  }
  EXPECT_LE(pages, 8u);
  EXPECT_LE(head_.index().size(), 200u);
}

TEST_F(HeadTest, LateSamplesAreReadInTheirPlaceAndWithinTheRange) {
  Add(1, 5000, 5);
  Add(1, 3000, 3);
  Add(1, 1000, 1);
  Add(1, 7000, 7);

  EXPECT_THAT(Read(1), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(Read(1, {2000, 5000}), ElementsAre(3, 5));
  EXPECT_THAT(Read(1, {5001, 6999}), IsEmpty());
  EXPECT_EQ(head_.Find(1)->first_ms, 1000);
  EXPECT_EQ(head_.Find(1)->newest_ms, 7000);
}

TEST_F(HeadTest, HistogramsWeighMoreAndASealTakesTheirWeightAlong) {
  Define(1, Named(1));
  BatchRecord record;
  record.tenant = "default";
  IntegerHistogram h;
  h.count = 1;
  h.positive_spans = {{0, 160}};
  h.positive_buckets.assign(160, 0);
  h.positive_buckets[3] = 1;
  record.integer_histograms.Add(1, 1000, 0, h);
  Replay(record);
  EXPECT_EQ(head_.samples(), 1u);
  EXPECT_GE(head_.weight(), 20u);
  Begin();
  Add(1, 2000, 1);
  Capture();

  Publish();

  EXPECT_EQ(head_.weight(), 1u);
}

TEST_F(HeadTest, OfDaysBeforeThisProcessEverySeriesMayHaveLeft) {
  ASSERT_THAT(head_.LoadSeries(5, "default", Named(5)), IsOk());
  ASSERT_THAT(head_.LoadState(5, {1000, 20 * 86'400'000LL, 20, {}}), IsOk());

  EXPECT_TRUE(head_.MayHaveLeft(20));
  EXPECT_FALSE(head_.MayHaveLeft(21));
}

}  // namespace
}  // namespace vigie::store
