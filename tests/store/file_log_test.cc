#include "store/file_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "tests/store/file_log_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

TEST_F(FileLogTest, GivesBackWhatWasAppendedInOrderAndBitForBit) {
  const std::string bytes("\0\xff\x80 a", 5);
  {
    auto log = OpenLog(files_);
    ASSERT_THAT(AppendAndWait(*log, "one"), IsOk());
    ASSERT_THAT(AppendAndWait(*log, ""), IsOk());
    ASSERT_THAT(AppendAndWait(*log, bytes), IsOk());
  }
  auto log = OpenLog(files_);

  const Replayed replayed = ReplayAll(*log);

  EXPECT_THAT(replayed.status, IsOk());
  EXPECT_THAT(replayed.frames,
              ElementsAre(Pair(1, "one"), Pair(2, ""), Pair(3, bytes)));
  EXPECT_EQ(log->next(), 4u);
}

TEST_F(FileLogTest, WorksOnARealFileSystem) {
  PosixFileLayer files;
  const std::string directory =
      ::testing::TempDir() + "/log." + std::to_string(::getpid());
  std::filesystem::remove_all(directory);
  FileLogOptions options;
  options.segment_bytes = 200;
  for (int life = 0; life < 3; ++life) {
    auto log = FileLog::Open(directory, options, files);
    ASSERT_THAT(log, IsOk());
    const Replayed replayed = ReplayAll(**log);
    EXPECT_THAT(replayed.status, IsOk());
    EXPECT_THAT(replayed.frames, SizeIs(20 * life));
    for (int i = 0; i < 20; ++i) {
      ASSERT_THAT(AppendAndWait(**log, std::string(50, 'x')), IsOk());
    }
    EXPECT_GT((*log)->bytes_on_disk(), 20u * 50 * (life + 1));
  }
  std::filesystem::remove_all(directory);
}

TEST_F(FileLogTest, AnswersInOrderOfPositionsWhateverThreadAppends) {
  auto log = OpenLog(files_);
  std::vector<LogPosition> answered;  // on the log's thread alone
  std::vector<std::jthread> writers;
  std::atomic<int> open = 4 * 50;
  std::promise<void> all;

  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        auto position = std::make_shared<std::promise<LogPosition>>();
        auto appended = log->Append("x", [&, position](absl::Status status) {
          EXPECT_THAT(status, IsOk());
          answered.push_back(position->get_future().get());
          if (--open == 0) all.set_value();
        });
        ASSERT_THAT(appended, IsOk());
        position->set_value(*appended);
      }
    });
  }
  all.get_future().wait();

  ASSERT_THAT(answered, SizeIs(200));
  for (size_t i = 0; i < answered.size(); ++i) EXPECT_EQ(answered[i], i + 1);
}

TEST_F(FileLogTest, ReplaysFromThePositionAskedForAcrossSegments) {
  WriteAndDie({"a", "b", "c", "d"}, {.segment_bytes = 100});
  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log, 3).frames,
              ElementsAre(Pair(3, "c"), Pair(4, "d")));
}

TEST_F(FileLogTest, RoomGrowsWithTheSegmentAndIsGivenBackAtTheEnd) {
  const FileLogOptions options = {.room_bytes_max = 100'000};
  std::vector<size_t> sizes;
  {
    auto log = OpenLog(files_, options);
    for (int i = 0; i < 40; ++i) {
      ASSERT_THAT(AppendAndWait(*log, std::string(8000, 'x')), IsOk());
      sizes.push_back(files_.Contents(Segments(files_).front()).size());
    }
  }
  const std::string after = files_.Contents(Segments(files_).front());

  EXPECT_EQ(std::set<size_t>(sizes.begin(), sizes.end()).size(), 4u)
      << "a sync that makes the file longer is the exception";
  EXPECT_EQ(after.size(),
            kSegmentHeaderBytes + 40 * (kFrameHeaderBytes + 8000));
  EXPECT_EQ(ReplayAll(*OpenLog(files_, options)).frames.size(), 40u);
}

TEST_F(FileLogTest, RoomOfALogThatWasKilledIsCut) {
  const FileLogOptions options = {.room_bytes_max = 100'000};
  {
    auto log = OpenLog(files_, options);
    ASSERT_THAT(AppendAndWait(*log, "first"), IsOk());
    files_.KillAfter(1);
  }
  files_.Revive();
  const std::string path = Segments(files_).front();
  const size_t before = files_.Contents(path).size();
  auto log = OpenLog(files_, options);

  EXPECT_THAT(ReplayAll(*log).frames, ElementsAre(Pair(1, "first")));
  EXPECT_GT(before, 50'000u);
  EXPECT_EQ(files_.Contents(path).size(),
            kSegmentHeaderBytes + kFrameHeaderBytes + 5);
}

TEST_F(FileLogTest, OnAnAlmostFullDiskFramesDoWithoutRoom) {
  const FileLogOptions options = {.room_bytes_max = 100'000};
  auto log = OpenLog(files_, options);
  ASSERT_THAT(AppendAndWait(*log, std::string(70'000, 'x')), IsOk());
  // The next write is of the frame, the one after it of zeros.
  files_.FailWrites(1, 1, "No space left on device");

  EXPECT_THAT(AppendAndWait(*log, std::string(90'000, 'y')), IsOk());
  EXPECT_EQ(files_.Contents(Segments(files_).front()).size(),
            kSegmentHeaderBytes + 2 * kFrameHeaderBytes + 160'000);
}

TEST_F(FileLogTest, NeverUsesAPositionAgainAfterTrimAndRestart) {
  {
    auto log = OpenLog(files_, {.segment_bytes = 1});
    for (int i = 0; i < 5; ++i) {
      ASSERT_THAT(AppendAndWait(*log, "x"), IsOk());
    }
    ASSERT_THAT(log->Trim(6), IsOk());
    EXPECT_THAT(Segments(files_), SizeIs(1));
  }
  for (LogPosition expected : {6, 7, 8}) {
    auto log = OpenLog(files_, {.segment_bytes = 1});
    EXPECT_EQ(log->next(), expected);
    const Replayed replayed = ReplayAll(*log, expected);
    EXPECT_THAT(replayed.status, IsOk());
    EXPECT_THAT(replayed.frames, IsEmpty());
    ASSERT_THAT(AppendAndWait(*log, "y"), IsOk());
    ASSERT_THAT(log->Trim(expected + 1), IsOk());
  }
}

TEST_F(FileLogTest, TrimKeepsEverySegmentThatHoldsAPositionAtOrAbove) {
  auto log = OpenLog(files_, {.segment_bytes = 180});
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(AppendAndWait(*log, std::string(20, 'x')), IsOk());
  }
  const size_t before = Segments(files_).size();

  ASSERT_THAT(log->Trim(4), IsOk());

  EXPECT_LT(Segments(files_).size(), before);
  log = OpenLog(files_);
  const Replayed replayed = ReplayAll(*log, 4);
  EXPECT_THAT(replayed.status, IsOk());
  EXPECT_THAT(replayed.frames, SizeIs(6));
}

TEST_F(FileLogTest, TrimOfEverythingGivesTheNewestSegmentBackToo) {
  const FileLogOptions options{.dead_bytes_max = 200};
  {
    auto log = OpenLog(files_, options);
    for (int i = 0; i < 9; ++i) {
      ASSERT_THAT(AppendAndWait(*log, std::string(50, 'x')), IsOk());
    }

    ASSERT_THAT(log->Trim(9), IsOk());
    EXPECT_GT(log->bytes_on_disk(), 400u) << "position 9 is in use";
    ASSERT_THAT(log->Trim(10), IsOk());

    EXPECT_LT(log->bytes_on_disk(), 100u);
    EXPECT_THAT(Segments(files_), SizeIs(1));
    ASSERT_THAT(AppendAndWait(*log, std::string(400, 'y')), IsOk());
  }
  auto log = OpenLog(files_, options);
  EXPECT_THAT(ReplayAll(*log, 10).frames,
              ElementsAre(Pair(10, std::string(400, 'y'))));

  // As well of what was written before the restart.
  ASSERT_THAT(log->Trim(11), IsOk());
  EXPECT_LT(log->bytes_on_disk(), 100u);
  log = OpenLog(files_, options);
  EXPECT_EQ(log->next(), 11u);
}

TEST_F(FileLogTest, TrimLeavesTheNewestSegmentWhereNoOtherCanBeMade) {
  auto log = OpenLog(files_, {.dead_bytes_max = 200});
  ASSERT_THAT(AppendAndWait(*log, std::string(400, 'x')), IsOk());
  files_.SetFull(true);

  EXPECT_THAT(log->Trim(2), IsOk());

  EXPECT_GT(log->bytes_on_disk(), 400u);
  EXPECT_THAT(ReplayAll(*OpenLog(files_)).frames, SizeIs(1));
}

TEST_F(FileLogTest, PositionsStartAboveWhatOthersHold) {
  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log, 100).status, IsOk());

  EXPECT_EQ(log->next(), 100u);
}

TEST_F(FileLogTest, BoundsTheBytesInFlight) {
  const FileLogOptions options = {.inflight_bytes_max = 1000};
  auto log = OpenLog(files_, options);
  std::promise<void> entered;
  std::promise<void> release;
  ASSERT_THAT(log->Append(std::string(400, 'x'),
                          [&](absl::Status) {
                            entered.set_value();
                            release.get_future().wait();
                          }),
              IsOk());
  entered.get_future().wait();

  ASSERT_THAT(log->Append(std::string(400, 'x'), [](absl::Status) {}), IsOk());
  EXPECT_THAT(log->Append(std::string(400, 'x'), [](absl::Status) { FAIL(); }),
              HasError(absl::StatusCode::kResourceExhausted,
                       HasSubstr("its limit is 1000")));
  EXPECT_THAT(log->Append(std::string(961, 'x'), [](absl::Status) { FAIL(); }),
              HasCode(absl::StatusCode::kOutOfRange));

  release.set_value();
  log.reset();
  log = OpenLog(files_);
  EXPECT_THAT(ReplayAll(*log).frames, SizeIs(2));
}

TEST_F(FileLogTest, ReplaysOnlyBeforeTheFirstAppend) {
  auto log = OpenLog(files_);
  ASSERT_THAT(AppendAndWait(*log, "a"), IsOk());

  EXPECT_THAT(ReplayAll(*log).status,
              HasCode(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FileLogTest, PassesOnAnErrorOfTheVisitor) {
  WriteAndDie({"a", "b"});
  auto log = OpenLog(files_);
  int visits = 0;

  const absl::Status status =
      log->Replay(1, [&](LogPosition, std::string_view) {
        ++visits;
        return absl::InternalError("stop");
      });

  EXPECT_THAT(status, HasError(absl::StatusCode::kInternal, "stop"));
  EXPECT_EQ(visits, 1);
}

}  // namespace
}  // namespace vigie::store
