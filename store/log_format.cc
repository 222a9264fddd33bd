#include "store/log_format.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/status_macros.h"

namespace vigie::store {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kSegmentMagic = "VIGIELOG";
constexpr std::string_view kEndMagic = "VIGIEEND";
constexpr std::string_view kFrameMagic = "vgF\xa5";

template <class T>
void Put(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class T>
T Get(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

uint64_t Hash(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// A frame is valid in its own generation of its own segment only.
uint64_t SeedOf(const SegmentHeader& header) {
  const uint64_t parts[] = {header.salt, header.generation};
  return XXH3_64bits(parts, sizeof(parts));
}

// Both records start with magic and version and end with a checksum.
absl::Status CheckRecord(std::string_view what, std::string_view magic,
                         std::string_view bytes, uint64_t size) {
  if (bytes.size() < size || !bytes.starts_with(magic)) {
    return absl::DataLossError(fmt::format("bytes 0-{}: not a {} of a log",
                                           std::min(bytes.size(), size), what));
  }
  const auto version = Get<uint32_t>(bytes, magic.size());
  if (version != kLogVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "log format version {}; this vigie reads and writes version {}",
        version, kLogVersion));
  }
  const uint64_t body = size - sizeof(uint64_t);
  if (Get<uint64_t>(bytes, body) != Hash(bytes.substr(0, body), 0)) {
    return absl::DataLossError(
        fmt::format("bytes 0-{}: checksum mismatch in the {}", size, what));
  }
  return absl::OkStatus();
}

void PutStart(std::string_view magic, std::string* out) {
  out->append(magic);
  Put(kLogVersion, out);
  Put(uint32_t{0}, out);
}

// A frame's header alone, whether or not its payload is whole.
struct FrameHeader {
  uint32_t payload_bytes;
  LogPosition position;
  uint64_t synced_bytes;
  uint64_t payload_hash;
};

std::optional<FrameHeader> DecodeFrameHeader(uint64_t seed,
                                             std::string_view segment,
                                             uint64_t offset) {
  if (offset > segment.size() || segment.size() - offset < kFrameHeaderBytes) {
    return std::nullopt;
  }
  const std::string_view bytes = segment.substr(offset, kFrameHeaderBytes);
  constexpr uint64_t kBody = kFrameHeaderBytes - sizeof(uint64_t);
  if (!bytes.starts_with(kFrameMagic) ||
      Get<uint64_t>(bytes, kBody) != Hash(bytes.substr(0, kBody), seed)) {
    return std::nullopt;
  }
  return FrameHeader{.payload_bytes = Get<uint32_t>(bytes, 4),
                     .position = Get<uint64_t>(bytes, 8),
                     .synced_bytes = Get<uint64_t>(bytes, 16),
                     .payload_hash = Get<uint64_t>(bytes, 24)};
}

// Looks past bytes that are no frame. Headers suffice: their checksum is
// salted, so nothing that a sender wrote can pass for one, and a search costs
// no payload hash however many magics a payload holds.
void LookPastDamage(const SegmentHeader& header, std::string_view segment,
                    uint64_t vouched_bytes, SegmentScan* scan) {
  const uint64_t begin = scan->end_bytes;
  const uint64_t seed = SeedOf(header);
  bool synced = begin < vouched_bytes;
  std::optional<uint64_t> next_frame;
  scan->last_end_bytes = begin;
  scan->last_end_position = scan->end_position;
  for (uint64_t at = begin;; ++at) {
    at = segment.find(kFrameMagic, at);
    if (at == std::string_view::npos) break;
    const auto frame = DecodeFrameHeader(seed, segment, at);
    if (!frame || frame->position < scan->end_position) continue;
    synced |= frame->synced_bytes > begin;
    if (at > begin && !next_frame) next_frame = at;
    scan->last_end_bytes = std::min<uint64_t>(
        segment.size(), at + kFrameHeaderBytes + frame->payload_bytes);
    scan->last_end_position =
        std::max(scan->last_end_position, frame->position + 1);
  }
  if (!synced) return;
  const uint64_t end = std::max<uint64_t>(
      begin, vouched_bytes != 0 ? vouched_bytes : segment.size());
  scan->damage = Damage{.begin = begin, .end = next_frame.value_or(end)};
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string out;
  PutStart(kSegmentMagic, &out);
  Put(header.generation, &out);
  Put(header.salt, &out);
  Put(header.previous_generation, &out);
  Put(header.previous_end_bytes, &out);
  Put(header.previous_end_position, &out);
  Put(header.first_position, &out);
  Put(Hash(out, 0), &out);
  return out;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  VIGIE_RETURN_IF_ERROR(
      CheckRecord("segment header", kSegmentMagic, bytes, kSegmentHeaderBytes));
  return SegmentHeader{.generation = Get<uint64_t>(bytes, 16),
                       .salt = Get<uint64_t>(bytes, 24),
                       .previous_generation = Get<uint64_t>(bytes, 32),
                       .previous_end_bytes = Get<uint64_t>(bytes, 40),
                       .previous_end_position = Get<uint64_t>(bytes, 48),
                       .first_position = Get<uint64_t>(bytes, 56)};
}

std::string EncodeEndRecord(const EndRecord& record) {
  std::string out;
  PutStart(kEndMagic, &out);
  Put(record.generation, &out);
  Put(record.end_bytes, &out);
  Put(record.next_position, &out);
  Put(Hash(out, 0), &out);
  return out;
}

absl::StatusOr<EndRecord> DecodeEndRecord(std::string_view bytes) {
  VIGIE_RETURN_IF_ERROR(
      CheckRecord("end record", kEndMagic, bytes, kEndRecordBytes));
  return EndRecord{.generation = Get<uint64_t>(bytes, 16),
                   .end_bytes = Get<uint64_t>(bytes, 24),
                   .next_position = Get<uint64_t>(bytes, 32)};
}

void AppendFrame(const SegmentHeader& header, LogPosition position,
                 uint64_t synced_bytes, std::string_view payload,
                 std::string* out) {
  const uint64_t seed = SeedOf(header);
  const size_t start = out->size();
  out->append(kFrameMagic);
  Put(static_cast<uint32_t>(payload.size()), out);
  Put(position, out);
  Put(synced_bytes, out);
  Put(Hash(payload, seed), out);
  Put(Hash(std::string_view(*out).substr(start), seed), out);
  out->append(payload);
}

std::optional<Frame> DecodeFrame(const SegmentHeader& header,
                                 std::string_view segment, uint64_t offset) {
  const uint64_t seed = SeedOf(header);
  const auto frame = DecodeFrameHeader(seed, segment, offset);
  if (!frame) return std::nullopt;
  const uint64_t start = offset + kFrameHeaderBytes;
  if (segment.size() - start < frame->payload_bytes) return std::nullopt;
  const std::string_view payload = segment.substr(start, frame->payload_bytes);
  if (Hash(payload, seed) != frame->payload_hash) return std::nullopt;
  return Frame{.position = frame->position,
               .synced_bytes = frame->synced_bytes,
               .end = start + frame->payload_bytes,
               .payload = payload};
}

absl::StatusOr<SegmentScan> ScanSegment(
    const SegmentHeader& header, std::string_view segment,
    uint64_t vouched_bytes,
    absl::FunctionRef<absl::Status(LogPosition, std::string_view payload)>
        visit) {
  if (vouched_bytes != 0) segment = segment.substr(0, vouched_bytes);
  SegmentScan scan;
  scan.end_position = header.first_position;
  while (scan.end_bytes < segment.size()) {
    const auto frame = DecodeFrame(header, segment, scan.end_bytes);
    if (!frame || frame->position != scan.end_position) break;
    VIGIE_RETURN_IF_ERROR(visit(frame->position, frame->payload));
    scan.synced_bytes = std::max(scan.synced_bytes, frame->synced_bytes);
    scan.end_bytes = frame->end;
    ++scan.end_position;
  }
  const bool whole =
      scan.end_bytes == segment.size() && scan.end_bytes >= vouched_bytes;
  if (!whole) LookPastDamage(header, segment, vouched_bytes, &scan);
  return scan;
}

}  // namespace vigie::store
