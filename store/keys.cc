#include "store/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/status_macros.h"
#include "store/batch_record.h"
#include "store/byte_coding.h"

namespace vigie::store {
namespace {

constexpr uint8_t kRowVersion = 1;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("{}: damaged", what));
}

uint32_t Biased(int32_t window) {
  return static_cast<uint32_t>(window) ^ 0x80000000u;  // sorts below zero first
}

int32_t Unbiased(uint32_t biased) {
  return static_cast<int32_t>(biased ^ 0x80000000u);
}

std::string Row() { return std::string(1, static_cast<char>(kRowVersion)); }

absl::Status TakeVersion(std::string_view what, ByteReader* in) {
  const uint8_t version = in->Byte();
  if (!in->ok()) return Damaged(what);
  if (version != kRowVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: version {}, this program knows {}", what, version, kRowVersion));
  }
  return absl::OkStatus();
}

}  // namespace

std::string LatePlace(int32_t window) {
  std::string place;
  PutBigEndian32(Biased(window), &place);
  return place;
}

std::string ColdPlace(int32_t day, uint32_t generation) {
  std::string place;
  PutBigEndian32(Biased(day), &place);
  PutBigEndian32(generation, &place);
  return place;
}

std::string EndOfPlace(std::string_view place) {
  std::string end(place);
  while (!end.empty() && end.back() == '\xFF') end.pop_back();
  if (end.empty()) return std::string(512, '\xFF');  // longer than any key
  ++end.back();
  return end;
}

std::string SeriesPrefix(std::string_view place, std::string_view tenant,
                         uint32_t metric_hash, uint64_t series_id) {
  VIGIE_CHECK(!tenant.empty() && tenant.size() <= kTenantBytesMax);
  std::string key;
  key.reserve(place.size() + 1 + tenant.size() + 4 + 8 + 8);
  key.append(place);
  key.push_back(static_cast<char>(tenant.size()));
  key.append(tenant);
  PutBigEndian32(metric_hash, &key);
  PutBigEndian64(series_id, &key);
  return key;
}

std::string ChunkKey(std::string_view series_prefix, uint32_t start_ms,
                     uint32_t seal) {
  std::string key(series_prefix);
  PutBigEndian32(start_ms, &key);
  PutBigEndian32(seal, &key);
  return key;
}

absl::StatusOr<ChunkKeyParts> ParseChunkKey(std::string_view key) {
  ByteReader in(key);
  ChunkKeyParts parts;
  parts.tenant = in.Bytes(in.Byte());
  parts.metric_hash = in.BigEndian32();
  parts.series_id = in.BigEndian64();
  parts.start_ms = in.BigEndian32();
  parts.seal = in.BigEndian32();
  if (!in.ok() || !in.empty() || parts.tenant.empty()) {
    return Damaged("chunk key");
  }
  return parts;
}

std::string TimeColumnKey(std::string_view place, uint32_t seal,
                          uint32_t number) {
  std::string key(place);
  key.push_back('\0');  // no tenant's name is empty
  PutBigEndian32(seal, &key);
  PutBigEndian32(number, &key);
  return key;
}

std::string FirstChunkKey(std::string_view place) {
  return std::string(place) + '\x01';
}

std::string SealedWindowKey(int32_t window, uint32_t seal) {
  std::string key = "h";
  PutBigEndian32(Biased(window), &key);
  PutBigEndian32(seal, &key);
  return key;
}

std::string EncodeSealedWindow(const SealedWindow& row) {
  std::string value = Row();
  value.push_back(row.late ? '\1' : '\0');
  PutVarint(row.samples, &value);
  PutVarint(row.chunks, &value);
  PutVarint(row.bytes, &value);
  PutVarint(row.longest_ms, &value);
  return value;
}

std::string ColdDayKey(int32_t day, int64_t resolution_ms) {
  std::string key = resolution_ms == 0 ? "d" : "r";
  PutBigEndian32(Biased(day), &key);
  if (resolution_ms != 0) {
    PutBigEndian32(static_cast<uint32_t>(resolution_ms / 1000), &key);
  }
  return key;
}

std::string EncodeColdDay(const ColdDay& row) {
  std::string value = Row();
  PutVarint(row.generation, &value);
  PutVarint(row.samples, &value);
  PutVarint(row.chunks, &value);
  PutVarint(row.bytes, &value);
  PutVarint(row.longest_ms, &value);
  return value;
}

std::string EncodeNextGeneration(uint32_t generation) {
  std::string value = Row();
  PutVarint(generation, &value);
  return value;
}

absl::StatusOr<WindowsRow> ParseWindowsRow(std::string_view key,
                                           std::string_view value) {
  WindowsRow row;
  ByteReader name(key), in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("windows row", &in));
  switch (name.Byte()) {
    case 'd':
    case 'r':
      row.kind = WindowsRow::Kind::kColdDay;
      row.day.day = Unbiased(name.BigEndian32());
      if (key[0] == 'r') row.day.resolution_ms = name.BigEndian32() * 1000LL;
      row.day.generation = static_cast<uint32_t>(in.Varint());
      row.day.samples = in.Varint();
      row.day.chunks = in.Varint();
      row.day.bytes = in.Varint();
      if (!in.empty()) {
        row.day.longest_ms = std::min<uint64_t>(in.Varint(), kDayMs);
      }
      break;
    case 'h':
      row.kind = WindowsRow::Kind::kSealedWindow;
      row.window.window = Unbiased(name.BigEndian32());
      row.window.seal = name.BigEndian32();
      row.window.late = in.Byte() != 0;
      row.window.samples = in.Varint();
      row.window.chunks = in.Varint();
      row.window.bytes = in.Varint();
      if (!in.empty()) {
        row.window.longest_ms = std::min<uint64_t>(in.Varint(), kWindowMs);
      }
      break;
    case 'g':
      row.kind = WindowsRow::Kind::kNextGeneration;
      row.next_generation = static_cast<uint32_t>(in.Varint());
      break;
    default:
      return Damaged("windows row");
  }
  if (!name.ok() || !name.empty() || !in.ok() || !in.empty()) {
    return Damaged("windows row");
  }
  return row;
}

std::string TombstoneKey(uint32_t number) {
  std::string key;
  PutBigEndian32(number, &key);
  return key;
}

absl::StatusOr<uint32_t> ParseTombstoneKey(std::string_view key) {
  ByteReader in(key);
  const uint32_t number = in.BigEndian32();
  if (!in.ok() || !in.empty()) return Damaged("tombstone key");
  return number;
}

std::string EncodeTombstone(const Tombstone& tombstone) {
  std::string value = Row();
  PutString(tombstone.tenant, &value);
  PutZigzag(tombstone.range.min_ms, &value);
  PutZigzag(tombstone.range.max_ms, &value);
  PutVarint(tombstone.seal, &value);
  PutVarint(tombstone.generation, &value);
  PutVarint(tombstone.ids.size(), &value);
  uint64_t last = 0;
  for (const uint64_t id : tombstone.ids) {
    PutVarint(id - last, &value);
    last = id;
  }
  return value;
}

absl::StatusOr<Tombstone> ParseTombstone(std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("tombstone", &in));
  Tombstone tombstone;
  tombstone.tenant = in.String();
  tombstone.range.min_ms = in.ZigzagVarint();
  tombstone.range.max_ms = in.ZigzagVarint();
  tombstone.seal = static_cast<uint32_t>(in.Varint());
  tombstone.generation = static_cast<uint32_t>(in.Varint());
  const uint64_t count = in.Varint();
  uint64_t id = 0;
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    const uint64_t step = in.Varint();
    if (i > 0 && (step == 0 || id + step < id)) return Damaged("tombstone");
    id += step;
    tombstone.ids.push_back(id);
  }
  if (!in.ok() || !in.empty()) return Damaged("tombstone");
  return tombstone;
}

std::string SeriesKey(uint64_t series_id) {
  std::string key;
  PutBigEndian64(series_id, &key);
  return key;
}

absl::StatusOr<uint64_t> ParseSeriesKey(std::string_view key) {
  ByteReader in(key);
  const uint64_t id = in.BigEndian64();
  if (!in.ok() || !in.empty()) return Damaged("series key");
  return id;
}

std::string EncodeSeriesRow(std::string_view tenant, const Labels& labels) {
  std::string row = Row();
  PutString(tenant, &row);
  PutString(labels.bytes(), &row);
  return row;
}

absl::StatusOr<SeriesRow> ParseSeriesRow(std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("series row", &in));
  SeriesRow row;
  row.tenant = in.String();
  VIGIE_ASSIGN_OR_RETURN(row.labels, Labels::FromBytes(in.String()));
  if (!in.ok() || !in.empty()) return Damaged("series row");
  return row;
}

std::string EncodeSeenRow(const SeriesState& state) {
  std::string row = Row();
  PutZigzag(state.first_ms, &row);
  PutZigzag(state.newest_ms, &row);
  PutZigzag(state.last_day_indexed, &row);
  row.push_back(state.delta.has_value() ? 1 : 0);
  if (state.delta.has_value()) {
    PutZigzag(state.delta->end_ms, &row);
    PutFixed64(std::bit_cast<uint64_t>(state.delta->value), &row);
    PutZigzag(state.delta->start_ms, &row);
  }
  return row;
}

absl::StatusOr<SeriesState> ParseSeenRow(std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("seen row", &in));
  SeriesState state;
  state.first_ms = in.ZigzagVarint();
  state.newest_ms = in.ZigzagVarint();
  const int64_t day = in.ZigzagVarint();
  state.last_day_indexed = static_cast<int32_t>(day);
  const uint8_t counted = in.Byte();
  if (counted == 1) {
    state.delta.emplace();
    state.delta->end_ms = in.ZigzagVarint();
    state.delta->value = std::bit_cast<double>(in.Fixed64());
    state.delta->start_ms = in.ZigzagVarint();
  }
  if (!in.ok() || !in.empty() || counted > 1 || day != state.last_day_indexed) {
    return Damaged("seen row");
  }
  return state;
}

std::string EncodeExemplarsRow(const std::vector<Exemplar>& exemplars) {
  std::string row = Row();
  PutVarint(exemplars.size(), &row);
  for (const Exemplar& exemplar : exemplars) PutExemplar(exemplar, &row);
  return row;
}

absl::StatusOr<std::vector<Exemplar>> ParseExemplarsRow(
    std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("exemplars row", &in));
  std::vector<Exemplar> exemplars;
  const uint64_t count = in.Varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(Exemplar exemplar, TakeExemplar(&in));
    exemplars.push_back(std::move(exemplar));
  }
  if (!in.ok() || !in.empty()) return Damaged("exemplars row");
  return exemplars;
}

std::string EncodeMetadataKey(std::string_view tenant,
                              std::string_view metric) {
  VIGIE_CHECK(tenant.size() <= kTenantBytesMax);
  std::string key(1, static_cast<char>(tenant.size()));
  key.append(tenant);
  key.append(metric);
  return key;
}

absl::StatusOr<MetadataKey> ParseMetadataKey(std::string_view key) {
  ByteReader in(key);
  MetadataKey parsed;
  parsed.tenant = in.Bytes(in.Byte());
  parsed.metric = in.Bytes(in.remaining());
  if (!in.ok()) return Damaged("metadata key");
  return parsed;
}

std::string EncodeMetadataRow(const MetadataEntry& entry) {
  std::string row = Row();
  PutZigzag(entry.seen_ms, &row);
  PutMetadata(entry.metadata, &row);
  return row;
}

absl::StatusOr<MetadataEntry> ParseMetadataRow(std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("metadata row", &in));
  MetadataEntry entry;
  entry.seen_ms = in.ZigzagVarint();
  entry.metadata = TakeMetadata(&in);
  if (!in.ok() || !in.empty()) return Damaged("metadata row");
  return entry;
}

std::string EncodeWatermark(const Watermark& watermark) {
  std::string row = Row();
  PutVarint(watermark.replay_from, &row);
  PutVarint(watermark.next_series_id, &row);
  PutVarint(watermark.next_seal, &row);
  return row;
}

absl::StatusOr<Watermark> ParseWatermark(std::string_view value) {
  ByteReader in(value);
  VIGIE_RETURN_IF_ERROR(TakeVersion("watermark", &in));
  Watermark watermark;
  watermark.replay_from = in.Varint();
  watermark.next_series_id = in.Varint();
  watermark.next_seal = static_cast<uint32_t>(in.Varint());
  if (!in.ok() || !in.empty()) return Damaged("watermark");
  return watermark;
}

}  // namespace vigie::store
