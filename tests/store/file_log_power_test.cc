// Lives of one log on a disk that fails, is killed and loses power, against a
// model that knows which frames were answered how. Bursts are appended from
// the log's own thread, so that groups, and with them every call on the disk,
// are the same in each run of a seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <map>
#include <random>
#include <set>

#include "store/file_log.h"
#include "tests/support/faulty_file_layer.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::FaultyFileLayer;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), files_(seed) {}

  void RunLife() {
    options_.segment_bytes = 100 + Below(3000);
    options_.room_bytes_max = Below(2) == 0 ? 0 : Below(5000);
    auto log = FileLog::Open("log", options_, files_);
    ASSERT_THAT(log, IsOk());
    CheckReplay(**log);
    if (::testing::Test::HasFailure()) return;
    PlanMisfortune();

    std::promise<void> over;
    AppendBurst(**log, 1, 1 + Below(20), &over);
    over.get_future().wait();

    if (!files_.dead()) MaybeTrim(**log);
    if (!files_.dead() && Below(3) != 0) {
      Below(2) == 0 ? files_.KillAfter(1) : files_.CutPowerAfter(1);
    }
    log->reset();  // or an orderly end
    files_.Revive();
  }

  uint64_t acknowledged() const { return acknowledged_.size(); }
  uint64_t refused() const { return refused_count_; }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  void PlanMisfortune() {
    if (Below(2) == 0) {
      files_.FailWrites(static_cast<int>(Below(20)),
                        static_cast<int>(1 + Below(6)), "Input/output error");
    }
    if (Below(2) == 0) {
      files_.FailSyncs(static_cast<int>(Below(20)),
                       static_cast<int>(1 + Below(6)), "Input/output error");
    }
    if (Below(4) == 0) files_.SetFull(true);
    const int calls = static_cast<int>(1 + Below(80));
    switch (Below(4)) {
      case 0:
        return files_.KillAfter(calls);
      case 1:
        return;
      default:
        return files_.CutPowerAfter(calls);
    }
  }

  // `frames` frames, whose last answer starts the next of `bursts` more. The
  // first burst is one frame: all others come from the log's thread.
  void AppendBurst(FileLog& log, uint64_t frames, uint64_t bursts,
                   std::promise<void>* over) {
    for (uint64_t i = 0; i < frames; ++i) {
      const bool last = i + 1 == frames;
      std::string payload(Below(1500), '\0');
      for (char& c : payload) c = static_cast<char>(random_());
      const LogPosition expected = log.next();
      EXPECT_GT(expected, highest_) << "a position was used again";
      highest_ = expected;
      unknown_[expected] = payload;
      refused_.erase(expected);
      auto appended = log.Append(payload, [this, expected, last, bursts, over,
                                           &log](absl::Status status) {
        Answer(expected, status);
        if (!last) return;
        if (bursts > 0 && !files_.dead()) {
          AppendBurst(log, 1 + Below(5), bursts - 1, over);
        } else {
          over->set_value();
        }
      });
      ASSERT_THAT(appended, IsOk());
      EXPECT_EQ(*appended, expected);
    }
  }

  void Answer(LogPosition position, const absl::Status& status) {
    const auto frame = unknown_.find(position);
    if (status.ok()) {
      acknowledged_[position] = frame->second;
    } else {
      EXPECT_THAT(status, HasCode(absl::StatusCode::kUnavailable));
      // The dead answer nobody.
      if (files_.dead()) return;
      refused_.insert(position);
      ++refused_count_;
    }
    unknown_.erase(frame);
  }

  void MaybeTrim(FileLog& log) {
    if (acknowledged_.empty() || Below(2) == 0) return;
    auto it = acknowledged_.begin();
    std::advance(it, Below(acknowledged_.size()));
    trimmed_ = std::max(trimmed_, it->first);
    // An error is a fault that was planned; trimming again is allowed.
    log.Trim(trimmed_).IgnoreError();
  }

  void CheckReplay(FileLog& log) {
    std::map<LogPosition, std::string> found;
    LogPosition previous = 0;
    const absl::Status status = log.Replay(
        trimmed_, [&](LogPosition position, std::string_view payload) {
          EXPECT_GT(position, previous);
          previous = position;
          found[position] = payload;
          return absl::OkStatus();
        });
    ASSERT_THAT(status, IsOk());
    for (const auto& [position, payload] : acknowledged_) {
      if (position < trimmed_) continue;
      ASSERT_TRUE(found.contains(position)) << position << " is lost";
      ASSERT_EQ(found[position], payload) << position << " has changed";
    }
    for (const auto& [position, payload] : found) {
      ASSERT_FALSE(refused_.contains(position))
          << position << " was refused and is back";
      if (acknowledged_.contains(position)) continue;
      ASSERT_TRUE(unknown_.contains(position)) << position << " is made up";
      ASSERT_EQ(payload, unknown_[position]) << position << " is half there";
      acknowledged_[position] = payload;  // visible now, so for good
    }
    unknown_.clear();
    // Positions of frames that were never durable may come again.
    highest_ = acknowledged_.empty() ? 0 : acknowledged_.rbegin()->first;
    EXPECT_GT(log.next(), highest_) << "a position would be used again";
  }

  std::mt19937_64 random_;
  FaultyFileLayer files_;
  FileLogOptions options_;
  std::map<LogPosition, std::string> acknowledged_;
  std::map<LogPosition, std::string> unknown_;
  std::set<LogPosition> refused_;
  uint64_t refused_count_ = 0;
  LogPosition highest_ = 0;
  LogPosition trimmed_ = 1;
};

TEST(FileLogPowerTest, NoAcknowledgedFrameIsLostAndNoneComesBackInHalf) {
  uint64_t acknowledged = 0;
  uint64_t refused = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Simulation simulation(seed);
    for (int life = 0; life < 8; ++life) {
      SCOPED_TRACE(::testing::Message() << "life " << life);
      simulation.RunLife();
      if (HasFailure()) return;
    }
    acknowledged += simulation.acknowledged();
    refused += simulation.refused();
  }
  // The dice must have shown both, or this test shows nothing.
  EXPECT_GT(acknowledged, 30'000u);
  EXPECT_GT(refused, 3'000u);
}

}  // namespace
}  // namespace vigie::store
