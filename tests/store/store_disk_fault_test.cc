// A disk that is full, read-only, failing or out of descriptors: samples and
// seals that it does not take are refused with the cause, queries go on, and
// once the cause is gone the store takes everything again without a restart.
// What was refused never comes back.
// Not shown, as it does not hold: after an EIO on its own write-ahead log or
// manifest RocksDB takes no records and no seals until the store is opened
// again.
#include <gmock/gmock.h>

#include <cerrno>
#include <functional>
#include <random>

#include "base/log.h"
#include "tests/store/promises.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::FaultyDisk;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;
using Op = FaultyDisk::Op;

struct Trouble {
  const char* name;
  const char* cause;
  std::function<void(FaultyDisk&)> begin;
  bool refuses_appends;  // out of descriptors, an open log goes on
};

void PrintTo(const Trouble& trouble, std::ostream* out) {
  *out << trouble.name;
}

class StoreDiskFaultTest : public StoreTest,
                           public ::testing::WithParamInterface<Trouble> {
 protected:
  StoreDiskFaultTest() : StoreTest(TempDirectory::InMemory()) {
    spdlog::set_level(spdlog::level::off);
    options_.files = &disk_.files();
    options_.blocks_env = disk_.env();
    options_.store.chunk_samples_max = 16;
  }
  ~StoreDiskFaultTest() override {
    store_.reset();
    spdlog::set_level(spdlog::level::info);
  }

  // Appends a batch and remembers what was said of it.
  absl::Status AppendOne() {
    MadeBatch made = maker_.Make();
    clock_.SetNowMs(maker_.now_ms());
    const AppendOutcome outcome = Append(made.batch);
    EXPECT_THAT(outcome.refusals, ::testing::IsEmpty());
    if (outcome.status.ok()) {
      promises_.Acknowledged(made);
    } else {
      promises_.Refused(made);
      EXPECT_THAT(outcome.status, HasCode(absl::StatusCode::kUnavailable));
      EXPECT_THAT(std::string(outcome.status.message()),
                  HasSubstr(GetParam().cause));
    }
    return outcome.status;
  }
  absl::Status WriteRecord() {
    const uint64_t number = ++records_;
    const absl::Status status =
        store_->records().Write(RecordPromises::Batch(number, 3));
    if (status.ok()) record_promises_.Acknowledged(number);
    return status;
  }
  void ExpectCause(const absl::Status& status, std::string_view what) {
    SCOPED_TRACE(what);
    EXPECT_THAT(status, HasCode(absl::StatusCode::kUnavailable));
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().cause));
  }
  void Check() {
    promises_.Check(StoredIn(store_->queryable()), 0);
    record_promises_.Check(store_->records(), 3);
  }

  FaultyDisk disk_{directory_.data(), 7};
  std::mt19937_64 random_{42};
  BatchMaker maker_{random_, kNowMs};
  Promises promises_;
  RecordPromises record_promises_;
  uint64_t records_ = 0;
};

TEST_P(StoreDiskFaultTest, IsNamedQueriesGoOnAndNothingNeedsARestart) {
  options_.log_room_bytes_max = 0;  // or a full disk goes unseen for a while
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(store_->Seal(), IsOk());
  for (int i = 0; i < 10; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(WriteRecord(), IsOk());

  GetParam().begin(disk_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(AppendOne().ok(), !GetParam().refuses_appends);
    ExpectCause(store_->Seal(), "seal");
    Check();
  }
  disk_.Mend();
  EXPECT_THAT(AppendOne(), IsOk());
  EXPECT_THAT(WriteRecord(), IsOk());
  EXPECT_THAT(store_->Seal(), IsOk());
  EXPECT_THAT(AppendOne(), IsOk());
  Check();
  Open();
  Check();
}

TEST_P(StoreDiskFaultTest, APowerCutInTheMiddleOfItBringsNothingRefusedBack) {
  Open();
  for (int i = 0; i < 5; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(store_->Seal(), IsOk());
  for (int i = 0; i < 5; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(WriteRecord(), IsOk());

  GetParam().begin(disk_);
  for (int i = 0; i < 3; ++i) (void)AppendOne();
  disk_.CutPowerAfter(1);
  (void)Append(SeriesNamed("cut"), {{kNowMs, 1}});
  store_.reset();
  disk_.Revive();
  Open();

  const auto others =
      Matcher::Create(Matcher::Type::kNotEqual, "__name__", "cut");
  ASSERT_THAT(others, IsOk());
  promises_.Check(StoredIn(store_->queryable(), {}, {*others}), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Troubles, StoreDiskFaultTest,
    ::testing::Values(
        Trouble{"Full", "No space left on device",
                [](FaultyDisk& disk) { disk.SetFull(true); }, true},
        Trouble{"ReadOnly", "Read-only file system",
                [](FaultyDisk& disk) { disk.SetReadOnly(true); }, true},
        Trouble{"FailsWrites", "Input/output error",
                [](FaultyDisk& disk) {
                  disk.Fail(Op::kWrite, "", 0, FaultyDisk::kForGood, EIO);
                },
                true},
        Trouble{"FailsSyncs", "Input/output error",
                [](FaultyDisk& disk) {
                  disk.Fail(Op::kSync, "", 0, FaultyDisk::kForGood, EIO);
                },
                true},
        Trouble{"OutOfDescriptors", "Too many open files",
                [](FaultyDisk& disk) { disk.SetOutOfDescriptors(true); },
                false}),
    [](const auto& info) { return info.param.name; });

class StoreFaultyCallTest : public StoreDiskFaultTest {};

// One call for the files of a seal fails, wherever: the next try succeeds.
TEST_P(StoreFaultyCallTest, OneFailedCallOfASealCostsThatSealOnly) {
  Open();
  int failed = 0;
  for (int skip = 0; skip < 6; ++skip) {
    SCOPED_TRACE(skip);
    for (int i = 0; i < 3; ++i) ASSERT_THAT(AppendOne(), IsOk());
    for (const Op op : {Op::kCreate, Op::kWrite, Op::kSync, Op::kLink}) {
      disk_.Fail(op, "/staging/", skip, 1, EIO);
      const absl::Status status = store_->Seal();
      if (!status.ok()) {
        ++failed;
        ExpectCause(status, "seal");
      }
      disk_.Mend();
      ASSERT_THAT(store_->Seal(), IsOk());
      ASSERT_THAT(AppendOne(), IsOk());
    }
    Check();
  }
  EXPECT_GT(failed, 10);
  Open();
  Check();
}

TEST_P(StoreFaultyCallTest, AReadThatFailsFailsTheQueryAndNoLaterOne) {
  Open();
  for (int i = 0; i < 40; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(store_->Seal(), IsOk());
  Open();  // nothing is in the block cache

  disk_.Fail(Op::kRead, ".sst", 0, FaultyDisk::kForGood, EIO);
  ByteAccount account("query", 1 << 30);
  int told = 0;
  {
    const auto snapshot = store_->queryable().Select({}, {&account, {}});
    if (snapshot.ok()) {
      for (size_t i = 0; i < (*snapshot)->size(); ++i) {
        const auto samples = (*snapshot)->Samples(i);
        SampleBatch batch;
        told += !samples->Next(&batch).ok();
      }
      told += !(*snapshot)->warnings().empty();
    } else {
      ++told;
    }
  }
  disk_.Mend();

  EXPECT_GT(told, 0);
  Check();
}

INSTANTIATE_TEST_SUITE_P(Calls, StoreFaultyCallTest,
                         ::testing::Values(Trouble{"Eio", "Input/output error",
                                                   [](FaultyDisk&) {}, true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vigie::store
