#include "tests/support/memory_store.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace vigie::testing {
namespace {

using ::testing::ElementsAre;

store::AppendBatch BatchOf(const Labels& labels, std::vector<Sample> samples) {
  store::AppendBatch batch;
  batch.series.push_back({labels, {}});
  for (const Sample& s : samples) batch.floats.push_back({0, s, 0});
  return batch;
}

TEST(MemoryStoreTest, AnswersWhatWasAppended) {
  MemoryStore memory;
  const Labels up{{"__name__", "up"}, {"job", "a"}};
  const auto outcome =
      store::AppendAndWait(memory, BatchOf(up, {{2'000, 2}, {1'000, 1}}));
  ByteAccount account("query", 1 << 20);

  auto found = memory.Select({{}, {1'500, 9'000}, {Matcher::Equal("job", "a")}},
                             {&account, {}});

  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(outcome.floats_accepted, 2u);
  ASSERT_EQ((*found)->size(), 1u);
  EXPECT_EQ((*found)->labels(0), up);
  store::SampleBatch batch;
  auto samples = (*found)->Samples(0);
  EXPECT_TRUE(*samples->Next(&batch));
  EXPECT_THAT(batch.times_ms, ElementsAre(2'000));
  EXPECT_FALSE(*samples->Next(&batch));
  EXPECT_GT(account.bytes(), 0);
  found->reset();
  EXPECT_EQ(account.bytes(), 0);
}

TEST(MemoryStoreTest, RefusesAnotherValueAtTheSameTime) {
  MemoryStore memory;
  const Labels up{{"__name__", "up"}};
  store::AppendAndWait(memory, BatchOf(up, {{1'000, 1}}));

  const auto outcome =
      store::AppendAndWait(memory, BatchOf(up, {{1'000, 1}, {1'000, 2}}));

  EXPECT_EQ(outcome.floats_accepted, 1u);
  ASSERT_EQ(outcome.refusals.size(), 1u);
  EXPECT_EQ(outcome.refusals[0].reason, store::RefusalReason::kDuplicateTime);
}

TEST(MemoryStoreTest, ASourceGivesTheLabelsOfAForgottenReference) {
  struct Source final : store::LabelSource {
    Labels LabelsOf(uint32_t) const override {
      return Labels{{"__name__", "up"}};
    }
  };
  MemoryStore memory;
  store::AppendBatch batch = BatchOf(Labels{{"__name__", "up"}}, {{1'000, 1}});
  const store::SeriesRef ref = store::AppendAndWait(memory, batch).refs[0];
  memory.ForgetReferences();
  batch.series[0] = {{}, ref};
  batch.floats[0].sample.time_ms = 2'000;

  const auto refused = store::AppendAndWait(memory, batch);
  batch.label_source = std::make_shared<Source>();
  const auto taken = store::AppendAndWait(memory, batch);

  ASSERT_EQ(refused.refusals.size(), 1u);
  EXPECT_EQ(refused.refusals[0].reason,
            store::RefusalReason::kUnknownReference);
  EXPECT_EQ(taken.floats_accepted, 1u);
  EXPECT_NE(taken.refs[0], ref);
}

TEST(MemoryStoreTest, AddsDeltasUpOnceAnInterval) {
  MemoryStore memory;
  store::AppendBatch batch;
  batch.series.push_back({Labels{{"__name__", "up"}}, {}});
  batch.deltas = {{0, 0, 1'000, 2},      // up to 1 s
                  {0, 1'000, 2'000, 3},  // and on
                  {0, 1'000, 2'000, 3},  // the same again
                  {0, 500, 900, 7},      // counted long ago
                  {0, 1'500, 3'000, 9},  // half of it is counted
                  {0, 5'000, 6'000, 1},
                  {0, 0, 7'000, 4}};  // of unknown start: goes on

  const auto outcome = store::AppendAndWait(memory, batch);

  EXPECT_EQ(outcome.deltas_accepted, 6u);
  ASSERT_EQ(outcome.refusals.size(), 1u);
  EXPECT_EQ(outcome.refusals[0].reason,
            store::RefusalReason::kOverlappingDelta);
  ByteAccount account("query", 1 << 20);
  auto found = memory.Select({}, {&account, {}});
  store::SampleBatch samples;
  EXPECT_TRUE(*(*found)->Samples(0)->Next(&samples));
  EXPECT_THAT(samples.times_ms, ElementsAre(1'000, 2'000, 6'000, 7'000));
  EXPECT_THAT(samples.values, ElementsAre(2, 5, 6, 10));
}

TEST(MemoryStoreTest, HeldBatchesAreNotVisibleUntilReleased) {
  MemoryStore memory;
  bool done = false;
  memory.Hold();
  memory.Append(BatchOf(Labels{{"__name__", "up"}}, {{1, 1}}),
                [&](store::AppendOutcome) { done = true; });
  ByteAccount account("query", 1 << 20);

  const size_t before = (*memory.Select({}, {&account, {}}))->size();
  EXPECT_FALSE(done);
  memory.Release();

  EXPECT_EQ(before, 0u);
  EXPECT_TRUE(done);
  EXPECT_EQ((*memory.Select({}, {&account, {}}))->size(), 1u);
}

}  // namespace
}  // namespace vigie::testing
