#include "store/sample_changes.h"

#include <gtest/gtest.h>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

constexpr int64_t kMinute = ChangedMinutes::kMinuteMs;
constexpr TimeRange kNone{.min_ms = 1, .max_ms = 0};

ChangedMinutes MinutesOf(const std::vector<int64_t>& times_ms) {
  ChangedMinutes minutes;
  minutes.Add(times_ms);
  return minutes;
}

TEST(ChangedMinutesTest, NamesEachMinuteOnce) {
  const ChangedMinutes minutes =
      MinutesOf({0, 59'999, 60'000, 1, 60'001, -1, -60'000, -60'001});

  EXPECT_EQ(minutes.minutes(), (absl::InlinedVector<int64_t, 4>{0, 1, -1, -2}));
  EXPECT_EQ(minutes.first(), -2);
  EXPECT_EQ(minutes.last(), 1);
  EXPECT_FALSE(minutes.many());
}

TEST(ChangedMinutesTest, TellsTheSpanOfTooManyMinutes) {
  ChangedMinutes minutes;
  for (int64_t i = 0; i < 100; ++i) minutes.Add(i * 2 * kMinute);

  EXPECT_TRUE(minutes.many());
  EXPECT_EQ(minutes.first(), 0);
  EXPECT_EQ(minutes.last(), 198);
}

TEST(SampleChangesTest, GivesWhatLiesBeforeTheFirstLaterChange) {
  SampleChanges changes;
  changes.Version("a");
  changes.Note("a", MinutesOf({5 * kMinute}));
  const uint64_t version = *changes.Version("a");
  const TimeRange range{.min_ms = 7, .max_ms = 60 * kMinute};

  EXPECT_EQ(changes.UnchangedSince("a", version, range), range);
  changes.Note("a", MinutesOf({30 * kMinute + 1, 20 * kMinute + 1}));
  EXPECT_EQ(changes.UnchangedSince("a", version, range),
            (TimeRange{.min_ms = 7, .max_ms = 20 * kMinute - 1}));
  changes.Note("a", MinutesOf({0}));
  EXPECT_EQ(changes.UnchangedSince("a", version, range), kNone);
  EXPECT_EQ(changes.UnchangedSince("a", *changes.Version("a"), range), range);
}

TEST(SampleChangesTest, TenantsAreFollowedApartAndFromTheFirstQuestionOn) {
  SampleChanges changes;
  const TimeRange range{.min_ms = 0, .max_ms = kMinute};

  EXPECT_EQ(changes.UnchangedSince("a", 1, range), kNone);
  const uint64_t version = *changes.Version("a");
  changes.Version("b");
  changes.Note("b", MinutesOf({0}));
  EXPECT_EQ(changes.UnchangedSince("a", version, range), range);
}

TEST(SampleChangesTest, CallsChangedWhatItHasForgotten) {
  SampleChanges changes;
  const uint64_t old = *changes.Version("a");
  const TimeRange far{.min_ms = -9 * kMinute, .max_ms = -kMinute};
  for (size_t i = 0; i < SampleChanges::kMinutesMax; ++i) {
    changes.Note("a", MinutesOf({static_cast<int64_t>(i) * kMinute}));
  }
  const uint64_t later = *changes.Version("a");
  EXPECT_EQ(changes.UnchangedSince("a", old, far), far);

  changes.Note("a", MinutesOf({2'000 * kMinute}));

  EXPECT_EQ(changes.UnchangedSince("a", old, far), kNone);
  EXPECT_EQ(changes.UnchangedSince("a", later, far), far);
  EXPECT_EQ(changes.UnchangedSince("a", later,
                                   {.min_ms = 0, .max_ms = 2'000 * kMinute}),
            (TimeRange{.min_ms = 0, .max_ms = 2'000 * kMinute - 1}));
}

TEST(SampleChangesTest, ALongRangeChangesEverything) {
  SampleChanges changes;
  const uint64_t version = *changes.Version("a");
  const TimeRange far{.min_ms = 1'000'000 * kMinute,
                      .max_ms = 1'000'001 * kMinute};

  changes.Note("a", {.min_ms = 0, .max_ms = 10 * kMinute});
  EXPECT_EQ(changes.UnchangedSince("a", version, far), far);
  changes.Note("a", TimeRange());
  EXPECT_EQ(changes.UnchangedSince("a", version, far), kNone);
  EXPECT_EQ(changes.UnchangedSince("a", *changes.Version("a"), far), far);
}

TEST(SampleChangesTest, WhatRetentionTakesIsCutOffInFront) {
  SampleChanges changes;
  const uint64_t version = *changes.Version("a");
  const TimeRange range{.min_ms = 0, .max_ms = 100 * kMinute};

  changes.NoteAllBefore(40 * kMinute);

  EXPECT_EQ(changes.UnchangedSince("a", version, range),
            (TimeRange{.min_ms = 40 * kMinute, .max_ms = 100 * kMinute}));
}

TEST(SampleChangesTest, FollowsNoMoreTenantsThanItMay) {
  SampleChanges changes;
  for (size_t i = 0; i < SampleChanges::kTenantsMax; ++i) {
    EXPECT_TRUE(changes.Version(std::to_string(i)).has_value());
  }

  EXPECT_FALSE(changes.Version("one more").has_value());
  EXPECT_TRUE(changes.Version("7").has_value());
}

class StoreChangesTest : public StoreTest {
 protected:
  // What of the last hour has not changed since Mark.
  TimeRange Unchanged() {
    return store_->queryable().UnchangedSince({}, version_, hour_);
  }
  void Mark() { version_ = *store_->queryable().ChangeVersion({}); }

  const TimeRange hour_{.min_ms = kNowMs - 60 * kMinute, .max_ms = kNowMs};
  uint64_t version_ = 0;
};

TEST_F(StoreChangesTest, WhatIsAcknowledgedHasChangedItsMinute) {
  Open();
  Mark();
  EXPECT_EQ(Unchanged(), hour_);
  const int64_t minute_ms = (kNowMs / kMinute - 10) * kMinute;

  Append(SeriesNamed("up"), {{minute_ms + 3, 1}});
  EXPECT_EQ(Unchanged(), (TimeRange{hour_.min_ms, minute_ms - 1}));
  // In order, late, as a histogram, and what increments add up to.
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  Mark();
  EXPECT_EQ(Unchanged(), hour_);
  AppendBatch late = FloatsOf(SeriesNamed("up"), {});
  late.float_histograms.push_back({0, minute_ms + 4, {}, 0});
  EXPECT_EQ(Append(std::move(late)).histograms_accepted, 1u);
  EXPECT_EQ(Unchanged(), (TimeRange{hour_.min_ms, minute_ms - 1}));
  Mark();
  AppendBatch delta = FloatsOf(SeriesNamed("sum"), {});
  delta.deltas.push_back({0, minute_ms - 100, minute_ms, 1});
  EXPECT_EQ(Append(std::move(delta)).deltas_accepted, 1u);
  EXPECT_EQ(Unchanged(), (TimeRange{hour_.min_ms, minute_ms - 1}));
}

TEST_F(StoreChangesTest, WhatMovesAnswersFromPlaceToPlaceChangesNone) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs - kMinute, 1}, {kNowMs, 2}});
  Mark();

  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_THAT(store_->Compact({}), IsOk());

  EXPECT_EQ(Unchanged(), hour_);
}

TEST_F(StoreChangesTest, ADeletionChangesItsRange) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs - kMinute, 1}, {kNowMs, 2}});
  Mark();
  const int64_t minute_ms = (kNowMs / kMinute - 1) * kMinute;

  const auto deleted =
      store_->DeleteSeries({.tenant = {},
                            .selectors = {{Matcher::Equal("__name__", "up")}},
                            .range = {.min_ms = minute_ms, .max_ms = kNowMs}},
                           {});

  ASSERT_THAT(deleted.status(), IsOk());
  EXPECT_EQ(Unchanged(), (TimeRange{hour_.min_ms, minute_ms - 1}));
}

class OneSample final : public ImportSource {
 public:
  explicit OneSample(int64_t time_ms) : time_ms_(time_ms) {}
  const Tenant& tenant() const override { return tenant_; }
  absl::StatusOr<bool> Next(ImportedSeries* series) override {
    if (given_) return false;
    given_ = true;
    series->labels = SeriesNamed("up");
    SampleBatch& batch = series->batches.emplace_back();
    batch.times_ms = {time_ms_};
    batch.values = {3};
    return true;
  }

 private:
  const Tenant tenant_;
  const int64_t time_ms_;
  bool given_ = false;
};

TEST_F(StoreChangesTest, AnImportChangesWhatItBrings) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 2}});
  Mark();
  const int64_t minute_ms = (kNowMs / kMinute - 20) * kMinute;
  OneSample source(minute_ms + 7);

  ASSERT_THAT(store_->Import(source, {}).status(), IsOk());

  EXPECT_EQ(Unchanged(), (TimeRange{hour_.min_ms, minute_ms - 1}));
}

TEST_F(StoreChangesTest, WhatHadToMakeRoomHasChanged) {
  options_.store.retention_bytes = 1;  // the newest day stays all the same
  Open();
  const int64_t day = 86'400'000;
  Append(SeriesNamed("old"), {{kNowMs - 2 * day, 1}});
  Append(SeriesNamed("up"), {{kNowMs, 2}});
  ASSERT_THAT(store_->Seal(), IsOk());
  Mark();
  const TimeRange days{.min_ms = kNowMs - 3 * day, .max_ms = kNowMs};
  const auto unchanged = [&] {
    return store_->queryable().UnchangedSince({}, version_, days);
  };
  EXPECT_EQ(unchanged(), days);

  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  EXPECT_EQ(Query().size(), 1u);
  EXPECT_GT(unchanged().min_ms, kNowMs - 2 * day);
  EXPECT_EQ(unchanged().max_ms, kNowMs);
}

TEST_F(StoreChangesTest, NothingBelowTheHorizonStaysAsItIs) {
  options_.store.retention_ms = 30 * kMinute;
  Open();
  Append(SeriesNamed("up"), {{kNowMs - 20 * kMinute, 1}});
  Mark();

  const TimeRange first = Unchanged();
  clock_.AdvanceMs(10 * kMinute);
  const TimeRange later = Unchanged();

  EXPECT_GE(first.min_ms, kNowMs - 30 * kMinute);
  EXPECT_EQ(later.min_ms, first.min_ms + 10 * kMinute);
  EXPECT_EQ(later.max_ms, kNowMs);
}

}  // namespace
}  // namespace vigie::store
