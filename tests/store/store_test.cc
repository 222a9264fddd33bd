#include <gmock/gmock.h>

#include <fstream>

#include "store/local_store.h"
#include "tests/store/store_fixture.h"
#include "tests/support/faulty_file_layer.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

const Labels kUp = SeriesNamed("up");

TEST_F(StoreTest, AnAcknowledgedSampleIsVisibleAtOnceAndAfterReopening) {
  Open();
  const AppendOutcome outcome = Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.floats_accepted, 1u);
  const Contents before = Query();
  EXPECT_THAT(before.at(kUp), ElementsAre(Pair(kNowMs, BitsOf(1))));

  Open();

  EXPECT_EQ(Query(), before);
}

TEST_F(StoreTest, EveryBitComesBackFromLogAndBlock) {
  Open();
  const std::vector<Sample> samples = {{kNowMs - 4, StaleMarker()},
                                       {kNowMs - 3, NormalNan()},
                                       {kNowMs - 2, -0.0},
                                       {kNowMs - 1, 0.0},
                                       {kNowMs, 0.1}};
  Append(kUp, samples);
  Open();
  const Contents replayed = Query();

  ASSERT_THAT(store_->Seal(), IsOk());

  EXPECT_EQ(Query(), replayed);
  for (const Sample& sample : samples) {
    EXPECT_EQ(replayed.at(kUp).at(sample.time_ms), BitsOf(sample.value));
  }
}

TEST_F(StoreTest, TakesTimesAroundAndBeforeTheEpochWithoutRetention) {
  options_.store.retention_ms = 0;
  Open();

  const AppendOutcome outcome =
      Append(kUp, {{-86'400'000'000, 1}, {-1, 2}, {0, 3}, {60'000, 4}});
  ASSERT_THAT(store_->Seal(), IsOk());
  Open();

  EXPECT_EQ(outcome.floats_accepted, 4u);
  EXPECT_EQ(Query().at(kUp).size(), 4u);
  EXPECT_EQ(Query({-1, 0}).at(kUp).size(), 2u);
}

TEST_F(StoreTest, RefusesOneSampleMoreThanTenMinutesAheadOfTheClock) {
  Open();

  const AppendOutcome outcome =
      Append(kUp, {{kNowMs + 600'000, 1}, {kNowMs + 600'001, 2}});

  EXPECT_EQ(outcome.floats_accepted, 1u);
  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kTooFarInFuture);
  EXPECT_THAT(outcome.refusals[0].example, HasSubstr("up{job=\"a\"}: time"));
  EXPECT_EQ(MetricOf("vigie_store_samples_refused_total", "too_far_in_future"),
            1);
}

TEST_F(StoreTest, RefusesWhatIsOlderThanRetention) {
  options_.store.retention_ms = 3'600'000;
  Open();

  const AppendOutcome outcome = Append(kUp, {{kNowMs - 3'600'001, 1}});

  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kOutOfRetention);
  EXPECT_EQ(outcome.refs[0].id, 0u) << "no sample, no series";
}

TEST_F(StoreTest, TakesOutOfOrderSamplesWithinTheWindowAndRefusesOlderOnes) {
  Open();
  Append(kUp, {{kNowMs, 1}});

  const AppendOutcome outcome =
      Append(kUp, {{kNowMs - 1'800'000, 2}, {kNowMs - 1'800'001, 3}});

  EXPECT_EQ(outcome.floats_accepted, 1u);
  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kTooOld);
  EXPECT_EQ(Query().at(kUp).size(), 2u);
}

TEST_F(StoreTest, TheWindowIsPerSeriesSoANewOneMayStartAnywhere) {
  Open();
  Append(kUp, {{kNowMs, 1}});

  const AppendOutcome outcome =
      Append(SeriesNamed("other"), {{kNowMs - 86'400'000, 1}});

  EXPECT_EQ(outcome.floats_accepted, 1u);
}

TEST_F(StoreTest, TheOutOfOrderWindowIsTheSameAfterASealAndARestart) {
  Open();
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  Open();

  EXPECT_EQ(ReasonOf(Append(kUp, {{kNowMs - 1'800'001, 3}})),
            RefusalReason::kTooOld);
}

TEST_F(StoreTest, TheSameSampleAgainIsAcceptedAndStoredOnce) {
  Open();
  Append(kUp, {{kNowMs, NormalNan()}});

  const AppendOutcome outcome =
      Append(kUp, {{kNowMs, NormalNan()}, {kNowMs, NormalNan()}});

  EXPECT_EQ(outcome.floats_accepted, 2u);
  EXPECT_THAT(outcome.refusals, ::testing::IsEmpty());
  EXPECT_EQ(MetricOf("vigie_store_head_samples"), 1);
}

TEST_F(StoreTest, AnotherValueAtTheSameTimeIsRefused) {
  Open();
  Append(kUp, {{kNowMs, 0.0}});

  const AppendOutcome outcome =
      Append(kUp, {{kNowMs, -0.0}, {kNowMs - 1, 7}, {kNowMs - 1, 8}});

  EXPECT_EQ(outcome.floats_accepted, 1u);
  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kDuplicateTime);
  EXPECT_EQ(outcome.refusals[0].count, 2u);
  EXPECT_EQ(Query().at(kUp).at(kNowMs), BitsOf(0.0));
  EXPECT_EQ(Query().at(kUp).at(kNowMs - 1), BitsOf(7));
}

TEST_F(StoreTest, BelowTheHeadTheFirstValueWinsAndTheOtherIsCounted) {
  Open();
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());

  EXPECT_EQ(Append(kUp, {{kNowMs, 2}}).floats_accepted, 1u);

  EXPECT_EQ(Query().at(kUp).at(kNowMs), BitsOf(1));
  EXPECT_EQ(MetricOf("vigie_store_read_conflicts_total"), 1);
  ASSERT_THAT(store_->Seal(), IsOk());
  EXPECT_EQ(Query().at(kUp).at(kNowMs), BitsOf(1));
}

TEST_F(StoreTest, HostileLabelsAreRefusedAndTheRestOfTheBatchIsTaken) {
  Open();
  AppendBatch batch;
  batch.series = {{Labels{}, {}},
                  {Labels{{"job", "a"}}, {}},
                  {Labels{{"__name__", "up"}, {"a\xc3", "x"}}, {}},
                  {Labels{{"__name__", "up"}, {"", "x"}}, {}},
                  {kUp, {}}};
  for (uint32_t i = 0; i < 5; ++i) {
    batch.floats.push_back({i, {kNowMs, 1}, 0});
  }

  const AppendOutcome outcome = Append(std::move(batch));

  EXPECT_EQ(outcome.floats_accepted, 1u);
  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kInvalidLabels);
  EXPECT_EQ(outcome.refusals[0].count, 4u);
  EXPECT_EQ(Query().size(), 1u);
}

TEST_F(StoreTest, AReferenceNamesASeriesOfItsTenantOnlyAndOutlivesARestart) {
  Open();
  const SeriesRef ref = Append(kUp, {{kNowMs - 2, 1}}).refs[0];
  Open();
  AppendBatch known;
  known.series = {{{}, ref}};
  known.floats = {{0, {kNowMs - 1, 2}, 0}};
  AppendBatch stranger = known;
  stranger.tenant.name = "other";
  AppendBatch unknown = known;
  unknown.series[0].ref.id = 4711;

  EXPECT_EQ(Append(known).floats_accepted, 1u);
  EXPECT_EQ(ReasonOf(Append(stranger)), RefusalReason::kUnknownReference);
  EXPECT_EQ(ReasonOf(Append(unknown)), RefusalReason::kUnknownReference);
  EXPECT_EQ(Query().at(kUp).size(), 2u);
}

// Every series it is asked for is this one.
class OneSeries final : public LabelSource {
 public:
  explicit OneSeries(const Labels& labels) : labels_(labels) {}
  Labels LabelsOf(uint32_t) const override { return labels_; }

 private:
  const Labels labels_;
};

TEST_F(StoreTest, ASourceGivesTheLabelsOfAReferenceThatMeansNothing) {
  Open();
  const SeriesRef ref = Append(kUp, {{kNowMs - 2, 1}}).refs[0];
  AppendBatch batch;
  batch.label_source = std::make_shared<OneSeries>(kUp);
  batch.series = {{{}, {ref.id + 4711}}};
  batch.floats = {{0, {kNowMs - 1, 2}, 0}};
  AppendBatch stranger = batch;
  stranger.series[0].ref = ref;
  stranger.tenant.name = "other";

  const AppendOutcome known = Append(batch);
  const AppendOutcome added = Append(stranger);

  EXPECT_EQ(known.refs[0], ref);
  EXPECT_EQ(Query().at(kUp).size(), 2u);
  EXPECT_EQ(added.floats_accepted, 1u);
  EXPECT_NE(added.refs[0], ref);
}

TEST_F(StoreTest, LabelsFromASourceAreJudgedAsThoseOfABatch) {
  Open();
  AppendBatch batch;
  batch.label_source = std::make_shared<OneSeries>(Labels{{"job", "x"}});
  batch.series = {{{}, {4711}}};
  batch.floats = {{0, {kNowMs - 1, 2}, 0}};

  EXPECT_EQ(ReasonOf(Append(batch)), RefusalReason::kInvalidLabels);
  EXPECT_TRUE(Query().empty());
}

TEST_F(StoreTest, ATenantSeesItsOwnSamplesOnly) {
  Open();
  AppendBatch batch = FloatsOf(kUp, {{kNowMs, 1}});
  batch.tenant.name = "acme";
  Append(std::move(batch));
  Append(kUp, {{kNowMs, 2}});
  ASSERT_THAT(store_->Seal(), IsOk());

  const Contents acme = ContentsOf(store_->queryable(), {}, {}, Tenant{"acme"});

  EXPECT_EQ(acme.at(kUp).at(kNowMs), BitsOf(1));
  EXPECT_EQ(Query().at(kUp).at(kNowMs), BitsOf(2));
  AppendBatch nameless = FloatsOf(kUp, {{kNowMs, 1}});
  nameless.tenant.name = "";
  EXPECT_THAT(Append(std::move(nameless)).status,
              HasCode(absl::StatusCode::kInvalidArgument));
}

TEST_F(StoreTest, StartTimesAreKeptThroughLogAndBlock) {
  Open();
  AppendBatch batch = FloatsOf(kUp, {{kNowMs - 1, 1}, {kNowMs, 2}});
  batch.floats[1].start_ms = 1234;
  Append(std::move(batch));
  for (int round = 0; round < 2; ++round) {
    ByteAccount account("query", 1 << 20);
    auto snapshot = store_->queryable().Select({}, {&account, {}});
    SampleBatch out;
    ASSERT_THAT((*snapshot)->Samples(0)->Next(&out), IsOk());
    EXPECT_THAT(out.starts_ms, ElementsAre(0, 1234)) << round;
    ASSERT_THAT(store_->Seal(), IsOk());
  }
}

TEST_F(StoreTest, ExemplarsAndMetadataSurviveReplayAndSeal) {
  Open();
  const Exemplar exemplar{Labels{{"trace_id", "4f"}}, 2.5, kNowMs};
  const Metadata metadata{MetricType::kCounter, "Requests.", "1"};
  AppendBatch batch = FloatsOf(kUp, {{kNowMs, 1}});
  batch.exemplars.push_back({0, exemplar});
  batch.metadata.push_back({"up", metadata});
  const AppendOutcome outcome = Append(batch);
  Append(batch);  // the same again changes nothing
  EXPECT_EQ(outcome.exemplars_accepted, 1u);
  EXPECT_EQ(outcome.metadata_accepted, 1u);
  ByteAccount account("query", 1 << 20);

  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    const auto exemplars =
        store_->queryable().Exemplars({}, {}, {}, {&account, {}});
    const auto listed =
        store_->queryable().ListMetadata({}, "up", {&account, {}});
    ASSERT_THAT(exemplars, IsOk());
    ASSERT_EQ(exemplars->size(), 1u);
    EXPECT_EQ((*exemplars)[0].series, kUp);
    EXPECT_THAT((*exemplars)[0].exemplars, ElementsAre(exemplar));
    ASSERT_THAT(listed, IsOk());
    ASSERT_EQ(listed->size(), 1u);
    EXPECT_EQ((*listed)[0].metadata, metadata);
    if (round == 1) {
      ASSERT_THAT(store_->Seal(), IsOk());
    }
    Open();
  }
}

TEST_F(StoreTest, KeepsTheNewestExemplarsOfASeriesAndRefusesLongLabels) {
  Open();
  AppendBatch batch;
  batch.series = {{kUp, {}}};
  for (size_t i = 0; i < kExemplarsMax + 5; ++i) {
    batch.exemplars.push_back(
        {0, {Labels{{"id", std::to_string(i)}}, 1, kNowMs}});
  }
  batch.exemplars.push_back(
      {0, {Labels{{"id", std::string(200, 'x')}}, 1, kNowMs}});
  ByteAccount account("query", 1 << 20);

  const AppendOutcome outcome = Append(std::move(batch));
  const auto found = store_->queryable().Exemplars({}, {}, {}, {&account, {}});

  EXPECT_EQ(ReasonOf(outcome), RefusalReason::kLimit);
  EXPECT_EQ((*found)[0].exemplars.size(), kExemplarsMax);
  EXPECT_EQ((*found)[0].exemplars[0].labels.Get("id"), "5");
}

TEST_F(StoreTest, ASecondProcessIsRefusedByName) {
  Open();

  const auto second =
      Store::Open(directory_.data(), options_.store, clock_, registry_);

  EXPECT_THAT(second.status(), HasError(absl::StatusCode::kUnavailable,
                                        HasSubstr("in use by process " +
                                                  std::to_string(::getpid()))));
}

TEST_F(StoreTest, AnotherVersionAndAStrangersDirectoryAreRefusedByName) {
  Open();
  store_.reset();
  std::ofstream(directory_.data() + "/FORMAT")
      << "vigie data directory, version 9\n";
  std::ofstream(directory_.path() + "/letter.txt") << "hello";

  EXPECT_THAT(Store::Open(directory_.data(), {}, clock_, registry_).status(),
              HasError(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("version 9\"; this program knows version 1")));
  EXPECT_THAT(Store::Open(directory_.path(), {}, clock_, registry_).status(),
              HasCode(absl::StatusCode::kFailedPrecondition));
}

TEST_F(StoreTest, AMissingLogIsNamedRatherThanStartedAnew) {
  Open();
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  store_.reset();
  std::filesystem::remove_all(directory_.data() + "/log");

  EXPECT_THAT(Store::Open(directory_.data(), {}, clock_, registry_).status(),
              HasError(absl::StatusCode::kDataLoss,
                       HasSubstr("/log: missing, although the blocks follow")));
}

TEST_F(StoreTest, AfterCloseBatchesAreRefusedAndQueriesGoOn) {
  Open();
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Close(), IsOk());

  EXPECT_THAT(Append(kUp, {{kNowMs + 1, 1}}).status,
              HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Query().size(), 1u);
}

TEST_F(StoreTest, ABatchBeyondTheBytesInFlightIsRefusedAndNothingOfItStored) {
  options_.store.inflight_bytes_max = 4096;
  Open();
  std::vector<Sample> many;
  for (int i = 0; i < 1000; ++i) many.push_back({kNowMs + i, 1});

  EXPECT_THAT(Append(kUp, many).status, HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(Query().size(), 0u);
  EXPECT_THAT(Append(kUp, {{kNowMs, 1}}).status, IsOk());
}

TEST_F(StoreTest, AFullDiskIsNamedQueriesGoOnAndItRecoversAlone) {
  testing::FaultyFileLayer disk(1);
  options_.files = &disk;
  options_.log_room_bytes_max = 0;
  Open();
  Append(kUp, {{kNowMs, 1}});
  const Labels fresh = SeriesNamed("fresh");

  disk.SetFull(true);
  const AppendOutcome refused = Append(fresh, {{kNowMs, 1}});
  const Contents meanwhile = Query();
  disk.SetFull(false);
  const AppendOutcome taken = Append(fresh, {{kNowMs, 2}});

  EXPECT_THAT(refused.status, HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(refused.floats_accepted, 0u);
  EXPECT_EQ(meanwhile.size(), 1u);
  EXPECT_EQ(taken.floats_accepted, 1u) << "nothing of the refused one counts";
  Open();
  EXPECT_EQ(Query().at(fresh).at(kNowMs), BitsOf(2));
}

TEST_F(StoreTest, AFailedSealLosesNothingAndTheNextOneSucceeds) {
  Open();
  Append(kUp, {{kNowMs - 1, 1}});
  const std::string staging = directory_.data() + "/staging";
  std::filesystem::remove_all(staging);
  std::ofstream(staging) << "in the way";

  const absl::Status failed = store_->Seal();
  Append(kUp, {{kNowMs, 2}});
  const Contents after_failure = Query();
  std::filesystem::remove(staging);
  std::filesystem::create_directories(staging);
  ASSERT_THAT(store_->Seal(), IsOk());

  EXPECT_THAT(failed, HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(after_failure.at(kUp).size(), 2u);
  EXPECT_EQ(Query(), after_failure);
  EXPECT_EQ(MetricOf("vigie_store_seal_failures_total"), 1);
  EXPECT_EQ(MetricOf("vigie_store_head_samples"), 0);
  Open();
  EXPECT_EQ(Query(), after_failure);
}

TEST_F(StoreTest, SealsByItselfOnceTheIntervalHasPassed) {
  options_.store.seal_interval_ms = 60'000;
  options_.after_step = [this](SealStep step) {
    if (step != SealStep::kTrimmed) return;
    std::lock_guard lock(mutex_);
    sealed_ = true;
    changed_.notify_all();
  };
  Open();
  Append(kUp, {{kNowMs, 1}});
  clock_.AwaitSleepers(2);  // maintenance and merges

  clock_.AdvanceMs(61'000);

  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60),
                                [this] { return sealed_; }));
}

// Each series costs a seal the same, however few samples it has for it.
TEST(HeadSamplesMaxTest, ManySeriesMayWaitForAsManySamplesEach) {
  EXPECT_EQ(HeadSamplesMax(0), 16u << 20);
  EXPECT_EQ(HeadSamplesMax(100'000), 16u << 20);
  EXPECT_EQ(HeadSamplesMax(1'000'000), 32'000'000u);
  EXPECT_EQ(HeadSamplesMax(5'000'000), 160'000'000u);
}

TEST_F(StoreTest, RetentionDropsWholeWindowsThenTheNamesThatWereOnlyThere) {
  options_.store.retention_ms = 2 * kWindowMs;
  Open();
  const Labels gone = SeriesNamed("gone");
  Append(gone, {{kNowMs, 1}});
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  clock_.AdvanceMs(2 * kWindowMs);
  Append(kUp, {{clock_.NowMs(), 2}});
  ASSERT_THAT(store_->Seal(), IsOk());
  EXPECT_EQ(Query().size(), 2u) << "the window is not wholly older yet";

  clock_.AdvanceMs(kWindowMs);
  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  const Contents kept = Query();
  EXPECT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept.at(kUp).size(), 1u);
  EXPECT_EQ(MetricOf("vigie_store_head_series"), 1);
  Open();
  EXPECT_EQ(Query(), kept);
  EXPECT_EQ(MetricOf("vigie_store_head_series"), 1);
  EXPECT_EQ(Append(gone, {{clock_.NowMs(), 5}}).floats_accepted, 1u)
      << "the series may come back";
}

TEST_F(StoreTest, ASnapshotStillReadsWhatRetentionDropsMeanwhile) {
  options_.store.retention_ms = kWindowMs;
  Open();
  Append(kUp, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  ByteAccount account("query", 1 << 20);
  auto snapshot = store_->queryable().Select({}, {&account, {}});

  clock_.AdvanceMs(3 * kWindowMs);
  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  EXPECT_EQ(Query().size(), 0u);
  ASSERT_EQ((*snapshot)->size(), 1u);
  SampleBatch batch;
  EXPECT_TRUE(*(*snapshot)->Samples(0)->Next(&batch));
  EXPECT_THAT(batch.times_ms, ElementsAre(kNowMs));
}

}  // namespace
}  // namespace vigie::store
