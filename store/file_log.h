// FileLog: the log as segment files in one directory, synced in groups.
// Bytes: docs/formats/log.md. Append and Trim are thread-safe; Replay comes
// before them and alone.
//
// A group that cannot be written or synced moves to a new segment; where that
// fails too its frames are answered kUnavailable, and a record of where the
// old segment ends keeps them from ever being replayed. The next Append tries
// again, so the log recovers by itself once the disk does.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "store/file_layer.h"
#include "store/log.h"
#include "store/log_format.h"

namespace vigie::store {

struct FileLogOptions {
  // A segment that has reached this size is followed by a new one.
  uint64_t segment_bytes = 64 << 20;
  // One of this size of which Trim needs nothing is followed by a new one too.
  uint64_t dead_bytes_max = 1 << 20;
  // Frames appended and not yet answered; also the largest single frame.
  uint64_t inflight_bytes_max = 64 << 20;
  // kOs answers after write(): survives kill -9 but not a power cut.
  enum class Durability { kFdatasync, kOs };
  Durability durability = Durability::kFdatasync;
  // Zeros that a segment has ahead of its frames, at most: a sync of bytes that
  // the file has already costs the file system a fraction of one that makes
  // the file longer. They grow with the segment and go when it is left. 0:
  // none; none under kOs either.
  uint64_t room_bytes_max = 0;
  // How long a group waits for company. 0: the frames that come while one
  // group is being synced are the next group.
  absl::Duration group_delay = absl::ZeroDuration();
};

class FileLog final : public Log {
 public:
  // Creates `directory` (its parent exists) or opens it and cuts a torn tail.
  // `files` outlives the log. kDataLoss for a damaged segment header or a
  // missing segment, kFailedPrecondition for a format of another version,
  // kUnavailable if the disk refuses. Damaged frames are Replay's to report.
  static absl::StatusOr<std::unique_ptr<FileLog>> Open(
      const std::string& directory, const FileLogOptions& options,
      FileLayer& files);

  // Writes, syncs and answers what is queued.
  ~FileLog() override;

  // Besides what Log says: kOutOfRange if `payload` alone is over
  // inflight_bytes_max, which repeating cannot help.
  absl::StatusOr<LogPosition> Append(std::string_view payload,
                                     Done done) override;
  absl::Status Replay(
      LogPosition from,
      absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
          visit) override;
  absl::Status Trim(LogPosition position) override;
  LogPosition next() const override;
  uint64_t bytes_on_disk() const override;

 private:
  struct Pending {
    LogPosition position;
    std::string payload;
    Done done;
  };
  static constexpr std::string_view kSegmentSuffix = ".log";
  static constexpr std::string_view kNewSuffix = ".new";
  static constexpr std::string_view kEndName = "end";

  // A segment on disk. Its frames lie in [kSegmentHeaderBytes, end_bytes) and
  // at positions below end_position; what is above is void.
  struct Segment {
    SegmentHeader header;
    uint64_t end_bytes = 0;
    LogPosition end_position = 0;
  };

  FileLog(std::string directory, const FileLogOptions& options,
          FileLayer& files);

  // file_log_recovery.cc
  static std::optional<uint64_t> GenerationOf(std::string_view name);
  absl::Status Recover();
  absl::StatusOr<EndRecord> ReadEndRecord();
  absl::StatusOr<std::vector<Segment>> ReadHeaders();
  absl::Status SettleEnds(const EndRecord& end, std::vector<Segment>* segments);
  absl::Status ReplaySegment(
      const Segment& segment, LogPosition from,
      absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
          visit);

  void Run();
  bool TakeGroup(std::vector<Pending>* group);
  absl::Status WriteGroup(const std::vector<Pending>& group);
  absl::Status Refuse(const absl::Status& cause);
  void MakeRoom(uint64_t from);
  void ReplaceSegment();
  absl::Status StartSegment(LogPosition first);
  absl::StatusOr<std::unique_ptr<File>> CreateWhole(const std::string& path,
                                                    std::string_view bytes);
  void AbandonSegment();
  void LeaveSegment();
  absl::Status RecordEnd();
  absl::Status WriteEndRecord(const EndRecord& record);
  std::string PathOf(uint64_t generation) const;

  const std::string directory_;
  const FileLogOptions options_;
  FileLayer& files_;

  // Of the log's thread alone, once Open is over.
  std::unique_ptr<File> file_;      // being written; null: start a new one
  SegmentHeader header_;            // of file_
  uint64_t file_bytes_ = 0;         // where file_'s next frame goes
  uint64_t room_end_ = 0;           // where file_'s zeros end
  std::unique_ptr<File> end_file_;  // holds the end record
  // The end of a segment that was left, until a newer header vouches for it.
  std::optional<EndRecord> unrecorded_;
  bool failing_ = false;   // the last group was refused
  bool recording_ = true;  // the last end record was written
  std::string buffer_;     // a group as bytes

  mutable Mutex mutex_;  // never held across file calls or callbacks
  CondVar wake_, replaced_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool appended_ ABSL_GUARDED_BY(mutex_) = false;
  bool replace_ ABSL_GUARDED_BY(mutex_) = false;  // the newest segment
  std::deque<Pending> queue_ ABSL_GUARDED_BY(mutex_);
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t inflight_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  LogPosition next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::deque<Segment> segments_ ABSL_GUARDED_BY(mutex_);  // oldest first

  Mutex trim_mutex_;  // one Trim at a time; held across file calls
  std::jthread thread_;
};

}  // namespace vigie::store
