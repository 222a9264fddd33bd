// Arbitrary bytes as a segment: nothing may be read outside them, and what the
// scan says about itself must hold together. The first byte chooses between
// raw bytes and damage done to a sound segment, which random bytes never are.
#include <algorithm>
#include <string>

#include "base/check.h"
#include "store/log_format.h"

namespace {

using vigie::store::AppendFrame;
using vigie::store::DecodeEndRecord;
using vigie::store::DecodeSegmentHeader;
using vigie::store::EncodeSegmentHeader;
using vigie::store::kSegmentHeaderBytes;
using vigie::store::LogPosition;
using vigie::store::ScanSegment;
using vigie::store::SegmentHeader;

void Scan(const SegmentHeader& header, std::string_view segment,
          uint64_t vouched_bytes) {
  LogPosition next = header.first_position;
  const auto scan =
      ScanSegment(header, segment, vouched_bytes,
                  [&](LogPosition position, std::string_view payload) {
                    VIGIE_CHECK(position == next++);
                    VIGIE_CHECK(payload.size() <= segment.size());
                    return absl::OkStatus();
                  });
  VIGIE_CHECK(scan.ok());
  VIGIE_CHECK(scan->end_position == next);
  VIGIE_CHECK(scan->end_bytes <=
              std::max<uint64_t>(segment.size(), kSegmentHeaderBytes));
  if (vouched_bytes > scan->end_bytes) VIGIE_CHECK(scan->damage.has_value());
  if (scan->damage) {
    VIGIE_CHECK(scan->damage->begin == scan->end_bytes);
    VIGIE_CHECK(scan->damage->begin <= scan->damage->end);
  }
}

// A sound segment whose payloads are the input, then damaged by it.
void Damage(std::string_view input) {
  const SegmentHeader header = {.generation = 3, .salt = 7};
  std::string segment = EncodeSegmentHeader(header);
  LogPosition position = header.first_position;
  for (std::string_view rest = input; !rest.empty();) {
    const size_t size = std::min<size_t>(rest.size(), rest.front() & 0x1f);
    AppendFrame(header, position++, segment.size(), rest.substr(0, size),
                &segment);
    rest.remove_prefix(std::max<size_t>(size, 1));
  }
  const std::string whole = segment;
  for (size_t i = 0; i + 2 < input.size() && i < 12; i += 3) {
    const size_t at = (static_cast<uint8_t>(input[i]) << 8 |
                       static_cast<uint8_t>(input[i + 1])) %
                      segment.size();
    segment[at] = static_cast<char>(segment[at] ^ input[i + 2]);
  }
  Scan(header, segment, 0);
  Scan(header, segment, whole.size());
  // Every synced byte that changed is noticed.
  size_t frames = 0;
  const auto scan = ScanSegment(header, segment, whole.size(),
                                [&](LogPosition, std::string_view) {
                                  ++frames;
                                  return absl::OkStatus();
                                });
  const bool same =
      segment.substr(kSegmentHeaderBytes) == whole.substr(kSegmentHeaderBytes);
  VIGIE_CHECK(scan->damage.has_value() != same);
  VIGIE_CHECK(!same || frames == position - header.first_position);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  if (data[0] % 2 == 0) {
    Damage(input);
    return 0;
  }
  (void)DecodeEndRecord(input);
  const auto header = DecodeSegmentHeader(input);
  Scan(header.ok() ? *header : SegmentHeader(), input, 0);
  Scan(header.ok() ? *header : SegmentHeader(), input, data[0] * 16);
  return 0;
}
