// Lives of a whole store on a disk that loses power, by seed: appends, seals,
// retention and records, then a cut or a kill at a random call on the disk,
// recovery included. Log and RocksDB lie on the same disk, so that the cut
// meets both at one moment.
//
// VIGIE_POWER_SEEDS=10000 runs as many seeds; VIGIE_POWER_FIRST=N starts at N.
#include <gmock/gmock.h>

#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <latch>
#include <random>

#include "base/log.h"
#include "tests/store/promises.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::FaultyDisk;
using ::vigie::testing::IsOk;

constexpr int kLives = 2;
constexpr size_t kRecordKeys = 5;
constexpr int64_t kRetentionMs = 2 * 86'400'000LL;

class Lives {
 public:
  explicit Lives(uint64_t seed)
      : random_(seed), disk_(directory_.data(), seed), maker_(random_, kNowMs) {
    options_.store.seal_interval_ms = 86'400'000;
    options_.store.chunk_samples_max = 16;
    options_.store.retention_ms = kRetentionMs;
    // Then merges write them too.
    if (seed % 2 == 0) {
      options_.store.rollups = {{300'000, 2 * kRetentionMs, {}},
                                {3'600'000, 0, {}}};
    }
    options_.files = &disk_.files();
    options_.blocks_env = disk_.env();
  }

  void Run() {
    for (int life = 0; life < kLives; ++life) {
      SCOPED_TRACE(::testing::Message() << "life " << life);
      PlanTheEnd();
      Live();
      store_.reset();
      disk_.Revive();
      if (::testing::Test::HasFailure()) return;
    }
    ASSERT_NO_FATAL_FAILURE(Open());
    ASSERT_NE(store_, nullptr);
    Check();
    // What was answered by silence is sent again, as a sender would.
    for (const MadeBatch& made : promises_.TakeAbsent()) {
      // Not what is too late by now, nor increments, which others may follow.
      if (made.points.front().time_ms < maker_.now_ms() - 600'000 ||
          !made.batch.deltas.empty()) {
        continue;
      }
      const AppendOutcome outcome =
          AppendAndWait(store_->appender(), made.batch);
      EXPECT_THAT(outcome.status, IsOk());
      EXPECT_THAT(outcome.refusals, ::testing::IsEmpty());
      promises_.Acknowledged(made);
    }
    Check();
    EXPECT_THAT(store_->Seal(), IsOk());
    Check();
    if (!options_.store.rollups.empty()) CheckRollups();
    store_.reset();
  }

  const Promises& promises() const { return promises_; }
  uint64_t cuts() const { return cuts_; }
  uint64_t operations() const { return operations_; }
  uint64_t cuts_while_opening() const { return cuts_while_opening_; }
  uint64_t buckets() const { return buckets_; }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  void PlanTheEnd() {
    // Making a store takes about 130 changes of the disk, opening it again 40,
    // a seal or merge 30, an append 2.
    const uint64_t calls = 1 + Below(Below(4) == 0 ? 130 : 900);
    switch (Below(5)) {
      case 0:
        return;  // an orderly end
      case 1:
        return disk_.KillAfter(calls);
      default:
        return disk_.CutPowerAfter(calls);
    }
  }

  void Open() {
    clock_.SetNowMs(maker_.now_ms());
    auto store =
        LocalStore::Open(directory_.data(), options_, clock_, registry_);
    if (!store.ok()) {
      ASSERT_TRUE(disk_.dead()) << store.status();
      ++cuts_while_opening_;
      return;
    }
    store_ = *std::move(store);
  }

  void Live() {
    Open();
    if (store_ == nullptr) return;
    if (!disk_.dead()) Check();
    for (uint64_t step = 0; step < 30 && !disk_.dead(); ++step) {
      if (::testing::Test::HasFailure()) return;
      Step();
    }
    cuts_ += disk_.dead();
  }

  void Step() {
    switch (Below(16)) {
      case 0:
      case 1:
        return AnswerOf(store_->Seal());
      case 6:
        ++operations_;
        return AnswerOf(store_->ApplyRetention());
      case 7:
        ++operations_;
        return AnswerOf(store_->Compact({}));
      case 8:
        return AppendDoomed();
      case 9:
        return DeleteDoomed();
      case 2:
        maker_.Forward(static_cast<int64_t>(Below(9)) * 3'600'000);
        clock_.SetNowMs(maker_.now_ms());
        return;
      case 3:
      case 4:
      case 5:
        return WriteRecords();
      default:
        return Append(1 + Below(3));
    }
  }

  void AnswerOf(const absl::Status& status) {
    EXPECT_TRUE(status.ok() || disk_.dead()) << status;
  }

  // A series of its own, which is deleted again and again.
  void AppendDoomed() {
    maker_.Forward(1);
    clock_.SetNowMs(maker_.now_ms());
    const int64_t time_ms = maker_.now_ms();
    const AppendOutcome outcome = AppendAndWait(
        store_->appender(), FloatsOf(SeriesNamed("doomed"), {{time_ms, 1}}));
    AnswerOf(outcome.status);
    doomed_[time_ms] = outcome.status.ok() ? Fate::kThere : Fate::kEither;
  }
  void DeleteDoomed() {
    ++operations_;
    DeleteRequest request;
    request.selectors = {{Matcher::Equal("__name__", "doomed")}};
    const absl::Status status = store_->DeleteSeries(request, {}).status();
    AnswerOf(status);
    for (auto& [time_ms, fate] : doomed_) {
      if (status.ok()) {
        fate = Fate::kGone;
      } else if (fate == Fate::kThere) {
        fate = Fate::kEither;
      }
    }
  }
  void CheckDoomed() {
    const Stored stored = StoredIn(store_->queryable(), {},
                                   {Matcher::Equal("__name__", "doomed")});
    const auto series = stored.find(SeriesNamed("doomed"));
    for (auto& [time_ms, fate] : doomed_) {
      const bool there =
          series != stored.end() && series->second.contains(time_ms);
      if (there) {
        EXPECT_NE(fate, Fate::kGone) << time_ms << " is back";
      } else if (time_ms >= maker_.now_ms() - kRetentionMs) {
        EXPECT_NE(fate, Fate::kThere) << time_ms << " is lost";
      }
      // What a start has found is settled.
      if (fate == Fate::kEither) fate = there ? Fate::kThere : Fate::kGone;
    }
  }

  // Newest values by way of buckets, where the day is merged, and by samples.
  void CheckRollups() {
    EXPECT_THAT(store_->Compact({}), IsOk());
    Check();
    const auto outcome = store_->Verify(
        {}, [](const std::string& damage) { ADD_FAILURE() << damage; });
    EXPECT_THAT(outcome.status(), IsOk());
    const auto report = store_->Inspect();
    ASSERT_THAT(report.status(), IsOk());
    for (const RollupReport& rollup : report->rollups) {
      buckets_ += rollup.buckets;
    }
    constexpr int64_t kHourMs = 3'600'000;
    const int64_t last_ms = maker_.now_ms() / kHourMs * kHourMs;
    const int64_t first_ms = last_ms - kRetentionMs + 24 * kHourMs;
    const SelectRequest whole{
        {}, {.min_ms = first_ms - kHourMs + 1, .max_ms = last_ms}, {}};
    SelectRequest hinted = whole;
    hinted.hint = WindowHint{"max_over_time", first_ms, kHourMs, kHourMs};
    EXPECT_EQ(MaximaOf(hinted), MaximaOf(whole));
  }
  // Of floats, by series and hour.
  std::map<std::pair<Labels, int64_t>, uint64_t> MaximaOf(
      const SelectRequest& request) {
    std::map<std::pair<Labels, int64_t>, double> maxima;
    ByteAccount account("query", int64_t{1} << 32);
    const auto snapshot = store_->queryable().Select(request, {&account, {}});
    EXPECT_THAT(snapshot.status(), IsOk());
    if (!snapshot.ok()) return {};
    for (size_t i = 0; i < (*snapshot)->size(); ++i) {
      const auto samples = (*snapshot)->Samples(i);
      SampleBatch batch;
      while (true) {
        const auto more = samples->Next(&batch);
        EXPECT_THAT(more.status(), IsOk());
        if (!more.ok() || !*more) break;
        for (size_t k = 0; k < batch.values.size(); ++k) {
          const double value = batch.values[k];
          if (std::isnan(value)) continue;
          const auto [it, is_new] = maxima.emplace(
              std::pair((*snapshot)->labels(i),
                        (batch.times_ms[k] + 3'599'999) / 3'600'000),
              value);
          if (!is_new) it->second = std::max(it->second, value);
        }
      }
      EXPECT_THAT(samples->warnings(), ::testing::IsEmpty());
    }
    std::map<std::pair<Labels, int64_t>, uint64_t> bits;
    // 0 and -0 are as large.
    for (const auto& [at, value] : maxima) bits[at] = BitsOf(value + 0.0);
    return bits;
  }

  void WriteRecords() {
    const uint64_t number = ++records_;
    const absl::Status status =
        store_->records().Write(RecordPromises::Batch(number, kRecordKeys));
    if (status.ok()) {
      record_promises_.Acknowledged(number);
    } else {
      EXPECT_TRUE(disk_.dead()) << status;
      record_promises_.Unanswered(number);
    }
  }

  void Append(size_t batches) {
    std::vector<MadeBatch> made;
    std::vector<AppendOutcome> outcomes(batches);
    for (size_t i = 0; i < batches; ++i) made.push_back(maker_.Make());
    clock_.SetNowMs(maker_.now_ms());
    std::latch answered(static_cast<std::ptrdiff_t>(batches));
    for (size_t i = 0; i < batches; ++i) {
      store_->appender().Append(made[i].batch, [&, i](AppendOutcome outcome) {
        outcomes[i] = std::move(outcome);
        answered.count_down();
      });
    }
    answered.wait();
    for (size_t i = 0; i < batches; ++i) {
      EXPECT_THAT(outcomes[i].refusals, ::testing::IsEmpty())
          << outcomes[i].refusals.front().example;
      if (outcomes[i].status.ok()) {
        promises_.Acknowledged(made[i]);
      } else {
        EXPECT_TRUE(disk_.dead()) << outcomes[i].status;
        promises_.Unanswered(std::move(made[i]));
      }
    }
  }

  void Check() {
    const auto others =
        Matcher::Create(Matcher::Type::kNotEqual, "__name__", "doomed");
    ASSERT_THAT(others, IsOk());
    promises_.Check(StoredIn(store_->queryable(), {}, {*others}),
                    maker_.now_ms() - kRetentionMs);
    CheckDoomed();
    record_promises_.Check(store_->records(), kRecordKeys);
  }

  std::mt19937_64 random_;
  TempDirectory directory_{TempDirectory::InMemory()};
  FaultyDisk disk_;
  ::vigie::testing::SimulatedClock clock_{kNowMs};
  prometheus::Registry registry_;
  LocalStoreOptions options_;
  BatchMaker maker_;
  Promises promises_;
  RecordPromises record_promises_;
  uint64_t records_ = 0;
  enum class Fate { kThere, kGone, kEither };
  std::map<int64_t, Fate> doomed_;  // by time
  uint64_t operations_ = 0;
  uint64_t buckets_ = 0;  // of rollups, at the end
  uint64_t cuts_ = 0;
  uint64_t cuts_while_opening_ = 0;
  std::unique_ptr<LocalStore> store_;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(StorePowerTest, EveryPromiseIsKeptOverPowerCutsAndKills) {
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);
  const uint64_t first = FromEnvironment("VIGIE_POWER_FIRST", 1);
  const uint64_t seeds = FromEnvironment("VIGIE_POWER_SEEDS", 300);
  uint64_t acknowledged = 0, applied = 0, unapplied = 0;
  uint64_t cuts = 0, while_opening = 0, operations = 0, buckets = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Lives lives(seed);
    lives.Run();
    if (HasFailure()) break;
    acknowledged += lives.promises().acknowledged();
    applied += lives.promises().applied();
    unapplied += lives.promises().unapplied();
    cuts += lives.cuts();
    operations += lives.operations();
    buckets += lives.buckets();
    while_opening += lives.cuts_while_opening();
  }
  spdlog::set_level(level);
  if (HasFailure()) return;
  std::printf(
      "%llu seeds: %llu batches acknowledged, %llu unanswered and applied, "
      "%llu not; %llu merges, deletions and sweeps; %llu buckets; %llu ends "
      "while running, %llu while opening\n",
      static_cast<unsigned long long>(seeds),
      static_cast<unsigned long long>(acknowledged),
      static_cast<unsigned long long>(applied),
      static_cast<unsigned long long>(unapplied),
      static_cast<unsigned long long>(operations),
      static_cast<unsigned long long>(buckets),
      static_cast<unsigned long long>(cuts),
      static_cast<unsigned long long>(while_opening));
  // The dice must have shown all of it, or this test shows nothing. Threads
  // make the counts differ by a tenth between runs: the bounds leave twice
  // that.
  EXPECT_GT(acknowledged, 20 * seeds);
  EXPECT_GT(operations, 3 * seeds);
  EXPECT_GT(buckets, seeds);
  EXPECT_GT(applied, 0u);
  EXPECT_GT(unapplied, seeds / 20);
  EXPECT_GT(cuts, seeds / 2);
  EXPECT_GT(while_opening, seeds / 10);
}

}  // namespace
}  // namespace vigie::store
