#include "store/keys.h"

#include <fmt/format.h>

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

std::string WindowPrefix(int32_t window) {
  std::string key;
  PutBigEndian32(Biased(window), &key);
  return key;
}

std::string ChunkPrefix(int32_t window, std::string_view tenant,
                        uint32_t metric_hash, uint64_t series_id) {
  VIGIE_CHECK(tenant.size() <= kTenantBytesMax);
  std::string key;
  key.reserve(4 + 1 + tenant.size() + 4 + 8 + 8);
  PutBigEndian32(Biased(window), &key);
  key.push_back(static_cast<char>(tenant.size()));
  key.append(tenant);
  PutBigEndian32(metric_hash, &key);
  PutBigEndian64(series_id, &key);
  return key;
}

std::string ChunkKey(std::string_view prefix, int64_t first_ms, int32_t window,
                     uint32_t seal) {
  std::string key(prefix);
  PutBigEndian32(static_cast<uint32_t>(first_ms - WindowStartMs(window)), &key);
  PutBigEndian32(seal, &key);
  return key;
}

absl::StatusOr<uint32_t> SealOfChunkKey(std::string_view key,
                                        std::string_view prefix) {
  if (key.size() != prefix.size() + 8) return Damaged("chunk key");
  ByteReader in(key.substr(prefix.size() + 4));
  return in.BigEndian32();
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
