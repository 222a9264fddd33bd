// A log on a disk that can be told to fail, and how its tests read it back.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/file_log.h"
#include "tests/support/faulty_file_layer.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {

inline std::unique_ptr<FileLog> OpenLog(FileLayer& files,
                                        const FileLogOptions& options = {}) {
  auto log = FileLog::Open("log", options, files);
  EXPECT_THAT(log, vigie::testing::IsOk());
  return log.ok() ? *std::move(log) : nullptr;
}

inline absl::Status AppendAndWait(Log& log, std::string_view payload) {
  std::promise<absl::Status> answer;
  auto position = log.Append(
      payload, [&](absl::Status status) { answer.set_value(status); });
  return position.ok() ? answer.get_future().get() : position.status();
}

struct Replayed {
  absl::Status status;
  std::map<LogPosition, std::string> frames;
};
inline Replayed ReplayAll(Log& log, LogPosition from = 1) {
  Replayed out;
  out.status =
      log.Replay(from, [&](LogPosition position, std::string_view payload) {
        EXPECT_TRUE(out.frames.emplace(position, payload).second);
        return absl::OkStatus();
      });
  return out;
}

inline std::vector<std::string> Segments(FileLayer& files) {
  std::vector<std::string> paths;
  const auto names = files.List("log");
  for (const std::string& name : names.value()) {
    if (name.ends_with(".log")) paths.push_back("log/" + name);
  }
  return paths;
}

class FileLogTest : public ::testing::Test {
 protected:
  // Leaves the disk as kill -9 would: no end record about these frames.
  void WriteAndDie(const std::vector<std::string>& payloads,
                   const FileLogOptions& options = {}) {
    auto log = OpenLog(files_, options);
    for (const std::string& payload : payloads) {
      ASSERT_THAT(AppendAndWait(*log, payload), vigie::testing::IsOk());
    }
    files_.KillAfter(1);
    log.reset();
    files_.Revive();
  }

  vigie::testing::FaultyFileLayer files_{1};
};

}  // namespace vigie::store
