// Rollups of merged days: the answers of queries beside those of a store that
// keeps every sample in memory, while samples are there and after.
#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <span>
#include <string_view>

#include "query/engine.h"
#include "store/memory_store.h"
#include "store/retention.h"
#include "store/windows.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::vigie::testing::IsOk;

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDays = 3;

class StoreRollupTest : public StoreTest {
 protected:
  StoreRollupTest() {
    options_.store.retention_ms = 5 * kDayMs;
    options_.store.out_of_order_window_ms = 2 * kDayMs;
    options_.store.rollups = {{5 * kMinuteMs, 400 * kDayMs, {}},
                              {kHourMs, 4000 * kDayMs, {}}};
    engine_options_.points_per_series_max = 1 << 20;
  }

  void Put(const Labels& labels, const std::vector<Sample>& samples,
           const std::string& tenant = "default") {
    for (const bool memory : {false, true}) {
      AppendBatch batch = FloatsOf(labels, samples);
      batch.tenant = {tenant};
      Appender& to = memory ? memory_ : store_->appender();
      ASSERT_THAT(AppendAndWait(to, std::move(batch)).status, IsOk());
    }
  }

  // Three days of a counter, a gauge and one that comes and goes, some of it
  // late into sealed windows, sealed now and then; nothing is merged yet.
  void Fill(uint64_t seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    double total = 0;
    for (int64_t from_ms = 0; from_ms < kDays * kDayMs;
         from_ms += 8 * kHourMs) {
      std::vector<Sample> counter, gauge, rare, late;
      for (int64_t at = 0; at < 8 * kHourMs; at += 30'000) {
        const int64_t time_ms =
            start_ms_ + from_ms + at + static_cast<int64_t>(random() % 9);
        total = random() % 500 == 0 ? 1 : total + random() % 100;
        counter.push_back({time_ms, total});
        const double value = static_cast<double>(random() % 1000) / 8 - 50;
        gauge.push_back({time_ms, random() % 300 == 0 ? NormalNan() : value});
        if (random() % 40 == 0) {
          rare.push_back({time_ms, value});
          if (random() % 3 == 0) rare.push_back({time_ms + 10, StaleMarker()});
        }
        if (from_ms > 0 && random() % 50 == 0) {
          late.push_back({time_ms - 7 * kHourMs, value});
        }
      }
      clock_.SetNowMs(start_ms_ + from_ms + 8 * kHourMs);
      Put(SeriesNamed("c_total", "c"), counter);
      Put(SeriesNamed("gauge", "g"), gauge);
      Put(SeriesNamed("rare", "r"), rare);
      if (!late.empty()) Put(SeriesNamed("late", "l"), late);
      ASSERT_THAT(store_->Seal(), IsOk());
    }
  }

  // Past the retention of samples, far before that of rollups.
  void LoseSamples() {
    ASSERT_THAT(store_->Compact({}), IsOk());
    clock_.SetNowMs(end_ms_ + 30 * kDayMs);
    ASSERT_THAT(store_->ApplyRetention(), IsOk());
    for (const DayState& day : DaysOf()) {
      EXPECT_EQ(day.cold_samples + day.hot_samples, 0u);
      EXPECT_THAT(day.rollups, SizeIs(2));
    }
    EXPECT_THAT(Query(), IsEmpty()) << "without a function there is nothing";
  }
  std::vector<RollupReport> Rollups() {
    const auto report = store_->Inspect();
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->rollups : std::vector<RollupReport>();
  }
  std::vector<DayState> DaysOf() {
    store_.reset();
    std::vector<DayState> days;
    {
      auto blocks = Blocks::Open(directory_.data() + "/blocks",
                                 directory_.data() + "/staging");
      EXPECT_TRUE(blocks.ok()) << blocks.status();
      if (blocks.ok()) days = (*blocks)->Days();
    }
    Open();
    return days;
  }

  query::QueryResult Ask(const Queryable& from, const std::string& text,
                         int64_t shift_ms = 0) {
    const query::Engine engine(from, clock_, engine_options_);
    query::RangeQuery range;
    range.tenant = {"default"};
    range.query = text;
    range.start_ms = start_ms_ + kHourMs + shift_ms;
    range.end_ms = end_ms_ + shift_ms;
    range.step_ms = kHourMs;
    auto result = engine.Run(range);
    EXPECT_TRUE(result.ok()) << text << ": " << result.status();
    return result.ok() ? *std::move(result) : query::QueryResult();
  }

  // Of each point of one the other has it within `error`, a share, and at all.
  static void ExpectClose(const query::QueryResult& a,
                          const query::QueryResult& b, double error,
                          int64_t from_ms = 0) {
    const auto& x = std::get<query::Matrix>(a.value);
    const auto& y = std::get<query::Matrix>(b.value);
    ASSERT_EQ(x.size(), y.size());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(x[i].labels, y[i].labels);
      ASSERT_EQ(x[i].floats.size(), y[i].floats.size());
      for (size_t k = 0; k < x[i].floats.size(); ++k) {
        const Sample& p = x[i].floats[k];
        const Sample& q = y[i].floats[k];
        ASSERT_EQ(p.time_ms, q.time_ms);
        if (p.time_ms < from_ms || BitsOf(p.value) == BitsOf(q.value)) continue;
        ASSERT_LE(std::fabs(p.value - q.value),
                  error * (1 + std::fabs(q.value)))
            << x[i].labels.ToString() << " at " << p.time_ms << ": " << p.value
            << ", " << q.value;
      }
    }
  }

  const int64_t start_ms_ = kNowMs / kDayMs * kDayMs;
  const int64_t end_ms_ = start_ms_ + kDays * kDayMs;
  MemoryStore memory_;
  query::EngineOptions engine_options_;
};

// What buckets say to the bit, beside what only samples do.
constexpr const char* kEqual[] = {"gauge",
                                  "{__name__=~'.+'}",
                                  "timestamp(rare)",
                                  "max_over_time({__name__=~'.+'}[2h])",
                                  "min_over_time(gauge[1h])",
                                  "last_over_time(rare[90m])",
                                  "present_over_time(rare[1h])",
                                  "absent_over_time(rare[1h])",
                                  "max(max_over_time(late[5h] offset 1h))",
                                  "max_over_time(gauge[1h] @ end())"};
constexpr const char* kOthers[] = {
    "rate(c_total[1h])",         "sum_over_time(gauge[1h])",
    "avg_over_time(gauge[2h])",  "quantile_over_time(0.9, gauge[1h])",
    "count_over_time(rare[1h])", "changes(rare[3h])",
    "max_over_time(gauge[61m])", "irate(c_total[1h])"};

class StoreRollupSeedTest : public StoreRollupTest,
                            public ::testing::WithParamInterface<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, StoreRollupSeedTest, ::testing::Values(1));

TEST_P(StoreRollupSeedTest, WhileThereAreSamplesAnswersAreTheirsToTheBit) {
  Open();
  Fill(GetParam());
  ASSERT_THAT(store_->Compact({}), IsOk());
  // A day of which something came late, and one that has something in the
  // head, are answered from samples.
  Put(SeriesNamed("gauge", "g"), {{start_ms_ + kDayMs + 7 * kHourMs, 1e6}});
  ASSERT_THAT(store_->Seal(), IsOk());
  Put(SeriesNamed("rare", "r"), {{end_ms_ - kHourMs - 1, 1e7}});

  for (const std::span<const char* const> queries :
       {std::span<const char* const>(kEqual),
        std::span<const char* const>(kOthers)}) {
    for (const char* text : queries) {
      for (const int64_t shift_ms : {int64_t{0}, 7 * kMinuteMs}) {
        SCOPED_TRACE(text);
        const auto rolled_up = Ask(store_->queryable(), text, shift_ms);
        ExpectClose(rolled_up, Ask(memory_, text, shift_ms), 0);
        EXPECT_THAT(rolled_up.warnings, IsEmpty());
      }
    }
  }
  // And they come from buckets of an hour where those say as much.
  const char* text = "max_over_time(c_total[2h])";
  EXPECT_LT(Ask(store_->queryable(), text).stats.samples_read, 6000);
  EXPECT_GT(Ask(memory_, text).stats.samples_read, 8000);
  ASSERT_THAT(store_->Compact({}), IsOk());
  EXPECT_LT(Ask(store_->queryable(), text).stats.samples_read, 100);
}

TEST_P(StoreRollupSeedTest, OnceSamplesAreGoneRollupsAnswerOrAWarningDoes) {
  Open();
  Fill(GetParam());
  LoseSamples();

  for (const char* text : kEqual) {
    SCOPED_TRACE(text);
    const auto rolled_up = Ask(store_->queryable(), text);
    ExpectClose(rolled_up, Ask(memory_, text), 0);
    EXPECT_THAT(rolled_up.warnings, IsEmpty());
  }
  const auto sums = Ask(store_->queryable(), "sum_over_time(gauge[1h])");
  ExpectClose(sums, Ask(memory_, "sum_over_time(gauge[1h])"), 1e-9);
  EXPECT_THAT(sums.warnings, IsEmpty());

  // What slower scrapes would have shown is said to be that.
  for (const char* text : {"rate(c_total[6h])", "increase(c_total[6h])"}) {
    SCOPED_TRACE(text);
    const auto rolled_up = Ask(store_->queryable(), text);
    // Not where the series begins within the window.
    ExpectClose(rolled_up, Ask(memory_, text), 0.03, start_ms_ + 7 * kHourMs);
    EXPECT_THAT(rolled_up.warnings,
                ElementsAre(HasSubstr("are kept as rollups of 5m: ")));
  }
  EXPECT_THAT(Ask(store_->queryable(), "gauge", 7 * kMinuteMs).warnings,
              ElementsAre(HasSubstr("the newest sample is computed from")));

  // And what they cannot say is not said.
  for (const char* text : kOthers) {
    const std::string_view name(text);
    if (name.starts_with("rate") || name.starts_with("sum")) continue;
    SCOPED_TRACE(text);
    const auto rolled_up = Ask(store_->queryable(), text);
    EXPECT_THAT(std::get<query::Matrix>(rolled_up.value), IsEmpty());
    EXPECT_THAT(rolled_up.warnings,
                ElementsAre(HasSubstr("needs the samples, and sees none")));
  }
}

TEST_F(StoreRollupTest, ACounterGoesOnFromRollupsToSamples) {
  options_.store.retention_ms = 2 * kDayMs;
  Open();
  Fill(3);
  ASSERT_THAT(store_->Compact({}), IsOk());
  clock_.SetNowMs(end_ms_ + kDayMs + 12 * kHourMs);  // samples of the last day
  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  const auto rolled_up = Ask(store_->queryable(), "increase(c_total[12h])");
  ExpectClose(rolled_up, Ask(memory_, "increase(c_total[12h])"), 0.02,
              start_ms_ + 13 * kHourMs);
  EXPECT_THAT(rolled_up.warnings, SizeIs(1));
  EXPECT_GT(rolled_up.stats.samples_read, 2000) << "the last day's are there";
}

TEST_F(StoreRollupTest, TheyStayOverRestartsAndMergesAndGoWithTheirOwnTime) {
  Open();
  Fill(4);
  LoseSamples();
  const char* text = "max_over_time({__name__=~'.+'}[2h])";
  const auto before = Ask(store_->queryable(), text);
  ASSERT_THAT(std::get<query::Matrix>(before.value), SizeIs(4));

  Open();
  ExpectClose(Ask(store_->queryable(), text), before, 0);
  const auto outcome = store_->Verify(
      {}, [](const std::string& damage) { ADD_FAILURE() << damage; });
  ASSERT_THAT(outcome, IsOk());

  // What is deleted of them goes by whole buckets, at once and from the disk.
  ASSERT_THAT(store_->DeleteSeries({{},
                                    {{Matcher::Equal("__name__", "gauge")}},
                                    {start_ms_, start_ms_ + kDayMs}},
                                   {}),
              IsOk());
  const auto gauges = [&] {
    const auto result = Ask(store_->queryable(), "max_over_time(gauge[1h])");
    const auto& matrix = std::get<query::Matrix>(result.value);
    return matrix.empty() ? std::vector<Sample>() : matrix[0].floats;
  };
  ASSERT_FALSE(gauges().empty());
  EXPECT_GT(gauges().front().time_ms, start_ms_ + kDayMs);
  const std::vector<Sample> left = gauges();
  const uint64_t buckets = Rollups()[0].buckets;
  ASSERT_THAT(store_->Compact({}), IsOk());
  EXPECT_EQ(Rollups()[0].buckets, buckets - 288);
  EXPECT_EQ(gauges(), left);

  const auto days = [&] {
    std::vector<uint64_t> found;
    for (const RollupReport& rollup : Rollups()) {
      found.push_back(rollup.days);
    }
    return found;
  };
  EXPECT_THAT(days(), ElementsAre(3, 3));
  clock_.SetNowMs(end_ms_ + 402 * kDayMs);
  ASSERT_THAT(store_->ApplyRetention(), IsOk());
  EXPECT_THAT(days(), ElementsAre(3));
  EXPECT_THAT(std::get<query::Matrix>(Ask(store_->queryable(), "gauge").value),
              Not(IsEmpty()));
  clock_.SetNowMs(end_ms_ + 4002 * kDayMs);
  ASSERT_THAT(store_->ApplyRetention(), IsOk());
  EXPECT_THAT(days(), IsEmpty());
  EXPECT_THAT(std::get<query::Matrix>(Ask(store_->queryable(), "gauge").value),
              IsEmpty());
}

TEST_F(StoreRollupTest, BySizeSamplesGoBeforeRollups) {
  Open();
  Fill(5);
  ASSERT_THAT(store_->Compact({}), IsOk());
  const std::vector<DayState> days = DaysOf();
  ASSERT_THAT(days, SizeIs(::testing::Ge(3u)));
  uint64_t all = 0;
  for (const DayState& day : days) {
    all += day.cold_bytes;
    for (const ColdDay& rollup : day.rollups) all += rollup.bytes;
  }
  const auto fits = [&](uint64_t bytes) {
    options_.store.retention_bytes = bytes;
    return OldestThatFit(options_.store, days, 0);
  };
  EXPECT_EQ(fits(all).samples_ms, INT64_MIN);
  EXPECT_EQ(fits(all - 1).samples_ms, DayEndMs(days[0].day) + 1);
  EXPECT_EQ(fits(all - 1).rollups_ms, INT64_MIN);
  EXPECT_EQ(fits(1).samples_ms, DayEndMs(days[days.size() - 2].day) + 1);
  EXPECT_EQ(fits(1).rollups_ms, fits(1).samples_ms);

  options_.store.retention_bytes = 1;
  Open();
  ASSERT_THAT(store_->ApplyRetention(), IsOk());
  for (const RollupReport& rollup : Rollups()) {
    EXPECT_LE(rollup.days, 1u);
  }
}

TEST_F(StoreRollupTest, ATenantOfWhomLessIsKeptIsSeenAndStoredNoLonger) {
  options_.store.tenant_retention_ms["brief"] = 36 * kHourMs;
  Open();
  const Labels labels = SeriesNamed("up");
  std::vector<Sample> samples;
  for (int64_t at = 0; at < 12 * kHourMs; at += kMinuteMs) {
    samples.push_back({start_ms_ + at, 1});
  }
  clock_.SetNowMs(start_ms_ + 12 * kHourMs);
  Put(labels, samples, "brief");
  Put(labels, samples);
  ASSERT_THAT(store_->Compact({}), IsOk());
  const auto brief = [&] {
    return ContentsOf(store_->queryable(), {}, {}, {"brief"});
  };
  ASSERT_THAT(brief(), SizeIs(1));

  // To the millisecond, before any merge.
  clock_.SetNowMs(start_ms_ + 40 * kHourMs);
  EXPECT_EQ(brief().begin()->second.begin()->first, start_ms_ + 4 * kHourMs);
  EXPECT_EQ(Query().begin()->second.size(), samples.size());
  // Nor is what is as old taken.
  AppendBatch late = FloatsOf(labels, {{start_ms_ + 3 * kHourMs + 1, 2}});
  late.tenant = {"brief"};
  EXPECT_EQ(ReasonOf(Append(std::move(late))), RefusalReason::kOutOfRetention);

  // The bytes go with the first merge after its day has passed.
  clock_.SetNowMs(start_ms_ + kDayMs + 36 * kHourMs + 1);
  EXPECT_THAT(brief(), IsEmpty());
  const uint64_t before = Rollups()[0].buckets;
  ASSERT_THAT(store_->Compact({}), IsOk());
  EXPECT_EQ(Rollups()[0].buckets, before / 2);
  EXPECT_EQ(Query().begin()->second.size(), samples.size());
  for (const DayState& day : DaysOf()) {
    EXPECT_EQ(day.cold_samples, samples.size());
  }
}

TEST_F(StoreRollupTest, AMergeIsDueWhenATenantsTimeIsUpAndOnlyThen) {
  StoreOptions options = options_.store;
  options.tenant_retention_ms["brief"] = 36 * kHourMs;
  const int32_t day = DayOf(start_ms_);
  const int64_t now_ms = start_ms_ + 10 * kHourMs;
  const auto expiry = [&](std::vector<MergedTenant> tenants) {
    return FirstExpiryMs(options, day, tenants, now_ms);
  };
  EXPECT_EQ(expiry({{"other", 0}}), INT64_MAX) << "it goes with the whole day";
  EXPECT_EQ(expiry({{"brief", 0}, {"other", 0}}), DayEndMs(day) + 36 * kHourMs);
  EXPECT_EQ(expiry({{"brief", kHourMs}}), DayEndMs(day) + 36 * kHourMs);
  // Who keeps less of everything than others keeps rollups only by name.
  options.rollups[1].tenant_retention_ms["brief"] = 90 * kDayMs;
  EXPECT_EQ(expiry({{"brief", kHourMs}}), DayEndMs(day) + 90 * kDayMs);
  options.tenant_retention_ms["brief"] = 60 * kDayMs;
  EXPECT_EQ(expiry({{"other", 0}}), DayEndMs(day) + 5 * kDayMs);
}

}  // namespace
}  // namespace vigie::store
