// Series that left the head are found by the index of their days: no answer
// tells whether a series is still there.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayLengthMs = 24 * kHourMs;

class StoreLeftTest : public StoreTest {
 protected:
  StoreLeftTest() { options_.store.retention_ms = 30 * kDayLengthMs; }

  void PassHours(int hours) { clock_.AdvanceMs(hours * kHourMs); }
  double HeadSeries() { return MetricOf("vigie_store_head_series"); }

  std::vector<std::string> Values(
      std::string_view label,
      const std::vector<std::vector<Matcher>>& selectors = {},
      const TimeRange& range = {}) {
    ByteAccount account("query", 64 << 20);
    auto found = store_->queryable().LabelValues({}, label, range, selectors, 0,
                                                 {&account, {}});
    EXPECT_THAT(found, IsOk());
    EXPECT_THAT(found->warnings, IsEmpty());
    EXPECT_EQ(account.bytes(), 0);
    return found->names;
  }
  std::vector<std::string> Names(
      const std::vector<std::vector<Matcher>>& selectors = {}) {
    ByteAccount account("query", 64 << 20);
    auto found =
        store_->queryable().LabelNames({}, {}, selectors, 0, {&account, {}});
    EXPECT_THAT(found, IsOk());
    return found->names;
  }
  std::vector<Labels> Series(const std::vector<Matcher>& matchers,
                             uint64_t limit = 0, bool expect_more = false) {
    ByteAccount account("query", 64 << 20);
    bool truncated = false;
    auto found = store_->queryable().Series({}, {}, {matchers}, limit,
                                            {&account, {}}, &truncated);
    EXPECT_THAT(found, IsOk());
    EXPECT_EQ(truncated, expect_more);
    return *found;
  }
  // Series -> (time, trace) of its exemplars.
  using Traces = std::map<Labels, std::vector<std::pair<int64_t, std::string>>>;
  void AppendTraced(const Labels& labels, int64_t time_ms,
                    std::string_view trace) {
    AppendBatch batch = FloatsOf(labels, {{Now(), 1}});
    batch.exemplars.push_back({0, {Labels{{"trace_id", trace}}, 2, time_ms}});
    EXPECT_EQ(Append(std::move(batch)).exemplars_accepted, 1U);
  }
  Traces Exemplars(const std::vector<std::vector<Matcher>>& selectors = {},
                   const TimeRange& range = {}, Tenant tenant = {}) {
    ByteAccount account("query", 64 << 20);
    auto found =
        store_->queryable().Exemplars(tenant, range, selectors, {&account, {}});
    EXPECT_THAT(found, IsOk());
    EXPECT_EQ(account.bytes(), 0);
    Traces traces;
    for (const ExemplarSeries& one : *found) {
      EXPECT_FALSE(traces.contains(one.series)) << "each series once";
      for (const Exemplar& exemplar : one.exemplars) {
        traces[one.series].emplace_back(exemplar.time_ms,
                                        exemplar.labels.Get("trace_id"));
      }
    }
    return traces;
  }
  int64_t Now() { return clock_.NowMs(); }
};

TEST_F(StoreLeftTest, AnswersDoNotTellWhatHasLeft) {
  Open();
  Append(SeriesNamed("old", "x"), {{Now(), 1}});
  Append(SeriesNamed("old", "y"), {{Now(), 2}});
  Append({{"__name__", "other"}, {"zone", "z"}}, {{Now(), 3}});
  ASSERT_THAT(store_->Seal(), IsOk());
  const Contents before = Query();
  PassHours(2);
  Append(SeriesNamed("new", "x"), {{Now(), 4}});
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_EQ(HeadSeries(), 1);

  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Query({0, kNowMs + 1}), before);
    EXPECT_THAT(Query(), SizeIs(4));
    EXPECT_THAT(Query({}, {Matcher::Equal("job", "x")}), SizeIs(2));
    EXPECT_THAT(Query({}, {Matcher::Equal("job", "")}), SizeIs(1));
    EXPECT_THAT(Names(), ElementsAre("__name__", "job", "zone"));
    EXPECT_THAT(Names({{Matcher::Equal("__name__", "other")}}),
                ElementsAre("__name__", "zone"));
    EXPECT_THAT(Values("__name__"), ElementsAre("new", "old", "other"));
    EXPECT_THAT(Values("__name__", {{Matcher::Equal("job", "x")}}),
                ElementsAre("new", "old"));
    EXPECT_THAT(Values("job", {{Matcher::Equal("__name__", "old")},
                               {Matcher::Equal("__name__", "new")}}),
                ElementsAre("x", "y"));
    EXPECT_THAT(Series({Matcher::Equal("job", "x")}),
                ElementsAre(SeriesNamed("new", "x"), SeriesNamed("old", "x")));
    EXPECT_THAT(Series({Matcher::Equal("job", "x")}, 1, true), SizeIs(1));
    Open();  // and a restart
  }
}

TEST_F(StoreLeftTest, ASeriesThatComesBackIsOneSeries) {
  Open();
  const Labels labels = SeriesNamed("m", "x");
  std::map<int64_t, uint64_t> expected;
  for (int day = 0; day < 4; ++day) {
    Append(labels, {{Now(), day + 0.5}});
    Append(SeriesNamed("m", fmt::format("day-{}", day)), {{Now(), 1}});
    expected[Now()] = BitsOf(day + 0.5);
    ASSERT_THAT(store_->Seal(), IsOk());
    PassHours(20);
    ASSERT_THAT(store_->Seal(), IsOk());
    // The last seal had nothing; what is idle leaves with the next one.
  }
  Append(labels, {{Now(), 9}});
  expected[Now()] = BitsOf(9);

  EXPECT_EQ(Query()[labels], expected);
  EXPECT_THAT(Query(), SizeIs(5));
  EXPECT_THAT(Series({}), SizeIs(5));
  ASSERT_THAT(store_->Seal(), IsOk());
  Open();
  EXPECT_EQ(Query()[labels], expected);
  EXPECT_EQ(Query({kNowMs, kNowMs})[labels].size(), 1U);
}

TEST_F(StoreLeftTest, ExemplarsOfWhatHasLeftAreFoundAsThoseOfTheHead) {
  Open();
  const Labels x = SeriesNamed("m", "x");
  const Labels y = SeriesNamed("m", "y");
  const int64_t before = Now() - 5 * kHourMs;
  AppendTraced(x, before, "x1");
  AppendTraced(x, Now(), "x2");
  AppendTraced(y, Now(), "y1");
  Append(SeriesNamed("m", "bare"), {{Now(), 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  const Traces all = Exemplars();
  ASSERT_EQ(all, (Traces{{x, {{before, "x1"}, {kNowMs, "x2"}}},
                         {y, {{kNowMs, "y1"}}}}));
  PassHours(40);
  Append(SeriesNamed("new"), {{Now(), 4}});
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_EQ(HeadSeries(), 1);

  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Exemplars(), all);
    EXPECT_EQ(Exemplars({{Matcher::Equal("job", "y")}}),
              (Traces{{y, {{kNowMs, "y1"}}}}));
    EXPECT_EQ(Exemplars({{Matcher::Equal("job", "y")},
                         {Matcher::Equal("__name__", "m")}}),
              all);
    EXPECT_EQ(Exemplars({}, {before, before}), (Traces{{x, {{before, "x1"}}}}));
    EXPECT_EQ(Exemplars({}, {before + 1, kNowMs - 1}), Traces());
    EXPECT_EQ(Exemplars({{Matcher::Equal("job", "bare")}}), Traces());
    EXPECT_EQ(Exemplars({}, {}, Tenant{"other"}), Traces());
    Open();  // and a restart
  }
}

TEST_F(StoreLeftTest, ExemplarsOfASeriesThatCameBackAreOfOneSeries) {
  Open();
  const Labels labels = SeriesNamed("m", "x");
  AppendTraced(labels, Now(), "first");
  ASSERT_THAT(store_->Seal(), IsOk());
  PassHours(2);
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_EQ(HeadSeries(), 0);

  AppendTraced(labels, kNowMs, "first");  // said once more
  AppendTraced(labels, Now(), "second");

  const Traces expected = {{labels, {{kNowMs, "first"}, {Now(), "second"}}}};
  EXPECT_EQ(Exemplars(), expected);
  ASSERT_THAT(store_->Seal(), IsOk());
  Open();
  EXPECT_EQ(Exemplars(), expected);
}

TEST_F(StoreLeftTest, ExemplarsGoWithRetention) {
  options_.store.retention_ms = 3 * kDayLengthMs;
  Open();
  AppendTraced(SeriesNamed("m"), Now(), "old");
  ASSERT_THAT(store_->Seal(), IsOk());
  PassHours(2);
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_THAT(Exemplars(), SizeIs(1));

  PassHours(3 * 24 - 2);
  EXPECT_THAT(Exemplars(), SizeIs(1));
  clock_.AdvanceMs(1);
  EXPECT_THAT(Exemplars(), IsEmpty());
}

// A start with nothing to replay, then a seal of nothing but those that leave:
// the log is not taken for unsealed again.
TEST_F(StoreLeftTest, ASealOfLeavingAloneForgetsNoProgress) {
  Open();
  const Labels labels = SeriesNamed("m");
  Append(labels, {{Now(), 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  PassHours(2);
  Open();
  ASSERT_EQ(HeadSeries(), 1);
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_EQ(HeadSeries(), 0);

  Open();
  EXPECT_EQ(HeadSeries(), 0);
  EXPECT_EQ(MetricOf("vigie_store_head_samples"), 0);
  Append(labels, {{Now(), 2}});
  Open();
  EXPECT_EQ(Query(),
            (Contents{{labels, {{kNowMs, BitsOf(1)}, {Now(), BitsOf(2)}}}}));
}

// After a clock that ran ahead was set right, what left under it is still
// asked for on its days.
TEST_F(StoreLeftTest, WhatLeftOnDaysToComeIsFoundAfterARestart) {
  Open();
  PassHours(10 * 24);
  const int64_t ahead_ms = Now();
  Append(SeriesNamed("m"), {{ahead_ms, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  PassHours(2);
  ASSERT_THAT(store_->Seal(), IsOk());
  ASSERT_EQ(HeadSeries(), 0);
  clock_.SetNowMs(kNowMs);

  Open();
  EXPECT_EQ(Query(), (Contents{{SeriesNamed("m"), {{ahead_ms, BitsOf(1)}}}}));
}

TEST_F(StoreLeftTest, ADeletionCountsSeriesAndNotTheirIds) {
  Open();
  for (int visit = 0; visit < 3; ++visit) {
    Append(SeriesNamed("m", "x"), {{Now(), 1}});
    Append(SeriesNamed("m", "y"), {{Now(), 2}});
    Append(SeriesNamed("other", "x"), {{Now(), 3}});
    ASSERT_THAT(store_->Seal(), IsOk());
    PassHours(3);
    ASSERT_THAT(store_->Seal(), IsOk());
  }

  const auto deleted = store_->DeleteSeries(
      {{},
       {{Matcher::Equal("__name__", "m")}, {Matcher::Equal("job", "y")}},
       {}},
      {});
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(*deleted, 2U);
  EXPECT_THAT(Query(), SizeIs(1));
}

TEST_F(StoreLeftTest, GrowthIsTheNewestDayAgainstTheOneBefore) {
  Open();
  auto scrape = [&](int pods) {
    for (int i = 0; i < pods; ++i) {
      Append(SeriesNamed("steady", "x"), {{Now(), 1}});
      Append({{"__name__", "grows"}, {"pod", fmt::format("{}", i)}},
             {{Now(), 1}});
    }
    ASSERT_THAT(store_->Seal(), IsOk());
  };
  scrape(2);
  PassHours(24);
  scrape(5);

  ByteAccount account("query", 64 << 20);
  const auto found =
      store_->queryable().CountCardinality({}, 10, {&account, {}});
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->series_the_day_before, 3U);
  EXPECT_EQ(found->series_that_day, 6U);
  EXPECT_EQ(found->day_ms, Now() / kDayLengthMs * kDayLengthMs);
  ASSERT_THAT(found->grown_metrics, SizeIs(1));
  EXPECT_EQ(found->grown_metrics[0].name, "grows");
  EXPECT_EQ(found->grown_metrics[0].before, 2U);
  EXPECT_EQ(found->grown_metrics[0].now, 5U);
  ASSERT_THAT(found->grown_labels, SizeIs(1));
  EXPECT_EQ(found->grown_labels[0].name, "pod");
  ASSERT_THAT(found->grown_pairs, SizeIs(4));
  EXPECT_EQ(found->grown_pairs[0].name, "__name__=grows");
  EXPECT_EQ(account.bytes(), 0);
}

TEST_F(StoreLeftTest, GrowthCountsASeriesThatPausedOnce) {
  Open();
  PassHours(4);  // to 02:13: nothing passes midnight before the last step
  auto scrape = [&](std::string_view pod) {
    Append({{"__name__", "m"}, {"pod", pod}}, {{Now(), 1}});
  };
  for (const std::string_view pod : {"a", "b", "c"}) scrape(pod);
  for (int visit = 0; visit < 3; ++visit) {
    ASSERT_THAT(store_->Seal(), IsOk());
    PassHours(2);
    ASSERT_THAT(store_->Seal(), IsOk());
    ASSERT_EQ(HeadSeries(), 0);
    scrape("a");  // under a new id each time
  }
  scrape("d");
  ASSERT_THAT(store_->Seal(), IsOk());

  for (int round = 0; round < 2; ++round) {
    ByteAccount account("query", 64 << 20);
    const auto today =
        store_->queryable().CountCardinality({}, 10, {&account, {}});
    ASSERT_THAT(today, IsOk());
    EXPECT_EQ(today->series_that_day, 4U);
    EXPECT_EQ(today->series_the_day_before, 0U);
    ASSERT_THAT(today->grown_metrics, SizeIs(1));
    EXPECT_EQ(today->grown_metrics[0].now, 4U);
    ASSERT_THAT(today->grown_pairs, SizeIs(5));
    EXPECT_EQ(today->grown_pairs[1].name, "pod=a");
    EXPECT_EQ(today->grown_pairs[1].now, 1U);
    EXPECT_EQ(account.bytes(), 0);
    Open();  // and a restart
  }

  PassHours(24);
  for (int i = 0; i < 5; ++i) scrape(fmt::format("e{}", i));
  ASSERT_THAT(store_->Seal(), IsOk());
  ByteAccount account("query", 64 << 20);
  const auto later =
      store_->queryable().CountCardinality({}, 10, {&account, {}});
  ASSERT_THAT(later, IsOk());
  EXPECT_EQ(later->series_that_day, 5U);
  EXPECT_EQ(later->series_the_day_before, 4U);
  ASSERT_THAT(later->grown_metrics, SizeIs(1));
  EXPECT_EQ(later->grown_metrics[0].before, 4U);
}

// Few pairs are asked whose they are, of many the series what they have.
TEST_F(StoreLeftTest, ListsWithSelectorsAreOfTheMatchingSeriesAlone) {
  Open();
  std::set<std::string> of_a;
  const auto zone_of = [](int i) { return std::string(1, "aabc"[i % 4]); };
  const auto append = [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      const std::string pod = fmt::format("p{}", i);
      if (zone_of(i) == "a") of_a.insert(pod);
      Append({{"__name__", "m"},
              {"pod", pod},
              {"zone", zone_of(i)},
              {zone_of(i) + "_only", "x"}},
             {{Now(), 1}});
    }
    ASSERT_THAT(store_->Seal(), IsOk());
  };
  append(0, 40);
  PassHours(2);
  append(40, 60);
  ASSERT_EQ(HeadSeries(), 20);

  const std::vector<std::vector<Matcher>> m = {
      {Matcher::Equal("__name__", "m")}};
  const std::vector<std::vector<Matcher>> a = {{Matcher::Equal("zone", "a")}};
  const std::vector<std::vector<Matcher>> one = {{Matcher::Equal("pod", "p3")}};
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(Values("zone", m), ElementsAre("a", "b", "c"));
    EXPECT_THAT(Values("zone", a), ElementsAre("a"));
    EXPECT_EQ(Values("pod", a),
              std::vector<std::string>(of_a.begin(), of_a.end()));
    EXPECT_THAT(Values("pod", m), SizeIs(60));
    EXPECT_THAT(Values("zone", one), ElementsAre("c"));
    EXPECT_THAT(Values("a_only", one), IsEmpty());
    EXPECT_THAT(Names(a), ElementsAre("__name__", "a_only", "pod", "zone"));
    EXPECT_THAT(Names(one), ElementsAre("__name__", "c_only", "pod", "zone"));
    EXPECT_THAT(Values("zone", m, {kNowMs - 1'000, kNowMs}),
                ElementsAre("a", "b", "c"));
    Open();  // and a restart
  }
}

// Pods come and go for days; at random moments what a query, a list of values
// and a restart tell is what a plain map tells.
TEST_F(StoreLeftTest, ChurnHidesNothing) {
  const uint32_t seed = 4711;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  Open();
  Contents expected;
  Traces traced;
  for (int hour = 0; hour < 60; ++hour) {
    AppendBatch batch;
    for (int pod = 0; pod < 6; ++pod) {
      // A pod lives for some hours; some names come back days later.
      const std::string name = pod < 4
                                   ? fmt::format("p{}", hour / 3 * 4 + pod)
                                   : fmt::format("r{}", (hour / 5 + pod) % 7);
      const Labels labels = {{"__name__", fmt::format("m{}", pod % 2)},
                             {"pod", name}};
      const double value = static_cast<double>(random() % 1'000);
      batch.floats.push_back(
          {static_cast<uint32_t>(batch.series.size()), {Now(), value}, 0});
      batch.series.push_back({labels, {}});
      expected[labels][Now()] = BitsOf(value);
      if (random() % 8 > 0) continue;
      const uint32_t series = static_cast<uint32_t>(batch.series.size()) - 1;
      batch.exemplars.push_back(
          {series, {Labels{{"trace_id", "t"}}, 1, Now()}});
      traced[labels].emplace_back(Now(), "t");
    }
    ASSERT_TRUE(Append(std::move(batch)).status.ok());
    if (random() % 3 > 0) {
      ASSERT_THAT(store_->Seal(), IsOk());
    }
    if (random() % 16 == 0) Open();
    PassHours(1);
    if (hour % 6 != 5) continue;
    ASSERT_EQ(Query(), expected) << "hour " << hour;
    std::set<std::string> pods;
    Contents some;
    const TimeRange range = {Now() - 20 * kHourMs, Now() - 8 * kHourMs};
    for (const auto& [labels, samples] : expected) {
      if (labels.metric_name() == "m1")
        pods.insert(std::string(labels.Get("pod")));
      for (const auto& [time_ms, bits] : samples) {
        if (range.Contains(time_ms)) some[labels][time_ms] = bits;
      }
    }
    ASSERT_EQ(Query(range), some) << "hour " << hour;
    ASSERT_EQ(Values("pod", {{Matcher::Equal("__name__", "m1")}}),
              std::vector<std::string>(pods.begin(), pods.end()));
    ASSERT_EQ(Exemplars(), traced) << "hour " << hour;
    std::set<std::string> metrics_of_r1;
    for (const auto& [labels, samples] : expected) {
      if (labels.Get("pod") == "r1")
        metrics_of_r1.emplace(labels.metric_name());
    }
    ASSERT_EQ(
        Values("__name__", {{Matcher::Equal("pod", "r1")}}),
        std::vector<std::string>(metrics_of_r1.begin(), metrics_of_r1.end()));
    ASSERT_THAT(Names({{Matcher::Equal("__name__", "m1")}}),
                ElementsAre("__name__", "pod"));
  }
  ASSERT_THAT(store_->Seal(), IsOk());
  EXPECT_LT(HeadSeries(), 20) << "of " << expected.size();
}

}  // namespace
}  // namespace vigie::store
