// The bytes of the file log, without any file: docs/formats/log.md draws them.
// Stateless; every number is little endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/log.h"

namespace vigie::store {

inline constexpr uint32_t kLogVersion = 1;
inline constexpr uint64_t kSegmentHeaderBytes = 72;
inline constexpr uint64_t kFrameHeaderBytes = 40;
inline constexpr uint64_t kEndRecordBytes = 48;

// The first bytes of a segment. It is synced before the segment gets its name,
// and vouches for the segment before it: where that ends, and at which
// position.
struct SegmentHeader {
  uint64_t generation = 0;
  // Random, and part of every checksum: a payload cannot imitate a frame.
  uint64_t salt = 0;
  uint64_t previous_generation = 0;  // 0: none
  uint64_t previous_end_bytes = 0;
  LogPosition previous_end_position = 1;
  LogPosition first_position = 1;
};

std::string EncodeSegmentHeader(const SegmentHeader& header);
// kFailedPrecondition for another version, by name; kDataLoss for anything
// else that is not a header.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

// Where one generation ends, once that is settled: bytes above `end_bytes` are
// void, whatever they look like. One record, overwritten in place.
struct EndRecord {
  uint64_t generation = 0;  // 0: of none
  uint64_t end_bytes = 0;
  LogPosition next_position = 1;
};

std::string EncodeEndRecord(const EndRecord& record);
// Errors as DecodeSegmentHeader.
absl::StatusOr<EndRecord> DecodeEndRecord(std::string_view bytes);

// Appends one frame to `out`. `synced_bytes`: every byte of the segment below
// is synced.
void AppendFrame(const SegmentHeader& header, LogPosition position,
                 uint64_t synced_bytes, std::string_view payload,
                 std::string* out);

struct Frame {
  LogPosition position = 0;
  uint64_t synced_bytes = 0;
  uint64_t end = 0;  // offset of what follows
  std::string_view payload;
};

// The frame at `offset` of `segment`, if it is whole and undamaged.
std::optional<Frame> DecodeFrame(const SegmentHeader& header,
                                 std::string_view segment, uint64_t offset);

// Bytes that are no frame where one must be.
struct Damage {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// What the bytes of a segment say about themselves.
struct SegmentScan {
  // The whole frames from the start on.
  uint64_t end_bytes = kSegmentHeaderBytes;
  LogPosition end_position = 1;
  // By what the frames say, every byte below this was synced.
  uint64_t synced_bytes = kSegmentHeaderBytes;
  // Set if bytes after end_bytes were synced once (a later frame says so), or
  // lie below `vouched_bytes`. If not, what follows end_bytes is a torn tail.
  std::optional<Damage> damage;
  // Past the damage, if any: where the last frame that can be made out ends.
  uint64_t last_end_bytes = 0;
  LogPosition last_end_position = 0;
};

// Walks `segment` (header included), up to `vouched_bytes` if that is not 0,
// and visits every frame before the first damage. Fails only as `visit` does.
absl::StatusOr<SegmentScan> ScanSegment(
    const SegmentHeader& header, std::string_view segment,
    uint64_t vouched_bytes,
    absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
        visit);

}  // namespace vigie::store
