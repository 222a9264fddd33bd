#include "store/time_column.h"

#include "store/byte_coding.h"
#include "store/chunk.h"
#include "store/integer_codec.h"

namespace vigie::store {

std::string PackTimeColumn(std::span<const uint64_t> offsets) {
  std::string packed;
  PutVarint(offsets.size(), &packed);
  EncodeIntegers(offsets, &packed);
  return packed;
}

absl::StatusOr<TimeOffsets> UnpackTimeColumn(std::string_view packed) {
  ByteReader in(packed);
  const uint64_t size = in.Varint();
  if (!in.ok() || size == 0 || size > kChunkSamplesLimit) {
    return absl::DataLossError("time column: size makes no sense");
  }
  TimeOffsets offsets(size);
  if (!DecodeIntegers(&in, offsets) || !in.empty()) {
    return absl::DataLossError("time column: damaged");
  }
  bool ascending = offsets[0] == 0;
  for (size_t i = 1; i < size; ++i) ascending &= offsets[i - 1] < offsets[i];
  if (!ascending) {
    return absl::DataLossError("time column: times do not ascend");
  }
  return offsets;
}

}  // namespace vigie::store
