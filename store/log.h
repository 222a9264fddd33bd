// Log: the seam behind which samples become durable, in terms of positions,
// so that a replicated log can stand in one day. One writer appends; the
// implementation syncs in groups and tells when a position is durable.
// Bytes of the file implementation: docs/formats/log.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::store {

// Counts frames, from 1, over the life of the data directory; never reused.
using LogPosition = uint64_t;

class Log {
 public:
  virtual ~Log() = default;

  // Runs `done` once, on the log's thread and in order of positions: OK when
  // the frame and all before it are synced; kUnavailable, naming the cause
  // (disk full, EIO), when it could not be, and then it never will be: the
  // frame is not replayed. kResourceExhausted at once, with `done` not called,
  // when too many bytes wait.
  // The bytes of `payload` are copied or written before this returns.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;
  virtual absl::StatusOr<LogPosition> Append(std::string_view payload,
                                             Done done) = 0;

  // Visits the frames at or after `from` in order. kDataLoss, naming file and
  // range, where bytes below the last synced offset are damaged; the frames
  // before them have been visited. A torn tail above it is not an error.
  // Only before the first Append.
  virtual absl::Status Replay(
      LogPosition from,
      absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
          visit) = 0;

  // Everything below `position` is held elsewhere, durably: may be deleted.
  virtual absl::Status Trim(LogPosition position) = 0;

  // The position that the next Append will get.
  virtual LogPosition next() const = 0;
  virtual uint64_t bytes_on_disk() const = 0;
};

}  // namespace vigie::store
