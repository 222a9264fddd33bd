#include <gmock/gmock.h>

#include <functional>
#include <utility>

#include "store/sample_columns.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::IsOk;

const Labels kLatency = SeriesNamed("latency");

IntegerHistogram Exponential(uint64_t scale) {
  IntegerHistogram h;
  h.schema = 3;
  h.zero_threshold = 1e-128;
  h.zero_count = scale;
  h.count = 6 * scale;
  h.sum = 0.1 * static_cast<double>(scale);
  h.positive_spans = {{-4, 2}, {3, 1}};
  h.positive_buckets = {scale, 0, 2 * scale};
  h.negative_spans = {{0, 1}};
  h.negative_buckets = {2 * scale};
  return h;
}

FloatHistogram Custom(double scale) {
  FloatHistogram h;
  h.schema = kCustomBucketsSchema;
  h.reset_hint = CounterResetHint::kNotReset;
  h.count = 2.5 * scale;
  h.sum = -0.0;
  h.positive_spans = {{0, 2}, {1, 1}};
  h.positive_buckets = {scale, 0.5 * scale, scale};
  h.custom_values = {-1, 0.25, 10};
  return h;
}

class StoreHistogramTest : public StoreTest {
 protected:
  AppendOutcome Append(int64_t time_ms, IntegerHistogram histogram,
                       int64_t start_ms = 0) {
    AppendBatch batch;
    batch.series.push_back({kLatency, {}});
    batch.integer_histograms.push_back(
        {0, time_ms, std::move(histogram), start_ms});
    return StoreTest::Append(std::move(batch));
  }
  AppendOutcome Append(int64_t time_ms, FloatHistogram histogram) {
    AppendBatch batch;
    batch.series.push_back({kLatency, {}});
    batch.float_histograms.push_back({0, time_ms, std::move(histogram), 0});
    return StoreTest::Append(std::move(batch));
  }

  // All samples of the one series there is.
  SampleRuns Runs() {
    SampleRuns runs;
    ByteAccount account("query", int64_t{1} << 32);
    auto snapshot = store_->queryable().Select({{}, {}, {}}, {&account, {}});
    EXPECT_THAT(snapshot, IsOk());
    EXPECT_EQ((*snapshot)->size(), 1u);
    const auto samples = (*snapshot)->Samples(0);
    SampleBatch batch;
    while (true) {
      const auto more = samples->Next(&batch);
      EXPECT_THAT(more, IsOk());
      if (!more.ok() || !*more) break;
      runs.push_back({batch.kind, batch.times_ms, batch.values,
                      batch.integer_histograms, batch.float_histograms,
                      batch.starts_ms});
    }
    return runs;
  }

  // What `expect` says holds of what is open, replayed, sealed and reopened.
  void InEveryState(const std::function<void(const SampleRuns&)>& expect) {
    const auto check = [&](const char* state) {
      SCOPED_TRACE(state);
      expect(Runs());
    };
    check("open");
    Open();
    check("replayed");
    ASSERT_THAT(store_->Seal(), IsOk());
    check("sealed");
    Open();
    check("reopened");
  }
};

TEST_F(StoreHistogramTest, BothKindsComeBackBitForBitFromHeadLogAndBlock) {
  Open();
  IntegerHistogram stale;
  stale.sum = StaleMarker();
  EXPECT_EQ(Append(kNowMs - 5, Exponential(1), 77).histograms_accepted, 1u);
  EXPECT_EQ(Append(kNowMs - 4, Exponential(3)).histograms_accepted, 1u);
  EXPECT_EQ(Append(kNowMs - 3, stale).histograms_accepted, 1u);
  EXPECT_EQ(Append(kNowMs - 2, Custom(1.5)).histograms_accepted, 1u);

  InEveryState([](const SampleRuns& runs) {
    size_t integers = 0, floats = 0;
    for (const SampleColumns& run : runs) {
      for (size_t i = 0; i < run.size(); ++i) {
        if (run.kind == SampleKind::kIntegerHistogram) {
          const IntegerHistogram& h = run.integer_histograms[i];
          if (run.times_ms[i] == kNowMs - 5) {
            EXPECT_EQ(h, Exponential(1));
            EXPECT_EQ(run.start_ms(i), 77);
          } else if (run.times_ms[i] == kNowMs - 4) {
            EXPECT_EQ(h, Exponential(3));
          } else {
            EXPECT_TRUE(IsStaleMarker(h.sum));
          }
          ++integers;
        } else {
          ASSERT_EQ(run.kind, SampleKind::kFloatHistogram);
          EXPECT_EQ(run.float_histograms[i], Custom(1.5));
          EXPECT_TRUE(std::signbit(run.float_histograms[i].sum));
          ++floats;
        }
      }
    }
    EXPECT_EQ(integers, 3u);
    EXPECT_EQ(floats, 1u);
  });
}

TEST_F(StoreHistogramTest, KindsMayAlternateAndAFloatMayEndTheSeries) {
  Open();
  Append(kNowMs - 5, Exponential(1));
  Append(kNowMs - 4, Custom(1));
  Append(kNowMs - 3, Exponential(2));
  StoreTest::Append(kLatency, {{kNowMs, StaleMarker()}});

  InEveryState([](const SampleRuns& runs) {
    ASSERT_EQ(runs.size(), 4u);
    EXPECT_EQ(runs[1].kind, SampleKind::kFloatHistogram);
    EXPECT_EQ(runs[2].integer_histograms[0], Exponential(2));
    EXPECT_TRUE(IsStaleMarker(runs[3].values[0]));
  });
}

TEST_F(StoreHistogramTest, LateOnesTakeTheirPlaceAmongAllKinds) {
  Open();
  Append(kNowMs - 10, Exponential(1));
  StoreTest::Append(kLatency, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  Append(kNowMs - 1, Exponential(2));
  Append(kNowMs - 5, Custom(1));

  InEveryState([](const SampleRuns& runs) {
    ASSERT_EQ(runs.size(), 4u);
    EXPECT_EQ(runs[1].times_ms[0], kNowMs - 5);
    EXPECT_EQ(runs[1].float_histograms[0], Custom(1));
    EXPECT_EQ(runs[2].integer_histograms[0], Exponential(2));
    EXPECT_EQ(runs[3].values[0], 1);
  });
}

TEST_F(StoreHistogramTest, TheSameOneAgainIsAcceptedAndAnotherIsRefused) {
  Open();
  Append(kNowMs, Exponential(1));

  EXPECT_EQ(Append(kNowMs, Exponential(1), 99).histograms_accepted, 1u);
  EXPECT_EQ(ReasonOf(Append(kNowMs, Exponential(2))),
            RefusalReason::kDuplicateTime);
  EXPECT_EQ(ReasonOf(Append(kNowMs, Custom(1))), RefusalReason::kDuplicateTime);
  EXPECT_EQ(ReasonOf(StoreTest::Append(kLatency, {{kNowMs, 6}})),
            RefusalReason::kDuplicateTime);
  ASSERT_EQ(Runs().size(), 1u);
  EXPECT_EQ(Runs()[0].integer_histograms[0], Exponential(1));
}

TEST_F(StoreHistogramTest, ThoseAtOddsWithThemselvesAreRefusedByName) {
  struct Case {
    const char* says;
    std::function<void(IntegerHistogram&)> spoil;
  };
  const std::vector<Case> cases = {
      {"schema 9", [](auto& h) { h.schema = 9; }},
      {"schema -5", [](auto& h) { h.schema = -5; }},
      {"do not add up", [](auto& h) { ++h.count; }},
      {"do not add up", [](auto& h) { --h.count; }},
      {"do not add up", [](auto& h) { h.positive_buckets[0] = ~uint64_t{0}; }},
      {"has the offset -1", [](auto& h) { h.positive_spans[1].offset = -1; }},
      {"name 4 buckets, there are 3",
       [](auto& h) { h.positive_spans[0].length = 3; }},
      {"reaches bucket", [](auto& h) { h.negative_spans[0].offset = 1 << 30; }},
      {"reaches bucket 3221225471",
       [](auto& h) {
         h.negative_spans = {{INT32_MIN / 2, 1u << 31}, {0, (1u << 31) - 1}};
       }},
      {"bounds beside schema 3", [](auto& h) { h.custom_values = {1}; }},
      {"bound 1 of custom buckets is 1",
       [](auto& h) {
         h.schema = kCustomBucketsSchema;
         h.custom_values = {1, 1};
       }},
      {"beside negative or zero",
       [](auto& h) { h.schema = kCustomBucketsSchema; }},
  };
  Open();
  for (const Case& one : cases) {
    SCOPED_TRACE(one.says);
    AppendBatch batch = FloatsOf(SeriesNamed("beside"), {{kNowMs, 1}});
    IntegerHistogram h = Exponential(1);
    one.spoil(h);
    batch.integer_histograms.push_back({0, kNowMs - 1, h, 0});

    const AppendOutcome outcome = StoreTest::Append(std::move(batch));

    EXPECT_EQ(outcome.floats_accepted, 1u);
    EXPECT_EQ(ReasonOf(outcome), RefusalReason::kInvalidSample);
    EXPECT_THAT(outcome.refusals[0].example, HasSubstr(one.says));
  }
  IntegerHistogram wide = Exponential(1);
  wide.positive_spans = {{0, 20'000}};
  wide.positive_buckets.assign(20'000, 0);
  wide.count = wide.zero_count + wide.negative_buckets[0];
  EXPECT_EQ(ReasonOf(Append(kNowMs, wide)), RefusalReason::kLimit);
}

TEST_F(StoreHistogramTest, ASumOfNanAllowsForObservationsInNoBucket) {
  Open();
  IntegerHistogram h = Exponential(1);
  h.sum = NormalNan();
  h.count += 5;

  EXPECT_EQ(Append(kNowMs, h).histograms_accepted, 1u);
}

}  // namespace
}  // namespace vigie::store
