// A disk that is full, read-only, failing or out of descriptors: samples and
// seals that it does not take are refused with the cause, queries go on, and
// once the cause is gone the store takes everything again without a restart.
// What was refused never comes back, a record excepted, whose bytes may have
// reached RocksDB's write-ahead log.
#include <gmock/gmock.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

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

class StoreFaultTest : public StoreTest {
 protected:
  explicit StoreFaultTest(std::string cause)
      : StoreTest(TempDirectory::InMemory()), cause_(std::move(cause)) {
    spdlog::set_level(spdlog::level::off);
    options_.files = &disk_.files();
    options_.blocks_env = disk_.env();
    options_.store.chunk_samples_max = 16;
  }
  ~StoreFaultTest() override {
    store_.reset();
    spdlog::set_level(spdlog::level::info);
  }

  // Does one thing and remembers what was said of it.
  absl::Status AppendOne() {
    MadeBatch made = maker_.Make();
    clock_.SetNowMs(maker_.now_ms());
    const AppendOutcome outcome = Append(made.batch);
    EXPECT_THAT(outcome.refusals, ::testing::IsEmpty());
    if (outcome.status.ok()) {
      promises_.Acknowledged(made);
    } else {
      promises_.Refused(made);
      ExpectCause(outcome.status, "append");
    }
    return outcome.status;
  }
  absl::Status WriteRecord() {
    const uint64_t number = ++records_;
    const absl::Status status =
        store_->records().Write(RecordPromises::Batch(number, 3));
    if (status.ok()) {
      record_promises_.Acknowledged(number);
    } else {
      record_promises_.Refused(number);
      ExpectCause(status, "records");
    }
    return status;
  }
  absl::Status Seal() {
    const absl::Status status = store_->Seal();
    if (!status.ok()) ExpectCause(status, "seal");
    return status;
  }
  // What broke again right after it was opened again is left alone for so long
  // where an opening takes no time, as by this clock.
  void Mend() {
    disk_.Mend();
    clock_.AdvanceMs(4'000);
  }
  void ExpectCause(const absl::Status& status, std::string_view what) {
    SCOPED_TRACE(what);
    EXPECT_THAT(status, HasCode(absl::StatusCode::kUnavailable));
    EXPECT_THAT(std::string(status.message()), HasSubstr(cause_));
  }
  void Check() {
    promises_.Check(StoredIn(store_->queryable()), 0);
    record_promises_.Check(store_->records(), 3);
  }

  // Everything is taken, in one process and by the next.
  void CheckAllIsWellAgain() {
    EXPECT_THAT(AppendOne(), IsOk());
    EXPECT_THAT(WriteRecord(), IsOk());
    EXPECT_THAT(Seal(), IsOk());
    EXPECT_THAT(store_->Compact({}), IsOk());
    EXPECT_THAT(AppendOne(), IsOk());
    Check();
    Open();
    Check();
  }

  const std::string cause_;
  FaultyDisk disk_{directory_.data(), 7};
  std::mt19937_64 random_{42};
  BatchMaker maker_{random_, kNowMs};
  Promises promises_;
  RecordPromises record_promises_;
  uint64_t records_ = 0;
};

struct Trouble {
  const char* name;
  const char* cause;
  std::function<void(FaultyDisk&)> begin;
  // Out of descriptors, what is open goes on.
  bool refuses_writes;
};

void PrintTo(const Trouble& trouble, std::ostream* out) {
  *out << trouble.name;
}

class StoreDiskFaultTest : public StoreFaultTest,
                           public ::testing::WithParamInterface<Trouble> {
 protected:
  StoreDiskFaultTest() : StoreFaultTest(GetParam().cause) {}
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
    EXPECT_EQ(AppendOne().ok(), !GetParam().refuses_writes);
    const bool recorded = WriteRecord().ok();
    EXPECT_FALSE(recorded && GetParam().refuses_writes);
    EXPECT_FALSE(Seal().ok());
    Check();
  }
  disk_.Mend();
  CheckAllIsWellAgain();
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

class StoreFaultyCallTest : public StoreFaultTest {
 protected:
  StoreFaultyCallTest() : StoreFaultTest("Input/output error") {}
};

// One call for the files of a seal fails, wherever: the next try succeeds.
TEST_F(StoreFaultyCallTest, OneFailedCallOfASealCostsThatSealOnly) {
  Open();
  int failed = 0;
  for (int skip = 0; skip < 6; ++skip) {
    SCOPED_TRACE(skip);
    for (int i = 0; i < 3; ++i) ASSERT_THAT(AppendOne(), IsOk());
    for (const Op op : {Op::kCreate, Op::kWrite, Op::kSync, Op::kLink}) {
      disk_.Fail(op, "/staging/", skip, 1, EIO);
      failed += !Seal().ok();
      disk_.Mend();
      ASSERT_THAT(Seal(), IsOk());
      ASSERT_THAT(AppendOne(), IsOk());
    }
    Check();
  }
  EXPECT_GT(failed, 10);
  Open();
  Check();
}

TEST_F(StoreFaultyCallTest, AReadThatFailsFailsTheQueryAndNoLaterOne) {
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

// A kind of call, and what cannot be done while it fails.
struct Call {
  const char* name;
  Op op;
  const char* part;
  enum Deed { kAppend, kRecord, kSeal } refused;
  // A manifest is begun only after another error.
  bool after_another = false;
};
struct Error {
  const char* name;
  int number;
};

void PrintTo(const Call& call, std::ostream* out) { *out << call.name; }
void PrintTo(const Error& error, std::ostream* out) { *out << error.name; }

class StoreCallFaultTest
    : public StoreFaultTest,
      public ::testing::WithParamInterface<std::tuple<Call, Error>> {
 protected:
  StoreCallFaultTest()
      : StoreFaultTest(
            FaultyDisk::CauseOf(std::get<Error>(GetParam()).number)) {}

  void BeginTrouble() {
    const auto& [call, error] = GetParam();
    if (call.after_another) {
      disk_.Fail(Op::kWrite, "/blocks/MANIFEST", 0, 1, error.number);
      EXPECT_FALSE(Seal().ok());
    }
    before_ = disk_.failed();
    disk_.Fail(call.op, call.part, 0, FaultyDisk::kForGood, error.number);
  }

  uint64_t before_ = 0;
};

TEST_P(StoreCallFaultTest, IsNamedQueriesGoOnAndNothingNeedsARestart) {
  const Call& call = std::get<Call>(GetParam());
  Open();
  for (int i = 0; i < 4; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(Seal(), IsOk());
  for (int i = 0; i < 4; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(WriteRecord(), IsOk());

  BeginTrouble();
  for (int i = 0; i < 2; ++i) {
    const bool done[] = {AppendOne().ok(), WriteRecord().ok(), Seal().ok()};
    EXPECT_FALSE(done[call.refused]);
    EXPECT_TRUE(done[Call::kAppend] || call.refused == Call::kAppend)
        << "the log is not concerned";
    Check();
  }
  EXPECT_GT(disk_.failed(), before_);
  Mend();
  CheckAllIsWellAgain();
}

INSTANTIATE_TEST_SUITE_P(
    Calls, StoreCallFaultTest,
    ::testing::Combine(
        ::testing::Values(
            Call{"LogWrite", Op::kWrite, "/log/", Call::kAppend},
            Call{"LogSync", Op::kSync, "/log/", Call::kAppend},
            Call{"JournalWrite", Op::kWrite, "/blocks/*.log", Call::kRecord},
            Call{"JournalSync", Op::kSync, "/blocks/*.log", Call::kRecord},
            Call{"ManifestWrite", Op::kWrite, "/MANIFEST", Call::kSeal},
            Call{"ManifestSync", Op::kSync, "/MANIFEST", Call::kSeal},
            Call{"ManifestCreate", Op::kCreate, "/MANIFEST", Call::kSeal, true},
            Call{"CurrentRename", Op::kRename, ".dbtmp", Call::kSeal, true},
            Call{"DirectorySync", Op::kSyncDirectory, "/blocks", Call::kSeal,
                 true},
            Call{"TableCreate", Op::kCreate, ".sst", Call::kSeal},
            Call{"TableWrite", Op::kWrite, ".sst", Call::kSeal},
            Call{"TableSync", Op::kSync, ".sst", Call::kSeal},
            Call{"TableLink", Op::kLink, ".sst", Call::kSeal}),
        ::testing::Values(Error{"Eio", EIO}, Error{"Erofs", EROFS},
                          Error{"Enospc", ENOSPC}, Error{"Emfile", EMFILE})),
    [](const auto& info) {
      return std::string(std::get<Call>(info.param).name) +
             std::get<Error>(info.param).name;
    });

// RocksDB, as Debian builds it, aborts at the write after it has recovered from
// this by itself.
TEST_F(StoreFaultyCallTest, AJournalMayFailWhileNoTableHasRowsInMemory) {
  Open();
  ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(WriteRecord(), IsOk());
  Open();  // the start has put all rows into files

  for (int i = 0; i < 3; ++i) {
    disk_.Fail(Op::kSync, "/blocks/*.log", 0, FaultyDisk::kForGood, EIO);
    EXPECT_FALSE(WriteRecord().ok());
    EXPECT_FALSE(WriteRecord().ok());
    Mend();
    EXPECT_THAT(WriteRecord(), IsOk());
  }
  CheckAllIsWellAgain();
}

// A disk that takes the probe and then fails what comes after it.
TEST_F(StoreFaultyCallTest, OpeningsThatDoNotHelpAreEverFurtherApart) {
  Open();
  ASSERT_THAT(WriteRecord(), IsOk());
  const std::string journals = directory_.data() + "/blocks";
  // Each opening begins a journal of its own.
  const auto newest_journal = [&] {
    std::string newest;
    for (const auto& file : std::filesystem::directory_iterator(journals)) {
      if (file.path().extension() == ".log") {
        newest = std::max(newest, file.path().filename().string());
      }
    }
    return newest;
  };

  disk_.Fail(Op::kSync, "/blocks/*.log", 0, FaultyDisk::kForGood, EIO);
  std::vector<int> openings;  // by records, or the thread that looks as well
  std::string newest = newest_journal();
  for (int second = 0; second < 32; ++second) {
    for (int i = 0; i < 2; ++i) ASSERT_FALSE(WriteRecord().ok());
    if (newest_journal() != newest) openings.push_back(second);
    newest = newest_journal();
    clock_.AdvanceMs(1'000);
  }
  EXPECT_THAT(openings,
              ::testing::ElementsAre(0, 1, 3, 7, 11, 15, 19, 23, 27, 31));

  Mend();
  EXPECT_THAT(WriteRecord(), IsOk());
  disk_.Fail(Op::kSync, "/blocks/*.log", 0, 1, EIO);
  EXPECT_THAT(WriteRecord(), IsOk()) << "a new trouble does not wait";
  CheckAllIsWellAgain();
}

TEST_F(StoreFaultyCallTest, OneFailedCallOfAJournalIsNotNoticed) {
  Open();
  for (const Op op : {Op::kWrite, Op::kSync}) {
    disk_.Fail(op, "/blocks/*.log", 0, 1, EIO);
    EXPECT_THAT(WriteRecord(), IsOk());
  }
  EXPECT_EQ(disk_.failed(), 2u);
  CheckAllIsWellAgain();
}

TEST_F(StoreFaultyCallTest, AQueryThatBeganBeforeTheTroubleGoesOnAfterIt) {
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(Seal(), IsOk());
  ASSERT_THAT(AppendOne(), IsOk());
  ByteAccount account("query", 1 << 30);
  auto snapshot = store_->queryable().Select({}, {&account, {}});
  ASSERT_THAT(snapshot, IsOk());

  disk_.Fail(Op::kSync, "/MANIFEST", 0, FaultyDisk::kForGood, EIO);
  EXPECT_FALSE(Seal().ok());
  disk_.Mend();
  ASSERT_THAT(Seal(), IsOk());
  ASSERT_THAT(AppendOne(), IsOk());
  ASSERT_THAT(Seal(), IsOk());

  size_t found = 0;
  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    const auto samples = (*snapshot)->Samples(i);
    SampleBatch batch;
    while (true) {
      const auto more = samples->Next(&batch);
      ASSERT_THAT(more, IsOk());
      if (!*more) break;
      found += batch.times_ms.size();
    }
    EXPECT_THAT(samples->warnings(), ::testing::IsEmpty());
  }
  EXPECT_GT(found, 100u);
  snapshot->reset();
  CheckAllIsWellAgain();
}

}  // namespace
}  // namespace vigie::store
