// A real process is killed at each step of a seal and between appends; what it
// acknowledged is found again, once, and nothing else.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

// The process that is killed is this binary again ("threadsafe" death tests): a
// mere fork would lack the threads that RocksDB believes to have. It finds the
// directory in the environment, and tells of acknowledgements in a file.
class StoreCrashTest : public StoreTest {
 protected:
  static constexpr const char* kDirectoryVariable =
      "VIGIE_CRASH_TEST_DIRECTORY";

  StoreCrashTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (const char* inherited = std::getenv(kDirectoryVariable)) {
      data_ = inherited;
    } else {
      data_ = directory_.data();
      ::setenv(kDirectoryVariable, data_.c_str(), 1);
      owns_variable_ = true;
    }
  }
  ~StoreCrashTest() override {
    if (owns_variable_) ::unsetenv(kDirectoryVariable);
  }

  std::unique_ptr<LocalStore> OpenOrExit() {
    auto store = LocalStore::Open(data_, options_, clock_, registry_);
    if (!store.ok()) ::_exit(6);
    return *std::move(store);
  }

  // How many batches were acknowledged, in all processes of this test.
  size_t Acknowledged() const {
    std::error_code none;
    const auto bytes = std::filesystem::file_size(data_ + ".acks", none);
    return none ? 0 : bytes;
  }

  static void DieHere() { ::kill(::getpid(), SIGKILL); }

  // The n-th batch: two series, one of them new every fourth time.
  static AppendBatch Batch(size_t n) {
    const auto time_ms = kNowMs - 3'600'000 + static_cast<int64_t>(n) * 1000;
    AppendBatch batch =
        FloatsOf(SeriesNamed("steady"), {{time_ms, static_cast<double>(n)}});
    batch.series.push_back({SeriesNamed("s" + std::to_string(n / 4)), {}});
    batch.floats.push_back({1, {time_ms, -static_cast<double>(n)}, 0});
    batch.series.push_back({SeriesNamed("sum"), {}});
    batch.deltas.push_back(
        {2, time_ms - 1000, time_ms, static_cast<double>(n + 1)});
    return batch;
  }
  static Contents Expected(size_t batches) {
    Contents contents;
    double total = 0;
    for (size_t n = 0; n < batches; ++n) {
      const AppendBatch batch = Batch(n);
      for (const FloatPoint& point : batch.floats) {
        contents[batch.series[point.series].labels][point.sample.time_ms] =
            BitsOf(point.sample.value);
      }
      // Each increment once, however often it was sent.
      total += batch.deltas[0].increment;
      contents[SeriesNamed("sum")][batch.deltas[0].end_ms] = BitsOf(total);
    }
    return contents;
  }
  // In the process to be killed: a failure ends it otherwise, which is seen.
  void AppendAndTell(LocalStore& store, size_t n) {
    const AppendOutcome outcome = AppendAndWait(store.appender(), Batch(n));
    if (!outcome.status.ok() || outcome.floats_accepted != 2 ||
        outcome.deltas_accepted != 1) {
      ::_exit(4);
    }
    std::ofstream acks(data_ + ".acks", std::ios::app);
    if (!(acks << "a" << std::flush)) ::_exit(5);
  }

  static void SendAgain(LocalStore& store, size_t n) {
    const AppendOutcome outcome = AppendAndWait(store.appender(), Batch(n));
    if (!outcome.status.ok() || !outcome.refusals.empty()) ::_exit(8);
  }

  void ExpectFoundOnce(size_t batches) {
    Open();
    const Contents found = Query();
    EXPECT_EQ(found, Expected(batches));
    // Sealed again, nothing doubles and nothing goes.
    EXPECT_TRUE(store_->Seal().ok());
    EXPECT_EQ(Query(), found);
    EXPECT_EQ(MetricOf("vigie_store_read_conflicts_total"), 0);
    store_.reset();
  }

  std::string data_;
  bool owns_variable_ = false;
};

class StoreSealCrashTest : public StoreCrashTest,
                           public ::testing::WithParamInterface<SealStep> {};

TEST_P(StoreSealCrashTest, KilledThereLosesAndDoublesNothing) {
  int seals = 0;
  options_.after_step = [&](SealStep step) {
    // The second seal: there is a watermark and blocks to follow.
    if (step == GetParam() && ++seals == 2) DieHere();
  };

  EXPECT_EXIT(
      {
        auto store = OpenOrExit();
        for (size_t n = 0; n < 30; ++n) AppendAndTell(*store, n);
        if (!store->Seal().ok()) ::_exit(7);
        for (size_t n = 30; n < 60; ++n) AppendAndTell(*store, n);
        (void)store->Seal();
      },
      ::testing::KilledBySignal(SIGKILL), "");
  options_.after_step = nullptr;

  EXPECT_EQ(Acknowledged(), 60u);
  ExpectFoundOnce(60);
}

INSTANTIATE_TEST_SUITE_P(Steps, StoreSealCrashTest,
                         ::testing::Values(SealStep::kCaptured,
                                           SealStep::kWritten,
                                           SealStep::kPublished,
                                           SealStep::kTrimmed));

TEST_F(StoreCrashTest, KilledWhileAppendingAfterManyRestartsKeepsEveryAck) {
  std::mt19937_64 random(17);
  size_t total = 0;
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    const size_t batches = 1 + random() % 20;
    const bool seal = random() % 2 == 0;
    EXPECT_EXIT(
        {
          auto store = OpenOrExit();
          // As one who has not heard of the answer.
          if (total > 0) SendAgain(*store, total - 1);
          for (size_t n = 0; n < batches; ++n) {
            AppendAndTell(*store, total + n);
            if (seal && n == batches / 2 && !store->Seal().ok()) ::_exit(7);
          }
          DieHere();
        },
        ::testing::KilledBySignal(SIGKILL), "");
    total += batches;
  }

  EXPECT_EQ(Acknowledged(), total);
  ExpectFoundOnce(total);
}

TEST_F(StoreCrashTest, KilledBeforeTheFirstBatchLeavesADirectoryThatOpens) {
  EXPECT_EXIT(
      {
        auto store = OpenOrExit();
        DieHere();
      },
      ::testing::KilledBySignal(SIGKILL), "");

  ExpectFoundOnce(0);
}

}  // namespace
}  // namespace vigie::store
