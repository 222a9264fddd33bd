#include "store/file_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::store {
namespace {

// One write and sync. Larger groups would only make the first frame wait.
constexpr uint64_t kGroupBytesMax = 8 << 20;
// A group of this size no longer waits for company: syncing it costs more
// than a sync as such.
constexpr uint64_t kGroupBytesFull = 256 << 10;
constexpr size_t kBufferBytesKept = 1 << 20;
constexpr uint64_t kRoomBytesMin = 64 << 10;

uint64_t NewSalt() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

uint64_t BytesOf(std::string_view payload) {
  return kFrameHeaderBytes + payload.size();
}

}  // namespace

FileLog::FileLog(std::string directory, const FileLogOptions& options,
                 FileLayer& files)
    : directory_(std::move(directory)), options_(options), files_(files) {}

absl::StatusOr<std::unique_ptr<FileLog>> FileLog::Open(
    const std::string& directory, const FileLogOptions& options,
    FileLayer& files) {
  std::unique_ptr<FileLog> log(new FileLog(directory, options, files));
  VIGIE_RETURN_IF_ERROR(log->Recover());
  log->thread_ = std::jthread([raw = log.get()] { raw->Run(); });
  return log;
}

FileLog::~FileLog() {
  if (!thread_.joinable()) return;  // Open failed
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

std::string FileLog::PathOf(uint64_t generation) const {
  return fmt::format("{}/{:020}{}", directory_, generation, kSegmentSuffix);
}

// --- from any thread ---

absl::StatusOr<LogPosition> FileLog::Append(std::string_view payload,
                                            Done done) {
  const uint64_t bytes_max =
      std::min<uint64_t>(options_.inflight_bytes_max, UINT32_MAX);
  const uint64_t bytes = BytesOf(payload);
  if (bytes > bytes_max) {
    return absl::OutOfRangeError(fmt::format(
        "a log frame of {} bytes is over the limit of {}", bytes, bytes_max));
  }
  LogPosition position;
  {
    MutexLock lock(mutex_);
    if (inflight_bytes_ + bytes > options_.inflight_bytes_max) {
      return absl::ResourceExhaustedError(
          fmt::format("the log has {} bytes in flight; its limit is {}",
                      inflight_bytes_, options_.inflight_bytes_max));
    }
    appended_ = true;
    position = next_++;
    inflight_bytes_ += bytes;
    queued_bytes_ += bytes;
    queue_.push_back({position, std::string(payload), std::move(done)});
  }
  wake_.NotifyOne();
  return position;
}

absl::Status FileLog::Trim(LogPosition position) {
  MutexLock trim_lock(trim_mutex_);
  {
    MutexLock lock(mutex_);
    if (!segments_.empty() && segments_.back().end_position <= position &&
        segments_.back().end_bytes >= options_.dead_bytes_max) {
      replace_ = true;
      wake_.NotifyOne();
      while (replace_ && !closing_) replaced_.Wait(mutex_);
    }
  }
  for (;;) {
    uint64_t generation;
    {
      MutexLock lock(mutex_);
      // The newest stays: it knows the positions.
      if (segments_.size() < 2 || segments_.front().end_position > position) {
        return absl::OkStatus();
      }
      generation = segments_.front().header.generation;
    }
    VIGIE_RETURN_IF_ERROR(files_.Remove(PathOf(generation)));
    // One by one, so that no power cut leaves a hole.
    VIGIE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
    MutexLock lock(mutex_);
    segments_.pop_front();
  }
}

LogPosition FileLog::next() const {
  MutexLock lock(mutex_);
  return next_;
}

uint64_t FileLog::bytes_on_disk() const {
  MutexLock lock(mutex_);
  uint64_t bytes = 0;
  for (const Segment& segment : segments_) bytes += segment.end_bytes;
  return bytes;
}

// --- the log's thread ---

void FileLog::Run() {
  std::vector<Pending> group;
  while (TakeGroup(&group)) {
    if (group.empty()) {
      ReplaceSegment();
      continue;
    }
    absl::Status status = WriteGroup(group);
    if (!status.ok()) {
      // Told once: requests that fail may come by the thousand.
      if (!failing_) {
        spdlog::warn("{}; moving {} frames to a new segment", MessageOf(status),
                     group.size());
      }
      status = WriteGroup(group);
    }
    if (status.ok() && failing_) {
      spdlog::info("{}: can be written again", directory_);
    }
    failing_ = !status.ok();
    if (!status.ok()) status = Refuse(status);
    uint64_t bytes = 0;
    for (Pending& frame : group) {
      bytes += BytesOf(frame.payload);
      std::move(frame.done)(status);
    }
    group.clear();
    {
      MutexLock lock(mutex_);
      inflight_bytes_ -= bytes;
    }
    if (file_ != nullptr && file_bytes_ >= options_.segment_bytes) {
      LeaveSegment();
    }
  }
  if (file_ == nullptr) return;
  LeaveSegment();
  const absl::Status status = RecordEnd();
  if (!status.ok()) spdlog::warn("{}", MessageOf(status));
}

// By an empty one, which knows the positions as well.
void FileLog::ReplaceSegment() {
  LogPosition first = 1;
  bool dead = false;
  {
    MutexLock lock(mutex_);
    first = queue_.empty() ? next_ : queue_.front().position;
    dead = segments_.back().end_bytes >= options_.dead_bytes_max;
  }
  if (dead) {
    if (file_ != nullptr) LeaveSegment();
    if (absl::Status status = StartSegment(first); !status.ok()) {
      spdlog::warn("{}", MessageOf(status));  // the next frame tries again
    }
  }
  MutexLock lock(mutex_);
  replace_ = false;
  replaced_.NotifyAll();
}

absl::Status FileLog::Refuse(const absl::Status& cause) {
  const absl::Status status = RecordEnd();
  if (!status.ok() && std::exchange(recording_, false)) {
    spdlog::error(
        "{}; until the log can be written again, a power cut may bring back "
        "frames that were refused",
        MessageOf(status));
  }
  return absl::UnavailableError(
      fmt::format("the log cannot be written: {}", MessageOf(cause)));
}

bool FileLog::TakeGroup(std::vector<Pending>* group) {
  MutexLock lock(mutex_);
  while (queue_.empty() && !closing_ && !replace_) wake_.Wait(mutex_);
  if (queue_.empty() && !closing_) return true;  // only to replace the segment
  const auto until = std::chrono::steady_clock::now() +
                     absl::ToChronoNanoseconds(options_.group_delay);
  while (!closing_ && queued_bytes_ < kGroupBytesFull) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero() || !wake_.WaitFor(mutex_, left)) break;
  }
  uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kGroupBytesMax) {
    bytes += BytesOf(queue_.front().payload);
    group->push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  return !group->empty();
}

absl::Status FileLog::WriteGroup(const std::vector<Pending>& group) {
  if (file_ == nullptr) {
    VIGIE_RETURN_IF_ERROR(StartSegment(group.front().position));
  }
  const bool sync =
      options_.durability == FileLogOptions::Durability::kFdatasync;
  buffer_.clear();
  for (const Pending& frame : group) {
    AppendFrame(header_, frame.position, sync ? file_bytes_ : 0, frame.payload,
                &buffer_);
  }
  absl::Status status = file_->WriteAt(file_bytes_, buffer_);
  if (status.ok() && sync) {
    MakeRoom(file_bytes_ + buffer_.size());
    status = file_->Sync();
  }
  if (!status.ok()) {
    AbandonSegment();
    return status;
  }
  file_bytes_ += buffer_.size();
  if (buffer_.capacity() > kBufferBytesKept) {
    buffer_.clear();
    buffer_.shrink_to_fit();
  }
  MutexLock lock(mutex_);
  segments_.back().end_bytes = file_bytes_;
  segments_.back().end_position = group.back().position + 1;
  return absl::OkStatus();
}

// Synced with the group before it. As much as the segment holds, so that a
// small log stays small.
void FileLog::MakeRoom(uint64_t from) {
  if (from <= room_end_ || from >= options_.segment_bytes) return;
  const uint64_t bytes =
      std::min({std::max(from, kRoomBytesMin), options_.room_bytes_max,
                options_.segment_bytes - from});
  if (bytes == 0) return;
  static const std::string zeros(kRoomBytesMin, '\0');
  absl::Status status;
  for (uint64_t at = 0; at < bytes && status.ok(); at += zeros.size()) {
    status = file_->WriteAt(from + at, std::string_view(zeros).substr(
                                           0, static_cast<size_t>(bytes - at)));
  }
  if (status.ok()) {
    room_end_ = from + bytes;
    return;
  }
  // Frames do without; what was taken is given back.
  file_->Truncate(from).IgnoreError();
  room_end_ = options_.segment_bytes;
}

absl::Status FileLog::StartSegment(LogPosition first) {
  SegmentHeader header{.generation = 1, .salt = NewSalt()};
  header.first_position = first;
  header.previous_end_position = 1;
  {
    MutexLock lock(mutex_);
    if (!segments_.empty()) {
      const Segment& last = segments_.back();
      header.generation = last.header.generation + 1;
      header.previous_generation = last.header.generation;
      header.previous_end_bytes = last.end_bytes;
      header.previous_end_position = last.end_position;
    }
  }
  const std::string path = PathOf(header.generation);
  VIGIE_ASSIGN_OR_RETURN(auto file,
                         CreateWhole(path, EncodeSegmentHeader(header)));
  {
    // In the chain from here on, even if the directory is not synced: whether
    // a power cut takes the name away or not, it holds no frame.
    MutexLock lock(mutex_);
    segments_.push_back({.header = header,
                         .end_bytes = kSegmentHeaderBytes,
                         .end_position = first});
  }
  VIGIE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  unrecorded_.reset();
  header_ = header;
  file_ = std::move(file);
  file_bytes_ = kSegmentHeaderBytes;
  room_end_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<File>> FileLog::CreateWhole(
    const std::string& path, std::string_view bytes) {
  const std::string path_new = fmt::format("{}{}", path, kNewSuffix);
  auto file = files_.Create(path_new);
  if (absl::IsAlreadyExists(file.status())) {
    // Left by an attempt that could not even remove it.
    VIGIE_RETURN_IF_ERROR(files_.Remove(path_new));
    file = files_.Create(path_new);
  }
  if (!file.ok()) return file.status();
  absl::Status status = (*file)->WriteAt(0, bytes);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = files_.Rename(path_new, path);
  if (status.ok()) return file;
  files_.Remove(path_new).IgnoreError();
  return status;
}

void FileLog::AbandonSegment() {
  // Enough for kill -9; a power cut needs the next segment's header or the end
  // record.
  const absl::Status status = file_->Truncate(file_bytes_);
  if (!status.ok()) spdlog::warn("{}", MessageOf(status));
  room_end_ = 0;
  LeaveSegment();
}

void FileLog::LeaveSegment() {
  if (room_end_ > file_bytes_) {
    const absl::Status status = file_->Truncate(file_bytes_);
    if (!status.ok()) spdlog::warn("{}", MessageOf(status));
  }
  if (options_.durability == FileLogOptions::Durability::kOs) {
    // What comes next vouches for this segment, so it has to be there.
    const absl::Status status = file_->Sync();
    if (!status.ok()) spdlog::warn("{}", MessageOf(status));
  }
  unrecorded_ =
      EndRecord{.generation = header_.generation, .end_bytes = file_bytes_};
  file_.reset();
}

absl::Status FileLog::RecordEnd() {
  if (!unrecorded_) return absl::OkStatus();
  unrecorded_->next_position = next();
  VIGIE_RETURN_IF_ERROR(WriteEndRecord(*unrecorded_));
  unrecorded_.reset();
  recording_ = true;
  return absl::OkStatus();
}

absl::Status FileLog::WriteEndRecord(const EndRecord& record) {
  const std::string bytes = EncodeEndRecord(record);
  if (end_file_ != nullptr) {
    absl::Status status = end_file_->WriteAt(0, bytes);
    if (status.ok()) status = end_file_->Sync();
    // Like any other file it is not synced again after an error.
    if (!status.ok()) end_file_.reset();
    return status;
  }
  VIGIE_ASSIGN_OR_RETURN(
      end_file_,
      CreateWhole(fmt::format("{}/{}", directory_, kEndName), bytes));
  return files_.SyncDirectory(directory_);
}

}  // namespace vigie::store
