// What a log says of damaged bytes, and what it promises on a disk that fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>

#include "tests/store/file_log_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::FaultyFileLayer;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

constexpr char kFull[] = "No space left on device";
constexpr char kIo[] = "Input/output error";

TEST_F(FileLogTest, CutsATornLastFrameAtEveryByteAndGoesOn) {
  WriteAndDie({"first", "the second"});
  const std::string path = Segments(files_).front();
  const std::string whole = files_.Contents(path);
  const size_t second = whole.size() - kFrameHeaderBytes - 10;

  for (size_t size = second; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    FaultyFileLayer files(size);
    files.SetContents(path, whole.substr(0, size));
    {
      auto log = OpenLog(files);
      const Replayed replayed = ReplayAll(*log);
      EXPECT_THAT(replayed.status, IsOk());
      EXPECT_THAT(replayed.frames, ElementsAre(Pair(1, "first")));
      ASSERT_THAT(AppendAndWait(*log, "again"), IsOk());
    }
    auto log = OpenLog(files);
    EXPECT_THAT(ReplayAll(*log).frames,
                ElementsAre(Pair(1, "first"), Pair(2, "again")));
  }
}

TEST_F(FileLogTest, CutsATailOfZeros) {
  WriteAndDie({"first"});
  const std::string path = Segments(files_).front();
  files_.SetContents(path, files_.Contents(path) + std::string(4096, '\0'));

  auto log = OpenLog(files_);

  const Replayed replayed = ReplayAll(*log);
  EXPECT_THAT(replayed.status, IsOk());
  EXPECT_THAT(replayed.frames, ElementsAre(Pair(1, "first")));
}

TEST_F(FileLogTest, ReportsEveryFlippedBitBelowTheSyncedOffset) {
  WriteAndDie({"first", "second", "third"});
  const std::string path = Segments(files_).front();
  const std::string whole = files_.Contents(path);
  const size_t second = kSegmentHeaderBytes + kFrameHeaderBytes + 5;
  const size_t third = second + kFrameHeaderBytes + 6;

  for (size_t bit = second * 8; bit < third * 8; ++bit) {
    SCOPED_TRACE(bit);
    FaultyFileLayer files(bit);
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    files.SetContents(path, damaged);
    auto log = OpenLog(files);

    const Replayed replayed = ReplayAll(*log);

    EXPECT_THAT(replayed.status,
                HasError(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(path),
                               HasSubstr("bytes " + std::to_string(second) +
                                         "-" + std::to_string(third) + " "))));
    EXPECT_THAT(replayed.frames, ElementsAre(Pair(1, "first")));
    EXPECT_EQ(log->next(), 4u);  // positions of what lies behind stay taken
  }
}

TEST_F(FileLogTest, ReportsDamageInTheLastFrameAfterAnOrderlyEnd) {
  { ASSERT_THAT(AppendAndWait(*OpenLog(files_), "only"), IsOk()); }
  const std::string path = Segments(files_).front();
  std::string bytes = files_.Contents(path);
  bytes.back() ^= 1;
  files_.SetContents(path, bytes);

  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log).status,
              HasError(absl::StatusCode::kDataLoss, HasSubstr("bytes 72-116")));
}

TEST_F(FileLogTest, ReportsDamageAtTheEndOfASegmentThatHasASuccessor) {
  WriteAndDie({"a", "b"}, {.segment_bytes = 1});
  const std::string path = Segments(files_).front();
  files_.SetContents(path, files_.Contents(path).substr(0, 100));

  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log).status,
              HasError(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(path), HasSubstr("bytes 72-113"))));
}

TEST_F(FileLogTest, ReportsAMissingSegmentByName) {
  WriteAndDie({"a", "b", "c"}, {.segment_bytes = 1});
  const std::string missing = Segments(files_)[1];
  ASSERT_THAT(files_.Remove(missing), IsOk());

  EXPECT_THAT(FileLog::Open("log", {}, files_),
              HasError(absl::StatusCode::kDataLoss, HasSubstr(missing)));
}

TEST_F(FileLogTest, ReportsLostSegmentsBelowWhatWasNeverTrimmed) {
  WriteAndDie({"a", "b", "c"}, {.segment_bytes = 1});
  ASSERT_THAT(files_.Remove(Segments(files_)[0]), IsOk());
  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log).status, HasError(absl::StatusCode::kDataLoss,
                                               HasSubstr("positions 1-1")));
  EXPECT_THAT(ReplayAll(*log, 2).frames, SizeIs(2));
}

TEST_F(FileLogTest, RefusesAnotherFormatVersionByName) {
  WriteAndDie({"a"});
  const std::string path = Segments(files_).front();
  std::string bytes = files_.Contents(path);
  bytes[8] = 2;
  files_.SetContents(path, bytes);

  EXPECT_THAT(
      FileLog::Open("log", {}, files_),
      HasError(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr(path), HasSubstr("log format version 2"))));
}

TEST_F(FileLogTest, APayloadThatImitatesFramesIsNoFrame) {
  // The tail is torn inside a payload that holds whole frames of the past.
  WriteAndDie({"a", "b"});
  const std::string path = Segments(files_).front();
  const std::string frames = files_.Contents(path).substr(kSegmentHeaderBytes);
  FaultyFileLayer files(1);
  {
    auto log = OpenLog(files);
    ASSERT_THAT(AppendAndWait(*log, frames + frames), IsOk());
    files.KillAfter(1);
    log.reset();
    files.Revive();
  }
  const std::string other = Segments(files).front();
  std::string bytes = files.Contents(other);
  bytes.pop_back();
  files.SetContents(other, bytes);

  auto log = OpenLog(files);

  const Replayed replayed = ReplayAll(*log);
  EXPECT_THAT(replayed.status, IsOk());
  EXPECT_THAT(replayed.frames, IsEmpty());
}

TEST_F(FileLogTest, MovesAGroupToANewSegmentWhenASyncFails) {
  auto log = OpenLog(files_);
  ASSERT_THAT(AppendAndWait(*log, "a"), IsOk());
  files_.FailSyncs(0, 1, kIo);

  EXPECT_THAT(AppendAndWait(*log, "b"), IsOk());
  log.reset();

  log = OpenLog(files_);
  EXPECT_THAT(Segments(files_), SizeIs(2));
  EXPECT_THAT(ReplayAll(*log).frames, ElementsAre(Pair(1, "a"), Pair(2, "b")));
}

// Whichever write or sync fails, and however often: answers are honest.
TEST_F(FileLogTest, WhatWasAcknowledgedIsThereAndWhatWasRefusedIsNot) {
  for (const bool sync : {false, true}) {
    for (int skip = 0; skip < 8; ++skip) {
      for (const int count : {1, 2, 3, 5}) {
        SCOPED_TRACE(::testing::Message()
                     << (sync ? "sync " : "write ") << skip << "+" << count);
        FaultyFileLayer files(static_cast<uint64_t>(skip * 10 + count));
        std::map<LogPosition, std::string> acknowledged;
        auto log = OpenLog(files, {.segment_bytes = 300});
        sync ? files.FailSyncs(skip, count, kIo)
             : files.FailWrites(skip, count, kFull);
        for (int i = 0; i < 8; ++i) {
          const LogPosition position = log->next();
          const std::string payload = "frame " + std::to_string(i);
          const absl::Status status = AppendAndWait(*log, payload);
          if (status.ok()) {
            acknowledged[position] = payload;
          } else {
            EXPECT_THAT(status, HasError(absl::StatusCode::kUnavailable,
                                         HasSubstr(sync ? kIo : kFull)));
          }
        }
        EXPECT_GE(acknowledged.size(), 8u - (count + 1) / 2);

        files.CutPowerAfter(1);
        log.reset();
        files.Revive();
        log = OpenLog(files);

        const Replayed replayed = ReplayAll(*log);
        EXPECT_THAT(replayed.status, IsOk());
        EXPECT_EQ(replayed.frames, acknowledged);
      }
    }
  }
}

TEST_F(FileLogTest, OnAFullDiskRefusesByNameAndRecoversWhenThereIsSpace) {
  auto log = OpenLog(files_);
  ASSERT_THAT(AppendAndWait(*log, "a"), IsOk());
  files_.SetFull(true);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(AppendAndWait(*log, "refused"),
                HasError(absl::StatusCode::kUnavailable, HasSubstr(kFull)));
  }
  files_.SetFull(false);
  EXPECT_THAT(AppendAndWait(*log, "b"), IsOk());

  log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log).frames, ElementsAre(Pair(1, "a"), Pair(5, "b")));
}

TEST_F(FileLogTest, RefusedFramesStayAwayEvenIfTheDiskIsFullToTheEnd) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    FaultyFileLayer files(seed);
    auto log = OpenLog(files);
    ASSERT_THAT(AppendAndWait(*log, "a"), IsOk());
    files.FailSyncs(0, 1, kIo);
    // Written whole, not synced; then there is no room for a new segment.
    std::promise<absl::Status> answer;
    files.SetFullAfterFailedSync();
    ASSERT_THAT(
        log->Append("refused",
                    [&](absl::Status status) { answer.set_value(status); }),
        IsOk());
    ASSERT_THAT(answer.get_future().get(),
                HasCode(absl::StatusCode::kUnavailable));
    files.CutPowerAfter(1);
    log.reset();
    files.Revive();

    log = OpenLog(files);

    EXPECT_THAT(ReplayAll(*log).frames, ElementsAre(Pair(1, "a")));
    EXPECT_EQ(log->next(), 3u);
  }
}

TEST_F(FileLogTest, OpensOnAFullDiskAndStillReplays) {
  WriteAndDie({"a"});
  files_.SetFull(true);

  auto log = OpenLog(files_);

  EXPECT_THAT(ReplayAll(*log).frames, ElementsAre(Pair(1, "a")));
}

TEST_F(FileLogTest, KeepsAcknowledgedFramesOverKillWithoutSyncing) {
  const FileLogOptions options = {
      .segment_bytes = 200, .durability = FileLogOptions::Durability::kOs};
  WriteAndDie({"a", "b", "c", "d", "e"}, options);

  auto log = OpenLog(files_, options);

  const Replayed replayed = ReplayAll(*log);
  EXPECT_THAT(replayed.status, IsOk());
  EXPECT_THAT(replayed.frames, SizeIs(5));
}

}  // namespace
}  // namespace vigie::store
