// What a FileLog finds when it opens, and what it replays.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/file_log.h"

namespace vigie::store {
namespace {

absl::Status VisitNone(LogPosition, std::string_view) {
  return absl::OkStatus();
}

}  // namespace

// Nothing if it is not the name of a segment.
std::optional<uint64_t> FileLog::GenerationOf(std::string_view name) {
  if (!name.ends_with(kSegmentSuffix)) return std::nullopt;
  name.remove_suffix(kSegmentSuffix.size());
  uint64_t generation = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), generation);
  if (error != std::errc() || end != name.data() + name.size()) {
    return std::nullopt;
  }
  return generation;
}

// On the opening thread, before the log's own starts.

absl::Status FileLog::Recover() {
  VIGIE_RETURN_IF_ERROR(files_.CreateDirectory(directory_));
  const auto parent = std::filesystem::path(directory_).parent_path();
  VIGIE_RETURN_IF_ERROR(
      files_.SyncDirectory(parent.empty() ? "." : parent.string()));
  VIGIE_ASSIGN_OR_RETURN(const EndRecord end, ReadEndRecord());
  VIGIE_ASSIGN_OR_RETURN(std::vector<Segment> segments, ReadHeaders());
  // The names that were read are what the end record may forget about.
  VIGIE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  VIGIE_RETURN_IF_ERROR(SettleEnds(end, &segments));

  EndRecord settled = {.next_position = end.next_position};
  if (!segments.empty()) {
    const Segment& last = segments.back();
    settled.generation = last.header.generation;
    settled.end_bytes = last.end_bytes;
    settled.next_position = std::max(settled.next_position, last.end_position);
  }
  // Also makes the file that a full disk will be in need of.
  if (end_file_ == nullptr || settled.generation != end.generation) {
    const absl::Status status = WriteEndRecord(settled);
    if (!status.ok()) spdlog::warn("{}", MessageOf(status));
  }
  MutexLock lock(mutex_);
  next_ = settled.next_position;
  segments_.assign(segments.begin(), segments.end());
  return absl::OkStatus();
}

absl::StatusOr<EndRecord> FileLog::ReadEndRecord() {
  const std::string path = fmt::format("{}/{}", directory_, kEndName);
  auto file = files_.Open(path);
  if (absl::IsNotFound(file.status())) return EndRecord();
  if (!file.ok()) return file.status();
  VIGIE_ASSIGN_OR_RETURN(const std::string bytes,
                         (*file)->ReadAt(0, kEndRecordBytes));
  auto record = DecodeEndRecord(bytes);
  if (absl::IsFailedPrecondition(record.status())) {
    return Prefixed(path, record.status());
  }
  end_file_ = *std::move(file);
  if (!record.ok()) {
    // Torn while it was overwritten, before anyone relied on it.
    spdlog::warn("{}: {}; going by the frames alone", path,
                 MessageOf(record.status()));
    return EndRecord();
  }
  return record;
}

absl::StatusOr<std::vector<FileLog::Segment>> FileLog::ReadHeaders() {
  VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         files_.List(directory_));
  std::vector<Segment> segments;
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", directory_, name);
    if (name.ends_with(kNewSuffix)) {
      // Never got its name, so it never held a frame.
      VIGIE_RETURN_IF_ERROR(files_.Remove(path));
      continue;
    }
    const auto generation = GenerationOf(name);
    if (!generation) continue;
    VIGIE_ASSIGN_OR_RETURN(const auto file, files_.Open(path));
    VIGIE_ASSIGN_OR_RETURN(const std::string bytes,
                           file->ReadAt(0, kSegmentHeaderBytes));
    auto header = DecodeSegmentHeader(bytes);
    if (!header.ok()) return Prefixed(path, header.status());
    if (header->generation != *generation) {
      return absl::DataLossError(fmt::format(
          "{}: holds generation {}: renamed?", path, header->generation));
    }
    segments.push_back({.header = *header});
  }
  std::sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) {
    return a.header.generation < b.header.generation;
  });
  return segments;
}

absl::Status FileLog::SettleEnds(const EndRecord& end,
                                 std::vector<Segment>* segments) {
  // Each header vouches for the segment before it ...
  for (size_t i = 0; i + 1 < segments->size(); ++i) {
    const SegmentHeader& next = (*segments)[i + 1].header;
    if (next.previous_generation != (*segments)[i].header.generation) {
      return absl::DataLossError(fmt::format(
          "{}: missing; it ends at position {}",
          PathOf(next.previous_generation), next.previous_end_position));
    }
    (*segments)[i].end_bytes = next.previous_end_bytes;
    (*segments)[i].end_position = next.previous_end_position;
  }
  if (segments->empty()) return absl::OkStatus();

  // ... and for the last one there is the end record, or what it says itself.
  Segment& last = segments->back();
  const std::string path = PathOf(last.header.generation);
  VIGIE_ASSIGN_OR_RETURN(const auto file, files_.Open(path));
  VIGIE_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  VIGIE_ASSIGN_OR_RETURN(const std::string bytes, file->ReadAt(0, size));
  const bool recorded = end.generation == last.header.generation;
  VIGIE_ASSIGN_OR_RETURN(
      const SegmentScan scan,
      ScanSegment(last.header, bytes, recorded ? end.end_bytes : 0, VisitNone));
  if (scan.damage) {
    // Replay reports it. What follows must not take positions for new ones.
    last.end_bytes = recorded ? end.end_bytes : scan.last_end_bytes;
    last.end_position =
        recorded ? std::max(scan.last_end_position, end.next_position)
                 : scan.last_end_position;
    return absl::OkStatus();
  }
  last.end_bytes = scan.end_bytes;
  last.end_position = scan.end_position;
  if (recorded) return absl::OkStatus();
  if (scan.end_bytes < size) {
    // Zeros are room that was made ahead.
    if (bytes.find_first_not_of('\0', scan.end_bytes) != bytes.npos) {
      spdlog::info("{}: cutting a torn tail, bytes {}-{}", path, scan.end_bytes,
                   size);
    }
    VIGIE_RETURN_IF_ERROR(file->Truncate(scan.end_bytes));
  }
  // A frame that was written but not synced is about to become visible.
  // Syncing alone would not do: had the last process died right after a sync
  // that failed, the kernel would hold these pages for clean. So write them
  // again.
  const uint64_t synced = std::min(scan.synced_bytes, scan.end_bytes);
  VIGIE_RETURN_IF_ERROR(file->WriteAt(
      synced, std::string_view(bytes).substr(synced, scan.end_bytes - synced)));
  return file->Sync();
}

absl::Status FileLog::Replay(
    LogPosition from,
    absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
        visit) {
  std::vector<Segment> segments;
  {
    MutexLock lock(mutex_);
    if (appended_) {
      return absl::FailedPreconditionError(
          "the log is replayed before the first append only");
    }
    segments.assign(segments_.begin(), segments_.end());
    // Others hold more than this log does, as after a power cut under `os`:
    // their positions are taken.
    next_ = std::max(next_, from);
  }
  from = std::max<LogPosition>(from, 1);
  // What others hold was synced here first, so the log went on up to there.
  if (!segments.empty() && segments.back().end_position < from &&
      options_.durability == FileLogOptions::Durability::kFdatasync) {
    return absl::DataLossError(fmt::format(
        "{}: ends at byte {}, position {}, although the log went on to "
        "position {} at least: it has been cut (after a power cut under "
        "durability os, start under os once)",
        PathOf(segments.back().header.generation), segments.back().end_bytes,
        segments.back().end_position, from));
  }
  if (!segments.empty() &&
      segments.front().header.previous_end_position > from) {
    return absl::DataLossError(
        fmt::format("{}: the segments before it are missing: positions {}-{}",
                    PathOf(segments.front().header.generation), from,
                    segments.front().header.previous_end_position - 1));
  }
  for (const Segment& segment : segments) {
    if (segment.end_position <= from) continue;
    VIGIE_RETURN_IF_ERROR(ReplaySegment(segment, from, visit));
  }
  return absl::OkStatus();
}

absl::Status FileLog::ReplaySegment(
    const Segment& segment, LogPosition from,
    absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
        visit) {
  const std::string path = PathOf(segment.header.generation);
  VIGIE_ASSIGN_OR_RETURN(const auto file, files_.Open(path));
  VIGIE_ASSIGN_OR_RETURN(const std::string bytes,
                         file->ReadAt(0, segment.end_bytes));
  VIGIE_ASSIGN_OR_RETURN(
      const SegmentScan scan,
      ScanSegment(segment.header, bytes, segment.end_bytes,
                  [&](LogPosition position, std::string_view payload) {
                    return position < from ? absl::OkStatus()
                                           : visit(position, payload);
                  }));
  if (!scan.damage) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "{}: bytes {}-{} are damaged; they were synced, and hold frames from "
      "position {} on",
      path, scan.damage->begin, scan.damage->end, scan.end_position));
}

}  // namespace vigie::store
