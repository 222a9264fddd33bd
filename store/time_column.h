// TimeColumn: the times of a chunk, as distances to its first one. Series that
// are scraped together have equal columns, so one that is not regular can be
// stored once and referred to by a number; a regular one takes no bytes.
// Bytes: docs/formats/chunk.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace vigie::store {

// Milliseconds since the first time of the chunk, ascending from 0. Unsigned:
// two times of int64_t may lie further apart than one of them reaches.
using TimeOffsets = std::vector<uint64_t>;

// Where a writer puts columns that are worth sharing.
class TimeColumnSink {
 public:
  virtual ~TimeColumnSink() = default;
  // A number for these bytes: the same for the same bytes, whatever series
  // they come from. The bytes are the caller's.
  virtual uint32_t Intern(std::string_view packed) = 0;
};

// Where a reader finds them. Decoded, as a hundred series share one.
class TimeColumnSource {
 public:
  virtual ~TimeColumnSource() = default;
  // kDataLoss if there is no such column.
  virtual absl::StatusOr<std::shared_ptr<const TimeOffsets>> Column(
      uint32_t number) = 0;
};

// Packs the offsets; the bytes say how many there are.
std::string PackTimeColumn(std::span<const uint64_t> offsets);

// kDataLoss if the bytes are not what PackTimeColumn wrote, or do not ascend
// from 0.
absl::StatusOr<TimeOffsets> UnpackTimeColumn(std::string_view packed);

}  // namespace vigie::store
